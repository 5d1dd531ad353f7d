//! What a request wants of the cache: which answer, and whether it may have one that is kept or another's.

use std::sync::Arc;

use resilience::freshness::{self, Entry};

use super::kept::joined;
use super::{Cache, Done, Kept, Look};
use crate::head::Field;
use crate::head::request::{Method, RequestHead};
use crate::refusal::push_number;

/// What a request says of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    None,
    /// Its answer may be somebody's own, unless it says that it is not.
    Cookie,
    /// Its answer is somebody's own, unless it says that it is not. Such requests fetch for nobody else.
    Authorized,
}

/// What a request wants.
pub(crate) struct Wanted {
    pub(crate) cache: Arc<Cache>,
    /// Scheme, host and target, as the client and as the instance sees them.
    pub(super) target: Vec<u8>,
    pub(super) credential: Credential,
    /// Why it has nothing to do with the cache.
    pass: Option<&'static str>,
    /// It may change what is kept.
    unsafe_method: bool,
    pub(crate) head_only: bool,
    cache_control: Option<Vec<u8>>,
    pragma: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<Vec<u8>>,
    /// The part of the answer that it wants, which nothing is fetched for others by.
    pub(super) range: Option<Vec<u8>>,
    pub(super) if_range: Option<Vec<u8>>,
    /// The line of the answer that tells what the cache did (RFC 9211).
    line: Vec<u8>,
}

/// A request as the cache looks at it.
pub(crate) struct Incoming<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) fields: &'a [Field],
    pub(crate) buf: &'a [u8],
    /// It came over TLS, or a proxy of ours says so.
    pub(crate) secure: bool,
    /// Its client is a proxy of ours, whose word instances believe.
    pub(crate) trusted: bool,
    /// Its client has shown who it is by a certificate, or another service has been asked who it is.
    pub(crate) known: bool,
    /// The target that goes on, and the lines that the route adds.
    pub(crate) onward: (&'a [u8], &'a [u8]),
}

impl Wanted {
    /// What this request wants of its service's cache.
    pub(crate) fn of(cache: &Arc<Cache>, asked: &Incoming<'_>) -> Box<Self> {
        let Incoming { head, fields, buf, .. } = *asked;
        let value = |name: &str| joined(fields, buf, name);
        let has = |name: &str| value(name).is_some();
        let body = head.framing.chunked || head.framing.length.is_some_and(|length| length > 0);
        let safe = matches!(head.method.of(buf), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE");
        let pass = match head.kind {
            Method::Idempotent | Method::Once => Some("method"),
            Method::Get | Method::Head if head.upgrade.is_some() => Some("upgrade"),
            Method::Get | Method::Head if body || head.expects_continue => Some("body"),
            Method::Get | Method::Head if has("if-match") || has("if-unmodified-since") => Some("condition"),
            Method::Get | Method::Head => None,
        };
        let credential = match (asked.known || has("authorization"), has("cookie")) {
            (true, _) => Credential::Authorized,
            (false, true) => Credential::Cookie,
            (false, false) => Credential::None,
        };
        Box::new(Self {
            cache: cache.clone(),
            target: target(asked),
            credential,
            pass,
            unsafe_method: !safe,
            head_only: head.kind == Method::Head,
            cache_control: value("cache-control"),
            pragma: value("pragma"),
            if_none_match: value("if-none-match"),
            if_modified_since: value("if-modified-since"),
            // Other methods know no parts.
            range: value("range").filter(|_| head.kind == Method::Get),
            if_range: value("if-range"),
            line: Vec::new(),
        })
    }

    /// Why it has nothing to do with what is kept.
    pub(crate) fn passes(&self) -> Option<&'static str> {
        self.pass
    }

    /// As the rules look at it; whether it is authorized was looked at before.
    pub(super) fn request(&self) -> freshness::Request<'_> {
        freshness::Request {
            is_get: true,
            cache_control: self.cache_control.as_deref(),
            pragma: self.pragma.as_deref(),
            authorized: self.credential == Credential::Authorized,
            ranged: false,
        }
    }

    /// Whether it may have an answer that is kept.
    pub(super) fn may_have(&self, entry: &Entry) -> bool {
        match self.credential {
            Credential::None => true,
            Credential::Cookie => entry.is_told(),
            Credential::Authorized => entry.is_for_all(),
        }
    }

    /// Whether one for which nothing is kept fetches for itself, and what becomes of it then.
    pub(super) fn goes_alone(&self) -> Option<Look> {
        let directives =
            self.cache_control.as_deref().map(freshness::CacheControl::parse).unwrap_or_default();
        if directives.only_if_cached {
            return Some(Look::Refuse);
        }
        let alone = match self.credential {
            _ if self.head_only => "head",
            // A part of it would be of use to nobody else.
            _ if self.range.is_some() => "range",
            // It must not be kept, so that nobody else could have it: others are not to wait for it.
            _ if directives.no_store => "no-store",
            Credential::Authorized => "credentials",
            Credential::None | Credential::Cookie => return None,
        };
        Some(Look::Alone(alone))
    }

    /// Whether the client has conditions that what is kept may meet.
    pub(super) fn is_conditional(&self) -> bool {
        self.if_none_match.is_some() || self.if_modified_since.is_some()
    }

    /// Whether the client holds this very answer already.
    pub(super) fn holds(&self, kept: &Kept) -> bool {
        let (tags, since) = (self.if_none_match.as_deref(), self.if_modified_since.as_deref());
        self.is_conditional() && kept.entry.as_ref().is_some_and(|entry| entry.is_held_by(tags, since))
    }

    /// Another request was answered with this status; it may have changed what is kept.
    pub(crate) fn answered(&self, status: u16) {
        if self.unsafe_method && (200..400).contains(&status) {
            self.cache.invalidate(&self.target);
        }
    }

    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Notes that it went its own way.
    pub(crate) fn note_passed(&mut self, why: &'static str) {
        self.cache.counts.note(Done::Passed);
        self.line = match why {
            "method" => b"cache-status: sea; fwd=method\r\n".to_vec(),
            why => format!("cache-status: sea; fwd=bypass; detail={why}\r\n").into_bytes(),
        };
    }

    /// Notes how it was answered.
    pub(crate) fn note(&mut self, noted: Noted) {
        self.cache.counts.note(noted.done);
        let fwd = if noted.was_stale { "stale" } else { "miss" };
        self.line = match noted.done {
            Done::Hit | Done::Stale => b"cache-status: sea; hit".to_vec(),
            Done::OnError => b"cache-status: sea; fwd=stale; detail=stale-if-error".to_vec(),
            Done::Joined => b"cache-status: sea; fwd=miss; collapsed".to_vec(),
            Done::Passed => b"cache-status: sea; fwd=bypass".to_vec(),
            Done::Miss | Done::Confirmed | Done::Renewed => {
                format!("cache-status: sea; fwd={fwd}").into_bytes()
            }
        };
        if let Some(status) = noted.status {
            self.line.extend_from_slice(b"; fwd-status=");
            push_number(&mut self.line, u64::from(status));
        }
        if noted.stored {
            self.line.extend_from_slice(b"; stored");
        }
        if let Some(ttl) = noted.ttl {
            self.line.extend_from_slice(if ttl < 0 { b"; ttl=-" } else { b"; ttl=" });
            push_number(&mut self.line, ttl.unsigned_abs());
        }
        self.line.extend_from_slice(b"\r\n");
    }
}

/// How a request was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) done: Done,
    /// Of the instance's answer, where another is given.
    pub(crate) status: Option<u16>,
    /// For how many seconds the answer is fresh, and below zero for how many it is stale.
    pub(crate) ttl: Option<i64>,
    /// What was kept was stale.
    pub(crate) was_stale: bool,
    /// The answer is kept for others.
    pub(crate) stored: bool,
}

/// What the key of an answer says.
pub(super) struct Parts<'a> {
    pub(super) secure: bool,
    /// The host that the client names, and the one that a proxy of ours says it named.
    pub(super) host: &'a [u8],
    pub(super) behind: &'a [u8],
    /// Path and query, as the client sees them.
    pub(super) target: &'a [u8],
    /// Where the target ends in the key, and what it varies by begins.
    pub(super) end: usize,
}

impl<'a> Parts<'a> {
    /// Reads a key as [`target`] writes it.
    pub(super) fn of(key: &'a [u8]) -> Option<Self> {
        let (secure, mut rest) = key.split_first()?;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let (part, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rest = behind;
            Some(part)
        };
        let (host, behind, target, _, _) = (part()?, part()?, part()?, part()?, part()?);
        Some(Self { secure: *secure != 0, host, behind, target, end: key.len() - rest.len() })
    }
}

/// What tells answers from each other before their `Vary`: each part with its length in front, so that no two lists of parts
/// are alike.
fn target(asked: &Incoming<'_>) -> Vec<u8> {
    let Incoming { head, fields, buf, secure, onward, .. } = *asked;
    let host = head.host.map(|host| host.of(buf).to_ascii_lowercase()).unwrap_or_default();
    let behind = if asked.trusted { joined(fields, buf, "x-forwarded-host") } else { None };
    let mut key = vec![u8::from(secure)];
    for part in [&host[..], &behind.unwrap_or_default(), head.target.of(buf), onward.0, onward.1] {
        key.extend_from_slice(&(part.len() as u32).to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}
