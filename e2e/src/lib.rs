//! Black-box runs of the real program.
//!
//! [`Sea`] is a daemon with a root folder of its own and the commands that people give it. Everything else looks at it
//! from outside: requests over sockets, processes in `/proc`, what is left on the machine. Nothing here uses sea's own
//! code for what it checks, so that a mistake is not made twice; the program `zero-loss` drives the edge with it.

pub mod clients;
pub mod crash;
mod done;
mod exact;
mod git;
pub mod http;
mod left;
pub mod load;
pub mod process;
mod pty;
mod registry;
mod sea;
mod wait;

pub use done::Done;
pub use git::GitServer;
pub use left::Traces;
pub use pty::on_terminal;
pub use registry::RegistryServer;
pub use sea::{Sea, image, program};
pub use wait::{until, until_ok};
