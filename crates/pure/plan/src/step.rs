//! A step: one thing to do next. Steps are what we run, log and show.

use std::fmt;

use base::{ContainerId, ReleaseNumber, Revision, ServiceName};

use crate::traffic::RouteShare;

/// One thing to do next. Doing it twice does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make the networks and volumes of a release.
    Prepare {
        /// Which release.
        release: ReleaseNumber,
    },
    /// Make and start an instance.
    Start(Slot),
    /// Make and start the one-off run of a job.
    RunJob(Slot),
    /// Start an instance that ended again, in place.
    Restart {
        /// Which one.
        who: Who,
        /// How often in a row it was started again, this time included.
        restarts: u32,
    },
    /// Have the edge send requests so, and no other way.
    Send(RouteShare),
    /// Stop an instance that gets no requests any more.
    Stop(Who),
    /// Remove an instance that ended.
    Remove(Who),
    /// Write down that a job ended.
    Finish {
        /// The job.
        service: ServiceName,
        /// Which run of it.
        revision: Revision,
        /// Its exit code.
        code: i32,
    },
    /// Write down that a release is what runs.
    Settle {
        /// Which release.
        release: ReleaseNumber,
    },
    /// Write down that a release failed, and do what its policy says about it.
    Fail {
        /// Which release.
        release: ReleaseNumber,
        /// The service that failed.
        service: ServiceName,
        /// Why.
        why: String,
    },
    /// Remove the networks, and the volumes if asked, of an app that is gone.
    Retire {
        /// The volumes too.
        volumes: bool,
    },
}

/// A place for an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The service.
    pub service: ServiceName,
    /// What the instance is made from.
    pub revision: Revision,
    /// Unique among the service's instances.
    pub number: u32,
}

/// An instance, with what people call it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// The container.
    pub id: ContainerId,
    /// Its service.
    pub service: ServiceName,
    /// Its number.
    pub number: u32,
}

impl Step {
    /// Whether it only changes what is written down, not the machine.
    pub fn is_record(&self) -> bool {
        match self {
            Self::Finish { .. } | Self::Settle { .. } | Self::Fail { .. } => true,
            Self::Prepare { .. }
            | Self::Start(_)
            | Self::RunJob(_)
            | Self::Restart { .. }
            | Self::Send(_)
            | Self::Stop(_)
            | Self::Remove(_)
            | Self::Retire { .. } => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare { release } => write!(f, "prepare release {release}"),
            Self::Start(slot) => write!(f, "start {slot}"),
            Self::RunJob(slot) => write!(f, "run {}", slot.service),
            Self::Restart { who, .. } => write!(f, "restart {who}"),
            Self::Send(share) => send(share, f),
            Self::Stop(who) => write!(f, "stop {who}"),
            Self::Remove(who) => write!(f, "remove {who}"),
            Self::Finish { service, code, .. } => write!(f, "note that {service} ended with {code}"),
            Self::Settle { release } => write!(f, "settle release {release}"),
            Self::Fail { release, service, why } => write!(f, "fail release {release}: {service} {why}"),
            Self::Retire { volumes: true } => write!(f, "remove networks and volumes"),
            Self::Retire { volumes: false } => write!(f, "remove networks"),
        }
    }
}

fn send(share: &RouteShare, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if share.rules.is_empty() && share.listeners.is_empty() {
        return write!(f, "send nothing");
    }
    write!(f, "send")?;
    let mut comma = "";
    for (name, pool) in &share.pools {
        write!(f, "{comma} {name} to {}", pool.endpoints.len())?;
        comma = ",";
    }
    Ok(())
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.service, self.number)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.service, self.number)
    }
}
