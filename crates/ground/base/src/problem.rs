//! What every error can say of itself beyond its message: its kind, and a hint.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of failure it is; alone decides the HTTP status and the exit code, at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What was asked makes no sense, however often it is asked.
    Invalid,
    /// The thing that was named is not there.
    NotFound,
    /// It is there already, or in a state that forbids this.
    Conflict,
    /// Whoever asks may not.
    Denied,
    /// A bound was reached: disk, memory, a queue, a quota.
    Exhausted,
    /// Something that we need does not answer now; the same call may go well later.
    Unavailable,
    /// It did not end in its time.
    TimedOut,
    /// This program cannot do it (yet).
    Unsupported,
    /// Our own fault.
    Internal,
}

/// An error that people can act on.
pub trait Problem: Error {
    /// What sort of failure this is.
    fn kind(&self) -> Kind;
    /// What to do about it, as an instruction, where we know.
    fn hint(&self) -> Option<String>;
    /// The report that this problem is, for one that only carries another's.
    fn as_report(&self) -> Option<&Report> {
        None
    }
}

/// A problem flattened to text, to cross a socket or to end a command.
///
/// Prints as
/// ```text
/// error: could not start `shop/web`
///   because: `registry.local` refused the credentials for `team/web:v8`
///   hint: sign in with `login registry.local`
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What sort of failure it is.
    pub kind: Kind,
    /// What failed, on what.
    pub message: String,
    /// Why, from the near cause to the far one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// It came over a socket: whoever asked was understood, so it is no matter of wrong use.
    #[serde(skip)]
    pub remote: bool,
}

impl Report {
    /// A report without a cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), because: Vec::new(), hint: None, remote: false }
    }

    /// The same with a cause behind those that it has.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.because.push(cause.to_string());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, as it came over a socket.
    #[must_use]
    pub fn from_afar(mut self) -> Self {
        self.remote = true;
        self
    }

    /// The problem and all its sources.
    pub fn of(problem: &dyn Problem) -> Self {
        if let Some(flat) = problem.as_report() {
            return flat.clone();
        }
        let mut report = Self::new(problem.kind(), problem.to_string());
        report.hint = problem.hint();
        let mut source = problem.source();
        while let Some(cause) = source {
            // A report is flat already: its own causes and its hint come along as they are.
            if let Some(flat) = cause.downcast_ref::<Self>() {
                report.because.push(flat.message.clone());
                report.because.extend(flat.because.iter().cloned());
                report.hint = report.hint.or_else(|| flat.hint.clone());
            } else {
                report.because.push(cause.to_string());
            }
            source = cause.source();
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for cause in &self.because {
            write!(f, "\n  because: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl Error for Report {}

impl Problem for Report {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn as_report(&self) -> Option<&Report> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
