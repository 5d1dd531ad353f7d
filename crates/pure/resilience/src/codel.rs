//! Queues that stay short: what has waited too long is dropped, and under overload the newest is served first.
//!
//! Model: a queue absorbs bursts, and a queue that never gets empty only adds delay. What counts is thus not how long
//! the queue is but whether the *shortest* wait within an interval was above a target: then the queue stands. Two
//! rules say what to drop then:
//!
//! - [`Rule::Controlled`], the default: while the queue stands, whatever waited longer than the target (twice the
//!   target, so that what is at its edge is not lost) is dropped, otherwise what waited longer than the interval; and
//!   while it stands the newest is served first, for its client is the most likely to wait still. It suits requests,
//!   whose clients do not slow down when one is dropped. A queue out of which something had to be dropped stands on,
//!   however empty the dropping makes it, until an interval passes without and 16 in a row were served: else every second
//!   interval under lasting overload would be one of long waits.
//! - [`Rule::Classic`]: drops one, then more and more often, by the square root of their number. It suits senders that
//!   slow down when something is dropped, as TCP does.
//!
//! Sources: Nichols, Jacobson: "Controlling queue delay", ACM Queue 10(5), 2012, and RFC 8289; Maurer: "Fail at scale",
//! ACM Queue 13(8), 2015 ("controlled delay" and "adaptive LIFO").
//!
//! Defaults of [`Policy`]: `target` 5 ms and `interval` 100 ms, as in all three sources; they fit answers within tens
//! of milliseconds. Where it is known that hardly any call takes longer than `s`, take `3 s / 8`, at least 1 ms, so that
//! nobody waits for more than three quarters of that under overload: with the call itself that is less than twice as
//! long as without load, and long enough that a service which does one at a time finds somebody waiting; and `2 s`, at
//! least 100 ms, so that a burst of that much is served whole ([`Policy::of_calls`]). The [`Queue`] holds at most
//! `most` items, by default 1,000: at 100 µs a request that is the interval.
//!
//! ```
//! use std::time::Duration;
//! use base::Instant;
//! use resilience::codel::{Policy, Queue, Taken};
//!
//! let mut queue = Queue::new(Policy::default());
//! let start = Instant::from_secs(1);
//! queue.push("early", start).expect("there is room");
//! queue.push("late", start + Duration::from_millis(150)).expect("there is room");
//! let now = start + Duration::from_millis(151);
//! assert_eq!(queue.take(now), Some(Taken::Drop("early")));
//! assert_eq!(queue.take(now), Some(Taken::Serve("late")));
//! assert_eq!(queue.take(now), None);
//! ```

mod classic;

use std::collections::VecDeque;
use std::time::Duration;

use base::Instant;

use classic::Classic;

/// Shorter waits are as much the machine's doing as the queue's.
const LEAST_TARGET: Duration = Duration::from_millis(1);

/// A queue stands on until so many in a row were served. Where few are in an interval, it may be chance that none is
/// dropped.
const SERVED: u32 = 16;

/// What is dropped from a queue that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// All that waited too long; the newest first under overload.
    Controlled,
    /// One after another, ever faster; the oldest first always.
    Classic,
}

/// How a queue is kept short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What is dropped.
    pub rule: Rule,
    /// The wait that is always acceptable.
    pub target: Duration,
    /// A queue whose waits stay above the target for this long stands.
    pub interval: Duration,
    /// The most items of a [`Queue`].
    pub most: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rule: Rule::Controlled,
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            most: 1000,
        }
    }
}

impl Policy {
    /// With target and interval for calls of which hardly any takes longer than this; the usual ones if it is zero.
    #[must_use]
    pub fn of_calls(self, time: Duration) -> Self {
        let usual = Self::default();
        if time.is_zero() {
            return Self { target: usual.target, interval: usual.interval, ..self };
        }
        Self { target: (time * 3 / 8).max(LEAST_TARGET), interval: (time * 2).max(usual.interval), ..self }
    }
}

/// What to do with the item at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Work on it.
    Serve,
    /// Refuse it: it waited too long.
    Drop,
}

/// Which end of the queue to take from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The one that came first; the usual.
    OldestFirst,
    /// The one that came last, under overload.
    NewestFirst,
}

/// Judges the items of one queue, wherever they lie.
#[derive(Debug, Clone)]
pub struct Codel {
    policy: Policy,
    classic: Classic,
    /// The shortest wait seen since the interval began.
    shortest: Duration,
    interval_ends: Instant,
    standing: bool,
    /// Something was dropped in this interval.
    dropped: bool,
    /// So many were served since something was.
    served: u32,
}

impl Codel {
    /// For an empty queue.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            classic: Classic::default(),
            shortest: Duration::MAX,
            interval_ends: Instant(0),
            standing: false,
            dropped: false,
            served: 0,
        }
    }

    /// Goes on with another target and interval.
    pub fn set_times(&mut self, target: Duration, interval: Duration) {
        (self.policy.target, self.policy.interval) = (target, interval);
    }

    /// Judges an item that is being taken out after this wait. `empty` says that nothing is left behind it.
    pub fn judge(&mut self, waited: Duration, empty: bool, now: Instant) -> Verdict {
        match self.policy.rule {
            Rule::Controlled => self.controlled(waited, empty, now),
            Rule::Classic => self.classic.judge(self.policy, waited, empty, now),
        }
    }

    /// Which item to take next.
    pub fn order(&self) -> Order {
        match (self.policy.rule, self.standing) {
            (Rule::Controlled, true) => Order::NewestFirst,
            (Rule::Controlled, false) | (Rule::Classic, _) => Order::OldestFirst,
        }
    }

    /// Whether the queue has stood for the last interval.
    pub fn stands(&self) -> bool {
        match self.policy.rule {
            Rule::Controlled => self.standing,
            Rule::Classic => self.classic.is_dropping(),
        }
    }

    fn controlled(&mut self, waited: Duration, empty: bool, now: Instant) -> Verdict {
        if now >= self.interval_ends {
            // An interval in which nothing was judged says nothing of a standing queue.
            let stood = self.shortest > self.policy.target && self.shortest < Duration::MAX;
            // While the newest goes first its wait is short though the queue is not: what had to be dropped tells then.
            self.standing = if self.standing { self.dropped || self.served < SERVED } else { stood };
            (self.shortest, self.dropped) = (Duration::MAX, false);
            self.interval_ends = now + self.policy.interval;
        }
        self.shortest = if empty { Duration::ZERO } else { self.shortest.min(waited) };
        let limit = if self.standing { self.policy.target * 2 } else { self.policy.interval };
        if waited > limit {
            (self.dropped, self.served) = (true, 0);
            return Verdict::Drop;
        }
        self.served = self.served.saturating_add(1);
        Verdict::Serve
    }
}

/// What came out of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken<T> {
    /// Work on it.
    Serve(T),
    /// Refuse it.
    Drop(T),
}

/// A bounded queue under a [`Codel`].
#[derive(Debug, Clone)]
pub struct Queue<T> {
    codel: Codel,
    items: VecDeque<(Instant, T)>,
    most: usize,
}

impl<T> Queue<T> {
    /// Empty.
    pub fn new(policy: Policy) -> Self {
        Self { codel: Codel::new(policy), items: VecDeque::new(), most: policy.most }
    }

    /// Goes on with another target and interval.
    pub fn set_times(&mut self, target: Duration, interval: Duration) {
        self.codel.set_times(target, interval);
    }

    /// Puts an item at its end.
    ///
    /// # Errors
    /// Gives the item back when the queue is full.
    pub fn push(&mut self, item: T, now: Instant) -> Result<(), T> {
        if self.items.len() >= self.most {
            return Err(item);
        }
        self.items.push_back((now, item));
        Ok(())
    }

    /// Takes the next item, to be served or to be refused; none if it is empty.
    ///
    /// Under overload those that waited too long come out first, to be refused, so that none is held for nothing.
    pub fn take(&mut self, now: Instant) -> Option<Taken<T>> {
        let newest_first = self.codel.order() == Order::NewestFirst && !self.oldest_is_late(now);
        let (since, item) = if newest_first { self.items.pop_back() } else { self.items.pop_front() }?;
        Some(match self.codel.judge(now.since(since), self.items.is_empty(), now) {
            Verdict::Serve => Taken::Serve(item),
            Verdict::Drop => Taken::Drop(item),
        })
    }

    /// Takes out the one that came last, unjudged, as something that matters more wants its place.
    pub fn give_up(&mut self) -> Option<T> {
        self.items.pop_back().map(|(_, item)| item)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How long the oldest has waited; zero if none does.
    pub fn oldest_wait(&self, now: Instant) -> Duration {
        self.items.front().map_or(Duration::ZERO, |(since, _)| now.since(*since))
    }

    fn oldest_is_late(&self, now: Instant) -> bool {
        self.oldest_wait(now) > self.codel.policy.target * 2
    }
}

#[cfg(test)]
mod tests;
