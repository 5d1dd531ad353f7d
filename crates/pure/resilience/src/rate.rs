//! Rate limits by key: so many requests in a time, with bursts, for thousands of clients in fixed memory.
//!
//! Model: the generic cell rate algorithm. A key has one number, the moment at which it will have its full burst
//! again; each request moves it on by the time that one request takes at the rate, and is refused if that is further
//! ahead than a burst allows. This is a token bucket without a timer that fills it.
//!
//! Keys lie in a table of fixed size ([`Limiter`]), each in one of two small sets that its hash names. One that has
//! its full burst again is forgotten when its place is needed, which changes nothing for it. A key that is *not* full
//! is never forgotten, so nobody gets rid of a limit by making many keys. If all sixteen places of a new key are taken
//! by such, it shares the spare place of its set with others of its kind: an attack by many keys can slow strangers
//! down and neither frees the attacker nor hurts a client that the table knows. A key that came once takes a place for
//! `1 / rate` only, so a table of 65,536 places at 10 requests a second holds 655,360 new keys a second before anybody
//! shares.
//!
//! Keys are numbers that the caller hashes with a secret (as `std`'s `RandomState` does), for who can make keys of one
//! set can fill it.
//!
//! Sources: ITU-T I.371, annex A; the limiter of the `governor` crate; Azar et al.: "Balanced allocations", STOC 1994,
//! for the two sets; the fields are those of draft-ietf-httpapi-ratelimit-headers-10 and RFC 9110, section 10.2.3.
//!
//! Default of [`Limiter::new`]'s `keys`: [`Limiter::KEYS`] 65,536 places, which are 1.1 MiB.
//!
//! ```
//! use std::time::Duration;
//! use base::Instant;
//! use resilience::rate::{Limiter, Quota};
//!
//! let quota = Quota::new(10, Duration::from_secs(1), 2);
//! let mut limiter = Limiter::new(quota, 1000);
//! let now = Instant::from_secs(1);
//! assert!(limiter.check(42, 1, now).is_ok() && limiter.check(42, 1, now).is_ok());
//! let refused = limiter.check(42, 1, now).err().and_then(|told| told.retry_after);
//! assert_eq!(refused, Some(Duration::from_millis(100)));
//! assert!(limiter.check(7, 1, now).is_ok());
//! ```

use std::time::Duration;

use base::Instant;

use crate::deadline::push_digits;
use crate::hash::mix;
use crate::refusal::sentences;

/// Places of a set; two sets to a key.
const WAYS: usize = 8;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// One request at the rate.
    each_ns: u64,
    burst: u32,
}

impl Quota {
    /// `requests` in `time`, of which up to `burst` may come at once. Each is at least 1; a rate above one a nanosecond
    /// is one a nanosecond.
    pub fn new(requests: u32, time: Duration, burst: u32) -> Self {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let burst = burst.max(1);
        // So that a full burst is within what can be counted: 292 years.
        let most_ns = u64::MAX / 2 / u64::from(burst);
        Self { each_ns: (time_ns / u64::from(requests.max(1))).clamp(1, most_ns), burst }
    }

    /// The most at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time in which an empty key has its full burst again.
    pub fn refill(self) -> Duration {
        Duration::from_nanos(self.each_ns * u64::from(self.burst))
    }
}

/// Where a key stands after it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// So many more are allowed at this moment.
    pub remaining: u32,
    /// When the full burst is there again.
    pub full_after: Duration,
    /// When the request that was refused would be allowed; none if it was allowed, or never will be because it costs
    /// more than the burst.
    pub retry_after: Option<Duration>,
    /// The key shares its allowance with other strangers, because the table is full.
    pub shared: bool,
}

sentences! {
    Told: |_it, f| f.write_str("the client has sent more requests than its rate allows");
}

impl Told {
    /// Appends the value of `RateLimit`: what remains, and the seconds to the full burst, rounded up.
    pub fn write_ratelimit(&self, policy: &str, out: &mut Vec<u8>) {
        push_name(policy, out);
        out.extend_from_slice(b";r=");
        push_digits(u64::from(self.remaining), out);
        out.extend_from_slice(b";t=");
        push_digits(seconds_up(self.full_after), out);
    }

    /// Appends the value of `Retry-After`: seconds, rounded up and at least 1. Nothing if there is none.
    pub fn write_retry_after(&self, out: &mut Vec<u8>) {
        if let Some(after) = self.retry_after {
            push_digits(seconds_up(after).max(1), out);
        }
    }
}

impl Quota {
    /// Appends the value of `RateLimit-Policy`: the burst, and the seconds in which it comes back.
    pub fn write_policy(self, policy: &str, out: &mut Vec<u8>) {
        push_name(policy, out);
        out.extend_from_slice(b";q=");
        push_digits(u64::from(self.burst), out);
        out.extend_from_slice(b";w=");
        push_digits(seconds_up(self.refill()), out);
    }
}

/// The state of one key: the moment at which it is full. Usable without a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell(u64);

impl Cell {
    /// Takes `cost` requests, all or none.
    ///
    /// # Errors
    /// When they are not allowed now; nothing is taken then.
    pub fn take(&mut self, quota: Quota, cost: u32, now: Instant) -> Result<Told, Told> {
        let full_at = self.0.max(now.0);
        let most = now.0.saturating_add(quota.each_ns * u64::from(quota.burst));
        let next = full_at.saturating_add(quota.each_ns.saturating_mul(u64::from(cost)));
        if next <= most {
            self.0 = next;
            return Ok(self.told(quota, None, now));
        }
        let retry_after = (cost <= quota.burst).then(|| Duration::from_nanos(next - most));
        Err(self.told(quota, retry_after, now))
    }

    /// Where it stands, without taking anything. `retry_after` says when one request would be allowed.
    pub fn look(self, quota: Quota, now: Instant) -> Told {
        match Self(self.0).take(quota, 1, now) {
            Ok(_) => self.told(quota, None, now),
            Err(told) => told,
        }
    }

    fn told(self, quota: Quota, retry_after: Option<Duration>, now: Instant) -> Told {
        let ahead = self.0.saturating_sub(now.0);
        let taken = ahead.div_ceil(quota.each_ns);
        Told {
            remaining: quota.burst.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX)),
            full_after: Duration::from_nanos(ahead),
            retry_after,
            shared: false,
        }
    }
}

/// Eight keys and their cells: two lines of a processor's cache.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Set {
    keys: [u64; WAYS],
    cells: [Cell; WAYS],
}

/// Rate limits of many keys under one quota.
#[derive(Debug, Clone)]
pub struct Limiter {
    quota: Quota,
    sets: Box<[Set]>,
    /// For each set the cell of those who found no place.
    spare: Box<[Cell]>,
}

impl Limiter {
    /// The number of keys that fits most uses.
    pub const KEYS: usize = 65_536;

    /// With places for at least so many keys: 136 bytes for each eight, rounded up to a power of two.
    pub fn new(quota: Quota, keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(2).next_power_of_two();
        Self {
            quota,
            sets: vec![Set::default(); sets].into_boxed_slice(),
            spare: vec![Cell::default(); sets].into_boxed_slice(),
        }
    }

    /// Where a key stands, without taking anything and without giving it a place.
    pub fn look(&self, key: u64, now: Instant) -> Told {
        let (first, second) = self.sets_of(key);
        let place = self.find(first, key).or_else(|| self.find(second, key));
        let cell = place.map_or_else(Cell::default, |(set, way)| self.sets[set].cells[way]);
        cell.look(self.quota, now)
    }

    /// Takes `cost` requests of a key.
    ///
    /// # Errors
    /// When they are not allowed now: answer 429.
    pub fn check(&mut self, key: u64, cost: u32, now: Instant) -> Result<Told, Told> {
        let (first, second) = self.sets_of(key);
        // An empty place has a full cell, so a key that happens to be zero may take it for its own.
        let place = self.find(first, key).or_else(|| self.find(second, key));
        if let Some((set, way)) = place.or_else(|| self.make_room(first, second, key, now)) {
            return self.sets[set].cells[way].take(self.quota, cost, now);
        }
        let shared = |told| Told { shared: true, ..told };
        self.spare[first].take(self.quota, cost, now).map(shared).map_err(shared)
    }

    /// Changes the quota for all keys; what they have used stays used.
    pub fn set_quota(&mut self, quota: Quota) {
        self.quota = quota;
    }

    /// The quota.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    fn sets_of(&self, key: u64) -> (usize, usize) {
        let mask = self.sets.len() as u64 - 1;
        let hash = mix(key);
        let first = hash & mask;
        let second = (hash >> 32) & mask;
        // Two different ones.
        (first as usize, if second == first { (second ^ 1) as usize } else { second as usize })
    }

    fn find(&self, set: usize, key: u64) -> Option<(usize, usize)> {
        self.sets[set].keys.iter().position(|held| *held == key).map(|way| (set, way))
    }

    /// A place for a new key in the set with more keys that are full again, and may be forgotten.
    fn make_room(&mut self, first: usize, second: usize, key: u64, now: Instant) -> Option<(usize, usize)> {
        let free = |set: usize| {
            let full = self.sets[set].cells.map(|cell| cell.0 <= now.0);
            (full.iter().filter(|full| **full).count(), full.iter().position(|full| *full))
        };
        let ((in_first, way_first), (in_second, way_second)) = (free(first), free(second));
        let (set, way) = if in_first >= in_second { (first, way_first?) } else { (second, way_second?) };
        self.sets[set].keys[way] = key;
        self.sets[set].cells[way] = Cell::default();
        Some((set, way))
    }
}

fn seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A name as a string of structured fields (RFC 9651); what cannot stand in one is left out.
fn push_name(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend(name.bytes().filter(|c| matches!(c, b' '..=b'~') && !matches!(c, b'"' | b'\\')));
    out.push(b'"');
}

#[cfg(test)]
mod tests;
