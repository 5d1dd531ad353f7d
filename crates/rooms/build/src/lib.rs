//! Dockerfiles to a graph of steps, to layers.
//!
//! | part | does | pure |
//! | --- | --- | --- |
//! | [`dockerfile`] | text to instructions with lines, expansion of variables | yes |
//! | [`ignore`] | which files of a context stay behind | yes |
//! | [`describe`] | stages and outlines, for people | yes |
//! | [`check`] | what is probably not meant | yes |
//! | [`graph`] | stages and what they need of each other | yes |
//! | `scope`, `settings` | variables, and the instructions that touch no files | yes |
//! | [`context`] | the files of a build, packed and unpacked | |
//! | `tree`, `upper` | layers read in place, and written, without a mount | |
//! | `transfer`, `source`, `archive` | COPY and ADD | |
//! | `run`, `mounts`, `execute` | RUN, through the port [`Runner`] | |
//! | `steps`, `progress` | the steps as they are numbered and told | yes |
//! | [`git`] | repositories, by the program `git` | |
//! | `intake`, `remote` | contexts and the Dockerfile's text, from wherever they come | |
//! | `stage`, `board`, `build` | stages side by side, the layer cache, the image | |
//!
//! Synchronous: callers in async code use `spawn_blocking`. Knows images, but no container: whoever calls
//! [`Builder::build`] hands in how commands are run.

mod archive;
mod board;
mod build;
mod changes;
pub mod check;
mod chmod;
pub mod context;
pub mod describe;
pub mod dockerfile;
mod error;
mod execute;
mod export;
pub mod git;
mod glob;
pub mod graph;
pub mod ignore;
mod inline;
mod intake;
mod linked;
mod memory;
mod mounts;
mod order;
mod ports;
mod private;
mod progress;
mod remote;
mod run;
mod runner;
mod scope;
mod settings;
mod source;
mod stage;
mod steps;
mod tape;
mod transfer;
pub mod tree;
mod upper;
mod users;

pub use build::Builder;
pub use changes::{ChangeError, changed};
pub use error::{BuildError, StepError, StepFault, Tail};
pub use export::{ExportError, export_files};
pub use order::{BuildRequest, Built, Cancel, Context, DockerfileSource, NamedContext, NoCache, RunSettings};
pub use ports::{Agents, Fetched, Fetcher, Moved, Puller, Secret, Secrets};
pub use progress::{Progress, Step, StepKind};
pub use runner::{RunLimits, RunMount, RunMountKind, RunNetwork, RunOrder, Runner, Stream, Ulimit};

#[cfg(test)]
mod tests;
