//! YAML in and out, as the reference implementation reads and writes it.

mod emit;
mod loosen;
mod parse;
mod scalar;

pub(crate) use emit::{Out, to_json, to_yaml};
pub(crate) use parse::parse;

#[cfg(test)]
mod tests;
