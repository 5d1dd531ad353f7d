//! Tests of the client against our own registry, and against servers that misbehave.
//!
//! The certificates beside this were made with `openssl` for a hundred years: an authority, whose key is gone, and a
//! server that it signed for `localhost`, `registry.test` and 127.0.0.1.

mod certificates;
mod hostile;
mod searching;
mod working;
