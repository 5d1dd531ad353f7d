//! Answers that are kept for others, and requests that wait for the answer to another's: one cache a pool, for all threads.
//!
//! A pool whose service asks for none has no [`Cache`], and its requests look once. What may be kept and for how long is
//! decided by `resilience::freshness`, who waits for whom by `resilience::flights`; here are the lock around both, and the
//! answers. A fetch ([`fetch`]) is a request of the edge's own that belongs to no client: it writes what the instance
//! answers into a [`Catch`](catch::Catch), which decides about it when its head is there.
//!
//! Invariant: an answer is given to another request only if both were let in by themselves, ask for the same by the same
//! scheme, host and target, and agree in every field that the answer names in `Vary`.

mod catch;
mod fetch;
mod kept;
mod part;
mod pipe;
mod purge;
mod wanted;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, ContainerId, Instant, Rng, SystemClock};
use resilience::flights::{self, Flight, Flights, Landing, Next, Role, Who};
use resilience::freshness::{Entry, Rules, Store, Use, Vary};
use spec::Caching;
use tokio::sync::oneshot;

use crate::endpoint::EndpointState;
use crate::head::Field;
use crate::refusal::Refusal;
use crate::status::CacheStatus;

pub(crate) use catch::Inlet;
pub(crate) use fetch::{Order, Told, begin};
pub(crate) use kept::Kept;
pub(crate) use pipe::Outlet;
pub(crate) use purge::purge;
pub use purge::{Address, Purge, Purged};
pub(crate) use wanted::{Credential, Incoming, Noted, Wanted};

/// Who waits for an answer to another's request: as many as a thread may have connections, nearly.
const FOLLOWERS: usize = 16_384;
/// After a fetch that failed, what is stale is given at once for as long as that took, within these bounds.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a service keeps of its answers.
pub(crate) struct Cache {
    policy: Caching,
    rules: Rules,
    /// For requests with cookies: what answers allow themselves, and nothing beyond that.
    told_rules: Rules,
    inner: Mutex<Inner>,
    pub(crate) counts: Counts,
    /// Bytes of answers that are still coming and may be kept.
    coming: AtomicU64,
    /// Keys are hashed with a secret, so that nobody can choose whose answer he gets.
    keys: RandomState,
    /// In the place of the instance that an answer comes from.
    nobody: Arc<EndpointState>,
}

/// What was done with requests, over all threads and tables.
#[derive(Default)]
pub(crate) struct Counts {
    hits: AtomicU64,
    stale: AtomicU64,
    on_error: AtomicU64,
    misses: AtomicU64,
    confirmed: AtomicU64,
    joined: AtomicU64,
    passed: AtomicU64,
    renewed: AtomicU64,
    purged: AtomicU64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Hit,
    Stale,
    OnError,
    Miss,
    /// What was kept is still good, as the instance says.
    Confirmed,
    Joined,
    Passed,
    /// Not a client's: a new answer is fetched while the stale one is given.
    Renewed,
}

impl Done {
    /// Its name, for logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::OnError => "error",
            Self::Miss => "miss",
            Self::Confirmed => "confirmed",
            Self::Joined => "joined",
            Self::Passed => "passed",
            Self::Renewed => "renewed",
        }
    }
}

impl Counts {
    pub(crate) fn note(&self, done: Done) {
        let counter = match done {
            Done::Hit => &self.hits,
            Done::Stale => &self.stale,
            Done::OnError => &self.on_error,
            Done::Miss => &self.misses,
            Done::Confirmed => &self.confirmed,
            Done::Joined => &self.joined,
            Done::Passed => &self.passed,
            Done::Renewed => &self.renewed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

struct Inner {
    store: Store<Item>,
    flights: Flights,
    waiting: HashMap<u64, oneshot::Sender<Turn>>,
    next_who: u64,
    /// By the hash of their target: fetches under way, and how often the target was made invalid meanwhile.
    under_way: HashMap<u64, (u32, u64)>,
    next_number: u64,
    /// The revision of the instances whose answers are kept, and how often all of them were thrown away.
    revision: String,
    purges: u64,
    rng: Rng,
}

/// What is kept under a key.
enum Item {
    /// Under that of a target: what its answers vary by. The number is in their keys, so that a target that was made invalid
    /// does not find the answers of before.
    Names(Vary, u64),
    Answer(Box<Entry>, Arc<Kept>, Option<Instant>),
}

/// What a request that waits is told.
pub(crate) enum Turn {
    Take(Arc<Kept>),
    Refused(Refusal, bool),
    /// Fetch it in the place of one that came to nothing.
    Lead(Led),
    Alone,
}

/// How a fetch ended for those who wait.
pub(super) enum Outcome {
    Take(Arc<Kept>),
    Refused(Refusal, bool),
    /// The answer is for nobody else, as those to come will be.
    Alone,
    /// The answer is kept, and is for nobody else before the instance has said that it is still good.
    Apart,
    Failed,
}

/// Leave to fetch what others wait for; they hear of it at the latest when it is dropped.
pub(crate) struct Led {
    cache: Arc<Cache>,
    flight: Option<Flight>,
    target: u64,
    /// As it was when the fetch began.
    invalid: u64,
    purges: u64,
}

impl Drop for Led {
    fn drop(&mut self) {
        self.land(&Outcome::Failed);
        self.cache.locked().end(self.target);
    }
}

impl Led {
    /// Tells those who wait; once.
    fn land(&mut self, outcome: &Outcome) {
        if let Some(flight) = self.flight.take() {
            self.cache.land(flight, self.target, outcome);
        }
    }
}

/// A place among those who wait.
pub(crate) struct Waiting {
    cache: Arc<Cache>,
    key: u64,
    who: u64,
    pub(crate) turn: oneshot::Receiver<Turn>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.cache.locked();
        inner.flights.leave(self.key, Who(self.who));
        inner.waiting.remove(&self.who);
    }
}

/// What is found for a request.
pub(crate) enum Look {
    Serve {
        kept: Arc<Kept>,
        how: Done,
        /// Leave to fetch a new one meanwhile.
        renew: Option<Led>,
    },
    /// The client wants what is kept, and there is nothing.
    Refuse,
    /// The request goes its own way, and why.
    Alone(&'static str),
    Lead(Led, Option<Arc<Kept>>),
    Follow(Waiting),
}

impl Cache {
    /// What a service wants kept, if it wants that: what it had before, as long as it wants the same.
    pub(crate) fn of(
        wanted: Option<&Caching>,
        (revision, threads): (&str, usize),
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let policy = *wanted?;
        if let Some(before) = before.filter(|before| before.policy == policy) {
            before.go_by(revision);
            return Some(before.clone());
        }
        let told_rules = Rules {
            stale_while_revalidate: policy.stale_while_revalidate,
            stale_if_error: policy.stale_if_error,
            ..Rules::default()
        };
        let flights = flights::Policy {
            followers: FOLLOWERS,
            followers_in_all: FOLLOWERS,
            // Fetches have bounds of their own, and always tell how they ended.
            patience: Duration::from_secs(86_400),
            ..flights::Policy::default()
        };
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Some(Arc::new(Self {
            policy,
            rules: Rules { ttl: policy.ttl, ..told_rules },
            told_rules,
            inner: Mutex::new(Inner {
                store: Store::new(policy.size.0),
                flights: Flights::new(flights),
                waiting: HashMap::new(),
                next_who: 0,
                under_way: HashMap::new(),
                next_number: 0,
                revision: revision.to_owned(),
                purges: 0,
                rng: Rng::from_kernel(),
            }),
            counts: Counts::default(),
            coming: AtomicU64::new(0),
            keys: RandomState::new(),
            nobody: Arc::new(EndpointState::new(ContainerId::from_bytes([0; 32]), address, threads)),
        }))
    }

    /// Instances of another revision answer from here on: what those before answered is thrown away. While there are none,
    /// or some of either, it stays.
    fn go_by(&self, revision: &str) {
        let mut inner = self.locked();
        if revision.is_empty() || inner.revision == revision {
            return;
        }
        let known = !inner.revision.is_empty();
        inner.revision = revision.to_owned();
        if known {
            inner.store = Store::new(self.policy.size.0);
            inner.purges += 1;
        }
    }

    /// How long one waits for the answer to another's request.
    pub(crate) fn wait(&self) -> Duration {
        self.policy.wait
    }

    /// In the place of an instance.
    pub(crate) fn nobody(&self) -> &Arc<EndpointState> {
        &self.nobody
    }

    /// What was done, and what is kept.
    pub(crate) fn sums(&self) -> CacheStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { hits, stale, on_error, misses, confirmed, joined, passed, renewed, purged } =
            &self.counts;
        let inner = self.locked();
        let (fetches, waiting) = inner.flights.load();
        CacheStatus {
            hits: read(hits),
            stale: read(stale),
            on_error: read(on_error),
            misses: read(misses),
            confirmed: read(confirmed),
            joined: read(joined),
            passed: read(passed),
            renewed: read(renewed),
            purged: read(purged),
            answers: inner.store.len() as u64,
            bytes: inner.store.bytes(),
            most_bytes: self.policy.size.0,
            fetches: fetches as u64,
            waiting: waiting as u64,
        }
    }

    fn rules(&self, credential: Credential) -> &Rules {
        match credential {
            Credential::None => &self.rules,
            Credential::Cookie | Credential::Authorized => &self.told_rules,
        }
    }

    /// A panic under the lock leaves counts as good as before.
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is for a request whose fields, as the instance would see them, are these. `down` says that no instance
    /// takes requests.
    pub(crate) fn look(self: &Arc<Self>, wanted: &Wanted, request: (&[Field], &[u8]), down: bool) -> Look {
        let now = SystemClock.now();
        let mut locked = self.locked();
        let inner = &mut *locked;
        let Ok(key) = inner.key(&wanted.target, request) else { return Look::Alone("vary") };
        let before = match self.kept(inner, wanted, &key, (now, down)) {
            Ok(before) => before,
            Err(look) => return look,
        };
        if let Some(why) = wanted.goes_alone() {
            return why;
        }
        let (hash, target) = self.flight_key(inner, wanted, &key);
        let who = inner.next_who;
        inner.next_who += 1;
        match inner.flights.join(hash, Who(who), now) {
            Role::Alone => Look::Alone("not-shared"),
            Role::Lead(flight) => Look::Lead(self.led(inner, flight, target), before),
            Role::Follow => {
                let (sender, turn) = oneshot::channel();
                inner.waiting.insert(who, sender);
                Look::Follow(Waiting { cache: self.clone(), key: hash, who, turn })
            }
        }
    }

    /// What is kept under a key, if the instance is to be asked about it; otherwise what is to be done.
    fn kept(
        self: &Arc<Self>,
        inner: &mut Inner,
        wanted: &Wanted,
        key: &[u8],
        (now, down): (Instant, bool),
    ) -> Result<Option<Arc<Kept>>, Look> {
        let rules = self.rules(wanted.credential);
        let Some(Item::Answer(entry, kept, rests)) = inner.store.get(key) else { return Ok(None) };
        if !wanted.may_have(entry) {
            return Err(Look::Alone("credentials"));
        }
        let (kept, rests) = (kept.clone(), rests.is_some_and(|until| now < until));
        let is_old = entry.age(now) >= entry.lifetime();
        let (how, renew) = match entry.decide(rules, &wanted.request(), now, &mut inner.rng) {
            Use::Serve { age: _, renew } => (if is_old { Done::Stale } else { Done::Hit }, renew),
            Use::Refuse => return Err(Look::Refuse),
            // Somebody else finds out when that changes.
            Use::Ask if (rests || down) && entry.serves_on_error(rules, None, now).is_some() => {
                (Done::OnError, true)
            }
            Use::Ask => return Ok(Some(kept)),
        };
        let renew = if renew && !rests { self.lead(inner, wanted, key, now) } else { None };
        Err(Look::Serve { kept, how, renew })
    }

    /// What there is for a request, for people; nothing is changed by it.
    pub(crate) fn explain(&self, wanted: &Wanted, request: (&[Field], &[u8])) -> String {
        if let Some(why) = wanted.passes() {
            return format!("nothing that is kept is for it ({why})");
        }
        let alone = match wanted.goes_alone() {
            Some(Look::Alone(why)) => Some(format!("it goes its own way ({why})")),
            Some(_) => Some("it wants nothing else".to_owned()),
            None => None,
        };
        let next =
            alone.unwrap_or_else(|| "its answer is shared with those who ask the same meanwhile".into());
        let now = SystemClock.now();
        let mut inner = self.locked();
        let Ok(key) = inner.key(&wanted.target, request) else { return format!("nothing is kept; {next}") };
        let Some(Item::Answer(entry, kept, _)) = inner.store.get(&key) else {
            return format!("nothing is kept; {next}");
        };
        if !wanted.may_have(entry) {
            return "what is kept is not for those who show who they are".into();
        }
        let bytes = kept.body.len();
        match entry.lifetime().as_secs() as i64 - entry.age(now).as_secs() as i64 {
            fresh if fresh > 0 => format!("an answer of {bytes} bytes is kept, fresh for {fresh} s"),
            stale => {
                format!("an answer of {bytes} bytes is kept, stale for {} s; {next}", stale.unsigned_abs())
            }
        }
    }

    /// What all that wait for one answer have in common, and its target.
    fn flight_key(&self, inner: &Inner, wanted: &Wanted, key: &[u8]) -> (u64, u64) {
        let target = self.keys.hash_one(&wanted.target);
        let invalid = inner.under_way.get(&target).map_or(0, |(_, invalid)| *invalid);
        let cookie = wanted.credential == Credential::Cookie;
        (self.keys.hash_one((key, cookie, invalid)), target)
    }

    /// Leave to fetch a new answer, unless somebody does.
    fn lead(self: &Arc<Self>, inner: &mut Inner, wanted: &Wanted, key: &[u8], now: Instant) -> Option<Led> {
        let (hash, target) = self.flight_key(inner, wanted, key);
        let who = Who(inner.next_who);
        inner.next_who += 1;
        match inner.flights.join(hash, who, now) {
            Role::Lead(flight) => Some(self.led(inner, flight, target)),
            Role::Follow => {
                inner.flights.leave(hash, who);
                None
            }
            Role::Alone => None,
        }
    }

    fn led(self: &Arc<Self>, inner: &mut Inner, flight: Flight, target: u64) -> Led {
        let (count, invalid) = inner.under_way.entry(target).or_default();
        *count += 1;
        let invalid = *invalid;
        Led { cache: self.clone(), flight: Some(flight), target, invalid, purges: inner.purges }
    }

    /// Ends a fetch for those who wait for it. Where one of them is to lead and has gone, it is the next one's turn.
    fn land(self: &Arc<Self>, flight: Flight, target: u64, outcome: &Outcome) {
        let mut landed = Some(flight);
        let mut outcome = outcome;
        while let Some(flight) = landed.take() {
            let (mut next, mut gone) = (Vec::new(), Vec::new());
            let mut locked = self.locked();
            let inner = &mut *locked;
            let landing = match outcome {
                Outcome::Take(_) | Outcome::Refused(..) | Outcome::Apart => Landing::Shared,
                Outcome::Alone => Landing::Private,
                Outcome::Failed => Landing::Failed,
            };
            inner.flights.land(flight, landing, SystemClock.now(), &mut next);
            for (who, next) in next {
                let turn = match (next, outcome) {
                    (Next::Take, Outcome::Take(kept)) => Turn::Take(kept.clone()),
                    (Next::Take, Outcome::Refused(refusal, marked)) => Turn::Refused(*refusal, *marked),
                    (Next::Take, Outcome::Alone | Outcome::Apart | Outcome::Failed) | (Next::Alone, _) => {
                        Turn::Alone
                    }
                    (Next::Lead(flight), _) => Turn::Lead(self.led(inner, flight, target)),
                };
                match inner.waiting.remove(&who.0) {
                    Some(sender) => gone.extend(sender.send(turn).err()),
                    None => gone.push(turn),
                }
            }
            drop(locked);
            for turn in gone {
                if let Turn::Lead(mut led) = turn {
                    landed = led.flight.take();
                }
            }
            outcome = &Outcome::Failed;
        }
    }

    /// Keeps an answer, unless its target was made invalid while it was fetched.
    fn keep(&self, led: &Led, target: &[u8], kept: &Arc<Kept>) {
        let Some(entry) = kept.entry.clone() else { return };
        let mut inner = self.locked();
        let invalid = inner.under_way.get(&led.target).map_or(led.invalid, |(_, invalid)| *invalid);
        if invalid != led.invalid || inner.purges != led.purges {
            return;
        }
        if !kept.vary.is_none() && !inner.has_number(target, &kept.key) {
            return;
        }
        let bytes = kept.bytes();
        // One that is too large is not kept, and what was there is gone, as it should be.
        let _ = inner.store.insert(&kept.key, Item::Answer(Box::new(entry), kept.clone(), None), bytes);
    }

    /// The key by which an answer that varies so is found, for a request with these fields; none where what it is chosen by
    /// is too long.
    fn key_for(&self, target: &[u8], vary: &Vary, request: (&[Field], &[u8])) -> Option<Vec<u8>> {
        if vary.is_none() {
            return Some(target.to_vec());
        }
        let number = self.locked().number_of(target, vary);
        variant(target, vary, number, request)
    }

    /// A fetch for an answer that is kept came to nothing: no other is begun for a while.
    fn rest(&self, kept: &Kept, took: Duration, now: Instant) {
        let mut inner = self.locked();
        if let Some(Item::Answer(entry, _, rests)) = inner.store.get(&kept.key) {
            entry.renewal_failed(now);
            *rests = Some(now + took.clamp(REST.0, REST.1));
        }
    }

    /// What is kept is not true any more.
    fn forget(&self, kept: &Kept) {
        self.locked().store.remove(&kept.key);
    }

    /// A request that may change it was answered well: nothing that was kept for this target is given again, and nobody
    /// who comes from here on gets the answer to a request that came before (RFC 9111, section 4.4).
    pub(crate) fn invalidate(&self, target: &[u8]) {
        let hash = self.keys.hash_one(target);
        let mut inner = self.locked();
        inner.store.remove(target);
        if let Some((_, invalid)) = inner.under_way.get_mut(&hash) {
            *invalid += 1;
        }
    }
}

impl Inner {
    /// The key of the answer that fits a request.
    fn key(&mut self, target: &[u8], request: (&[Field], &[u8])) -> Result<Vec<u8>, ()> {
        match self.store.get(target) {
            Some(Item::Names(vary, number)) => variant(target, vary, *number, request).ok_or(()),
            Some(Item::Answer(..)) | None => Ok(target.to_vec()),
        }
    }

    /// The number in the keys of a target's answers; notes what they vary by.
    fn number_of(&mut self, target: &[u8], vary: &Vary) -> u64 {
        if let Some(Item::Names(names, number)) = self.store.get(target)
            && names == vary
        {
            return *number;
        }
        self.next_number += 1;
        let bytes = vary.names().map(|name| name.len() as u64 + 32).sum();
        // Where it finds no place, answers are not found either.
        let _ = self.store.insert(target, Item::Names(vary.clone(), self.next_number), bytes);
        self.next_number
    }

    /// Whether this is a key of the target's present answers.
    fn has_number(&mut self, target: &[u8], key: &[u8]) -> bool {
        let number = key.get(target.len()..target.len() + 8);
        match self.store.get(target) {
            Some(Item::Names(_, known)) => number == Some(&known.to_be_bytes()[..]),
            Some(Item::Answer(..)) | None => false,
        }
    }

    /// A fetch for this target has ended.
    fn end(&mut self, target: u64) {
        if let Some((count, _)) = self.under_way.get_mut(&target) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&target);
            }
        }
    }
}

/// The key of one of several answers for a target; none where what it is chosen by is too long.
fn variant(target: &[u8], vary: &Vary, number: u64, (fields, buf): (&[Field], &[u8])) -> Option<Vec<u8>> {
    let mut base = target.to_vec();
    base.extend_from_slice(&number.to_be_bytes());
    let values: Vec<_> = vary.names().map(|name| (name, kept::joined(fields, buf, name))).collect();
    let value = |name: &str| values.iter().find(|(have, _)| *have == name)?.1.as_deref();
    vary.key(&base, value).ok()
}

#[cfg(test)]
mod tests;
