//! What the edge does for a service's requests beyond its defaults (`x-sea.edge`).

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Bytes, Cidr};
use serde::{Deserialize, Serialize};

use crate::files::Files;
use crate::patterns::{Breaking, Hedge, Priority, Stick};
use crate::split::{Mirror, ReleaseSplit, Split};

/// What a service wants of the edge; what is absent stays as the edge has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgePolicy {
    /// From the end of a request to the head of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Duration>,
    /// Between two pieces of a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
    /// From the head of a request to the end of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// How often a request that may be repeated is sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The longest body of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Bytes>,
    /// Instances are spoken to in HTTP/2, as gRPC needs it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// Which instance gets a request.
    #[serde(skip_serializing_if = "BalanceBy::is_default")]
    pub balance: BalanceBy,
    /// What becomes of requests when the service has stopped to answer in time.
    #[serde(rename = "no_breaker", skip_serializing_if = "Breaking::is_default")]
    pub breaker: Breaking,
    /// How many requests are at work at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// How many requests come in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Requests are answered with 503, as the service is being worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// The configs with the pages that browsers are shown when the edge answers itself, by status (`404`) or class
    /// (`5xx`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<String, String>,
    /// The statuses and classes of the instances' own answers in whose place these pages are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replace_errors: Vec<String>,
    /// Files that the edge serves itself; the longest path counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Files>,
    /// Requests without a trace context get one; of a million, so many are marked as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<u32>,
    /// The ports at which the edge answers for the service on its networks, in place of its instances.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<u16>,
    /// How many connections that are passed through as bytes are open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Answers are compressed for clients that take it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// Its requests are split between it and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// A new release of it gets a share of its requests first. Where that is so, `split` says between which services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseSplit>,
    /// Copies of its requests go to another service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Equal requests are joined, and answers kept for others, as far as the answers allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Caching>,
    /// Connections to instances open with the client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What only looks is asked of a second instance when the first is silent for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedge>,
    /// Who is refused first when the limit is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Clients stay with their instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stick: Option<Stick>,
}

/// How answers are kept for others, and shared by those who ask the same at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caching {
    /// How long an answer is fresh that does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// How long a stale answer is given while a new one is fetched, if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Duration>,
    /// How long a stale answer is given when no good one can be had, if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Duration>,
    /// Answers that say nothing are shared too by those who waited for them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub join: bool,
    /// How long one waits for the answer to another's request.
    pub wait: Duration,
    /// The most that is kept.
    pub size: Bytes,
    /// The longest answer that is kept or shared.
    pub answer: Bytes,
}

impl Caching {
    /// The least and the most that may be kept.
    pub const SIZES: (Bytes, Bytes) = (Bytes(1 << 20), Bytes(64 << 30));
    /// The part of what is kept that one answer may take.
    pub const LARGEST_PART: u64 = 8;
}

impl Default for Caching {
    /// Only what answers allow themselves.
    fn default() -> Self {
        Self {
            ttl: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            join: false,
            wait: Duration::from_secs(30),
            size: Bytes(32 << 20),
            answer: Bytes(1 << 20),
        }
    }
}

/// A version of the PROXY protocol, in which a proxy says in front of a connection who its client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// A service is being worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Who comes through all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Cidr>,
    /// When clients may come again.
    pub retry_after: Duration,
}

/// The longest page, in bytes.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Whether pages are shown by this status or class: one from 400 to 599, `4xx` or `5xx`.
pub fn is_page(key: &str) -> bool {
    matches!(key, "4xx" | "5xx")
        || (key.len() == 3 && key.parse::<u16>().is_ok_and(|code| (400..600).contains(&code)))
}

/// Where the certificate for the hosts of a service's routes comes from (`x-sea.certificate`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServiceCertificate {
    /// The file has it.
    Files(CertificateFiles),
    /// Somebody issues it.
    By(Issuer),
}

/// Who issues certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Issuer {
    /// The authority that the daemon is told of, by ACME (RFC 8555).
    Acme,
}

/// A certificate of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The secret or config with the chain in PEM, by its key in the file.
    pub chain: String,
    /// The secret with the key in PEM, by its key in the file.
    pub key: String,
}

/// What a route asks of clients in the matter of HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteHttps {
    /// Plain requests are sent to the same place over HTTPS.
    pub only: bool,
    /// Browsers come over HTTPS for so long from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered: Option<Duration>,
}

impl RouteHttps {
    /// Whether it asks for nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A bound on requests that wait for their answers, and on those that wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// At work at once; none finds the number by what the service can do.
    pub requests: Option<u32>,
    /// Waiting for a turn.
    pub queue: u32,
    /// For so long.
    pub wait: Duration,
}

/// Which instance gets a request, of those that take any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceBy {
    /// The one for which latency times load is least.
    #[default]
    Latency,
    /// Each in its turn.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastRequests,
    /// Those of one client's address to one, as long as that has not too many.
    Client,
    /// Those with one value of this field, in lower case, to one; those without it by address.
    Header(String),
}

impl BalanceBy {
    /// Whether it is what services get that say nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A bound on requests in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// So many requests.
    pub requests: u32,
    /// In this time.
    pub per: Duration,
    /// So many at once, when none came for a while.
    pub burst: u32,
    /// Whose requests are counted together.
    pub by: RateKey,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// Those of one client's address.
    Client,
    /// All of the service's.
    Service,
    /// Those with one value of this field, in lower case; those without it by address.
    Header(String),
}

impl EdgePolicy {
    /// Whether everything stays as the edge has it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
