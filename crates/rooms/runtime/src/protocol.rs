//! What a daemon asks of a shim and what it answers: the bodies of request and reply frames.
//!
//! One connection carries one request, or begins as [`Request::Exec`] or [`Request::Attach`] and then carries the
//! process's bytes both ways until [`Reply::Exited`].

use serde::{Deserialize, Serialize};

use crate::cgroup::Stats;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::order::{Limits, Process, Size};

/// The socket's file in a container's folder.
pub(crate) const SOCKET: &str = "shim.sock";
/// Locked by the shim as long as it lives.
pub(crate) const LOCK: &str = "shim.lock";
/// The order's file.
pub(crate) const ORDER: &str = "order.json";
/// What a shim says outside of its socket: panics.
pub(crate) const COMPLAINTS: &str = "shim.err";

/// What a daemon asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Let the main process become its program.
    Start,
    /// Send a signal: to the process of this connection, else to the main one; or to all in the container.
    Kill { signal: i32, all: bool },
    /// Stop everything where it is.
    Pause,
    /// Let it go on.
    Resume,
    /// Change the terminal's size: of the process of this connection, else of the main one.
    Resize(Size),
    /// Run a process beside the main one.
    Exec(Box<Process>),
    /// Follow the main process's output from now on, and perhaps feed it.
    Attach,
    /// The main process gets no more input.
    CloseStdin,
    /// How is it?
    State,
    /// Tell when the main process has ended.
    Wait,
    /// Change the bounds.
    Update(Box<Limits>),
    /// What does it use?
    Stats,
    /// Which processes are in it?
    Processes,
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// It is done, with remarks.
    Done { notes: Vec<String> },
    /// It was not done.
    Failed(Failure),
    /// How it is.
    State(Seen),
    /// The process of this connection runs, or is followed from here on.
    Running { pid: i32 },
    /// The process of this connection has ended, and all that it wrote has been sent.
    Exited(Exit),
    /// What it uses.
    Stats(Box<Stats>),
    /// What is in it.
    Processes(Vec<ProcessSeen>),
}

/// A container as its shim sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Where in its life it is.
    pub phase: Phase,
    /// Its process 1, as the host numbers it.
    pub pid: i32,
    /// Its processes are stopped where they are.
    pub paused: bool,
    /// What was asked and could not be had in full.
    pub notes: Vec<String>,
}

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Made; the program waits for its start.
    Created,
    /// The program runs.
    Running,
    /// The program has ended.
    Exited,
}

/// One process in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSeen {
    /// As the host numbers it.
    pub pid: i32,
    /// Its parent, likewise.
    pub ppid: i32,
    /// As who it runs.
    pub uid: u32,
    /// `R`, `S`, `D`, `T`, `Z`.
    pub state: char,
    /// Processor time, in ticks of 10 ms.
    pub ticks: u64,
    /// Started so many ticks after the machine.
    pub started_ticks: u64,
    /// Memory in place, in bytes.
    pub rss: u64,
    /// Its terminal's device number; 0 for none.
    pub tty: u32,
    /// Its arguments, or its name in brackets when it has none.
    pub command: String,
}
