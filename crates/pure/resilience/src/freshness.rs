//! A small response cache's rules: what may be kept, how long it is fresh, and what to do when it no longer is.
//!
//! Model: a shared cache in front of a service. It keeps an answer only if the answer's own fields allow it, or the
//! route does where the answer is silent; it serves what is fresh, renews in the background what is allowed to be a
//! little stale (one renewal at a time), and asks for the rest with the validators that it has. Renewal may begin
//! *before* the end, by a chance that grows towards it and with the time an answer takes, so that popular answers
//! never expire for all at once. What is kept is decided here, by parsed fields; where it is kept is a [`Store`];
//! which of several answers fits a request is [`Vary`]'s.
//!
//! Sources: RFC 9111 (caching), RFC 5861 (`stale-while-revalidate`, `stale-if-error`), RFC 9110, section 13
//! (conditions); Vattani, Chierichetti, Lowenstein: "Optimal probabilistic cache stampede prevention", VLDB 2015.
//!
//! Where the RFCs leave a choice:
//! - A doubled directive counts with its smallest value, and an unreadable time as zero.
//! - An answer with `Set-Cookie` is never kept, whatever it says: it is nearly always a mistake, and a costly one.
//! - `s-maxage` forbids stale answers, as section 5.2.2.10 says, but not those that the same answer explicitly allows.
//! - Caching directives of *requests* are advisory (section 5.2.1). They are followed only if [`Rules::heed_requests`],
//!   off by default, since a client could ask past the cache at will; `no-store` and `only-if-cached` always are.
//!
//! Defaults of [`Rules`]: `ttl` and `heuristic` none, so only what says so is cached; `stale_while_revalidate` and
//! `stale_if_error` none, for staleness is the owner's choice; `early` 1, the paper's optimum; `renew_within` 10 s,
//! after which a renewal is taken for lost; `longest` a day, so that a wrong `max-age` of a year can be waited out.
//!
//! ```
//! use std::time::Duration;
//! use base::{Instant, Rng, Timestamp};
//! use resilience::freshness::{Answer, Entry, Received, Request, Rules, Use};
//!
//! let rules = Rules::default();
//! let request = Request::get();
//! let answer = Answer { cache_control: Some(b"max-age=60"), etag: Some(b"\"v1\""), ..Answer::status(200) };
//! let now = Instant::from_secs(100);
//! let received = Received { asked: now, now, wall: Timestamp::from_secs(0) };
//! let mut entry = Entry::of(&rules, &request, &answer, received)?;
//! let mut rng = Rng::seeded(1);
//! let later = Instant::from_secs(130);
//! let half = entry.decide(&rules, &request, later, &mut rng);
//! assert_eq!(half, Use::Serve { age: Duration::from_secs(30), renew: false });
//! assert_eq!(entry.decide(&rules, &request, Instant::from_secs(160), &mut rng), Use::Ask);
//! assert_eq!(entry.validators().next(), Some(("if-none-match", &b"\"v1\""[..])));
//! # Ok::<(), resilience::freshness::NotKept>(())
//! ```

mod cache_control;
mod entry;
mod store;
mod vary;

pub use cache_control::{CacheControl, MaxStale};
pub use entry::{Entry, Use, may_share};
pub use store::{Store, TooLarge};
pub use vary::{Unmatchable, Vary};

use std::time::Duration;

use base::{Instant, Timestamp};

use crate::refusal::sentences;

/// What a route allows beyond what its answers say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How long an answer is fresh that does not say, if its status is one that may be kept then.
    pub ttl: Option<Duration>,
    /// The share of its age at `Last-Modified` that an answer is fresh which does not say, where there is no `ttl`;
    /// RFC 9111 suggests 0.1.
    pub heuristic: Option<f64>,
    /// How long a stale answer may be served while it is renewed, if the answer does not say.
    pub stale_while_revalidate: Option<Duration>,
    /// How long a stale answer may be served when the service fails, if the answer does not say.
    pub stale_if_error: Option<Duration>,
    /// The paper's beta: above 1 renews earlier, 0 never early.
    pub early: f64,
    /// A renewal that was begun is taken for lost after so long.
    pub renew_within: Duration,
    /// No answer is fresh for longer.
    pub longest: Duration,
    /// Follow the caching directives of requests.
    pub heed_requests: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ttl: None,
            heuristic: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            early: 1.0,
            renew_within: Duration::from_secs(10),
            longest: Duration::from_secs(86_400),
            heed_requests: false,
        }
    }
}

/// What matters of a request. Field lines of one name are joined by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request<'a> {
    /// Its method is GET; or HEAD, where it is answered from what is kept.
    pub is_get: bool,
    /// `Cache-Control`
    pub cache_control: Option<&'a [u8]>,
    /// `Pragma`
    pub pragma: Option<&'a [u8]>,
    /// It has `Authorization`.
    pub authorized: bool,
    /// It has `Range`.
    pub ranged: bool,
}

impl Request<'_> {
    /// A GET without any of these fields.
    pub fn get() -> Self {
        Self { is_get: true, ..Self::default() }
    }

    fn directives(&self) -> CacheControl {
        let mut directives = self.cache_control.map(CacheControl::parse).unwrap_or_default();
        let pragma = self.pragma.is_some_and(|value| value.eq_ignore_ascii_case(b"no-cache"));
        directives.no_cache |= pragma && self.cache_control.is_none();
        directives
    }
}

/// What matters of an answer. Field lines of one name are joined by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// `Cache-Control`
    pub cache_control: Option<&'a [u8]>,
    /// `Expires`
    pub expires: Option<&'a [u8]>,
    /// `Date`
    pub date: Option<&'a [u8]>,
    /// `Age`
    pub age: Option<&'a [u8]>,
    /// `Vary`
    pub vary: Option<&'a [u8]>,
    /// `ETag`
    pub etag: Option<&'a [u8]>,
    /// `Last-Modified`
    pub last_modified: Option<&'a [u8]>,
    /// It has `Set-Cookie`.
    pub sets_cookie: bool,
}

impl Answer<'_> {
    /// With this status and none of the fields.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// When an answer was asked for and came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// When the request was sent.
    pub asked: Instant,
    /// When the answer's head came.
    pub now: Instant,
    /// The same by the calendar.
    pub wall: Timestamp,
}

/// Why an answer must not, or need not, be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// The request is no plain GET.
    Method,
    /// Answers with this status are not kept.
    Status,
    /// The request or the answer says `no-store`.
    NoStore,
    /// The answer says `private`.
    Private,
    /// The request had `Authorization`, and the answer does not allow sharing all the same.
    Authorized,
    /// It sets a cookie.
    Cookie,
    /// It says `Vary: *`, or more than can be matched.
    Vary,
    /// Nothing says that it may be reused.
    Silent,
    /// It is stale already, and nothing could make use of it.
    Stale,
}

sentences! {
    NotKept: |it, f| f.write_str(match it {
        NotKept::Method => "only answers to plain GET requests are kept",
        NotKept::Status => "answers with this status are not kept",
        NotKept::NoStore => "`no-store` forbids to keep the answer",
        NotKept::Private => "`private` forbids to keep the answer for others",
        NotKept::Authorized => "the answer to an authorized request does not allow sharing",
        NotKept::Cookie => "the answer sets a cookie",
        NotKept::Vary => "the answer varies by more than can be matched",
        NotKept::Silent => "neither the answer nor the route allows to reuse it",
        NotKept::Stale => "the answer is stale already",
    });
}

/// Whether a request with this method, answered so, makes what is kept for its target invalid (RFC 9111, section 4.4).
pub fn invalidates(method: &[u8], status: u16) -> bool {
    !matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE") && (200..400).contains(&status)
}

/// Whether answers with this status may be kept where something says for how long.
fn may_keep(status: u16) -> bool {
    is_heuristic(status) || matches!(status, 302 | 303 | 307 | 403 | 503)
}

/// Whether they are heuristically cacheable (RFC 9110, section 15.1), without parts of a whole.
fn is_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

#[cfg(test)]
mod tests;
