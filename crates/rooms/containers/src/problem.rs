//! Why something could not be done with a container.

use std::io;
use std::path::PathBuf;

use base::{ContainerName, Kind, Problem, Report};

/// Why a container's record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be read.
    #[error("could not read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a record.
    #[error("`{}` is not a container's record", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A later version of this program wrote it.
    #[error("`{}` is of version {version}, which this program does not know", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The file could not be written.
    #[error("could not write `{}`", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why something could not be done with a container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No container of this name or id.
    #[error("no container `{0}`")]
    Missing(String),
    /// Several ids begin so.
    #[error("`{0}` begins the ids of several containers")]
    Ambiguous(String),
    /// The name is in use.
    #[error("the name `{name}` is in use by container {by}")]
    NameTaken {
        /// The name.
        name: ContainerName,
        /// The short id of the container that has it.
        by: String,
    },
    /// It runs, and must not for this.
    #[error("container `{0}` runs")]
    Running(ContainerName),
    /// It does not run, and must for this.
    #[error("container `{0}` does not run")]
    NotRunning(ContainerName),
    /// No program was ordered under this id.
    #[error("no program `{0}` was ordered")]
    NoExec(String),
    /// What was asked for makes no sense or cannot be had here.
    #[error("{0}")]
    Invalid(String),
    /// Its process could not be started; the exit code is docker's.
    #[error("could not start `{name}`")]
    NotStarted {
        /// The container.
        name: ContainerName,
        /// 125, 126 or 127.
        code: i32,
        /// What failed, and why.
        source: Report,
    },
    /// A program could not be run beside its process; the exit code is docker's.
    #[error("could not run the program in `{name}`")]
    NotExecuted {
        /// The container.
        name: ContainerName,
        /// 125, 126 or 127.
        code: i32,
        /// What failed, and why.
        source: Report,
    },
    /// A volume is missing, in use or cannot be had.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The record could not be kept.
    #[error("could not keep the state of a container")]
    Record(#[from] RecordError),
    /// A step on the machine failed.
    #[error("could not {doing}")]
    Failed {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Report,
    },
}

impl ContainerError {
    /// Wraps the problem of another room with what was being done.
    pub(crate) fn failed(doing: impl Into<String>, problem: &dyn Problem) -> Self {
        Self::Failed { doing: doing.into(), source: Report::of(problem) }
    }

    /// Wraps what the system said.
    pub(crate) fn io(doing: impl Into<String>, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
            _ => Kind::Internal,
        };
        Self::Failed { doing: doing.into(), source: Report::new(kind, error.to_string()) }
    }
}

impl Problem for ContainerError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) | Self::NoExec(_) => Kind::NotFound,
            Self::Ambiguous(_) | Self::Invalid(_) => Kind::Invalid,
            Self::NameTaken { .. } | Self::Running(_) | Self::NotRunning(_) => Kind::Conflict,
            Self::NotStarted { source, .. }
            | Self::NotExecuted { source, .. }
            | Self::Failed { source, .. } => source.kind,
            Self::Volume(error) => error.kind(),
            Self::Record(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoExec(_) => Some("order it once more: such orders live as long as the daemon".into()),
            Self::Missing(_) => Some("`sea ps --all` lists those there are".into()),
            Self::Ambiguous(_) => Some("write more of the id".into()),
            Self::NameTaken { name, .. } => {
                Some(format!("remove it with `sea rm {name}`, or choose another name"))
            }
            Self::Running(name) => Some(format!("stop it first with `sea stop {name}`, or use `--force`")),
            Self::NotRunning(name) => Some(format!("start it with `sea start {name}`")),
            Self::NotStarted { source, .. }
            | Self::NotExecuted { source, .. }
            | Self::Failed { source, .. } => source.hint.clone(),
            Self::Volume(error) => error.hint(),
            Self::Record(_) => {
                Some("see that the disk of the daemon's root folder has room and may be written to".into())
            }
            Self::Invalid(_) => None,
        }
    }
}

/// Why something could not be done with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No volume of this name.
    #[error("no volume `{0}`")]
    Missing(String),
    /// A container has it.
    #[error("volume `{name}` is in use by `{by}`")]
    InUse {
        /// The volume.
        name: String,
        /// The container.
        by: String,
    },
    /// A driver or option that we do not have.
    #[error("volume `{name}`: {what}")]
    Unsupported {
        /// The volume.
        name: String,
        /// What is not supported.
        what: String,
    },
    /// The system refused.
    #[error("could not {doing} volume `{name}`")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// The volume.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl Problem for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::InUse { .. } => Kind::Conflict,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Failed { .. } => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("`sea volume ls` lists those there are".into()),
            Self::InUse { by, .. } => Some(format!("remove the container first: `sea rm {by}`")),
            Self::Unsupported { .. } => {
                Some("the `local` driver is there, also with `type: none`, `o: bind` and `device`".into())
            }
            Self::Failed { .. } => None,
        }
    }
}
