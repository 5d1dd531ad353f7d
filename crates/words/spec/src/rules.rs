//! What a route does with its requests and answers beyond where it leads (`x-sea.routes`).

use std::collections::BTreeMap;

use base::{Cidr, ServiceName};
use serde::{Deserialize, Serialize};

use crate::PathPrefix;

/// What a route does with requests and answers; what is absent is not done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteRules {
    /// What becomes of the fields of requests.
    #[serde(skip_serializing_if = "HeaderRules::is_empty")]
    pub request_headers: HeaderRules,
    /// What becomes of the fields of answers.
    #[serde(skip_serializing_if = "HeaderRules::is_empty")]
    pub response_headers: HeaderRules,
    /// Requests are sent to another place, and go to no instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// This stands in the place of the route's path prefix when the request goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_prefix: Option<PathPrefix>,
    /// The Host that instances are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite_host: Option<String>,
    /// Who may come; everybody if it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Cidr>,
    /// Who may not, also of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Cidr>,
    /// Clients name themselves, with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Another service is asked first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<ForwardAuth>,
}

impl RouteRules {
    /// Whether it does nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Fields that are set, added and removed; names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderRules {
    /// In the place of all fields of this name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Beside those that are there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
    /// All fields of these names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// Which fields a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderSide {
    /// What instances get.
    Request,
    /// What clients get.
    Response,
}

/// Fields that belong to a hop or frame a message, and those that the edge alone writes.
const NOBODYS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-sea-mirror",
    "x-sea-not-now",
    "x-sea-refused",
];
/// What the edge itself tells instances of clients.
const TOLD: &[&str] =
    &["x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

impl HeaderRules {
    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// All names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let set = self.set.keys().chain(self.add.keys());
        set.chain(&self.remove).map(String::as_str)
    }

    /// Why a rule may not be about a field of this name; `name` is in lower case.
    pub fn name_flaw(name: &str, side: HeaderSide) -> Option<&'static str> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&b);
        if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
            // An underscore is a dash to many servers, so that such a name could stand for another.
            return Some("is no name of a field: letters, digits and dashes");
        }
        if NOBODYS.contains(&name) {
            return Some("belongs to the connection, not to the message");
        }
        (side == HeaderSide::Request && TOLD.contains(&name)).then_some("is written by the edge itself")
    }

    /// Whether a field may have this value: visible characters with spaces and tabs between them.
    pub fn is_value(value: &str) -> bool {
        let visible = |b: u8| b == b'\t' || (0x20..0x7f).contains(&b);
        value.len() <= 8192 && value.bytes().all(visible) && value.trim_matches([' ', '\t']) == value
    }
}

/// Where requests are sent instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// 301, 302, 307 or 308.
    pub status: u16,
    /// Another scheme, `http` or `https`; none keeps the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Another host, with its port if it has one; none keeps the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Another path; none keeps all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPrefix>,
    /// What follows the route's prefix is put behind `path`.
    pub keep_path: bool,
    /// The query goes along.
    pub keep_query: bool,
}

impl Redirect {
    /// The statuses that send clients elsewhere.
    pub const STATUSES: &'static [u16] = &[301, 302, 307, 308];
}

/// Who may come, by name and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicAuth {
    /// The secret with the users, a line each as `htpasswd` writes them, by its key in the file.
    pub users: String,
    /// What browsers show when they ask for the password.
    pub realm: String,
    /// Instances are shown the field `Authorization`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_authorization: bool,
}

/// A service that is asked before a request goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardAuth {
    /// The service.
    pub service: ServiceName,
    /// Its container's port.
    pub port: u16,
    /// The path that it is asked for.
    pub path: PathPrefix,
    /// The fields of its answer that the request gets, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<String>,
}

impl BasicAuth {
    /// Whether browsers can be shown this: visible ASCII without quotes and backslashes.
    pub fn is_realm(realm: &str) -> bool {
        let visible = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
        (1..=200).contains(&realm.len()) && realm.bytes().all(visible)
    }
}

impl PathPrefix {
    /// What is wrong with it as the beginning of a path that the edge writes.
    pub fn flaw(&self) -> Option<&'static str> {
        let path = self.0.as_bytes();
        if !path.starts_with(b"/") || path.starts_with(b"//") {
            return Some("a path begins with one `/`");
        }
        if !path.iter().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(b)) {
            return Some("it holds what a path cannot hold; write that as `%` and two hexadecimal digits");
        }
        for (at, _) in self.0.match_indices('%') {
            let digits = path.get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return Some("a `%` stands before two hexadecimal digits");
            }
            if matches!(&self.0[at..at + 3], "%00" | "%5c" | "%5C" | "%2f" | "%2F" | "%2e" | "%2E") {
                return Some("dots, slashes and ends of texts may not be hidden behind a `%`");
            }
        }
        let dots = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
        self.0.split('/').any(dots).then_some("`.` and `..` lead to different places with different servers")
    }
}

#[cfg(test)]
mod tests;
