//! What a pool lets in: so many requests at once, and so many in a time. One gate a pool, for all threads together.
//!
//! A pool whose service asks for no bound has no gate, and its requests meet no lock. A gate stays when tables change,
//! as long as the service wants the same.
//!
//! Where the service says how urgent its requests are, the gate asks that first: what is shed is refused before it waits.
//! What is let in and finds no place waits in the line of its class; the most urgent line is served first, and when all
//! places to wait are taken, who is more urgent takes that of the last who is less.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Instant, Rng, SystemClock};
use resilience::codel::{self, Queue, Taken};
use resilience::limit::{self, AdaptiveLimit, Permit};
use resilience::rate::{Limiter, Quota, Told};
use resilience::shed::{self, Class, Shed};
use spec::{EdgePolicy, Limit, RateKey};
use tokio::sync::oneshot;

use crate::priority::Rank;
use crate::refusal::Refusal;

/// The bounds of one pool.
pub(crate) struct Gate {
    policy: EdgePolicy,
    rate: Option<Mutex<Limiter>>,
    turns: Option<Mutex<Turns>>,
    /// Connections that are passed through.
    connections: AtomicU32,
    /// Requests by class.
    classes: [ClassCounts; 3],
    /// Keys are hashed with a secret, so that nobody can choose whose allowance he shares.
    keys: std::hash::RandomState,
}

/// What became of the requests of a class.
#[derive(Default)]
struct ClassCounts {
    let_in: AtomicU64,
    refused: AtomicU64,
}

/// Who waits for a turn; hears of it, or why there is none.
struct Waiter {
    told: oneshot::Sender<Result<Turn, Refusal>>,
}

/// Requests that are at work, and those that wait for their turn.
struct Turns {
    bound: AdaptiveLimit,
    /// By class, the most urgent first; where the service knows no classes all wait in one.
    lines: [Queue<Waiter>; 3],
    /// So many wait in all of them.
    queue: usize,
    /// Who is let in at all.
    shed: Option<Box<Shed>>,
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
            turns: policy.limit.map(|limit| Mutex::new(Turns::new(limit, policy.priority.is_some()))),
            connections: AtomicU32::new(0),
            classes: Default::default(),
            keys: std::hash::RandomState::new(),
        };
        let bounds = gate.rate.is_some() || gate.turns.is_some() || policy.connections.is_some();
        bounds.then(|| Arc::new(gate))
    }

    /// Whether it is what this policy asks for.
    pub(crate) fn suits(&self, policy: &EdgePolicy) -> bool {
        let bounds = |of: &EdgePolicy| (of.limit, of.rate.clone(), of.connections, of.priority.clone());
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
                waiting: turns.waiting(),
                let_in: turns.shed.as_ref().map(|shed| CLASSES.map(|class| shed.admitted_share(class))),
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
            (f64::from(turns.bound.in_flight()) + turns.waiting() as f64) / most
        })
    }

    /// Waits for leave to be at work.
    pub(crate) async fn admit(self: &Arc<Self>, rank: Rank) -> Result<Option<Turn>, Refusal> {
        let (Some(turns), Some(limit)) = (&self.turns, self.policy.limit) else { return Ok(None) };
        let told = self.take_turn(turns, limit, rank).await;
        if self.policy.priority.is_some() {
            let counts = &self.classes[line_of(rank.class)];
            let count = if told.is_ok() { &counts.let_in } else { &counts.refused };
            count.fetch_add(1, Ordering::Relaxed);
        }
        told.map(Some)
    }

    async fn take_turn(
        self: &Arc<Self>,
        turns: &Mutex<Turns>,
        limit: Limit,
        rank: Rank,
    ) -> Result<Turn, Refusal> {
        let waiting = {
            let mut turns = locked(turns);
            let now = SystemClock.now();
            turns.sift(rank, now)?;
            if let Ok(permit) = turns.bound.admit(now) {
                return Ok(self.turn(permit));
            }
            let (told, waiting) = oneshot::channel();
            turns.line_up(Waiter { told }, rank.class, now)?;
            waiting
        };
        match tokio::time::timeout(limit.wait, waiting).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => Err(Refusal::OVERLOADED),
        }
    }

    /// How many requests of each class were let in, and how many were not; nothing where the service knows no classes.
    pub(crate) fn by_class(&self) -> Option<[(Class, u64, u64); 3]> {
        self.policy.priority.as_ref()?;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(CLASSES.map(|class| {
            let counts = &self.classes[line_of(class)];
            (class, read(&counts.let_in), read(&counts.refused))
        }))
    }

    /// What requests of a client have in common.
    pub(crate) fn client(&self, client: IpAddr) -> u64 {
        self.keys.hash_one((2u8, client))
    }

    /// How many wait for their turn.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.turns.as_ref().map_or(0, |turns| locked(turns).waiting())
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
                if let Err(back) = next.send(Ok(self.turn(permit))) {
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
    /// The share of clients whose requests are let in, by class, if the service knows classes.
    pub(crate) let_in: Option<[f64; 3]>,
}

/// All classes, in the order of their lines.
const CLASSES: [Class; 3] = [Class::Critical, Class::Default, Class::Sheddable];

/// The line in which a class waits.
pub(crate) fn line_of(class: Class) -> usize {
    match class {
        Class::Critical => 0,
        Class::Default => 1,
        Class::Sheddable => 2,
    }
}

fn too_often(told: Told) -> Refusal {
    let secs = told.retry_after.map_or(1, |after| after.as_secs_f64().ceil().max(1.0) as u32);
    Refusal { retry_after: secs, ..Refusal::RATE }
}

impl Turns {
    fn new(limit: Limit, classes: bool) -> Self {
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
            lines: [queue; 3].map(Queue::new),
            queue: limit.queue as usize,
            // The critical are refused only where they alone are too many.
            shed: classes.then(|| {
                Box::new(Shed::new(shed::Policy { critical_least: 1.0, ..shed::Policy::default() }))
            }),
            wait: limit.wait,
            rng: Rng::from_kernel(),
        };
        turns.suit();
        turns
    }

    /// Waits are kept short for the time that the service takes, whatever is allowed: see `resilience::codel`.
    fn suit(&mut self) {
        let time = self.bound.longest().unwrap_or_default();
        let codel::Policy { target, interval, .. } = codel::Policy::default().of_calls(time);
        let interval = interval.min(self.wait);
        for line in &mut self.lines {
            line.set_times(target.min(interval / 4), interval);
        }
        if self.shed.is_some() {
            // A burst of the most urgent is waited out; only where they alone are too many they are sent away.
            self.lines[0].set_times(target.min(interval / 4), self.wait);
        }
    }

    /// Sends those away who are not to wait at all.
    fn sift(&mut self, rank: Rank, now: Instant) -> Result<(), Refusal> {
        let waiting = self.waiting();
        let Some(shed) = &mut self.shed else { return Ok(()) };
        shed.admit(rank.class, rank.client, now).map_err(|refused| {
            let secs = refused.retry_after.as_secs_f64().ceil().max(1.0) as u32;
            Refusal { retry_after: secs, ..Refusal::SHED }
        })?;
        let most = f64::from(self.bound.limit().max(1));
        shed.observe_use((f64::from(self.bound.in_flight()) + waiting as f64) / most);
        Ok(())
    }

    /// Takes a place in the line of a class. When all are taken, the last one who is less urgent has to go.
    fn line_up(&mut self, waiter: Waiter, class: Class, now: Instant) -> Result<(), Refusal> {
        let own = line_of(class);
        if self.waiting() >= self.queue {
            self.saw_drop();
            let less = self.lines[own + 1..].iter_mut().rev().find_map(Queue::give_up);
            let gone = less.ok_or(Refusal::OVERLOADED)?;
            // Who has given up meanwhile hears nothing.
            let _ = gone.told.send(Err(Refusal::SHED));
        }
        self.lines[own].push(waiter, now).map_err(|_| Refusal::OVERLOADED)
    }

    /// Notes that one who was let in had to go, or found no place to wait.
    fn saw_drop(&mut self) {
        if let Some(shed) = &mut self.shed {
            shed.observe_drop();
        }
    }

    fn waiting(&self) -> usize {
        self.lines.iter().map(Queue::len).sum()
    }

    /// Who is next, if there is room: those that waited too long are sent away.
    fn next(&mut self, now: Instant) -> Option<(oneshot::Sender<Result<Turn, Refusal>>, Permit)> {
        if self.waiting() == 0 {
            return None;
        }
        let permit = self.bound.admit(now).ok()?;
        while let Some(taken) = self.lines.iter_mut().find_map(|line| line.take(now)) {
            match taken {
                Taken::Serve(next) if !next.told.is_closed() => {
                    return Some((next.told, permit));
                }
                // Dropping it tells the one that waits.
                Taken::Serve(_) | Taken::Drop(_) => self.saw_drop(),
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
