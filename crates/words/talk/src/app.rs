//! Apps and their releases.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{AppName, ReleaseNumber, Report, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use spec::App;

/// `POST /v1/apps/{app}/deploy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployOrder {
    /// What is wanted.
    pub app: App,
    /// For people: why.
    #[serde(default)]
    pub message: Option<String>,
    /// Replace instances even where nothing changed.
    #[serde(default)]
    pub recreate: bool,
    /// How long to wait for the release to settle; none means as long as it takes.
    #[serde(default)]
    pub wait: Option<Duration>,
}

/// `POST /v1/apps/{app}/scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleOrder {
    /// How many of which.
    pub replicas: BTreeMap<ServiceName, u32>,
}

/// `POST /v1/apps/{app}/restart`, `…/stop` and `…/start`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServicesOrder {
    /// Which; all when empty.
    pub services: Vec<ServiceName>,
}

/// `POST /v1/apps/{app}/rollback`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RollbackOrder {
    /// Which release to go back to; the last good one before the present when none.
    pub to: Option<ReleaseNumber>,
}

/// `POST /v1/apps/{app}/down`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DownOrder {
    /// Its named volumes go too.
    pub volumes: bool,
}

/// A line of the stream that answers an order to change an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// The release has a number.
    Release {
        /// Its number.
        number: ReleaseNumber,
    },
    /// How the services are now.
    Services {
        /// All of them, in the order of the file.
        services: Vec<ServiceView>,
    },
    /// Something happened.
    Event {
        /// What, for people.
        message: String,
    },
    /// It is over. The last line.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// The release that runs now.
        release: Option<ReleaseNumber>,
        /// What the change of traffic cost.
        #[serde(default)]
        receipt: Option<ReceiptView>,
    },
    /// It could not be done. The last line.
    Failed {
        /// Why.
        report: Report,
    },
}

/// How a change of an app ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// As wanted.
    Settled,
    /// The release failed, and the one before runs again.
    RolledBack {
        /// Why it failed.
        why: String,
        /// Which one runs again.
        to: ReleaseNumber,
    },
    /// The release failed, and was left where it was.
    Failed {
        /// Why.
        why: String,
    },
    /// A later order took its place.
    Superseded,
    /// It was not over when the time to wait was.
    Inconclusive {
        /// What it was waiting for.
        why: String,
    },
}

/// What the change from one release to the next cost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceiptView {
    /// Requests answered while it went on.
    pub requests: u64,
    /// Answers from 500 up that the app gave.
    pub failed: u64,
    /// Requests that no instance answered.
    pub lost: u64,
    /// From the first step to the last.
    pub took: Duration,
    /// The longest time in which an old instance ended its requests.
    pub longest_drain: Duration,
}

/// An app in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppSummary {
    /// Its name.
    pub name: AppName,
    /// The release that runs.
    pub release: Option<ReleaseNumber>,
    /// How it is: `running`, `rolling`, `stopped`, `degraded`, `failed`.
    pub state: String,
    /// Its services.
    pub services: u32,
    /// Instances that are ready.
    pub ready: u32,
    /// Instances that are wanted.
    pub wanted: u32,
}

/// `GET /v1/apps/{app}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The app in a line.
    pub summary: AppSummary,
    /// Its services.
    pub services: Vec<ServiceView>,
    /// Its releases, the newest first.
    pub releases: Vec<ReleaseView>,
    /// What the loop could not do, and tries again.
    pub problems: Vec<String>,
}

/// A service as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: ServiceName,
    /// The image by name.
    pub image: String,
    /// How many are wanted.
    pub wanted: u32,
    /// How many are ready.
    pub ready: u32,
    /// How many of the present revision are ready.
    pub updated: u32,
    /// One-off: it runs once a release.
    pub job: bool,
    /// How it is, in a word.
    pub state: String,
    /// Where requests reach it from outside.
    pub addresses: Vec<String>,
    /// It is a new release of another service, and gets this part of its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareView>,
    /// Its instances.
    pub instances: Vec<InstanceView>,
}

/// What a new release gets while the one that runs goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareView {
    /// The service whose new release it is.
    pub of: ServiceName,
    /// Of its requests, besides those that ask for a release by themselves.
    pub percent: f64,
}

/// An instance as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceView {
    /// The container's id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// The release that made it.
    pub release: ReleaseNumber,
    /// How it is, in a word.
    pub state: String,
    /// For how long.
    pub age: Duration,
    /// How often it was started again.
    pub restarts: u32,
    /// What its checks said last, while it does not pass them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Requests under way.
    pub in_flight: u64,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its number.
    pub number: ReleaseNumber,
    /// When it was made.
    pub created: Timestamp,
    /// How it is: `live`, `rolling`, `failed`, `rolled back`, `superseded`.
    pub status: String,
    /// Why it was made: `deploy`, `scale`, `rollback`, …
    pub cause: String,
    /// For people.
    pub message: Option<String>,
    /// Its images, by service: names and digests.
    pub images: BTreeMap<String, String>,
    /// The services whose new releases get only a share of the requests, with that in percent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<String, f64>,
    /// What it cost.
    pub receipt: Option<ReceiptView>,
}

/// `POST /v1/apps/{app}/plan`: what a deploy would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// Service by service, in the order of starting.
    pub services: Vec<ServiceChange>,
    /// Networks, volumes and others that would come or go.
    pub resources: Vec<String>,
    /// Whether anything would change.
    pub changes: bool,
}

/// What a deploy would do to a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Which.
    pub service: String,
    /// What.
    pub change: Change,
    /// Why: the keys that differ.
    pub because: Vec<String>,
    /// How: in which order, how many at a time.
    pub how: String,
}

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Create,
    /// Its instances are replaced.
    Replace,
    /// Its instances stay; their number or what is around them changes.
    Adjust,
    /// It goes.
    Remove,
    /// Nothing.
    Keep,
}
