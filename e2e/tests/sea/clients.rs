//! Docker's clients, unchanged, on sea's Docker socket: each works a day on a daemon of its own.

mod compose;
mod crowd;
mod docker;
mod node;
mod python;
mod transports;
