//! What to do next: from what is wanted and what is seen to a list of steps.

pub mod ports;
pub mod traffic;
