//! The project's chores: tidy, test, demo, bench, ci.
fn main() {}
