//! What the edge carries, and what it would do with a request.

use std::net::{IpAddr, SocketAddr};

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /v1/routes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutesView {
    /// Where HTTP is answered by host and path.
    pub http: Vec<SocketAddr>,
    /// Where HTTPS is.
    pub https: Vec<SocketAddr>,
    /// All routes: by host and path first, then published ports.
    pub routes: Vec<RouteView>,
}

/// One way into a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    /// The app whose route it is, or `container:` and the id of a container of its own.
    pub owner: String,
    /// As in `shop.example/api`, `*/`, or `0.0.0.0:5432/tcp`.
    pub route: String,
    /// What goes on to it, as in `shop/web`.
    pub service: String,
    /// The prefix is cut off.
    pub strip: bool,
    /// Plain requests are sent to HTTPS.
    pub https_only: bool,
    /// For how many seconds browsers come over HTTPS from then on.
    pub hsts_secs: Option<u64>,
    /// How it stands with the certificate of its host, where an authority issues that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<RouteCertificate>,
    /// The instances that get new requests; the same ones for all routes to a service.
    pub instances: Vec<RouteInstance>,
    /// Where its requests are split between services: all of them, this one among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sides: Vec<RouteSide>,
    /// The copies of its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<RouteMirror>,
}

/// A side of a split, since the edge started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSide {
    /// As in `shop/web-next`.
    pub service: String,
    /// How much it gets beside the others.
    pub weight: u32,
    /// That as a part of all requests, in percent.
    pub percent: f64,
    /// Requests that went to it.
    pub requests: u64,
    /// Requests of its own that went to others, as it had no instance for them.
    pub fell: u64,
    /// Its instances.
    pub instances: Vec<RouteInstance>,
}

/// Copies of requests, since the edge started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteMirror {
    /// Where they go, as in `shop/web-shadow`.
    pub service: String,
    /// How many of the requests that may be copied are, in percent.
    pub percent: f64,
    /// Not over yet.
    pub in_flight: u32,
    /// Begun.
    pub sent: u64,
    /// Answers by the first digit of their status, 1 to 5.
    pub answers: [u64; 5],
    /// Without an answer in time.
    pub lost: u64,
    /// Left out, as too many were under way.
    pub skipped: u64,
    /// The instances of that service.
    pub instances: Vec<RouteInstance>,
}

/// A certificate by an authority. Until the first is there the host shows one of the edge's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCertificate {
    /// Until when it is good; none where there is none yet.
    pub until: Option<Timestamp>,
    /// When it is renewed.
    pub renewed: Option<Timestamp>,
    /// Why the last order came to nothing.
    pub failed: Option<String>,
    /// When the next is made.
    pub again: Option<Timestamp>,
}

/// An instance behind a route, since the edge knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteInstance {
    /// The container's id.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Requests and connections that are not over.
    pub in_flight: u64,
    /// Why it is passed over: `unreachable`, `ejected`, `spared`; none where it takes requests.
    pub passed_over: Vec<String>,
    /// Answers by the first digit of their status, 1 to 5.
    pub answers: [u64; 5],
    /// Requests that it took and did not answer.
    pub lost: u64,
    /// Requests that went on to another connection.
    pub retried: u64,
    /// How often it was ejected, by all threads of the edge together.
    pub ejected: u64,
    /// How often it asked to be spared.
    pub spared: u64,
    /// Half of the answers came within this time, in milliseconds, told within a factor of two; none when there were none.
    pub p50_ms: Option<f64>,
    /// 99 of 100 did.
    pub p99_ms: Option<f64>,
}

/// `POST /v1/routes/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteQuestion {
    /// As in `GET`.
    pub method: String,
    /// As in `https://shop.example/api?x=1`.
    pub url: String,
    /// Further fields.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Who asks; 127.0.0.1 if it is not said.
    #[serde(default)]
    pub client: Option<IpAddr>,
}

/// What would happen to the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteExplained {
    /// What the edge looks at, in order.
    pub steps: Vec<RouteStep>,
    /// `sent`, `held`, `refused` or `nowhere`.
    pub verdict: String,
    /// The same for people.
    pub message: String,
    /// The service that it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The status of the edge's own answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The value of `x-sea-refused` in that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The instances that may be asked.
    pub instances: Vec<RouteCandidate>,
}

/// One thing that the edge looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStep {
    /// As in `route`.
    pub name: String,
    /// What it finds there.
    pub found: String,
}

/// An instance that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCandidate {
    /// The container's id.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Requests and connections that are not over.
    pub in_flight: u64,
    /// Why it is passed over while there are others; none where it takes requests.
    pub passed_over: Option<String>,
}

/// `POST /v1/routes/purge`: either a URL or a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoutePurge {
    /// As in `https://shop.example/news`; without a scheme both are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// All that begin like the URL are meant.
    #[serde(default)]
    pub prefix: bool,
    /// An app or a service, as in `shop` or `shop/web`, whose kept answers are all meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<String>,
}

/// What was thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePurged {
    /// How many kept answers, of all services together.
    pub answers: u64,
    /// The services that keep answers and were looked through.
    pub services: Vec<ServicePurged>,
    /// The same for people.
    pub message: String,
}

/// What a service threw away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePurged {
    /// As in `shop/web`.
    pub service: String,
    /// How many kept answers.
    pub answers: u64,
}

/// `POST /v1/certificates/retry`: orders for certificates by an authority that are to be made again now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CertificateRetry {
    /// Hosts whose certificates are meant; none means all whose last order came to nothing.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// What became of it; whether a certificate comes is told with the routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatesRetried {
    /// The names of each certificate that is ordered again.
    pub begun: Vec<Vec<String>>,
    /// The same of those that were being ordered anyhow.
    pub under_way: Vec<Vec<String>>,
    /// The same for people.
    pub message: String,
}
