//! The ports through which builds reach what is not theirs: secrets, agents, the network, registries.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use base::{Kind, Report};

use crate::order::Cancel;

/// A secret's bytes. They are never shown, and count neither for the cache nor for the image.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret of {} bytes", self.0.len())
    }
}

/// Gives secrets by their ids. Asked when a command needs one, and not before; may block.
pub trait Secrets: Send + Sync {
    /// The secret; nothing if there is none of this id.
    fn secret(&self, id: &str) -> Result<Option<Secret>, Report>;
}

impl Secrets for BTreeMap<String, Secret> {
    fn secret(&self, id: &str) -> Result<Option<Secret>, Report> {
        Ok(self.get(id).cloned())
    }
}

/// Gives connections to ssh agents by their ids; may block.
pub trait Agents: Send + Sync {
    /// Whether there is an agent of this id; `default` when a mount names none.
    fn has(&self, id: &str) -> bool;

    /// A new connection to it. One end of a socket pair will do.
    fn connect(&self, id: &str) -> Result<UnixStream, Report>;
}

/// No agent at all.
pub(crate) struct NoAgents;

impl Agents for NoAgents {
    fn has(&self, _id: &str) -> bool {
        false
    }

    fn connect(&self, id: &str) -> Result<UnixStream, Report> {
        Err(Report::new(Kind::NotFound, format!("the build has no ssh agent `{id}`")))
    }
}

/// Agents that listen on sockets of this machine, by their ids.
impl Agents for BTreeMap<String, PathBuf> {
    fn has(&self, id: &str) -> bool {
        self.contains_key(id)
    }

    fn connect(&self, id: &str) -> Result<UnixStream, Report> {
        let Some(path) = self.get(id) else { return NoAgents.connect(id) };
        UnixStream::connect(path).map_err(|error| {
            let text = format!("could not reach the ssh agent `{id}` at `{}`", path.display());
            Report::new(Kind::Unavailable, text).because(error)
        })
    }
}

/// Fetches what a URL names, for `ADD https://…` and contexts.
pub trait Fetcher: Send + Sync {
    /// Writes the body to `to`, following redirects. More than `most` bytes are an error; so is any status but 200.
    fn fetch(
        &self,
        url: &str,
        most: u64,
        to: &mut dyn Write,
        told: &mut dyn FnMut(Moved),
        cancel: &Cancel,
    ) -> Result<Fetched, Report>;
}

/// What came along with a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// `Content-Disposition` names the file.
    pub file_name: Option<String>,
    /// `Last-Modified`, in seconds since 1970.
    pub modified_secs: Option<i64>,
    /// `Content-Type`.
    pub media_type: Option<String>,
}

/// Brings images here from registries.
pub trait Puller: Send + Sync {
    /// Brings the image of this name here for this machine, or its newest version if it is here.
    fn pull(&self, name: &str, told: &mut dyn FnMut(Moved), cancel: &Cancel) -> Result<(), Report>;
}

/// How far something that moves has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What, as in a layer's digest.
    pub what: String,
    /// Bytes so far.
    pub bytes: u64,
    /// Of so many, if known.
    pub of: Option<u64>,
}
