//! The loops: reconcile what is wanted with what runs, and roll releases out and back.
//!
//! Owns the tables `app` and `release`. Knows the rooms through the ports in `plan` only.

mod act;
mod apps;
mod events;
mod helm;
mod receipt;
mod records;
mod run;
#[cfg(test)]
mod sim;

pub use apps::{Apps, AskError, DeployOptions};
pub use helm::Trouble;
pub use run::Picture;
