//! The roles; the only crate that knows every concrete type.
fn main() {}
