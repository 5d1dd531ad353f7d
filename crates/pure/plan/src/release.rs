//! A release: a numbered version of an app with everything that a rollback must bring back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::{ReleaseNumber, Revision, ServiceName, Timestamp};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use spec::App;

use crate::order::{self, OrderError};
use crate::revision::{Ingredients, revision};

/// One release of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// From 1 up.
    pub number: ReleaseNumber,
    /// The app with health checks resolved: configuration, routes, replicas, policies.
    #[serde(with = "shared")]
    pub app: Arc<App>,
    /// What each service's instances are made from.
    pub made: IndexMap<ServiceName, Made>,
    /// When somebody asked for it.
    pub created_at: Timestamp,
    /// When all of it ran; stays when a later one takes its place.
    pub settled_at: Option<Timestamp>,
    /// How it stands.
    pub status: Status,
    /// Why it was made.
    pub cause: Cause,
    /// What people said of it.
    pub message: Option<String>,
    /// What became of the requests while it took over.
    pub receipt: Option<Receipt>,
}

/// Writes what is behind an [`Arc`], and reads it into a new one.
mod shared {
    use super::{App, Arc, Deserialize, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(app: &Arc<App>, to: S) -> Result<S::Ok, S::Error> {
        app.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Arc<App>, D::Error> {
        App::deserialize(from).map(Arc::new)
    }
}

/// What a service's instances are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The image, by digest.
    pub image: String,
    /// How often people asked for a restart of it.
    #[serde(default)]
    pub generation: u32,
    /// For a job: the release that it runs for, once.
    #[serde(default)]
    pub run: Option<ReleaseNumber>,
    /// All that as a digest.
    pub revision: Revision,
}

/// How a release stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// It is taking over.
    Rolling,
    /// It is what runs.
    Live,
    /// It failed, and stays where it is until somebody decides.
    Failed {
        /// Why.
        why: String,
    },
    /// It failed, and an earlier one runs again or is on its way back.
    RolledBack {
        /// The earlier one.
        to: ReleaseNumber,
        /// Why.
        why: String,
        /// Whether all of the earlier one runs again.
        complete: bool,
    },
    /// A later one took its place.
    Superseded,
}

/// Why a release was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// `sea up`.
    Up,
    /// `sea deploy`.
    Deploy,
    /// Somebody asked for this earlier release.
    Rollback {
        /// Which one.
        to: ReleaseNumber,
    },
    /// Other numbers of instances.
    Scale,
    /// The same once more.
    Restart,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Deploy => f.write_str("deploy"),
            Self::Rollback { to } => write!(f, "rollback to {to}"),
            Self::Scale => f.write_str("scale"),
            Self::Restart => f.write_str("restart"),
        }
    }
}

/// What became of the requests while a release took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// Requests answered by the app's instances while it took over.
    pub requests: u64,
    /// Of them, the app's own answers from 500 up.
    pub failed: u64,
    /// Requests to which the edge had to answer, because the instance gave no answer.
    pub lost: u64,
    /// Instances that left.
    pub drained: u32,
    /// The longest time from the last new request to an instance until its requests were over.
    pub longest_drain: Duration,
    /// Drains that were cut off by their bound.
    pub cut_off: u32,
    /// From the wish to the end.
    pub took: Duration,
    /// False when the daemon was restarted meanwhile, so that the counts begin at the restart.
    pub whole: bool,
}

/// What [`make`] needs of a service beyond its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The image, by digest.
    pub image: String,
    /// How often people asked for a restart of it.
    pub generation: u32,
    /// For a job: the release that it runs for.
    pub run: Option<ReleaseNumber>,
}

/// Works out the revisions of all services, those that others depend on first.
pub fn make(app: &App, raw: impl Fn(&ServiceName) -> Raw) -> Result<IndexMap<ServiceName, Made>, OrderError> {
    let mut made = IndexMap::with_capacity(app.services.len());
    for name in order::order(app)? {
        let Some(service) = app.services.get(name) else { continue };
        let Raw { image, generation, run } = raw(name);
        // What shares a namespace with another's instance, or asks to follow it, is made anew with it.
        let follows: Vec<&Revision> = order::follows(service)
            .filter_map(|other| made.get(other).map(|made: &Made| &made.revision))
            .collect();
        let revision =
            revision(app, service, &Ingredients { image: &image, generation, run, follows: &follows });
        made.insert(name.clone(), Made { image, generation, run, revision });
    }
    Ok(made)
}
