//! What can go wrong between a daemon and its shims.

use std::io;
use std::path::PathBuf;

use base::{Kind, Problem};

use crate::failure::Failure;

/// Why no shims can be started at all.
#[derive(Debug, thiserror::Error)]
#[error("could not copy the program `{}` into memory", program.display())]
pub struct ShimsError {
    /// The program.
    pub program: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Problem for ShimsError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hint(&self) -> Option<String> {
        Some("check that the program can be read and that memory is left".into())
    }
}

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The order cannot be carried out; the code is docker's 125.
    #[error(transparent)]
    Failed(Failure),
    /// A shim already looks after this folder.
    #[error("a container runs in `{}` already", dir.display())]
    Busy {
        /// The container's folder.
        dir: PathBuf,
    },
    /// The shim ended without telling why.
    #[error("the shim for `{}` ended at once: {complaint}", dir.display())]
    Died {
        /// The container's folder.
        dir: PathBuf,
        /// What it left in `shim.err`.
        complaint: String,
    },
    /// Its folder cannot be used, or the shim cannot be started.
    #[error("could not start a shim in `{}`", dir.display())]
    Spawn {
        /// The container's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Problem for CreateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Failed(failure) => failure.kind(),
            Self::Busy { .. } => Kind::Conflict,
            Self::Died { .. } => Kind::Internal,
            Self::Spawn { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => Kind::Exhausted,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
                _ => Kind::Internal,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(failure) => failure.hint(),
            Self::Busy { .. } => Some("stop it first".into()),
            Self::Died { .. } | Self::Spawn { .. } => None,
        }
    }
}

/// Why a folder does not tell what is in it.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Its files cannot be read.
    #[error("could not look into `{}`", dir.display())]
    Unreadable {
        /// The container's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A shim is there and does not answer.
    #[error("the shim in `{}` does not answer", dir.display())]
    Silent {
        /// The container's folder.
        dir: PathBuf,
    },
}

impl Problem for FindError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unreadable { .. } => Kind::Internal,
            Self::Silent { .. } => Kind::TimedOut,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Silent { .. } => {
                Some("end the process that holds `shim.lock` there; what it leaves is then cleared".into())
            }
        }
    }
}

/// Why what a lost shim left could not be cleared.
#[derive(Debug, thiserror::Error)]
#[error("could not clear what is left of the container in `{}`: {reason}", dir.display())]
pub struct ReapError {
    /// The container's folder.
    pub dir: PathBuf,
    /// What stood in the way.
    pub reason: String,
}

impl Problem for ReapError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hint(&self) -> Option<String> {
        Some("see which processes are in its cgroup and cannot be ended".into())
    }
}

/// Why a request to a shim was not done.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The shim refused; the code is 126 or 127 when a program cannot be run, else 125.
    #[error(transparent)]
    Refused(Failure),
    /// There is no shim any more: the container is over.
    #[error("the container in `{}` is over", dir.display())]
    Over {
        /// The container's folder.
        dir: PathBuf,
    },
    /// The talk broke off.
    #[error("the talk with the shim in `{}` broke off", dir.display())]
    Broken {
        /// The container's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It answered something else than what was asked for.
    #[error("the shim answered in a way that this version does not know: {0}")]
    Unexpected(String),
}

impl CallError {
    /// The exit code that docker gives for this.
    pub fn code(&self) -> i32 {
        match self {
            Self::Refused(failure) => failure.code,
            Self::Over { .. } | Self::Broken { .. } | Self::Unexpected(_) => crate::failure::NOT_MADE,
        }
    }
}

impl Problem for CallError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(failure) => failure.kind(),
            Self::Over { .. } => Kind::Conflict,
            Self::Broken { .. } => Kind::Unavailable,
            Self::Unexpected(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(failure) => failure.hint(),
            Self::Over { .. } | Self::Broken { .. } | Self::Unexpected(_) => None,
        }
    }
}

/// Why a container's end is not known.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Its shim ended without writing how.
    #[error("the shim in `{}` was lost", dir.display())]
    Lost {
        /// The container's folder.
        dir: PathBuf,
    },
    /// The record cannot be read.
    #[error("could not read how the container in `{}` ended", dir.display())]
    Unreadable {
        /// The container's folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Problem for WaitError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Lost { .. } => Some("somebody or the kernel has ended it; see the kernel's log".into()),
            Self::Unreadable { .. } => None,
        }
    }
}
