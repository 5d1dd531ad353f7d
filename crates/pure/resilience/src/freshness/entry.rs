//! What is known of one kept answer: how old it is, how long it is fresh, and by what it can be renewed.

use std::time::Duration;

use base::{Instant, Rng, Timestamp};

use super::cache_control::{CacheControl, MaxStale, seconds};
use super::{Answer, NotKept, Received, Request, Rules, Vary, is_heuristic, may_keep};
use crate::http_date;

/// After a renewal that failed the next one waits so long.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What to do with a request for which there is an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Answer with it.
    Serve {
        /// For the field `Age`.
        age: Duration,
        /// And ask for a new one in the background, with its validators; told to one caller at a time.
        renew: bool,
    },
    /// Ask the service, with the entry's validators.
    Ask,
    /// The client wants it from the cache or not at all: answer 504.
    Refuse,
}

/// The facts of one kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    directives: CacheControl,
    expires: Option<Option<Timestamp>>,
    etag: Option<Box<[u8]>>,
    last_modified: Option<Box<[u8]>>,
    status: u16,
    /// Its age when it came, and when that was.
    age: Duration,
    came: Instant,
    /// How long the service took to answer.
    took: Duration,
    lifetime: Duration,
    /// Another caller renews it until then.
    renewing: Option<Instant>,
}

impl Entry {
    /// Of an answer that may be kept. Check [`Vary`] besides, when the answer has one.
    ///
    /// # Errors
    /// Why it must not be kept, or why that would be of no use.
    pub fn of(
        rules: &Rules,
        request: &Request,
        answer: &Answer,
        received: Received,
    ) -> Result<Self, NotKept> {
        let directives = answer.cache_control.map(CacheControl::parse).unwrap_or_default();
        if !may_keep(answer.status) {
            return Err(NotKept::Status);
        }
        may_store(request, answer, &directives)?;
        let (entry, told) = Self::draft(rules, answer, directives, received);
        if !told && !directives.public && !directives.no_cache {
            return Err(NotKept::Silent);
        }
        let can_be_renewed = entry.etag.is_some() || entry.last_modified.is_some();
        let useful = entry.age < entry.lifetime && !directives.no_cache;
        if !useful && !can_be_renewed && entry.may_be_stale(rules).is_zero() {
            return Err(NotKept::Stale);
        }
        Ok(entry)
    }

    /// An answer's facts, and whether anything told how long it is fresh.
    fn draft(rules: &Rules, answer: &Answer, directives: CacheControl, received: Received) -> (Self, bool) {
        let mut entry = Self {
            directives,
            expires: answer.expires.map(|value| http_date::parse(value, received.wall)),
            etag: answer.etag.map(Into::into),
            last_modified: answer.last_modified.map(Into::into),
            status: answer.status,
            age: Duration::ZERO,
            came: received.now,
            took: Duration::ZERO,
            lifetime: Duration::ZERO,
            renewing: None,
        };
        let told = entry.date_it(rules, answer, received);
        (entry, told)
    }

    /// What to do with a request that it fits. Chance decides on early renewal.
    pub fn decide(&mut self, rules: &Rules, request: &Request, now: Instant, rng: &mut Rng) -> Use {
        let wishes = request.directives();
        let ask = if wishes.only_if_cached { Use::Refuse } else { Use::Ask };
        let age = self.age(now);
        if self.directives.no_cache || !request.is_get || request.ranged {
            return ask;
        }
        if rules.heed_requests && (wishes.no_cache || wishes.max_age.is_some_and(|most| age > most)) {
            return ask;
        }
        let left = self.lifetime.checked_sub(age).filter(|left| !left.is_zero());
        if let Some(left) = left {
            let too_short = rules.heed_requests && wishes.min_fresh.is_some_and(|least| left < least);
            if too_short {
                return ask;
            }
            let renew = self.renews_early(rules, left, rng) && self.take_renewal(rules, now);
            return Use::Serve { age, renew };
        }
        let stale_by = age.saturating_sub(self.lifetime);
        if rules.heed_requests && wishes.min_fresh.is_some() {
            return ask;
        }
        if stale_by < self.while_revalidate(rules) {
            return Use::Serve { age, renew: self.take_renewal(rules, now) };
        }
        if rules.heed_requests && self.client_takes(wishes, stale_by) {
            return Use::Serve { age, renew: false };
        }
        ask
    }

    /// Whether it may answer although it is stale, because the service gave no answer or one of 500, 502, 503 or 504;
    /// then with this age.
    pub fn serves_on_error(&self, rules: &Rules, status: Option<u16>, now: Instant) -> Option<Duration> {
        let failed = status.is_none_or(|status| matches!(status, 500 | 502 | 503 | 504));
        let age = self.age(now);
        let fresh = age < self.lifetime && !self.directives.no_cache;
        let bound = self.stale_by(self.directives.stale_if_error, rules.stale_if_error);
        let allowed = fresh || age.saturating_sub(self.lifetime) < bound;
        (failed && allowed).then_some(age)
    }

    /// The service has answered 304 to the validators: the entry goes on with the fields of that answer.
    pub fn refresh(&mut self, rules: &Rules, answer: &Answer, received: Received) {
        if let Some(value) = answer.cache_control {
            self.directives = CacheControl::parse(value);
        }
        if let Some(value) = answer.expires {
            self.expires = Some(http_date::parse(value, received.wall));
        }
        self.etag = answer.etag.map(Into::into).or(self.etag.take());
        self.last_modified = answer.last_modified.map(Into::into).or(self.last_modified.take());
        self.renewing = None;
        self.date_it(rules, answer, received);
    }

    /// A renewal in the background brought nothing: the next may begin a second later.
    pub fn renewal_failed(&mut self, now: Instant) {
        self.renewing = Some(now + AFTER_FAILURE);
    }

    /// The conditions to ask with: names and values of fields.
    pub fn validators(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let etag = self.etag.as_deref().map(|value| ("if-none-match", value));
        etag.into_iter().chain(self.last_modified.as_deref().map(|value| ("if-modified-since", value)))
    }

    /// Whether a client that has the conditions of its own gets 304, because it holds this very answer.
    pub fn is_held_by(&self, if_none_match: Option<&[u8]>, if_modified_since: Option<&[u8]>) -> bool {
        if self.status != 200 {
            return false;
        }
        match (if_none_match, if_modified_since, &self.last_modified) {
            (Some(value), _, _) => self.etag.as_deref().is_some_and(|etag| lists(value, etag)),
            // A date that is the very one we gave needs no reading.
            (None, Some(since), Some(modified)) => since.trim_ascii() == modified.trim_ascii(),
            (None, _, _) => false,
        }
    }

    /// Its age, for the field `Age`.
    pub fn age(&self, now: Instant) -> Duration {
        self.age + now.since(self.came)
    }

    /// The age up to which it is fresh.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Whether the answer itself allows that it is used again, and not the route alone.
    pub fn is_told(&self) -> bool {
        let CacheControl { max_age, s_maxage, public, .. } = self.directives;
        max_age.is_some() || s_maxage.is_some() || public || self.expires.is_some()
    }

    /// Whether it may answer requests with `Authorization` too (RFC 9111, section 3.5).
    pub fn is_for_all(&self) -> bool {
        self.directives.public || self.directives.s_maxage.is_some()
    }

    /// Until when it can be of use without being renewed: past that, a store may let it go.
    pub fn ends(&self, rules: &Rules) -> Instant {
        self.came + self.lifetime.saturating_sub(self.age) + self.may_be_stale(rules)
    }

    /// Works out age and lifetime; says whether anything told how long it is fresh.
    fn date_it(&mut self, rules: &Rules, answer: &Answer, received: Received) -> bool {
        let date =
            answer.date.and_then(|value| http_date::parse(value, received.wall)).unwrap_or(received.wall);
        self.took = received.now.since(received.asked);
        self.came = received.now;
        // RFC 9111, section 4.2.3.
        let told_age = answer.age.map_or(Duration::ZERO, |value| seconds(value.trim_ascii()));
        self.age = received.wall.since(date).max(told_age + self.took);
        let heuristic = || {
            let share = rules.heuristic.filter(|_| is_heuristic(self.status))?;
            let modified = http_date::parse(self.last_modified.as_deref()?, received.wall)?;
            Some(date.since(modified).mul_f64(share.clamp(0.0, 1.0)))
        };
        let told = self.directives.s_maxage.or(self.directives.max_age);
        let lifetime = told
            .or_else(|| self.expires.map(|at| at.map_or(Duration::ZERO, |at| at.since(date))))
            .or(rules.ttl.filter(|_| is_heuristic(self.status)))
            .or_else(heuristic);
        self.lifetime = lifetime.unwrap_or_default().min(rules.longest);
        lifetime.is_some()
    }

    /// The paper's rule: as if now were later by chance, the more the longer an answer takes.
    fn renews_early(&self, rules: &Rules, left: Duration, rng: &mut Rng) -> bool {
        if rules.early <= 0.0 {
            return false;
        }
        let chance = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        -self.took.as_secs_f64() * rules.early * chance.ln() >= left.as_secs_f64()
    }

    fn take_renewal(&mut self, rules: &Rules, now: Instant) -> bool {
        let free = self.renewing.is_none_or(|until| now >= until);
        if free {
            self.renewing = Some(now + rules.renew_within);
        }
        free
    }

    fn client_takes(&self, wishes: CacheControl, stale_by: Duration) -> bool {
        let allowed = !self.must_be_fresh() && self.directives.s_maxage.is_none();
        allowed
            && match wishes.max_stale {
                Some(MaxStale::Any) => true,
                Some(MaxStale::By(most)) => stale_by <= most,
                None => false,
            }
    }

    fn while_revalidate(&self, rules: &Rules) -> Duration {
        self.stale_by(self.directives.stale_while_revalidate, rules.stale_while_revalidate)
    }

    fn may_be_stale(&self, rules: &Rules) -> Duration {
        let on_error = self.stale_by(self.directives.stale_if_error, rules.stale_if_error);
        self.while_revalidate(rules).max(on_error)
    }

    /// How stale it may be: as it says itself, or as the route says where it does not and nothing forbids.
    fn stale_by(&self, told: Option<Duration>, by_route: Option<Duration>) -> Duration {
        if self.must_be_fresh() {
            return Duration::ZERO;
        }
        let by_route = by_route.filter(|_| self.directives.s_maxage.is_none());
        told.or(by_route).unwrap_or_default()
    }

    fn must_be_fresh(&self) -> bool {
        self.directives.must_revalidate || self.directives.proxy_revalidate || self.directives.no_cache
    }
}

/// Whether those who wait for this very request may have its answer too, kept or not.
///
/// It need not be fresh any more by the time it comes: had they asked themselves, theirs would be no younger. The errors of
/// a server are shared like what is kept, since whoever asks again only adds to what it cannot do.
///
/// # Errors
/// Why it is for its own request only.
pub fn may_share(
    rules: &Rules,
    request: &Request,
    answer: &Answer,
    received: Received,
) -> Result<(), NotKept> {
    let directives = answer.cache_control.map(CacheControl::parse).unwrap_or_default();
    let failed = (500..600).contains(&answer.status);
    if !failed && !may_keep(answer.status) {
        return Err(NotKept::Status);
    }
    may_store(request, answer, &directives)?;
    let (entry, told) = Entry::draft(rules, answer, directives, received);
    let useless = entry.lifetime.is_zero() && entry.while_revalidate(rules).is_zero();
    match (failed, told || directives.public) {
        _ if directives.no_cache => Err(NotKept::Stale),
        (true, _) => Ok(()),
        (false, false) => Err(NotKept::Silent),
        (false, true) if useless => Err(NotKept::Stale),
        (false, true) => Ok(()),
    }
}

/// RFC 9111, section 3, for a shared cache, but for the status.
fn may_store(request: &Request, answer: &Answer, directives: &CacheControl) -> Result<(), NotKept> {
    if !request.is_get || request.ranged {
        return Err(NotKept::Method);
    }
    let no_store = directives.no_store && !directives.must_understand;
    if no_store || request.directives().no_store {
        return Err(NotKept::NoStore);
    }
    if directives.private {
        return Err(NotKept::Private);
    }
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if request.authorized && !shared {
        return Err(NotKept::Authorized);
    }
    if answer.sets_cookie {
        return Err(NotKept::Cookie);
    }
    answer.vary.map_or(Ok(()), |value| Vary::parse(value).map(drop).map_err(|_| NotKept::Vary))
}

/// Whether a list of entity tags, or `*`, has this one; weak and strong alike (RFC 9110, section 8.8.3.2).
fn lists(value: &[u8], etag: &[u8]) -> bool {
    let opaque = |tag: &[u8]| tag.trim_ascii().strip_prefix(b"W/").unwrap_or(tag.trim_ascii()).to_vec();
    value.trim_ascii() == b"*" || value.split(|c| *c == b',').any(|tag| opaque(tag) == opaque(etag))
}
