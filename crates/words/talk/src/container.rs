//! Containers, and the programs in them.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};
use spec::App;

/// `POST /v1/containers` and `POST /v1/run`: a container that belongs to no app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOrder {
    /// Its name; chosen by the daemon when none.
    pub name: Option<String>,
    /// An app with one service, `run`, and the networks and volumes that it names.
    pub app: App,
    /// It is removed when it ends.
    pub remove: bool,
    /// Its input and output are attached: the answer is a stream of frames.
    pub attach: bool,
    /// The window's size, with a terminal: rows and columns.
    #[serde(default)]
    pub size: Option<(u16, u16)>,
}

/// The answer to the making of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// `POST /v1/containers/{id}/exec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecOrder {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// More environment, `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Where it starts.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Who runs it.
    #[serde(default)]
    pub user: Option<String>,
    /// A terminal, of so many rows and columns.
    #[serde(default)]
    pub tty: Option<(u16, u16)>,
    /// Its input can be written to.
    #[serde(default)]
    pub stdin: bool,
    /// With every capability.
    #[serde(default)]
    pub privileged: bool,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// As docker gives it.
    pub code: i32,
    /// Memory was short.
    #[serde(default)]
    pub oom: bool,
    /// Why it could not be run at all.
    #[serde(default)]
    pub error: Option<String>,
}

/// `POST /v1/containers/{id}/stop` and `…/restart`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StopOrder {
    /// From the signal to the kill; the container's own when none.
    pub grace: Option<Duration>,
}

/// `POST /v1/containers/{id}/kill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOrder {
    /// By name or number.
    pub signal: String,
}

/// `POST /v1/containers/{id}/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemoveOrder {
    /// Kill it first.
    pub force: bool,
    /// Its anonymous volumes go too.
    pub volumes: bool,
}

/// A container in a list, and alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image by the name that was asked for.
    pub image: String,
    /// The image by digest.
    pub image_id: String,
    /// What it runs.
    pub command: Vec<String>,
    /// `created`, `running`, `paused`, `stopping`, `exited`.
    pub state: String,
    /// When it was made.
    pub created: Timestamp,
    /// When its last run began.
    pub started: Option<Timestamp>,
    /// When its last run ended.
    pub finished: Option<Timestamp>,
    /// How its last run ended.
    pub exit: Option<Exited>,
    /// Its process on the host.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether it is well.
    pub health: Option<HealthView>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its networks.
    pub networks: Vec<String>,
    /// The volumes that it has, by target.
    pub volumes: BTreeMap<String, String>,
    /// Its published ports.
    pub ports: Vec<PortView>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Which instance of which app it is.
    pub owner: Option<OwnerView>,
}

/// Which instance of which app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerView {
    /// The app.
    pub app: String,
    /// The service.
    pub service: String,
    /// The instance's number.
    pub number: u32,
    /// The release that made it.
    pub release: u32,
    /// A digest of what it was made from.
    pub revision: String,
    /// One-off.
    pub job: bool,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    /// The host's address and port.
    pub host: String,
    /// The container's port and protocol, as in `80/tcp`.
    pub port: String,
}

/// Whether a container is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failures: u32,
    /// The last answers: exit code and output, the newest last.
    pub log: Vec<(i32, String)>,
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsView {
    /// Its name.
    pub name: String,
    /// Processor time since its start.
    pub cpu: Duration,
    /// Memory now.
    pub memory: Bytes,
    /// Its bound.
    pub memory_limit: Option<Bytes>,
    /// Processes and threads.
    pub pids: u64,
}

/// `GET /v1/logs`, in the query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogQuery {
    /// Containers by name or id, one after another with commas between.
    #[serde(default)]
    pub containers: String,
    /// Or all instances of this app.
    #[serde(default)]
    pub app: Option<String>,
    /// Of the app, only these services, with commas between.
    #[serde(default)]
    pub services: String,
    /// Go on as lines come.
    #[serde(default)]
    pub follow: bool,
    /// Only the last so many of each.
    #[serde(default)]
    pub tail: Option<u64>,
    /// Only from this moment on, in nanoseconds since 1970 began.
    #[serde(default)]
    pub since: Option<i64>,
    /// Only up to this moment.
    #[serde(default)]
    pub until: Option<i64>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The container's name.
    pub container: String,
    /// When it was written.
    pub at: Timestamp,
    /// Whether it is of the standard error.
    pub stderr: bool,
    /// The text without the line's end; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// The program ended this piece with a line's end.
    pub whole: bool,
}
