//! The daemon's side: starts shims, finds them again, and speaks with them.
//!
//! A shim is told from a dead one by the lock that it holds on `shim.lock` in its folder, which the kernel lets go
//! with its process, and by a pidfd; never by a number in a file.

mod call;
mod error;
mod find;
mod spawn;
mod stream;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::unix::AsyncFd;

pub use error::{CallError, CreateError, FindError, ReapError, ShimsError, WaitError};
pub use stream::{Attached, Event, Input, Output};

use crate::cgroup::Stats;
use crate::exit::Exit;
use crate::order::{Limits, Order, Process, Size};
use crate::protocol::{ProcessSeen, Reply, Request, Seen};

/// Starts shims from a copy of the program that nobody can change.
#[derive(Debug, Clone)]
pub struct Shims {
    program: Arc<OwnedFd>,
}

/// What is to be found in a container's folder.
#[derive(Debug)]
pub enum Found {
    /// Its shim is there.
    Running(Shim),
    /// It has ended in good order.
    Exited(Exit),
    /// Its shim has ended without a word, or there never was one; [`Shims::reap_lost`] clears what may be left.
    Lost,
}

/// A container that was made and is not over, as far as we know. Copies speak with the same one.
#[derive(Debug, Clone)]
pub struct Shim {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    pid: i32,
    notes: Vec<String>,
    /// Tells when the shim's process ends, and cannot come to mean another.
    process: AsyncFd<OwnedFd>,
    /// The other end is the shim's: as long as it is open, the shim knows that its creator still has plans.
    _creator: Option<tokio::net::unix::pipe::Receiver>,
}

impl Shims {
    /// Copies this program into memory, sealed, to start all shims from it.
    pub fn new(program: &Path) -> Result<Self, ShimsError> {
        spawn::seal(program).map(|fd| Self { program: Arc::new(fd) })
    }

    /// The same with the program that runs now.
    pub fn of_this_program() -> Result<Self, ShimsError> {
        Self::new(Path::new("/proc/self/exe"))
    }

    /// Makes a container up to its last step: its namespaces are there, its first process waits for the start.
    ///
    /// `dir` is absolute, exists and is the container's own.
    pub async fn create(&self, dir: &Path, order: &Order) -> Result<Shim, CreateError> {
        spawn::create(&self.program, dir, order).await
    }

    /// What is in this folder.
    pub async fn find(&self, dir: &Path) -> Result<Found, FindError> {
        find::find(dir).await
    }

    /// Ends what a lost shim has left running and removes the cgroup. Does nothing where nothing is left.
    pub async fn reap_lost(&self, dir: &Path, order: &Order) -> Result<(), ReapError> {
        find::reap_lost(dir, order).await
    }
}

impl Shim {
    /// The container's process 1, as the host numbers it.
    pub fn pid(&self) -> i32 {
        self.inner.pid
    }

    /// The container's folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// What was asked and could not be had in full, for people.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// Lets the main process become its program. A program that cannot be run is an error with 126 or 127, and the
    /// container is over then.
    pub async fn start(&self) -> Result<(), CallError> {
        self.done(&Request::Start).await.map(drop)
    }

    /// Sends a signal to the main process.
    pub async fn kill(&self, signal: i32) -> Result<(), CallError> {
        self.done(&Request::Kill { signal, all: false }).await.map(drop)
    }

    /// Sends a signal to every process in the container.
    pub async fn kill_all(&self, signal: i32) -> Result<(), CallError> {
        self.done(&Request::Kill { signal, all: true }).await.map(drop)
    }

    /// Stops all processes where they are.
    pub async fn pause(&self) -> Result<(), CallError> {
        self.done(&Request::Pause).await.map(drop)
    }

    /// Lets them go on.
    pub async fn resume(&self) -> Result<(), CallError> {
        self.done(&Request::Resume).await.map(drop)
    }

    /// Changes the size of the main process's terminal.
    pub async fn resize(&self, size: Size) -> Result<(), CallError> {
        self.done(&Request::Resize(size)).await.map(drop)
    }

    /// The main process gets no more input.
    pub async fn close_stdin(&self) -> Result<(), CallError> {
        self.done(&Request::CloseStdin).await.map(drop)
    }

    /// Changes the bounds; what cannot be bounded here is told.
    pub async fn update(&self, limits: &Limits) -> Result<Vec<String>, CallError> {
        self.done(&Request::Update(Box::new(limits.clone()))).await
    }

    /// How it is.
    pub async fn state(&self) -> Result<Seen, CallError> {
        match self.ask(&Request::State).await? {
            Reply::State(seen) => Ok(seen),
            other => Err(call::unexpected(&other)),
        }
    }

    /// What it uses.
    pub async fn stats(&self) -> Result<Stats, CallError> {
        match self.ask(&Request::Stats).await? {
            Reply::Stats(stats) => Ok(*stats),
            other => Err(call::unexpected(&other)),
        }
    }

    /// Which processes are in it.
    pub async fn top(&self) -> Result<Vec<ProcessSeen>, CallError> {
        match self.ask(&Request::Processes).await? {
            Reply::Processes(all) => Ok(all),
            other => Err(call::unexpected(&other)),
        }
    }

    /// Follows the main process's output from now on, without loss, and can feed it. A follower that does not read
    /// makes the process wait.
    pub async fn attach(&self) -> Result<Attached, CallError> {
        stream::open(&self.inner.dir, &Request::Attach).await
    }

    /// Runs a process beside the main one. A program that cannot be run is an error with 126 or 127.
    pub async fn exec(&self, process: &Process) -> Result<Attached, CallError> {
        stream::open(&self.inner.dir, &Request::Exec(Box::new(process.clone()))).await
    }

    /// Waits until the container is over and its cgroup is gone. Can be cancelled and called again.
    pub async fn wait(&self) -> Result<Exit, WaitError> {
        let ready = self.inner.process.readable().await;
        let unreadable = |source| WaitError::Unreadable { dir: self.inner.dir.clone(), source };
        let mut guard = ready.map_err(unreadable)?;
        // A process ends once; the descriptor says so for ever.
        guard.retain_ready();
        Exit::read(&self.inner.dir)
            .map_err(unreadable)?
            .ok_or_else(|| WaitError::Lost { dir: self.inner.dir.clone() })
    }

    async fn ask(&self, request: &Request) -> Result<Reply, CallError> {
        call::ask(&self.inner.dir, request).await
    }

    async fn done(&self, request: &Request) -> Result<Vec<String>, CallError> {
        match self.ask(request).await? {
            Reply::Done { notes } => Ok(notes),
            other => Err(call::unexpected(&other)),
        }
    }
}
