//! One process that the shim answers for, the main one or one run beside it: its streams and its end.

use std::os::fd::{AsFd, OwnedFd};

use base::{Clock, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions};

use crate::exit::Exit;
use crate::failure::{Doing, Failure};
use crate::inside::Stdio;
use crate::inside::talk::{self, Word};
use crate::logs::Stream;
use crate::order::{Process, Size};

/// Input that waits for the process.
const INPUT_LIMIT: usize = 64 << 10;

/// Where in its life the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for its start.
    Made,
    /// It was told to start and has not become its program yet.
    Starting,
    /// The program runs.
    Running,
    /// It is over; its outputs may not be.
    Ended(Exit),
}

pub(super) struct Session {
    pub(super) id: u64,
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) stage: Stage,
    /// Until the program takes over.
    pub(super) talk: Option<OwnedFd>,
    pub(super) tty: bool,
    pub(super) stdin: Option<OwnedFd>,
    input: Vec<u8>,
    input_ends: bool,
    /// Standard output (or the terminal) and standard error.
    pub(super) streams: [Option<OwnedFd>; 2],
    /// Why it did not become its program.
    pub(super) failure: Option<Failure>,
}

/// Our ends of what a process is given.
pub(super) struct Ends {
    stdin: Option<OwnedFd>,
    streams: [Option<OwnedFd>; 2],
}

/// The process's ends and ours.
pub(super) fn make_stdio(process: &Process) -> Result<(Stdio, Ends), Failure> {
    if process.tty {
        return Ok((Stdio::Terminal, Ends { stdin: None, streams: [None, None] }));
    }
    let doing = || "make pipes";
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing(doing);
    let (out_ours, stdout) = pipe()?;
    let (err_ours, stderr) = pipe()?;
    let (stdin, ours) = if process.stdin_open {
        let (stdin, ours) = pipe()?;
        (stdin, Some(ours))
    } else {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        (rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).doing(doing)?, None)
    };
    for fd in [Some(&out_ours), Some(&err_ours), ours.as_ref()].into_iter().flatten() {
        rustix::io::ioctl_fionbio(fd, true).doing(doing)?;
    }
    Ok((
        Stdio::Pipes { stdin, stdout, stderr },
        Ends { stdin: ours, streams: [Some(out_ours), Some(err_ours)] },
    ))
}

impl Session {
    pub(super) fn new(id: u64, (pid, pidfd): (i32, OwnedFd), talk: OwnedFd, tty: bool, ends: Ends) -> Self {
        Self {
            id,
            pid,
            pidfd,
            stage: Stage::Made,
            talk: Some(talk),
            tty,
            stdin: ends.stdin,
            input: Vec::new(),
            input_ends: false,
            streams: ends.streams,
            failure: None,
        }
    }

    /// Takes the terminal's other end.
    pub(super) fn set_terminal(&mut self, terminal: OwnedFd) -> Result<(), Failure> {
        let doing = || "take the terminal";
        rustix::io::ioctl_fionbio(&terminal, true).doing(doing)?;
        self.stdin = Some(rustix::io::fcntl_dupfd_cloexec(&terminal, 3).doing(doing)?);
        self.streams[0] = Some(terminal);
        Ok(())
    }

    /// Hears one word of the process that is not yet its program. True if it has taken its last step: the program
    /// runs, or it will not.
    pub(super) fn hear(&mut self) -> Result<Option<Vec<String>>, Failure> {
        let Some(talk) = &self.talk else { return Ok(None) };
        match talk::hear(talk.as_fd())? {
            Some((Word::Terminal, Some(terminal))) => self.set_terminal(terminal)?,
            Some((Word::Ready { notes }, _)) => return Ok(Some(notes)),
            Some((Word::Failed(failure), _)) => {
                self.failure = Some(failure);
                self.talk = None;
            }
            Some((Word::Terminal, None)) => {}
            None => self.talk = None,
        }
        Ok(None)
    }

    /// Whether [`Session::hear`] has something to hear now, be it that the program has taken over.
    pub(super) fn has_word(&self) -> bool {
        let Some(talk) = &self.talk else { return false };
        let mut polled = [PollFd::new(talk, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Whether it may be given more input.
    pub(super) fn takes_input(&self) -> bool {
        self.input.len() < INPUT_LIMIT
    }

    pub(super) fn has_input(&self) -> bool {
        self.stdin.is_some() && !self.input.is_empty()
    }

    /// Input for the process; nothing means that no more comes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.input_ends = true;
        } else if self.stdin.is_some() && !self.input_ends {
            self.input.extend_from_slice(bytes);
        }
        self.pump_input();
    }

    /// Writes what the process takes now.
    pub(super) fn pump_input(&mut self) {
        let Some(stdin) = &self.stdin else {
            self.input.clear();
            return;
        };
        let mut broken = false;
        let mut done = 0;
        while done < self.input.len() {
            match rustix::io::write(stdin, &self.input[done..]) {
                Ok(count) => done += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        self.input.drain(..done);
        if self.input.is_empty() && self.input_ends && self.tty {
            // A terminal has no end; this character says so, once all before it is taken.
            let _ = rustix::io::write(stdin, &[4]);
            self.input_ends = false;
        } else if broken || (self.input.is_empty() && self.input_ends) {
            self.input.clear();
            self.stdin = None;
        }
        self.input.shrink_to(1024);
    }

    /// Reads once from a stream; none when there is nothing now. Closes it at its end.
    pub(super) fn read<'a>(&mut self, stream: Stream, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let at = stream as usize;
        match rustix::io::read(self.streams[at].as_ref()?, &mut *buffer) {
            Ok(0) => {}
            Ok(count) => return Some(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => return None,
            // A terminal that nobody has open any more says so with an error.
            Err(_) => {}
        }
        self.streams[at] = None;
        None
    }

    /// Takes note of the end, if it has come.
    pub(super) fn reap(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let Ok(Some(status)) = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) else {
            return;
        };
        let wall = SystemClock.wall();
        let mut exit = Exit::of(status.exit_status(), status.terminating_signal(), wall);
        if let Some(failure) = &self.failure {
            exit.code = failure.code;
            exit.failure = Some(failure.line());
        }
        self.stage = Stage::Ended(exit);
    }

    /// Whether it has ended and all that it wrote has been read.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended(_)) && self.streams.iter().all(Option::is_none)
    }

    /// Changes its terminal's size.
    pub(super) fn resize(&self, size: Size) -> Result<(), Failure> {
        match &self.streams[0] {
            Some(terminal) if self.tty => {
                rustix::termios::tcsetwinsize(terminal, crate::inside::winsize(size))
                    .doing(|| "resize the terminal")
            }
            _ => Err(Failure::invalid("the process has no terminal")),
        }
    }
}
