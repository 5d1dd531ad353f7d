//! What the edge is told for TLS: certificates, the demands of hosts, and what rules ask of clients.
//!
//! These are parts of a [`RouteShare`](crate::traffic::RouteShare), so that a certificate comes and goes in the same step
//! as the routes that need it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A share's certificates and the demands of its hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsShare {
    /// Which certificate is shown for which name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Hosts that ask for more, or for less, than the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<TlsHost>,
    /// The names of certificates that are to be issued, each list for one certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issue: Vec<Vec<String>>,
}

/// What an authority has issued, and what it wants to see before it does so; for all shares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Issued {
    /// Shown for names that a share wants issued, as long as nobody has a certificate of his own for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// What is answered below `/.well-known/acme-challenge/`, by what follows that.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// Shown to those who ask for `acme-tls/1` and nothing else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Certificate>,
}

impl Issued {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TlsShare {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.hosts.is_empty() && self.issue.is_empty()
    }
}

/// A certificate with its key, and the names that it is shown for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// In lower case; `*.` in front stands for one label. What the certificate itself says is the client's to judge.
    pub names: Vec<String>,
    /// The certificate and those between it and its root, in PEM.
    pub chain: String,
    /// Its key, in PEM.
    pub key: PrivateKey,
    /// It is shown to those who ask for a name that has none, and to those who ask for no name; one in all shares.
    #[serde(default)]
    pub fallback: bool,
}

/// A private key in PEM. What is printed of it for a log or an error is not the key.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(pub String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// What is demanded of the clients of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsHost {
    /// In lower case; `*.` in front stands for one label.
    pub name: String,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub minimum: TlsVersion,
    /// Whether HTTP/2 is offered.
    #[serde(default = "yes")]
    pub http2: bool,
    /// Clients are asked for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientCertificates>,
}

fn yes() -> bool {
    true
}

/// A version of TLS. Those before 1.2 are not spoken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2: from 2008; with the suites that are still held to be safe.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// 1.3: from 2018.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Whose certificates are taken of clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientCertificates {
    /// The certificates of the authorities that sign for clients, in PEM.
    pub authorities: String,
    /// A client without a certificate is refused.
    pub required: bool,
}

/// What a rule asks of clients in the matter of HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleHttps {
    /// Requests over plain HTTP are sent to the same place over HTTPS.
    #[serde(default)]
    pub only: bool,
    /// Browsers are told to come over HTTPS only, for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<StrictTransport>,
}

impl RuleHttps {
    /// Whether it asks for nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The field `Strict-Transport-Security` (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrictTransport {
    /// For how long browsers remember it, in seconds; 0 makes them forget.
    pub max_age_secs: u64,
    /// For all names below the host too.
    #[serde(default)]
    pub include_subdomains: bool,
    /// The host may be put on the lists that browsers are shipped with.
    #[serde(default)]
    pub preload: bool,
}

#[cfg(test)]
mod tests;
