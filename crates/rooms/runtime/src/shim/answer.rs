//! What each request does.

use std::os::fd::AsFd;

use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::client::{Client, Role};
use super::session::{Session, Stage, make_stdio};
use super::watch::{MAIN, Watch};
use crate::failure::{Doing, Failure};
use crate::inside::talk::{self, Cue};
use crate::inside::{self, Plan};
use crate::order::{Process, Seccomp};
use crate::protocol::{Phase, Reply, Request, Seen};
use crate::sys::{self, CloneOrder, Cloned};

/// Processes beside the main one at a time.
const SESSIONS: usize = 64;

impl Watch {
    /// Does one request. What is not settled at once is answered later.
    pub(super) fn answer(&mut self, id: u64, client: &mut Client, body: &[u8]) {
        let request: Request = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => {
                client.reply(&Reply::Failed(Failure::invalid(format!(
                    "the request is not understood: {error}"
                ))));
                return;
            }
        };
        let done = |outcome: Result<(), Failure>| match outcome {
            Ok(()) => Reply::Done { notes: Vec::new() },
            Err(failure) => Reply::Failed(failure),
        };
        let reply = match request {
            Request::Start => match self.start(id) {
                Ok(()) => return,
                Err(failure) => Reply::Failed(failure),
            },
            Request::Kill { signal, all } => done(self.kill(client.session(), signal, all)),
            Request::Pause => done(self.pause(true)),
            Request::Resume => done(self.pause(false)),
            Request::Resize(size) => {
                let session = client.session().unwrap_or(MAIN);
                done(self.sessions.get(&session).map_or(Ok(()), |session| session.resize(size)))
            }
            Request::Exec(process) => match self.exec(client, &process) {
                Ok(()) => return,
                Err(failure) => Reply::Failed(failure),
            },
            Request::Attach => {
                client.role = Role::Following(MAIN);
                Reply::Running { pid: self.main().pid }
            }
            Request::CloseStdin => {
                self.main_mut().feed(&[]);
                Reply::Done { notes: Vec::new() }
            }
            Request::State => Reply::State(self.seen()),
            Request::Wait => {
                client.role = Role::Waiting(MAIN);
                return;
            }
            Request::Update(limits) => {
                let mut notes = Vec::new();
                match self.cgroup.limit(&limits, &mut notes) {
                    Ok(()) => Reply::Done { notes },
                    Err(failure) => Reply::Failed(failure),
                }
            }
            Request::Stats => Reply::Stats(Box::new(self.cgroup.stats())),
            Request::Processes => Reply::Processes(super::processes::look(&self.cgroup.processes())),
        };
        client.reply(&reply);
    }

    fn start(&mut self, client: u64) -> Result<(), Failure> {
        let main = self.main_mut();
        match main.stage {
            Stage::Made => {}
            Stage::Starting | Stage::Running => return Err(conflict("the container is started already")),
            Stage::Ended(_) => return Err(conflict("the container has ended")),
        }
        main.stage = Stage::Starting;
        if let Some(talk) = &main.talk {
            talk::cue(talk, Cue::Start);
        }
        base::crash::point("shim: process let go");
        self.starters.push(client);
        Ok(())
    }

    fn kill(&self, session: Option<u64>, signal: i32, all: bool) -> Result<(), Failure> {
        if !(1..=64).contains(&signal) {
            return Err(Failure::invalid(format!("{signal} is not a signal")));
        }
        if all {
            for pid in self.cgroup.processes() {
                sys::signal_pid(pid, signal);
            }
            return Ok(());
        }
        let Some(session) = self.sessions.get(&session.unwrap_or(MAIN)) else { return Ok(()) };
        if matches!(session.stage, Stage::Ended(_)) {
            return Err(conflict("the process has ended"));
        }
        // A process that waits for its start hears no signal but this one.
        let signal = if session.stage == Stage::Made { libc::SIGKILL } else { signal };
        sys::signal_pidfd(session.pidfd.as_fd(), signal).doing(|| format!("send signal {signal}"))?;
        if signal == libc::SIGKILL && self.paused {
            // What is frozen does not die before it thaws.
            self.cgroup.freeze(false).doing(|| "let the container go on")?;
        }
        Ok(())
    }

    fn pause(&mut self, paused: bool) -> Result<(), Failure> {
        if self.paused == paused {
            return Err(conflict(if paused {
                "the container is paused already"
            } else {
                "the container is not paused"
            }));
        }
        self.cgroup
            .freeze(paused)
            .doing(|| if paused { "pause the container" } else { "let the container go on" })?;
        base::crash::point("shim: frozen or thawed");
        self.paused = paused;
        Ok(())
    }

    fn seen(&self) -> Seen {
        let phase = match self.main().stage {
            Stage::Made => Phase::Created,
            Stage::Starting | Stage::Running => Phase::Running,
            Stage::Ended(_) => Phase::Exited,
        };
        Seen { phase, pid: self.main().pid, paused: self.paused, notes: self.notes.clone() }
    }

    /// Begins to run a process in the container; how it goes is told when it is known.
    fn exec(&mut self, client: &mut Client, process: &Process) -> Result<(), Failure> {
        if self.main().stage != Stage::Running {
            return Err(conflict("the container does not run"));
        }
        if self.paused {
            return Err(conflict("the container is paused").hint("let it go on first"));
        }
        if self.sessions.len() > SESSIONS || client.session().is_some() {
            return Err(conflict("too many processes are run beside the main one"));
        }
        let own = matches!(self.order.seccomp, Seccomp::Profile(_));
        let filter =
            if process.capabilities.privileged && !own { Plan::Unconfined } else { Plan::of(&self.order) };
        let (stdio, ends) = make_stdio(process)?;
        let (ours, theirs) = talk::pair()?;
        let second = self.cgroup.open_second()?;
        // For the children to come only, and all that come are for this container. So the process is the shim's own
        // child from its first moment: what nobody knows of, nobody would reap, and the kernel would hold the end of
        // the container's process 1 until somebody does.
        move_into_thread_name_spaces(self.main().pidfd.as_fd(), ThreadNameSpaceType::PROCESS_ID)
            .doing(|| "enter the container")?;
        let order = CloneOrder { flags: 0, cgroup: second.as_ref().map(|fd| fd.as_fd()) };
        let child = match sys::clone_process(&order).doing(|| "make a process")? {
            Cloned::Child => {
                // With our own copy of the shim's end we would not hear that the shim is gone.
                drop((ours, ends));
                inside::visit(inside::Visit {
                    process,
                    filter,
                    init: self.main().pidfd.as_fd(),
                    cgroup: &self.cgroup,
                    socket: theirs,
                    stdio,
                })
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        base::crash::point("shim: process beside made");
        let id = self.next_session;
        self.next_session += 1;
        self.sessions.insert(id, Session::new(id, child, ours, process.tty, ends));
        client.role = Role::Following(id);
        Ok(())
    }
}

fn conflict(message: &str) -> Failure {
    Failure { kind: base::Kind::Conflict, ..Failure::invalid(message) }
}
