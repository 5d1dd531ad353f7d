//! How traffic reaches a service.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{RouteHttps, RouteRules};

/// Requests for this host and path go to this service (`x-sea.routes`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// As in `shop.example`, in lower case; `*.shop.example` for one label more; none for every host.
    pub host: Option<String>,
    /// The longest matching prefix wins.
    pub path: PathPrefix,
    /// The container's port; 0 where requests go to no container.
    pub port: u16,
    /// Whether the prefix is cut off before the request goes on.
    #[serde(default)]
    pub strip_prefix: bool,
    /// What it asks of clients in the matter of HTTPS.
    #[serde(default, skip_serializing_if = "RouteHttps::is_default")]
    pub https: RouteHttps,
    /// What it does with requests and answers beyond that.
    #[serde(default, skip_serializing_if = "RouteRules::is_default")]
    pub rules: RouteRules,
}

/// A path prefix that ends at a `/` or at the end: `/api` matches `/api` and `/api/x`, not `/apiary`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathPrefix(pub String);

impl PathPrefix {
    /// Every path.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Whether this path (without its query) lies under the prefix.
    pub fn matches(&self, path: &str) -> bool {
        let prefix = self.0.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A port of the host that leads to a service (`ports`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The host's address to listen on; every address when none.
    pub host_ip: Option<IpAddr>,
    /// The host's port; 0 lets the daemon choose a free one.
    pub host_port: u16,
    /// The container's port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What is spoken at a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP; the edge looks at a connection's first bytes and treats HTTP/1 as requests.
    Auto,
    /// TCP, passed through byte by byte.
    Tcp,
    /// HTTP, request by request (`app_protocol: http`).
    Http,
    /// UDP, passed through datagram by datagram.
    Udp,
}
