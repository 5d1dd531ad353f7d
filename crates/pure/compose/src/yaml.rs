//! YAML in and out, as the reference implementation reads and writes it.

mod bytes;
mod emit;
mod loosen;
mod parse;
mod scalar;

pub(crate) use bytes::{carries, readable};
pub(crate) use emit::{Out, to_json, to_yaml, unspeakable};
pub(crate) use parse::parse;

#[cfg(test)]
mod tests;
