//! What a pool lets in: so many requests at once, and so many in a time. One gate a pool, for all threads together.
//!
//! A pool whose service asks for no bound has no gate, and its requests meet no lock. A gate stays when tables change,
//! as long as the service wants the same.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Instant, Rng, SystemClock};
use resilience::codel::{self, Queue, Taken};
use resilience::limit::{self, AdaptiveLimit, Permit};
use resilience::rate::{Limiter, Quota, Told};
use spec::{EdgePolicy, Limit, RateKey};
use tokio::sync::oneshot;

use crate::refusal::Refusal;

/// The bounds of one pool.
pub(crate) struct Gate {
    policy: EdgePolicy,
    rate: Option<Mutex<Limiter>>,
    turns: Option<Mutex<Turns>>,
    /// Connections that are passed through.
    connections: AtomicU32,
    /// Keys are hashed with a secret, so that nobody can choose whose allowance he shares.
    keys: std::hash::RandomState,
}

/// Requests that are at work, and those that wait for their turn.
struct Turns {
    bound: AdaptiveLimit,
    waiting: Queue<oneshot::Sender<Turn>>,
    /// The longest wait that the service allows.
    wait: Duration,
    rng: Rng,
}

/// Leave to be at work; its end lets the next one in.
pub(crate) struct Turn {
    gate: Arc<Gate>,
    permit: Option<Permit>,
    outcome: limit::Outcome,
}

/// Leave for a connection to be passed through, until it is dropped.
pub(crate) struct Seat(Arc<Gate>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// The gate of a pool, if its service asks for one.
    pub(crate) fn of(policy: &EdgePolicy) -> Option<Arc<Self>> {
        let quota = policy.rate.as_ref().map(|rate| Quota::new(rate.requests, rate.per, rate.burst));
        let keys = match policy.rate.as_ref().map(|rate| &rate.by) {
            Some(RateKey::Service) => 1,
            Some(RateKey::Client | RateKey::Header(_)) | None => Limiter::KEYS,
        };
        let gate = Self {
            policy: policy.clone(),
            rate: quota.map(|quota| Mutex::new(Limiter::new(quota, keys))),
            turns: policy.limit.map(|limit| Mutex::new(Turns::new(limit))),
            connections: AtomicU32::new(0),
            keys: std::hash::RandomState::new(),
        };
        let bounds = gate.rate.is_some() || gate.turns.is_some() || policy.connections.is_some();
        bounds.then(|| Arc::new(gate))
    }

    /// Whether it is what this policy asks for.
    pub(crate) fn suits(&self, policy: &EdgePolicy) -> bool {
        let bounds = |of: &EdgePolicy| (of.limit, of.rate.clone(), of.connections);
        bounds(&self.policy) == bounds(policy)
    }

    /// A seat for a connection that is passed through; none when all are taken.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let most = self.policy.connections.unwrap_or(u32::MAX);
        let more = |open: u32| (open < most).then_some(open + 1);
        let taken = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Seat(self.clone()))
    }

    /// Whose allowance a request takes from: the field to look at, if it is one.
    pub(crate) fn header(&self) -> Option<&str> {
        match self.policy.rate.as_ref().map(|rate| &rate.by) {
            Some(RateKey::Header(name)) => Some(name),
            Some(RateKey::Client | RateKey::Service) | None => None,
        }
    }

    /// Takes a request from the allowance of its client, or of what its field says.
    pub(crate) fn take(&self, client: IpAddr, field: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let told = locked(rate).check(self.key(client, field), 1, SystemClock.now());
        told.map(drop).map_err(too_often)
    }

    /// Whose allowance it is.
    fn key(&self, client: IpAddr, field: Option<&[u8]>) -> u64 {
        match self.policy.rate.as_ref().map(|rate| &rate.by) {
            Some(RateKey::Service) | None => 0,
            Some(RateKey::Client) => self.keys.hash_one((0u8, client)),
            Some(RateKey::Header(_)) => match field {
                Some(value) => self.keys.hash_one((1u8, value)),
                None => self.keys.hash_one((0u8, client)),
            },
        }
    }

    /// What a request would find: how much of its allowance is left, and what is at work. Nothing is taken.
    pub(crate) fn look(&self, client: IpAddr, field: Option<&[u8]>) -> Bounds {
        let allowance = self.rate.as_ref().map(|rate| {
            let rate = locked(rate);
            let told = rate.look(self.key(client, field), SystemClock.now());
            let left = if told.retry_after.is_some() { Err(too_often(told)) } else { Ok(told.remaining) };
            (left, rate.quota().burst())
        });
        let work = self.turns.as_ref().map(|turns| {
            let turns = locked(turns);
            Work {
                now: turns.bound.in_flight(),
                most: turns.bound.limit(),
                waiting: turns.waiting.len(),
                queue: self.policy.limit.map_or(0, |limit| limit.queue as usize),
            }
        });
        Bounds { allowance, work }
    }

    /// How much of what there is room for is at work or waits, 1 being all.
    pub(crate) fn load(&self) -> f64 {
        self.turns.as_ref().map_or(0.0, |turns| {
            let turns = locked(turns);
            let most = f64::from(turns.bound.limit().max(1));
            (f64::from(turns.bound.in_flight()) + turns.waiting.len() as f64) / most
        })
    }

    /// Waits for leave to be at work.
    pub(crate) async fn admit(self: &Arc<Self>) -> Result<Option<Turn>, Refusal> {
        let (Some(turns), Some(limit)) = (&self.turns, self.policy.limit) else { return Ok(None) };
        let waiting = {
            let mut turns = locked(turns);
            let now = SystemClock.now();
            if let Ok(permit) = turns.bound.admit(now) {
                return Ok(Some(self.turn(permit)));
            }
            let (sender, waiting) = oneshot::channel();
            turns.waiting.push(sender, now).map_err(|_| Refusal::OVERLOADED)?;
            waiting
        };
        match tokio::time::timeout(limit.wait, waiting).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            Ok(Err(_)) | Err(_) => Err(Refusal::OVERLOADED),
        }
    }

    /// How many wait for their turn.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.turns.as_ref().map_or(0, |turns| locked(turns).waiting.len())
    }

    fn turn(self: &Arc<Self>, permit: Permit) -> Turn {
        Turn { gate: self.clone(), permit: Some(permit), outcome: limit::Outcome::Ignored }
    }

    /// Ends a turn and gives its place on.
    fn settle(self: &Arc<Self>, permit: Permit, outcome: limit::Outcome) {
        let Some(turns) = &self.turns else { return };
        let now = SystemClock.now();
        let mut gone = Vec::new();
        {
            let mut turns = locked(turns);
            let Turns { bound, rng, .. } = &mut *turns;
            bound.settle(permit, outcome, now, rng);
            turns.suit();
            while let Some((next, permit)) = turns.next(now) {
                // One that gave up waiting gives its turn back by dropping it, which must not happen under the lock.
                if let Err(back) = next.send(self.turn(permit)) {
                    gone.push(back);
                }
            }
        }
        drop(gone);
    }
}

/// What a request would find at a gate.
pub(crate) struct Bounds {
    /// What is left of its allowance, and the most that there can be; nothing where there is none.
    pub(crate) allowance: Option<(Result<u32, Refusal>, u32)>,
    /// Requests at work; nothing where they have no bound.
    pub(crate) work: Option<Work>,
}

/// Requests at work, and those that wait for their turn.
pub(crate) struct Work {
    pub(crate) now: u32,
    pub(crate) most: u32,
    pub(crate) waiting: usize,
    pub(crate) queue: usize,
}

fn too_often(told: Told) -> Refusal {
    let secs = told.retry_after.map_or(1, |after| after.as_secs_f64().ceil().max(1.0) as u32);
    Refusal { retry_after: secs, ..Refusal::RATE }
}

impl Turns {
    fn new(limit: Limit) -> Self {
        let bound = match limit.requests {
            None => limit::Policy::default(),
            // A fixed number is a limit that has nowhere to go.
            Some(fixed) => {
                limit::Policy { initial: fixed, least: fixed, most: fixed, ..limit::Policy::default() }
            }
        };
        let queue = codel::Policy { most: limit.queue as usize, ..codel::Policy::default() };
        let mut turns = Self {
            bound: AdaptiveLimit::new(bound),
            waiting: Queue::new(queue),
            wait: limit.wait,
            rng: Rng::from_kernel(),
        };
        turns.suit();
        turns
    }

    /// Waits are kept short for the time that the service takes, whatever is allowed: see `resilience::codel`.
    fn suit(&mut self) {
        let time = self.bound.unhurried().unwrap_or_default();
        let codel::Policy { target, interval, .. } = codel::Policy::default().of_calls(time);
        let interval = interval.min(self.wait);
        self.waiting.set_times(target.min(interval / 4), interval);
    }

    /// Who is next, if there is room: those that waited too long are sent away.
    fn next(&mut self, now: Instant) -> Option<(oneshot::Sender<Turn>, Permit)> {
        if self.waiting.is_empty() {
            return None;
        }
        let permit = self.bound.admit(now).ok()?;
        while let Some(taken) = self.waiting.take(now) {
            match taken {
                Taken::Serve(next) if !next.is_closed() => return Some((next, permit)),
                // Dropping it tells the one that waits.
                Taken::Serve(_) | Taken::Drop(_) => {}
            }
        }
        self.bound.settle(permit, limit::Outcome::Ignored, now, &mut self.rng);
        None
    }
}

impl Turn {
    /// Notes how the request went, for a limit that finds itself.
    pub(crate) fn note(&mut self, outcome: limit::Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.gate.settle(permit, self.outcome);
        }
    }
}

/// A panic under the lock leaves counts as good as before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
