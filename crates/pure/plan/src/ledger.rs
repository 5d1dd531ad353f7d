//! The ledger of an app: its releases, what people want of it, and how far that is.
//!
//! This is all that survives a crash of the loop; the rest is seen. Every change returns what is to be written down, in
//! one transaction, before anything is done about it.

mod ask;
mod resolve;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{AppName, Kind, Problem, ReleaseNumber, Revision, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use spec::MountKind;

pub use ask::Draft;
pub use resolve::resolve;

use crate::beside::BesideError;
use crate::decide::{Course, Wanted};
use crate::order::OrderError;
use crate::release::{Release, Status};

/// So many releases are kept, besides those in use.
pub const KEPT_RELEASES: usize = 10;

/// An app's record and its releases.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Small, and written at every change.
    pub record: AppRecord,
    /// The kept releases.
    pub releases: BTreeMap<ReleaseNumber, Arc<Release>>,
}

/// What people want of an app, without the releases themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppRecord {
    /// The form of this record.
    pub format: u32,
    /// The app.
    pub name: AppName,
    /// The number of the next release.
    pub next: u32,
    /// How far it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Services that a person stopped.
    #[serde(default)]
    pub stopped: BTreeSet<ServiceName>,
    /// Jobs that ended, by their revisions, with their exit codes.
    #[serde(default)]
    pub finished: BTreeMap<Revision, i32>,
}

/// How far an app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// It has no release yet.
    Empty,
    /// A release takes over.
    Rolling {
        /// This one.
        to: ReleaseNumber,
        /// From this one, to which a failure leads back.
        from: Option<ReleaseNumber>,
    },
    /// A release failed, and an earlier one comes back.
    RollingBack {
        /// The one that failed.
        failed: ReleaseNumber,
        /// The one that comes back.
        to: ReleaseNumber,
    },
    /// What is wanted runs.
    Steady {
        /// This release.
        at: ReleaseNumber,
    },
    /// A release failed and stays where it is.
    Held {
        /// This one.
        at: ReleaseNumber,
        /// What ran before it.
        from: Option<ReleaseNumber>,
    },
    /// Everything leaves.
    Leaving {
        /// The release that ran last.
        last: ReleaseNumber,
        /// The volumes too.
        volumes: bool,
    },
}

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Releases that are new or different.
    pub releases: BTreeSet<ReleaseNumber>,
    /// Releases that are no longer kept.
    pub dropped: BTreeSet<ReleaseNumber>,
    /// Lines for the journal.
    pub events: Vec<Event>,
    /// The app is gone, with all its records.
    pub gone: bool,
}

impl Change {
    /// Adds what is to be written down after it.
    pub fn append(&mut self, later: Self) {
        self.releases.retain(|number| !later.dropped.contains(number));
        self.releases.extend(later.releases);
        self.dropped.extend(later.dropped);
        self.events.extend(later.events);
        self.gone = later.gone;
    }
}

/// Something that happened to an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened, as a past-tense noun.
    pub name: &'static str,
    /// To what.
    pub subject: String,
    /// The same for people.
    pub message: String,
}

/// How a release ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It runs.
    Done,
    /// It failed and stays where it is.
    Failed {
        /// Why.
        why: String,
    },
    /// It failed, and the earlier one runs again.
    RolledBack {
        /// The earlier one.
        to: ReleaseNumber,
        /// Why.
        why: String,
    },
    /// Something else came before its end.
    Inconclusive {
        /// What.
        why: String,
    },
}

impl Outcome {
    /// The exit code of the command that waited for it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed { .. } => 1,
            Self::RolledBack { .. } => 3,
            Self::Inconclusive { .. } => 4,
        }
    }
}

/// Why a wish cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such app, or it is leaving.
    #[error("no app `{0}` is here")]
    NoApp(AppName),
    /// The app has no such service.
    #[error("`{app}` has no service `{service}`")]
    NoService {
        /// The app.
        app: AppName,
        /// What it does not have.
        service: ServiceName,
    },
    /// No such release is kept.
    #[error("release {number} of `{app}` is not kept")]
    NoRelease {
        /// The app.
        app: AppName,
        /// Which release.
        number: ReleaseNumber,
    },
    /// Nothing ran before.
    #[error("`{0}` has no earlier release that ran")]
    NothingBefore(AppName),
    /// One instance at most can exist.
    #[error("`{service}` cannot have {count} instances: its name or address is fixed")]
    OnlyOne {
        /// The service.
        service: ServiceName,
        /// What was asked for.
        count: u32,
    },
    /// The services cannot be put in an order.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A new release of a service cannot run beside the one that runs.
    #[error(transparent)]
    Beside(#[from] BesideError),
    /// A service's image was not resolved.
    #[error("the image of `{0}` is not known")]
    NoImage(ServiceName),
}

impl Problem for RequestError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoApp(_) | Self::NoService { .. } | Self::NoRelease { .. } => Kind::NotFound,
            Self::NothingBefore(_) => Kind::Conflict,
            Self::OnlyOne { .. } => Kind::Invalid,
            Self::Order(error) => error.kind(),
            Self::Beside(error) => error.kind(),
            Self::NoImage(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoApp(_) => Some("start it with `sea up`".into()),
            Self::NoRelease { .. } => Some("see those that are kept with `sea releases`".into()),
            Self::OnlyOne { .. } => {
                Some("take out `container_name`, or the fixed address of its network".into())
            }
            Self::Order(error) => error.hint(),
            Self::Beside(error) => error.hint(),
            Self::NoService { .. } | Self::NothingBefore(_) | Self::NoImage(_) => None,
        }
    }
}

impl Ledger {
    /// The ledger of an app that is not there yet.
    pub fn new(name: AppName) -> Self {
        let (stopped, finished) = (BTreeSet::new(), BTreeMap::new());
        let since = Timestamp::default();
        let record = AppRecord { format: 1, name, next: 1, phase: Phase::Empty, since, stopped, finished };
        Self { record, releases: BTreeMap::new() }
    }

    /// The release that shall run.
    pub fn target(&self) -> Option<&Arc<Release>> {
        let number = match &self.record.phase {
            Phase::Empty => return None,
            Phase::Rolling { to, .. } | Phase::RollingBack { to, .. } => to,
            Phase::Steady { at } | Phase::Held { at, .. } => at,
            Phase::Leaving { last, .. } => last,
        };
        self.releases.get(number)
    }

    /// The release that ran last and still does, or comes back: what a failure of the next one leads back to.
    pub(crate) fn standing(&self) -> Option<ReleaseNumber> {
        match &self.record.phase {
            Phase::Empty | Phase::Leaving { .. } => None,
            Phase::Rolling { from, .. } => *from,
            Phase::RollingBack { to, .. } => Some(*to),
            Phase::Steady { at } => Some(*at),
            Phase::Held { at, from } => {
                let ran = self.releases.get(at).is_some_and(|it| it.settled_at.is_some());
                if ran { Some(*at) } else { *from }
            }
        }
    }

    /// What is wanted now; none before the first release.
    pub fn wanted(&self) -> Option<Wanted<'_>> {
        let release = self.target()?;
        let (before, course) = match &self.record.phase {
            Phase::Empty => return None,
            Phase::Rolling { from, .. } => (from.as_ref(), Course::Rolling),
            Phase::RollingBack { failed, .. } => (Some(failed), Course::RollingBack),
            Phase::Steady { .. } => (None, Course::Steady),
            Phase::Held { from, .. } => (from.as_ref(), Course::Held),
            Phase::Leaving { volumes, .. } => (None, Course::Leaving { volumes: *volumes }),
        };
        let before = before.and_then(|number| self.releases.get(number)).map(AsRef::as_ref);
        let (history, stopped, finished) = (&self.releases, &self.record.stopped, &self.record.finished);
        Some(Wanted { release, before, history, stopped, finished, course, since: self.record.since })
    }

    /// How this release ended; none while it goes on.
    pub fn outcome(&self, number: ReleaseNumber) -> Option<Outcome> {
        let Some(release) = self.releases.get(&number) else {
            return Some(Outcome::Inconclusive { why: "the release is no longer kept".into() });
        };
        let goes_on = match &self.record.phase {
            Phase::Rolling { to, .. } => *to == number,
            Phase::RollingBack { failed, .. } => *failed == number,
            Phase::Empty | Phase::Steady { .. } | Phase::Held { .. } | Phase::Leaving { .. } => false,
        };
        match &release.status {
            Status::Rolling | Status::RolledBack { complete: false, .. } if goes_on => None,
            Status::Live => Some(Outcome::Done),
            Status::Superseded if release.settled_at.is_some() => Some(Outcome::Done),
            Status::Failed { why } => Some(Outcome::Failed { why: why.clone() }),
            Status::RolledBack { to, why, complete: true } => {
                Some(Outcome::RolledBack { to: *to, why: why.clone() })
            }
            Status::RolledBack { why, complete: false, .. } => Some(Outcome::Inconclusive {
                why: format!("it failed: {why}; then another wish took its place"),
            }),
            Status::Rolling | Status::Superseded => {
                Some(Outcome::Inconclusive { why: "another wish took its place".into() })
            }
        }
    }

    /// The digests of the images that kept releases need, those that are mounted too.
    pub fn images(&self) -> BTreeSet<String> {
        let made = self.releases.values().flat_map(|release| release.made.values());
        let services = self.releases.values().flat_map(|release| release.app.services.values());
        let mounted = services.flat_map(|service| &service.mounts).filter_map(|mount| match &mount.kind {
            MountKind::Image { image, .. } => Some(image.clone()),
            MountKind::Bind { .. }
            | MountKind::Volume { .. }
            | MountKind::Anonymous
            | MountKind::Tmpfs(_) => None,
        });
        made.map(|made| made.image.clone()).chain(mounted).collect()
    }

    fn event(&self, name: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Event {
        Event { name, subject: subject.into(), message: message.into() }
    }

    fn set_status(&mut self, number: ReleaseNumber, status: Status, change: &mut Change) {
        if let Some(release) = self.releases.get_mut(&number).filter(|release| release.status != status) {
            Arc::make_mut(release).status = status;
            change.releases.insert(number);
        }
    }

    /// Lets go of the oldest releases that nothing needs.
    fn prune(&mut self, change: &mut Change) {
        let (first, second) = match &self.record.phase {
            Phase::Empty => (None, None),
            Phase::Rolling { to, from } => (Some(*to), *from),
            Phase::RollingBack { failed, to } => (Some(*failed), Some(*to)),
            Phase::Steady { at } => (Some(*at), None),
            Phase::Held { at, from } => (Some(*at), *from),
            Phase::Leaving { last, .. } => (Some(*last), None),
        };
        let surplus = self.releases.len().saturating_sub(KEPT_RELEASES);
        let free =
            self.releases.keys().copied().filter(|number| Some(*number) != first && Some(*number) != second);
        let dropped: Vec<_> = free.take(surplus).collect();
        for number in dropped {
            self.releases.remove(&number);
            change.releases.remove(&number);
            change.dropped.insert(number);
        }
        if !change.dropped.is_empty() {
            let made = || self.releases.values().flat_map(|release| release.made.values());
            self.record.finished.retain(|revision, _| made().any(|made| made.revision == *revision));
        }
    }
}

#[cfg(test)]
mod tests;
