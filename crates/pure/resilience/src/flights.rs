//! Flights: the same safe request made by many at once is made once, and they share the answer.
//!
//! Model: when a popular answer expires, everybody asks for it in the same moment, and the service behind breaks down
//! under calls that all say the same. The first to ask for a key leads; those who come while its call is out follow and
//! wait. How the call ends decides for them ([`Landing`]):
//!
//! - `Shared`: all get the answer.
//! - `Failed`: one follower is promoted and tries in its place; not all of them, which would be the very stampede.
//! - `Private`: the answer may not be shared (`Set-Cookie`, `private`, a request with `Authorization`), nor will those
//!   to come: all followers go on alone, through whatever limits there are, and for `alone_for` the key is not joined.
//! - `Differs`: it was good for its own request only (`Vary`): the next follower leads, and those like it follow.
//!
//! A leader that does not land within `patience` is taken for lost, and the next that looks leads instead: one that
//! joins, or a follower by [`Flights::tick`]. Its landing then comes too late and tells nobody.
//!
//! Keys are numbers that the caller makes of method, target and what selects an answer, hashed with a secret; who could
//! make two keys collide would get another's answer. Callers are named by numbers too, each once at a time.
//!
//! Source: Nygard: "Release It!", 2nd edition, 2018, "Dogpile"; Go's `singleflight`; Varnish's request coalescing and
//! hit-for-miss, whose slow one-by-one release `Private` avoids.
//!
//! Defaults of [`Policy`]: `keys` 1,024 flights at once and `followers` 1,024 each, 16,384 in all: 128 KiB of numbers;
//! what finds no place goes alone, which is safe. `patience` 5 s: longer than most answers, shorter than their clients'
//! patience; `alone_for` 10 s and `alone_keys` 1,024: a key that was private will be again.
//!
//! ```
//! use base::Instant;
//! use resilience::flights::{Flights, Landing, Next, Policy, Role, Who};
//!
//! let mut flights = Flights::new(Policy::default());
//! let now = Instant::from_secs(1);
//! let Role::Lead(flight) = flights.join(7, Who(1), now) else { panic!("nobody was there") };
//! assert!(matches!(flights.join(7, Who(2), now), Role::Follow));
//! let mut next = Vec::new();
//! flights.land(flight, Landing::Shared, now, &mut next);
//! assert!(matches!(next[..], [(Who(2), Next::Take)]));
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use base::Instant;

use crate::hash::KeyMap;

/// Names one caller; each number at most once at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who(pub u64);

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Flights at once.
    pub keys: usize,
    /// Followers of one.
    pub followers: usize,
    /// Followers of all.
    pub followers_in_all: usize,
    /// A leader that has not landed by then is lost.
    pub patience: Duration,
    /// So long a key is not joined after a private answer.
    pub alone_for: Duration,
    /// So many such keys are remembered.
    pub alone_keys: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keys: 1024,
            followers: 1024,
            followers_in_all: 16_384,
            patience: Duration::from_secs(5),
            alone_for: Duration::from_secs(10),
            alone_keys: 1024,
        }
    }
}

/// What a caller is to do.
#[derive(Debug)]
pub enum Role {
    /// Make the call, and [`land`](Flights::land).
    Lead(Flight),
    /// Wait until a landing tells it what next.
    Follow,
    /// Make the call and tell nobody.
    Alone,
}

/// A call that others wait for; give it back with [`Flights::land`].
#[must_use = "others wait for it until it lands"]
#[derive(Debug)]
pub struct Flight {
    key: u64,
    number: u64,
}

/// How a leader's call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// With an answer for all.
    Shared,
    /// Without a good answer.
    Failed,
    /// With an answer that is for nobody else, as those to come will be.
    Private,
    /// With an answer that is not for the requests of the followers, who may share one of their own.
    Differs,
}

/// What a follower is to do.
#[derive(Debug)]
pub enum Next {
    /// Take the answer of the leader that has landed.
    Take,
    /// Lead: make the call, and land.
    Lead(Flight),
    /// Make the call and tell nobody.
    Alone,
}

#[derive(Debug)]
struct Aloft {
    number: u64,
    lost_at: Instant,
    followers: VecDeque<Who>,
}

/// All calls that others may wait for.
#[derive(Debug)]
pub struct Flights {
    policy: Policy,
    aloft: KeyMap<Aloft>,
    followers: usize,
    next_number: u64,
    /// Keys that go alone, until when; the same in the order in which they end.
    alone: KeyMap<Instant>,
    alone_order: VecDeque<(Instant, u64)>,
}

impl Flights {
    /// None is aloft.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            aloft: KeyMap::default(),
            followers: 0,
            next_number: 0,
            alone: KeyMap::default(),
            alone_order: VecDeque::new(),
        }
    }

    /// Asks what to do about a request. Only for safe methods: others must not be joined.
    pub fn join(&mut self, key: u64, who: Who, now: Instant) -> Role {
        if self.goes_alone(key, now) {
            return Role::Alone;
        }
        let aloft = self.aloft.len();
        let number = self.next_number;
        match self.aloft.get_mut(&key) {
            None if aloft >= self.policy.keys => Role::Alone,
            None => {
                self.next_number += 1;
                let lost_at = now + self.policy.patience;
                self.aloft.insert(key, Aloft { number, lost_at, followers: VecDeque::new() });
                Role::Lead(Flight { key, number })
            }
            Some(flight) if now >= flight.lost_at => {
                self.next_number += 1;
                flight.number = number;
                flight.lost_at = now + self.policy.patience;
                Role::Lead(Flight { key, number })
            }
            Some(flight) => {
                let full = flight.followers.len() >= self.policy.followers;
                if full || self.followers >= self.policy.followers_in_all {
                    return Role::Alone;
                }
                flight.followers.push_back(who);
                self.followers += 1;
                Role::Follow
            }
        }
    }

    /// A leader's call has ended: tells who is to do what next. Followers that are not told of wait on.
    pub fn land(&mut self, flight: Flight, landing: Landing, now: Instant, next: &mut Vec<(Who, Next)>) {
        let Flight { key, number } = flight;
        if self.aloft.get(&key).is_none_or(|aloft| aloft.number != number) {
            // It was taken for lost, and another leads.
            return;
        }
        match landing {
            Landing::Shared => next.extend(self.dissolve(key).map(|who| (who, Next::Take))),
            Landing::Private => {
                self.go_alone(key, now);
                next.extend(self.dissolve(key).map(|who| (who, Next::Alone)));
            }
            Landing::Failed | Landing::Differs => next.extend(self.promote(key, now)),
        }
    }

    /// A follower has gone away. Nothing happens if it does not follow.
    pub fn leave(&mut self, key: u64, who: Who) {
        if let Some(aloft) = self.aloft.get_mut(&key)
            && let Some(at) = aloft.followers.iter().position(|other| *other == who)
        {
            aloft.followers.remove(at);
            self.followers -= 1;
        }
    }

    /// Promotes followers of leaders that are lost; ask about once a second.
    pub fn tick(&mut self, now: Instant, next: &mut Vec<(Who, Next)>) {
        let late = self.aloft.iter().filter(|(_, aloft)| now >= aloft.lost_at);
        let lost: Vec<u64> = late.map(|(key, _)| *key).collect();
        for key in lost {
            next.extend(self.promote(key, now));
        }
    }

    /// Flights and followers at this moment.
    pub fn load(&self) -> (usize, usize) {
        (self.aloft.len(), self.followers)
    }

    /// Ends a flight and gives its followers.
    fn dissolve(&mut self, key: u64) -> impl Iterator<Item = Who> + use<> {
        let followers = self.aloft.remove(&key).map(|aloft| aloft.followers).unwrap_or_default();
        self.followers -= followers.len();
        followers.into_iter()
    }

    /// The first follower leads; without one the flight ends.
    fn promote(&mut self, key: u64, now: Instant) -> Option<(Who, Next)> {
        let aloft = self.aloft.get_mut(&key)?;
        let Some(who) = aloft.followers.pop_front() else {
            self.aloft.remove(&key);
            return None;
        };
        self.followers -= 1;
        let number = self.next_number;
        self.next_number += 1;
        aloft.number = number;
        aloft.lost_at = now + self.policy.patience;
        Some((who, Next::Lead(Flight { key, number })))
    }

    fn goes_alone(&mut self, key: u64, now: Instant) -> bool {
        while let Some((until, old)) = self.alone_order.front().copied()
            && (now >= until || self.alone_order.len() > self.policy.alone_keys)
        {
            self.alone_order.pop_front();
            if self.alone.get(&old) == Some(&until) {
                self.alone.remove(&old);
            }
        }
        !self.alone.is_empty() && self.alone.contains_key(&key)
    }

    fn go_alone(&mut self, key: u64, now: Instant) {
        let until = now + self.policy.alone_for;
        self.alone.insert(key, until);
        self.alone_order.push_back((until, key));
        self.goes_alone(key, now);
    }
}

#[cfg(test)]
mod tests;
