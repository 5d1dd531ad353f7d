//! Dockerfiles to a graph of steps, to layers.
//!
//! | part | does | pure |
//! | --- | --- | --- |
//! | [`dockerfile`] | text to instructions with lines, expansion of variables | yes |
//! | [`ignore`] | which files of a context stay behind | yes |
//! | [`graph`] | stages and what they need of each other | yes |
//! | `scope`, `settings` | variables, and the instructions that touch no files | yes |
//! | [`context`] | the files of a build, packed and unpacked | |
//! | `tree`, `upper` | layers read in place, and written, without a mount | |
//! | `transfer`, `source`, `archive` | COPY and ADD | |
//! | `run`, `mounts`, `execute` | RUN, through the port [`Runner`] | |
//! | `stage`, `build` | the steps in order, the layer cache, the image | |
//!
//! Synchronous: callers in async code use `spawn_blocking`. Knows images, but no container: whoever calls
//! [`Builder::build`] hands in how commands are run.

mod archive;
mod build;
pub mod context;
pub mod dockerfile;
mod error;
mod execute;
mod glob;
pub mod graph;
pub mod ignore;
mod mounts;
mod order;
mod run;
mod scope;
mod settings;
mod source;
mod stage;
mod tape;
mod transfer;
pub mod tree;
mod upper;
mod users;

pub use build::Builder;
pub use error::{BuildError, StepError, StepFault, Tail};
pub use order::{
    BuildRequest, Built, Cancel, Context, Progress, RunLimits, RunMount, RunMountKind, RunNetwork, RunOrder,
    Runner, Stream,
};

#[cfg(test)]
mod tests;
