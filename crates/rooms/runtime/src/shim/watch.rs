//! The shim's loop: one place that waits, and what is done when something happened.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::{Client, Role};
use super::session::{Session, Stage};
use crate::cgroup::Cgroup;
use crate::frames::Kind;
use crate::inside::talk::{self, Cue};
use crate::logs::{Stream, Writer};
use crate::order::Order;
use crate::protocol::Reply;

/// Connections at a time.
const CLIENTS: usize = 64;
/// A container that was made and that nobody asks for is given up after so long.
const ABANDONED: Duration = Duration::from_secs(30);
/// After the end, whoever takes nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is read at once.
const CHUNK: usize = 32 << 10;

/// The main process's session.
pub(super) const MAIN: u64 = 0;

/// Everything that the shim knows.
pub(super) struct Watch {
    dir: PathBuf,
    pub(super) order: Order,
    pub(super) cgroup: Cgroup,
    listener: OwnedFd,
    pub(super) sessions: BTreeMap<u64, Session>,
    pub(super) next_session: u64,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    log: Writer,
    pub(super) notes: Vec<String>,
    pub(super) paused: bool,
    /// Who waits for the start's outcome.
    pub(super) starters: Vec<u64>,
    /// When the next of our own deadlines is.
    deadline: Option<Instant>,
    /// The creator has gone.
    alone: bool,
    over: bool,
}

/// What the shim has made, to be watched.
pub(super) struct Made {
    pub(super) cgroup: Cgroup,
    pub(super) listener: OwnedFd,
    pub(super) main: Session,
    pub(super) log: Writer,
    pub(super) notes: Vec<String>,
}

/// Whose descriptor something happened on.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Creator,
    Client(u64),
    Talk(u64),
    End(u64),
    Output(u64, Stream),
    Input(u64),
}

impl Watch {
    pub(super) fn new(dir: &Path, order: Order, made: Made) -> Self {
        Self {
            dir: dir.to_owned(),
            order,
            cgroup: made.cgroup,
            listener: made.listener,
            sessions: BTreeMap::from([(MAIN, made.main)]),
            next_session: 1,
            clients: BTreeMap::new(),
            next_client: 0,
            log: made.log,
            notes: made.notes,
            paused: false,
            starters: Vec::new(),
            deadline: None,
            alone: false,
            over: false,
        }
    }

    pub(super) fn main(&self) -> &Session {
        self.sessions.get(&MAIN).expect("the main session stays until the shim ends")
    }

    pub(super) fn main_mut(&mut self) -> &mut Session {
        self.sessions.get_mut(&MAIN).expect("the main session stays until the shim ends")
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Goes on until the container is over and everybody who waits for it knows.
    pub(super) fn run(mut self, creator: OwnedFd) {
        let mut creator = Some(creator);
        let mut buffer = vec![0; CHUNK];
        while !self.over {
            for (source, flags) in self.wait(creator.as_ref()) {
                self.handle(source, flags, &mut creator, &mut buffer);
            }
            self.settle();
        }
        self.finish();
    }

    /// Waits until something happens.
    fn wait(&self, creator: Option<&OwnedFd>) -> Vec<(Source, PollFlags)> {
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::new(fd, flags));
        };
        if self.clients.len() < CLIENTS {
            add(Source::Listener, &self.listener, PollFlags::IN);
        }
        if let Some(creator) = creator {
            add(Source::Creator, creator, PollFlags::empty());
        }
        for (id, client) in self.clients.iter().filter(|(_, client)| !client.gone) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::OUT, client.has_output());
            flags.set(PollFlags::IN, !client.deaf && self.may_speak(client));
            // Also with no flags: that the other end is gone is always told.
            add(Source::Client(*id), &client.socket, flags);
        }
        for (id, session) in &self.sessions {
            if let Some(talk) = &session.talk {
                add(Source::Talk(*id), talk, PollFlags::IN);
            }
            if !matches!(session.stage, Stage::Ended(_)) {
                add(Source::End(*id), &session.pidfd, PollFlags::IN);
            }
            if let Some(stdin) = session.stdin.as_ref().filter(|_| session.has_input()) {
                add(Source::Input(*id), stdin, PollFlags::OUT);
            }
            let slow = self.clients.values().any(|c| c.role == Role::Following(*id) && c.is_slow());
            for stream in [Stream::Stdout, Stream::Stderr] {
                if let Some(fd) = session.streams[stream as usize].as_ref().filter(|_| !slow) {
                    add(Source::Output(*id, stream), fd, PollFlags::IN);
                }
            }
        }
        let now = SystemClock.now();
        let timeout = self.deadline.map(|deadline| {
            let left = deadline.since(now);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(_) => return Vec::new(),
        }
        sources
            .into_iter()
            .zip(fds.iter().map(PollFd::revents))
            .filter(|(_, flags)| !flags.is_empty())
            .collect()
    }

    /// Whether more of this client may be read.
    fn may_speak(&self, client: &Client) -> bool {
        match client.role {
            Role::Following(id) => self.sessions.get(&id).is_none_or(Session::takes_input),
            Role::Asking | Role::Waiting(_) => !client.is_slow(),
        }
    }

    fn handle(&mut self, source: Source, flags: PollFlags, creator: &mut Option<OwnedFd>, buffer: &mut [u8]) {
        match source {
            Source::Listener => self.accept(),
            Source::Creator => {
                *creator = None;
                self.alone = true;
            }
            Source::Client(id) => self.hear_client(id, flags),
            Source::Talk(id) => self.hear_session(id),
            Source::End(id) => self.ended(id),
            Source::Output(id, stream) => self.output(id, stream, buffer),
            Source::Input(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.pump_input();
                }
                self.serve_followers(id);
            }
        }
    }

    fn accept(&mut self) {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        if let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            self.clients.insert(self.next_client, Client::new(socket));
            self.next_client += 1;
        }
    }

    fn hear_client(&mut self, id: u64, flags: PollFlags) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if flags.contains(PollFlags::OUT) {
            client.flush();
            self.deadline = self.deadline.map(|_| SystemClock.now() + PATIENCE);
        }
        if flags.contains(PollFlags::IN) {
            client.fill();
        } else if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
            client.gone = true;
        }
        self.serve(id);
    }

    /// Does what a client has asked so far, as far as there is room for it.
    fn serve(&mut self, id: u64) {
        loop {
            let Some(mut client) = self.clients.remove(&id) else { return };
            if !self.may_speak(&client) {
                self.clients.insert(id, client);
                return;
            }
            let frame = client.next();
            let more = matches!(frame, Ok(Some(_)));
            match frame {
                Ok(Some((Kind::Request, body))) => self.answer(id, &mut client, &body),
                Ok(Some((Kind::Stdin, body))) => {
                    if let Role::Following(session) = client.role
                        && let Some(session) = self.sessions.get_mut(&session)
                    {
                        session.feed(&body);
                    }
                }
                Ok(Some((Kind::Reply | Kind::Stdout | Kind::Stderr, _))) => {
                    self.refuse(&mut client, "only requests and input are sent to a shim");
                }
                Ok(None) => {}
                Err(error) => self.refuse(&mut client, &error.to_string()),
            }
            client.flush();
            self.clients.insert(id, client);
            if !more {
                return;
            }
        }
    }

    fn refuse(&self, client: &mut Client, why: &str) {
        client.reply(&Reply::Failed(crate::failure::Failure::invalid(why)));
        client.finished = true;
        client.deaf = true;
    }

    fn serve_followers(&mut self, session: u64) {
        let followers: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| client.role == Role::Following(session))
            .map(|(id, _)| *id)
            .collect();
        for id in followers {
            self.serve(id);
        }
    }

    fn hear_session(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.hear() {
            // Only processes run beside the main one come here unstarted; they need no second word.
            Ok(Some(_)) => {
                session.stage = Stage::Starting;
                if let Some(talk) = &session.talk {
                    talk::cue(talk, Cue::Start);
                }
            }
            Ok(None) => {}
            Err(failure) => {
                session.failure = Some(failure);
                session.talk = None;
            }
        }
        let (pid, failure) = (session.pid, session.failure.clone());
        if session.talk.is_some() {
            return;
        }
        if failure.is_none() && session.stage == Stage::Starting {
            session.stage = Stage::Running;
        }
        let reply = match (failure, id) {
            (Some(failure), _) => Reply::Failed(failure),
            (None, MAIN) => Reply::Done { notes: Vec::new() },
            (None, _) => Reply::Running { pid },
        };
        let told: Vec<u64> = match id {
            MAIN => std::mem::take(&mut self.starters),
            _ => self
                .clients
                .iter()
                .filter(|(_, c)| c.role == Role::Following(id))
                .map(|(id, _)| *id)
                .collect(),
        };
        for id in told {
            if let Some(client) = self.clients.get_mut(&id) {
                client.reply(&reply);
                client.flush();
            }
        }
    }

    fn ended(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // What it said last lies in the socket still, and tells more than its end.
        if session.talk.is_some() {
            // A child of it may hold the other end still, and be silent for long; nobody must wait for it here.
            if !session.has_word() {
                return;
            }
            self.hear_session(id);
            if self.sessions.get(&id).is_some_and(|session| session.talk.is_some()) {
                return;
            }
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.reap();
        if id == MAIN && matches!(session.stage, Stage::Ended(_)) {
            self.main_ended();
        }
    }

    fn main_ended(&mut self) {
        let oom = self.cgroup.oom_killed();
        if let Stage::Ended(exit) = &mut self.main_mut().stage {
            exit.oom = oom;
        }
        base::crash::point("shim: process ended");
        self.cgroup.kill();
        self.deadline = Some(SystemClock.now() + PATIENCE);
    }

    fn output(&mut self, id: u64, stream: Stream, buffer: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let closed_before = session.streams[stream as usize].is_none();
        let Some(bytes) = session.read(stream, buffer) else {
            if id == MAIN && !closed_before && session.streams[stream as usize].is_none() {
                self.log.end(stream, SystemClock.wall());
            }
            return;
        };
        if id == MAIN {
            self.log.take(stream, bytes, SystemClock.wall());
        }
        let kind = match stream {
            Stream::Stdout => Kind::Stdout,
            Stream::Stderr => Kind::Stderr,
        };
        for client in self.clients.values_mut().filter(|client| client.role == Role::Following(id)) {
            client.send(kind, bytes);
            client.flush();
        }
    }

    /// What follows from what has happened: ends are told, what is over is let go.
    fn settle(&mut self) {
        let now = SystemClock.now();
        let ended = matches!(self.main().stage, Stage::Ended(_));
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        let over: Vec<u64> =
            self.sessions.values().filter(|s| s.id != MAIN && s.is_over()).map(|s| s.id).collect();
        for id in over {
            if let Some(session) = self.sessions.remove(&id) {
                self.tell_end(&session);
            }
        }
        self.clients.retain(|_, client| !client.is_over());
        if ended {
            self.over = late || (self.sessions.len() == 1 && self.main().is_over());
        } else if self.main().stage == Stage::Made && self.alone && self.clients.is_empty() {
            if late {
                // Its end is then told like any other.
                let _ = crate::sys::signal_pidfd(self.main().pidfd.as_fd(), libc::SIGKILL);
                self.deadline = None;
                self.alone = false;
            } else if self.deadline.is_none() {
                self.deadline = Some(now + ABANDONED);
            }
        } else {
            self.deadline = None;
        }
    }

    fn tell_end(&mut self, session: &Session) {
        let Stage::Ended(exit) = &session.stage else { return };
        for client in self.clients.values_mut().filter(|client| client.session() == Some(session.id)) {
            if session.failure.is_none() || session.id == MAIN {
                client.reply(&Reply::Exited(exit.clone()));
            }
            client.finished = true;
            client.flush();
        }
    }

    /// Writes down how it ended, removes the cgroup, and tells everybody.
    fn finish(mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.log.end(stream, SystemClock.wall());
        }
        base::crash::point("shim: log ended");
        // A cgroup that cannot be removed now is removed by whoever makes the container again, or removes it.
        let _ = self.cgroup.remove();
        base::crash::point("shim: cgroup removed");
        if let Some(main) = self.sessions.remove(&MAIN) {
            if let Stage::Ended(exit) = &main.stage
                && let Err(error) = exit.write(&self.dir)
            {
                complain(&format!("could not write how `{}` ended: {error}\n", self.order.id));
            }
            self.tell_end(&main);
        }
        base::crash::point("shim: end told");
        let _ = std::fs::remove_file(self.dir.join(crate::protocol::SOCKET));
        base::crash::point("shim: socket removed");
        let give_up = SystemClock.now() + PATIENCE;
        while self.clients.values().any(Client::has_output) && SystemClock.now() < give_up {
            let mut fds: Vec<_> = self
                .clients
                .values()
                .filter(|client| client.has_output())
                .map(|client| PollFd::new(&client.socket, PollFlags::OUT))
                .collect();
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
            self.clients.values_mut().for_each(Client::flush);
        }
    }
}

/// Says something where a person may look who wonders.
fn complain(text: &str) {
    let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
}
