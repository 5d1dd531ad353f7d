//! One connection to the shim, with bounded buffers both ways.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::frames::{self, BadFrame, Kind};
use crate::protocol::Reply;

/// What a client may leave unread before its process is made to wait.
const OUT_LIMIT: usize = 256 << 10;
/// How much is read at once.
const READ: usize = 32 << 10;

/// What a connection has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing yet, or single requests.
    Asking,
    /// Waits for the end of a session.
    Waiting(u64),
    /// Follows a session and feeds it.
    Following(u64),
}

pub(super) struct Client {
    pub(super) socket: OwnedFd,
    pub(super) role: Role,
    input: Vec<u8>,
    out: Vec<u8>,
    /// How much of `out` is sent.
    sent: usize,
    /// Nothing more will be read.
    pub(super) deaf: bool,
    /// Nothing more can be sent.
    pub(super) gone: bool,
    /// To be closed once all is sent.
    pub(super) finished: bool,
}

impl Client {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            role: Role::Asking,
            input: Vec::new(),
            out: Vec::new(),
            sent: 0,
            deaf: false,
            gone: false,
            finished: false,
        }
    }

    /// The session that it follows or waits for.
    pub(super) fn session(&self) -> Option<u64> {
        match self.role {
            Role::Asking => None,
            Role::Waiting(session) | Role::Following(session) => Some(session),
        }
    }

    /// Whether a session that it follows must wait for it.
    pub(super) fn is_slow(&self) -> bool {
        !self.gone && self.out.len() - self.sent > OUT_LIMIT
    }

    pub(super) fn has_output(&self) -> bool {
        !self.gone && self.sent < self.out.len()
    }

    /// Whether there is nothing left to do for it.
    pub(super) fn is_over(&self) -> bool {
        self.gone
            || (self.finished && !self.has_output())
            || (self.deaf && self.role == Role::Asking && !self.has_output())
    }

    pub(super) fn send(&mut self, kind: Kind, body: &[u8]) {
        if !self.gone {
            frames::push(&mut self.out, kind, body);
        }
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        if !self.gone {
            frames::push_json(&mut self.out, Kind::Reply, reply);
        }
    }

    /// Sends what the socket takes now.
    pub(super) fn flush(&mut self) {
        while self.has_output() {
            match rustix::net::send(&self.socket, &self.out[self.sent..], rustix::net::SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
        if self.sent == self.out.len() || self.gone {
            self.out.clear();
            self.out.shrink_to(1024);
            self.sent = 0;
        } else if self.sent > OUT_LIMIT {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Reads what is there, once.
    pub(super) fn fill(&mut self) {
        let start = self.input.len();
        self.input.resize(start + READ, 0);
        let got = rustix::io::read(&self.socket, &mut self.input[start..]);
        self.input.truncate(start + got.unwrap_or(0));
        match got {
            Ok(0) => self.deaf = true,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.deaf = true;
                self.gone = true;
            }
        }
    }

    /// Takes one frame out of what was read.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, Vec<u8>)>, BadFrame> {
        let Some((kind, body, taken)) = frames::cut(&self.input)? else { return Ok(None) };
        let frame = (kind, body.to_vec());
        self.input.drain(..taken);
        if self.input.is_empty() {
            self.input.shrink_to(1024);
        }
        Ok(Some(frame))
    }
}
