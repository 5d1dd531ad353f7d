//! Patterns that keep traffic flowing when parts of a system are slow, failing, new or gone.
//!
//! Each is a small state machine that is told the time and given its randomness: no I/O, no clock, no threads, no
//! async. Whoever serves requests asks it before a request and tells it what became of one.

pub mod balance;
pub mod health;
