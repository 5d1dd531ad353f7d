//! What the edge tells of itself: totals by pool and instance, bounded by the table's size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{ContainerId, Instant};
use plan::traffic::Answered;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::endpoint::EndpointState;
use crate::fork::{CopySums, Fork, Side};
use crate::gate::Gate;
use crate::priority::name_of;
use crate::stick::Stick;
use crate::tally::Tally;

/// The edge at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EdgeStatus {
    /// The edge's process.
    pub pid: u32,
    /// The number of the table in force.
    pub generation: u64,
    /// Where HTTP is answered by host and path.
    pub http: Vec<SocketAddr>,
    /// Where HTTPS is answered by host and path.
    #[serde(default)]
    pub https: Vec<SocketAddr>,
    /// Handshakes of TLS.
    #[serde(default)]
    pub tls: TlsStatus,
    /// Client connections that are open.
    pub connections: u64,
    /// Requests that wait for an instance.
    pub held: u64,
    /// Lines that the access log had no time for.
    pub log_lines_dropped: u64,
    /// Edges that this one has replaced and that are not done; their counters are not among these.
    #[serde(default)]
    pub leaving: usize,
    /// Edges that died, or did not come to serve, since the daemon began.
    #[serde(default)]
    pub died: u64,
    /// Requests that the edge answered itself, by pool and reason.
    #[serde(default)]
    pub refused: Vec<RefusedStatus>,
    /// Pools by owner and name.
    pub pools: Vec<PoolStatus>,
    /// Rules by host and path.
    #[serde(default)]
    pub rules: Vec<RuleStatus>,
    /// Published ports.
    #[serde(default)]
    pub ports: Vec<PortStatus>,
}

/// A rule for requests by host and path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Whose rule it is.
    pub owner: String,
    /// None for every host; `*.` stands for one label.
    pub host: Option<String>,
    /// The prefix.
    pub path: String,
    /// The prefix is cut off.
    pub strip: bool,
    /// The pool in the owner's share.
    pub pool: String,
    /// Plain requests are sent to HTTPS.
    pub https_only: bool,
    /// For how many seconds browsers come over HTTPS from then on.
    pub hsts_secs: Option<u64>,
    /// What clients were answered, by instances and by the edge.
    #[serde(default)]
    pub answers: Tally,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Whose port it is.
    pub owner: String,
    /// The host's address and port.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: spec::Protocol,
    /// The pool in the owner's share.
    pub pool: String,
}

/// Handshakes of TLS since the edge started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsStatus {
    /// Not over yet.
    pub under_way: u64,
    /// Ended well.
    pub done: u64,
    /// Of those, the ones that went on with an earlier session.
    pub resumed: u64,
    /// Ended without a connection.
    pub failed: u64,
    /// Not begun, as there were too many already.
    pub turned_away: u64,
}

/// A pool at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Whose pool it is.
    pub owner: String,
    /// Its name in the owner's share.
    pub name: String,
    /// As in `shop/web`.
    pub service: String,
    /// The instances that get new requests.
    pub endpoints: Vec<EndpointStatus>,
    /// How often its breaker opened; each thread has its own.
    #[serde(default)]
    pub breaker_opened: u64,
    /// Answers of its instances that went out with a page in the place of their body.
    #[serde(default)]
    pub replaced: u64,
    /// Answers with a file of the service's.
    #[serde(default)]
    pub files: u64,
    /// The sides of its split, itself among them; none where it is not split.
    #[serde(default)]
    pub sides: Vec<SideStatus>,
    /// Copies of its requests, if there are any.
    #[serde(default)]
    pub mirror: Option<MirrorStatus>,
    /// Second requests to another instance, where its service wants them.
    #[serde(default)]
    pub hedges: Option<HedgeStatus>,
    /// Its requests by how urgent they are, where its service says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassStatus>,
    /// Clients that stay with their instance, where its service wants that.
    #[serde(default)]
    pub sticky: Option<StickStatus>,
    /// What it keeps of its answers, if it keeps any.
    #[serde(default)]
    pub cache: Option<CacheStatus>,
}

/// Answers by what became of the bond of their client, since the edge started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StickStatus {
    /// By the instance that the client is bound to.
    pub stayed: u64,
    /// To clients that were bound for the first time.
    pub bound: u64,
    /// To clients that were bound to another for good, as theirs is gone or fails.
    pub moved: u64,
    /// By another, this once, as theirs asked for a pause.
    pub detours: u64,
}

impl StickStatus {
    /// Those of a pool.
    pub(crate) fn of(stick: Option<&Stick>) -> Option<Self> {
        let [stayed, bound, moved, detours] = stick?.sums();
        Some(Self { stayed, bound, moved, detours })
    }
}

/// Requests of one class, since the gate is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassStatus {
    /// `critical`, `default` or `sheddable`.
    pub class: String,
    /// Let in, at once or after a wait.
    pub let_in: u64,
    /// Refused, as there were too many, or more urgent ones.
    pub refused: u64,
}

impl ClassStatus {
    /// Those of a pool.
    pub(crate) fn of(gate: Option<&Gate>) -> Vec<Self> {
        let counts = gate.and_then(Gate::by_class).into_iter().flatten();
        let status = |(class, let_in, refused)| Self { class: name_of(class).to_owned(), let_in, refused };
        counts.map(status).collect()
    }
}

/// Second requests to another instance, since the edge started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HedgeStatus {
    /// Sent.
    pub sent: u64,
    /// Of those, the ones whose answer the client got.
    pub won: u64,
    /// Not sent, as their share was used up.
    pub unpaid: u64,
    /// Not sent, as the service has too much to do or its breaker is not closed.
    pub busy: u64,
    /// Not sent, as no other instance takes requests.
    pub alone: u64,
}

impl HedgeStatus {
    pub(crate) fn add(&mut self, more: &Self) {
        self.sent += more.sent;
        self.won += more.won;
        self.unpaid += more.unpaid;
        self.busy += more.busy;
        self.alone += more.alone;
    }
}

/// What a cache did for its service's requests since the edge started, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Answered with what was kept and fresh.
    pub hits: u64,
    /// With what was stale, while a new answer was fetched.
    pub stale: u64,
    /// With what was stale, as no good answer could be had.
    pub on_error: u64,
    /// With an answer that was fetched for them.
    pub misses: u64,
    /// With what was kept, as the instance said that it is still good.
    pub confirmed: u64,
    /// With the answer to another's request, which they waited for.
    pub joined: u64,
    /// Requests that went their own way.
    pub passed: u64,
    /// Fetches beside requests that got a stale answer.
    pub renewed: u64,
    /// Answers that were thrown away by hand.
    #[serde(default)]
    pub purged: u64,
    /// Answers that are kept.
    pub answers: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take.
    pub most_bytes: u64,
    /// Fetches under way.
    pub fetches: u64,
    /// Requests that wait for one of them.
    pub waiting: u64,
}

impl CacheStatus {
    /// That of a pool.
    pub(crate) fn of(cache: Option<&Arc<Cache>>) -> Option<Self> {
        cache.map(|cache| cache.sums())
    }
}

/// A side of a split, since the edge started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideStatus {
    /// The pool in the owner's share.
    pub pool: String,
    /// How much it gets beside the others.
    pub weight: u32,
    /// Requests that went to it.
    pub taken: u64,
    /// Requests of its own that went to others, as it had no instance for them.
    pub fell: u64,
}

/// Copies of requests, since the edge started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// The pool in the owner's share that they go to.
    pub pool: String,
    /// How many of 10,000 requests are copied.
    pub of_10_000: u32,
    /// Not over yet.
    pub under_way: u32,
    /// Begun.
    pub sent: u64,
    /// Answers by the first digit of their status, 1 to 5.
    pub classes: [u64; 5],
    /// Without an answer in time.
    pub lost: u64,
    /// Left out, as too many were under way.
    pub skipped: u64,
}

impl SideStatus {
    /// Those of a pool.
    pub(crate) fn of(fork: Option<&Fork>) -> Vec<Self> {
        let sides = fork.and_then(|fork| fork.sides.as_ref()).map_or(&[][..], |sides| &sides.list);
        let status = |side: &Side| {
            let (taken, fell) = side.counts.sums();
            Self { pool: side.pool.1.clone(), weight: side.weight, taken, fell }
        };
        sides.iter().map(status).collect()
    }
}

impl MirrorStatus {
    /// That of a pool.
    pub(crate) fn of(fork: Option<&Fork>) -> Option<Self> {
        let shadow = fork?.shadow.as_ref()?;
        let CopySums { under_way, sent, classes, lost, skipped } = shadow.sums();
        let (pool, of_10_000) = (shadow.pool.1.clone(), shadow.of_10_000);
        Some(Self { pool, of_10_000, under_way, sent, classes, lost, skipped })
    }
}

/// Requests that the edge answered itself, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedStatus {
    /// Owner and pool of those that had a pool by then.
    pub pool: Option<(String, String)>,
    /// As in `x-sea-refused`.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// An instance at this moment, and since the edge knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// The container.
    pub instance: ContainerId,
    /// Where it listens.
    pub address: SocketAddr,
    /// It is passed over, because connections to it failed a moment ago.
    pub avoided: bool,
    /// So many threads pass it over, because it does worse than the others.
    #[serde(default)]
    pub ejected_by: u64,
    /// So many threads pass it over, because it asked to be spared.
    #[serde(default)]
    pub spared_by: u64,
    /// Requests and connections that are not over.
    pub in_flight: u64,
    /// What became of the requests.
    pub answered: Answered,
    /// Requests that went on to another connection.
    pub retried: u64,
    /// How often it got nothing new for a while, because it did worse than the others; each thread judges for itself.
    #[serde(default)]
    pub ejected: u64,
    /// How often it asked to be spared.
    #[serde(default)]
    pub spared: u64,
    /// Answers by the first digit of their status, 1 to 5, then all others.
    pub classes: [u64; 6],
    /// Answers by time: up to 64 us, 128 us and so on in powers of two; the last is open.
    pub latency: Vec<u64>,
    /// All times together, in microseconds.
    #[serde(default)]
    pub took_us: u64,
}

impl EndpointStatus {
    /// At this moment.
    pub(crate) fn of(state: &EndpointState, now: Instant) -> Self {
        let (sums, stands) = (state.sums(), state.stands(now));
        Self {
            instance: state.instance.clone(),
            address: state.address,
            avoided: stands.avoided_for > Duration::ZERO,
            ejected_by: stands.ejected_by as u64,
            spared_by: stands.spared_by as u64,
            in_flight: sums.in_flight,
            answered: sums.answered,
            retried: sums.retried,
            ejected: sums.ejected,
            spared: sums.spared,
            classes: sums.answers.classes,
            latency: sums.answers.times.to_vec(),
            took_us: sums.answers.took_us,
        }
    }
}
