//! Why a container or a process in it could not be made, in a form that crosses processes.

use std::fmt::Display;
use std::io;

use base::{Kind, Problem};
use serde::{Deserialize, Serialize};

/// The exit code when the container itself could not be made.
pub(crate) const NOT_MADE: i32 = 125;
/// The exit code when the program was found but could not be run.
pub(crate) const NOT_EXECUTABLE: i32 = 126;
/// The exit code when there is no such program.
pub(crate) const NOT_FOUND: i32 = 127;

/// Why something could not be made to run, with the exit code that docker gives for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// 125, 126 or 127.
    pub code: i32,
    /// What sort of failure it is.
    pub kind: Kind,
    /// What failed, on what.
    pub message: String,
    /// Why.
    #[source]
    pub because: Option<Cause>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Why something failed, as text: what it was has stayed in another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

impl Failure {
    /// What was asked for makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { code: NOT_MADE, kind: Kind::Invalid, message: message.into(), because: None, hint: None }
    }

    /// A step that went wrong, and what the kernel said.
    pub(crate) fn step(message: impl Into<String>, error: &io::Error) -> Self {
        let failure = Self::invalid(message).because(error);
        Self { kind: kind_of(error), ..failure }
    }

    /// The same with a cause.
    pub(crate) fn because(mut self, cause: impl Display) -> Self {
        self.because = Some(Cause(cause.to_string()));
        self
    }

    /// The same with an instruction.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Everything in one line, for a record.
    pub(crate) fn line(&self) -> String {
        match &self.because {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        }
    }
}

impl Problem for Failure {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory | io::ErrorKind::QuotaExceeded => {
            Kind::Exhausted
        }
        io::ErrorKind::InvalidInput => Kind::Invalid,
        _ => Kind::Internal,
    }
}

/// Says what was being done when the kernel refused.
pub(crate) trait Doing<T> {
    /// Turns the error into a failure with this message: what could not be done, on what.
    fn doing<D: Display>(self, what: impl FnOnce() -> D) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing<D: Display>(self, what: impl FnOnce() -> D) -> Result<T, Failure> {
        self.map_err(|error| Failure::step(format!("could not {}", what()), &error.into()))
    }
}
