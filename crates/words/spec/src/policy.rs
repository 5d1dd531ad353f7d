//! How a service is watched, restarted, updated and waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How to tell that an instance is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// From the end of one check to the start of the next.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row make an instance unhealthy.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
    /// The interval during `start_period`.
    pub start_interval: Duration,
}

impl HealthCheck {
    /// The wish that nobody asks: no check of the image either. Written as Docker writes it.
    #[must_use]
    pub fn disabled() -> Self {
        Self {
            probe: Probe::Exec(vec!["NONE".into()]),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            retries: 0,
            start_period: Duration::ZERO,
            start_interval: Duration::ZERO,
        }
    }

    /// Whether nobody is to ask.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        matches!(&self.probe, Probe::Exec(args) if args.first().is_some_and(|arg| arg == "NONE"))
    }
}

/// What a health check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Run these arguments in the container; 0 is well.
    Exec(Vec<String>),
    /// Run this line by the image's shell; 0 is well.
    Shell(String),
    /// From outside: `GET` a path.
    Http(HttpProbe),
    /// From outside: the health service of gRPC (`grpc.health.v1`), in clear text; `SERVING` is well.
    Grpc {
        /// The container's port.
        port: u16,
        /// The service that is asked about; empty for the server as a whole.
        service: String,
    },
    /// From outside: this port takes a connection.
    Tcp {
        /// The container's port.
        port: u16,
    },
}

/// A question of HTTP whether an instance is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// The container's port.
    pub port: u16,
    /// As in `/healthz?full=1`.
    pub path: String,
    /// The Host that it is asked for; its address when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Further fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The statuses that are well; 200 to 399 when none are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<StatusRange>,
    /// It is asked in HTTP/2, in clear text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
}

impl HttpProbe {
    /// Whether an answer with this status is a good one.
    pub fn takes(&self, status: u16) -> bool {
        let among = |range: &StatusRange| (range.from..=range.to).contains(&status);
        if self.statuses.is_empty() { (200..400).contains(&status) } else { self.statuses.iter().any(among) }
    }
}

/// Statuses of HTTP from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

/// When to start an instance again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Never: it is a job, or a person decides.
    No,
    /// Whatever the exit code was.
    Always,
    /// Unless its exit code was 0.
    OnFailure {
        /// Give up after so many in a row; 0 means never.
        max_retries: u32,
    },
    /// As `Always`, but not when a person stopped it before the daemon was restarted.
    #[default]
    UnlessStopped,
}

/// What must be true of another service before this one starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What must be true.
    pub condition: Condition,
    /// Whether this service is started again after the other was replaced.
    #[serde(default)]
    pub restart: bool,
    /// Whether a missing or failed dependency stops the start; else it is a warning.
    pub required: bool,
}

/// What must be true of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It runs.
    Started,
    /// Its health check passes.
    Healthy,
    /// It ended with code 0: a one-off job, such as a migration.
    CompletedSuccessfully,
}

/// How instances are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdatePolicy {
    /// How many at a time; 0 means all.
    pub parallelism: u32,
    /// Between one batch and the next.
    pub delay: Duration,
    /// What to do when the update fails.
    pub failure_action: FailureAction,
    /// How long after its start an instance's failure still counts against the update.
    pub monitor: Duration,
    /// The share of failed instances, 0 to 1, above which the update has failed.
    pub max_failure_ratio: f64,
    /// Which goes first.
    pub order: Order,
}

/// What to do when an update fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    /// Go back to the release before.
    Rollback,
    /// Stop where it is and wait for a person.
    Pause,
    /// Go on.
    Continue,
}

/// Whether the new instance starts before the old one stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The new one is ready before the old one leaves: no dip in capacity.
    StartFirst,
    /// The old one is gone before the new one starts: never two writers.
    StopFirst,
}

impl Default for UpdatePolicy {
    /// One at a time, start-first, back to the last good release when it fails.
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay: Duration::ZERO,
            failure_action: FailureAction::Rollback,
            monitor: Duration::from_secs(5),
            max_failure_ratio: 0.0,
            order: Order::StartFirst,
        }
    }
}
