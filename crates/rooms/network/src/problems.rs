//! Why an operation on networks failed: one enum for each operation.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use base::{ContainerId, Kind, NetworkName, Problem};

use base::Cidr;

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("the kernel would not {action}")]
pub struct KernelError {
    /// What we asked for, as in `make the bridge sea1234abcd0001`.
    pub(crate) action: String,
    /// Its answer.
    pub(crate) source: io::Error,
}

impl KernelError {
    pub(crate) fn new(action: impl Into<String>, source: io::Error) -> Self {
        Self { action: action.into(), source }
    }

    pub(crate) fn kind_of(&self) -> Kind {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => Kind::Denied,
            io::ErrorKind::AlreadyExists | io::ErrorKind::AddrInUse => Kind::Conflict,
            io::ErrorKind::Unsupported => Kind::Unsupported,
            _ => Kind::Unavailable,
        }
    }

    pub(crate) fn hint_of(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => {
                Some("run the daemon as root with CAP_NET_ADMIN and CAP_SYS_ADMIN".to_owned())
            }
            io::ErrorKind::Unsupported => {
                Some("see `sea doctor` for the kernel features that are missing".to_owned())
            }
            _ => None,
        }
    }
}

/// A record on disk could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`", path.display())]
pub struct RecordError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Why the networks of a root could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read or written.
    #[error("the networks' folder cannot be used")]
    Record(#[from] RecordError),
    /// A file is there and makes no sense.
    #[error("`{}` is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// A file was written by a later version of us.
    #[error("`{}` has version {version}, and this program reads up to {known}", path.display())]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The latest that we know.
        known: u32,
    },
}

impl Problem for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Record(_) => Kind::Unavailable,
            Self::Damaged { .. } => Kind::Internal,
            Self::TooNew { .. } => Kind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Record(_) => None,
            Self::Damaged { path, .. } => {
                Some(format!("put `{}` aside; networks are made anew by the next deploy", path.display()))
            }
            Self::TooNew { .. } => Some("run the newer `sea` that wrote it".to_owned()),
        }
    }
}

/// Why a network was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// What was asked for makes no sense.
    #[error("network `{network}` cannot be like that: {why}")]
    Invalid {
        /// Which network.
        network: NetworkName,
        /// What is wrong.
        why: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// There is one of this name, and it differs.
    #[error("network `{network}` is there and differs: {difference}")]
    Differs {
        /// Which network.
        network: NetworkName,
        /// In what, as `subnet 172.20.0.0/24, not 172.21.0.0/24`.
        difference: String,
    },
    /// The subnet that was asked for is in use.
    #[error("subnet {subnet} of network `{network}` overlaps {other}")]
    Overlaps {
        /// Which network.
        network: NetworkName,
        /// What was asked for.
        subnet: Cidr,
        /// What holds it, as `172.20.0.0/16 on eth0`.
        other: String,
    },
    /// No subnet is free.
    #[error("no subnet is free for network `{network}`: all {count} of the pools are in use")]
    PoolExhausted {
        /// Which network.
        network: NetworkName,
        /// How many subnets the pools have.
        count: usize,
    },
    /// Too many networks.
    #[error("network `{network}` would be one more than the {limit} that a root may have")]
    TooMany {
        /// Which network.
        network: NetworkName,
        /// The bound.
        limit: usize,
    },
    /// The kernel refused.
    #[error("could not make network `{network}`")]
    Kernel {
        /// Which network.
        network: NetworkName,
        /// What it refused.
        source: KernelError,
    },
    /// The record cannot be written.
    #[error("could not make network `{network}`")]
    Record {
        /// Which network.
        network: NetworkName,
        /// Why not.
        source: RecordError,
    },
}

impl Problem for CreateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } => Kind::Invalid,
            Self::Differs { .. } | Self::Overlaps { .. } => Kind::Conflict,
            Self::PoolExhausted { .. } | Self::TooMany { .. } => Kind::Exhausted,
            Self::Kernel { source, .. } => source.kind_of(),
            Self::Record { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { hint, .. } => hint.clone(),
            Self::Differs { network, .. } => {
                Some(format!("remove it with `sea network rm {network}`, or ask for what it is"))
            }
            Self::Overlaps { .. } => Some("choose another subnet, or give none and one is chosen".to_owned()),
            Self::PoolExhausted { .. } | Self::TooMany { .. } => {
                Some("remove unused networks with `sea network prune`".to_owned())
            }
            Self::Kernel { source, .. } => source.hint_of(),
            Self::Record { .. } => None,
        }
    }
}

/// Why no network was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// No network has this name or id.
    #[error("no network `{text}`")]
    Missing {
        /// What was asked for.
        text: String,
    },
    /// Several ids begin like this.
    #[error("`{text}` is the beginning of {count} networks' ids")]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many.
        count: usize,
    },
}

impl Problem for FindError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } => Kind::NotFound,
            Self::Ambiguous { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("see `sea network ls`".to_owned()),
            Self::Ambiguous { .. } => Some("give more digits, or the name".to_owned()),
        }
    }
}

/// Why a network was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is none.
    #[error("no network `{network}`")]
    Missing {
        /// Which network.
        network: NetworkName,
    },
    /// Containers are on it.
    #[error("network `{network}` is in use by {} containers, the first of them `{}`", containers.len(), containers[0].short())]
    InUse {
        /// Which network.
        network: NetworkName,
        /// By which containers; never empty.
        containers: Vec<ContainerId>,
    },
    /// The kernel refused.
    #[error("could not remove network `{network}`")]
    Kernel {
        /// Which network.
        network: NetworkName,
        /// What it refused.
        source: KernelError,
    },
    /// The record cannot be written.
    #[error("could not remove network `{network}`")]
    Record {
        /// Which network.
        network: NetworkName,
        /// Why not.
        source: RecordError,
    },
}

impl Problem for RemoveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } => Kind::NotFound,
            Self::InUse { .. } => Kind::Conflict,
            Self::Kernel { source, .. } => source.kind_of(),
            Self::Record { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("see `sea network ls`".to_owned()),
            Self::InUse { .. } => Some("stop and remove its containers first".to_owned()),
            Self::Kernel { source, .. } => source.hint_of(),
            Self::Record { .. } => None,
        }
    }
}

/// Why a container did not join a network.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such network.
    #[error("no network `{network}`")]
    Missing {
        /// Which network.
        network: NetworkName,
    },
    /// The process that shows the namespace is gone, or is not in one of its own.
    #[error("process {pid} of container `{}` has no network namespace of its own", container.short())]
    NoNamespace {
        /// Which container.
        container: ContainerId,
        /// Which process.
        pid: u32,
        /// Why it cannot be read; none when it is the daemon's.
        source: Option<io::Error>,
    },
    /// A fixed address that cannot be.
    #[error("address {address} cannot be given on network `{network}`: {why}")]
    Address {
        /// Which network.
        network: NetworkName,
        /// Which address.
        address: IpAddr,
        /// Why not.
        why: String,
        /// Whether another has it.
        taken: bool,
    },
    /// Every address is in use.
    #[error("network `{network}` has no free address: all {count} of {subnet} are in use")]
    Exhausted {
        /// Which network.
        network: NetworkName,
        /// Of which range.
        subnet: Cidr,
        /// How many it had.
        count: u128,
    },
    /// The kernel refused.
    #[error("could not join container `{}` to network `{network}`", container.short())]
    Kernel {
        /// Which network.
        network: NetworkName,
        /// Which container.
        container: ContainerId,
        /// What it refused.
        source: KernelError,
    },
    /// The record cannot be written.
    #[error("could not join container `{}` to network `{network}`", container.short())]
    Record {
        /// Which network.
        network: NetworkName,
        /// Which container.
        container: ContainerId,
        /// Why not.
        source: RecordError,
    },
}

impl Problem for AttachError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } => Kind::NotFound,
            Self::NoNamespace { .. } => Kind::Unavailable,
            Self::Address { taken: true, .. } => Kind::Conflict,
            Self::Address { taken: false, .. } => Kind::Invalid,
            Self::Exhausted { .. } => Kind::Exhausted,
            Self::Kernel { source, .. } => source.kind_of(),
            Self::Record { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { network } => Some(format!("make it with `sea network create {network}`")),
            Self::Address { .. } => Some("choose another address, or give none and one is chosen".to_owned()),
            Self::Exhausted { .. } => Some("make the network with a larger subnet".to_owned()),
            Self::Kernel { source, .. } => source.hint_of(),
            Self::NoNamespace { .. } | Self::Record { .. } => None,
        }
    }
}

/// Why something on the machine could not be taken away or put right.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The kernel refused.
    #[error("could not {what}")]
    Kernel {
        /// What we were about.
        what: &'static str,
        /// What it refused.
        source: KernelError,
    },
    /// The record cannot be written.
    #[error("could not {what}")]
    Record {
        /// What we were about.
        what: &'static str,
        /// Why not.
        source: RecordError,
    },
    /// No address is free.
    #[error("could not {what}: the network `{network}` has no {family} address left")]
    Full {
        /// What we were about.
        what: &'static str,
        /// The network.
        network: NetworkName,
        /// IPv4 or IPv6.
        family: &'static str,
    },
}

impl Problem for ChangeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Kernel { source, .. } => source.kind_of(),
            Self::Record { .. } => Kind::Unavailable,
            Self::Full { .. } => Kind::Exhausted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Kernel { source, .. } => source.hint_of(),
            Self::Record { .. } => None,
            Self::Full { .. } => Some("give the network a larger subnet".into()),
        }
    }
}
