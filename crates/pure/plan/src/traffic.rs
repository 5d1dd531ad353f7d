//! What the edge is told, and what it tells back: the words of the [`Traffic`](crate::ports::Traffic) port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base::{ContainerId, ServiceName};
use serde::{Deserialize, Serialize};
use spec::{Blob, EdgePolicy, PathPrefix, Protocol, RouteRules};

use crate::tls::{RuleHttps, TlsShare};

/// One owner's share of the edge's routes: an app's, or a single container's.
///
/// The edge serves the shares of all owners as one table; replacing a share is one step for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteShare {
    /// Requests at the edge's own address, by host and path.
    pub rules: Vec<RouteRule>,
    /// Further addresses to listen on.
    pub listeners: Vec<Listener>,
    /// Where requests can go, by the names that rules and listeners use; unique in the share.
    pub pools: BTreeMap<String, Pool>,
    /// What the edge needs to answer the share's hosts over TLS.
    #[serde(default, skip_serializing_if = "TlsShare::is_empty")]
    pub tls: TlsShare,
}

/// Requests for this host and path go to this pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRule {
    /// In lower case; `*.` in front stands for one label; none for every host.
    pub host: Option<String>,
    /// The longest matching prefix wins, after the most exact host.
    pub path: PathPrefix,
    /// Whether the prefix is cut off.
    pub strip_prefix: bool,
    /// A key of [`RouteShare::pools`]; empty where requests are sent elsewhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pool: String,
    /// What is asked of clients in the matter of HTTPS.
    #[serde(default, skip_serializing_if = "RuleHttps::is_default")]
    pub https: RuleHttps,
    /// What is done with requests and answers beyond that.
    #[serde(default, skip_serializing_if = "RouteRules::is_default")]
    pub rules: RouteRules,
    /// The list of users that the rules name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Blob>,
    /// The pool of the service that is asked first, if the rules name one: a key of [`RouteShare::pools`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asks: String,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The host's address and port.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// A key of [`RouteShare::pools`].
    pub pool: String,
    /// The address is a service's on its network, for other services, and no published port.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub between: bool,
}

impl Listener {
    /// Where the edge listens, to which the machine leads what comes to a service's address.
    ///
    /// Not the port itself: a listener there would keep programs of the host from that port on all addresses, and they
    /// it. Above those that the kernel gives to whoever asks for any, hardly a program listens.
    pub fn bound(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip(), address.port() | 0xF000)
    }

    /// What comes to services, and where it is to be led, as far as the edge is told to answer.
    pub fn answered(share: &RouteShare) -> BTreeSet<(SocketAddr, u16)> {
        let between = share.listeners.iter().filter(|listener| listener.between);
        between.map(|listener| (listener.address, Self::bound(listener.address).port())).collect()
    }
}

/// Instances that can answer the same requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pool {
    /// As in `shop/web`, for logs and counters.
    pub service: String,
    /// The instances that may get new requests.
    pub endpoints: Vec<Endpoint>,
    /// What the service wants beyond the defaults.
    #[serde(default, skip_serializing_if = "EdgePolicy::is_default")]
    pub policy: EdgePolicy,
    /// What they speak.
    #[serde(default, skip_serializing_if = "PoolProtocol::is_default")]
    pub protocol: PoolProtocol,
    /// What the instances are made from; empty while there are none, or some that are made from something else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The pages that the policy names, by what it names them for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pages: BTreeMap<String, String>,
    /// The pools of the other sides of its split, by service: keys of [`RouteShare::pools`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sides: BTreeMap<ServiceName, String>,
    /// The pool that copies go to, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mirror: String,
}

/// What instances are spoken to in, where the edge knows requests from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolProtocol {
    /// HTTP/1.1, which all know.
    #[default]
    Http1,
    /// HTTP/2 in clear text, which gRPC needs.
    H2,
}

impl PoolProtocol {
    /// Whether it is what a pool speaks that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An instance that may get new requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container.
    pub instance: ContainerId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What the edge does at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrafficSeen {
    /// Instances to which the edge, on every one of its threads, may send new requests.
    pub sending: Vec<ContainerId>,
    /// Requests and connections that are not over, by instance; no entry means none.
    pub in_flight: BTreeMap<ContainerId, u64>,
    /// Requests answered since the edge started, by instance.
    pub answered: BTreeMap<ContainerId, Answered>,
}

/// What became of the requests that an instance was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answered {
    /// The instance's own answers below 500.
    pub good: u64,
    /// The instance's own answers from 500 up.
    pub failed: u64,
    /// Answers that the edge had to make, because the instance gave none, and those that broke off.
    pub lost: u64,
}
