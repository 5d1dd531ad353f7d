//! What runs: the instances as the driver sees them at this moment.

use std::net::IpAddr;
use std::time::Duration;

use base::{ContainerId, Revision, ServiceName, VolumeName};
use serde::{Deserialize, Serialize};

/// An instance of a service.
///
/// Times are ages, not moments, so that they mean the same after a restart of the daemon or of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The container.
    pub id: ContainerId,
    /// Whose instance it is.
    pub service: ServiceName,
    /// What it was made from.
    pub revision: Revision,
    /// Unique among the service's instances that exist.
    pub number: u32,
    /// How it is.
    pub state: State,
    /// How long it has been so.
    pub age: Duration,
    /// How long its last run has lasted, or lasted.
    pub up: Duration,
    /// How long after the start of its last run it was ready for the first time; none if it never was.
    pub ready_after: Option<Duration>,
    /// Why its last run could not even begin.
    pub error: Option<String>,
    /// It was stopped because its health check failed, not because anybody wanted it to be gone.
    pub sick: bool,
    /// As told by the last [`restart`](crate::ports::Driver::restart); 0 before.
    pub restarts: u32,
    /// Where the edge reaches it: its own first address, or the host's loopback when it has the host's network.
    pub address: Option<IpAddr>,
    /// The named volumes that it can write to.
    pub volumes: Vec<VolumeName>,
    /// The addresses that services of its app have on their networks; the same for all its instances.
    #[serde(default)]
    pub served: Vec<(ServiceName, IpAddr)>,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Made; its process was never started.
    Created,
    /// It runs, but its health check has not passed yet.
    Starting,
    /// It runs, and its health check passes, if it has one.
    Ready,
    /// It runs, and what the edge wants to hear from it is not what it answers: it gets no requests until it does.
    Spared,
    /// It runs, and its health check fails.
    Unhealthy,
    /// It was asked to stop, and has not ended.
    Stopping,
    /// It ended.
    Exited {
        /// Its exit code.
        code: i32,
        /// We stopped it.
        asked: bool,
    },
}
