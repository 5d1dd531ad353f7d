//! What a thread tells of itself while it works. Only that thread writes; whoever asks reads.

use std::sync::atomic::{AtomicU64, Ordering};

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::refusal::Refusal;
use crate::status::{HedgeStatus, RefusedStatus, TlsStatus};
use crate::table::PoolKey;

/// Numbers of one thread.
#[derive(Default)]
pub(crate) struct Gauges {
    /// Open client connections, as of the last tick.
    pub(crate) connections: AtomicU64,
    /// Requests that wait for an instance.
    pub(crate) held: AtomicU64,
    pub(crate) tls: TlsGauges,
    pub(crate) decided: Decisions,
}

/// How often, by reason.
type Reasons = BTreeMap<&'static str, u64>;

/// What the thread decided against instances and requests, which is rare enough for a lock that nobody else wants.
#[derive(Default)]
pub(crate) struct Decisions(Mutex<Decided>);

/// Decisions, counted.
#[derive(Default)]
pub(crate) struct Decided {
    /// Answers of the edge's own, by reason: for requests that had no pool yet, and by pool.
    without: Reasons,
    refused: BTreeMap<PoolKey, Reasons>,
    /// Breakers that opened.
    pub(crate) opened: BTreeMap<PoolKey, u64>,
    /// Answers of instances that went out with a page in the place of their body.
    pub(crate) replaced: BTreeMap<PoolKey, u64>,
    /// Answers with a file of the service's.
    pub(crate) served: BTreeMap<PoolKey, u64>,
    /// Second requests.
    pub(crate) hedges: BTreeMap<PoolKey, HedgeStatus>,
}

impl Decisions {
    /// A request was answered by the edge itself.
    pub(crate) fn refused(&self, pool: Option<&PoolKey>, reason: &'static str) {
        let decided = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reasons = match pool {
            None => &mut decided.without,
            // A flood that is refused should cost no memory for each.
            Some(pool) if !decided.refused.contains_key(pool) => {
                decided.refused.entry(pool.clone()).or_default()
            }
            Some(pool) => decided.refused.get_mut(pool).expect("it is there"),
        };
        *reasons.entry(reason).or_default() += 1;
    }

    /// So many connections had to make room for others.
    pub(crate) fn crowded_out(&self, count: usize) {
        let decided = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *decided.without.entry(Refusal::CROWDED.code).or_default() += count as u64;
    }

    /// A breaker opened.
    pub(crate) fn opened(&self, pool: &PoolKey) {
        let mut decided = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *decided.opened.entry(pool.clone()).or_default() += 1;
    }

    /// A page went out in the place of an instance's own body.
    pub(crate) fn replaced(&self, pool: &PoolKey) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).replaced, pool);
    }

    /// A file of a service went out.
    pub(crate) fn served(&self, pool: &PoolKey) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).served, pool);
    }

    /// Something was decided about a second request.
    pub(crate) fn hedged(&self, pool: &PoolKey, count: impl FnOnce(&mut HedgeStatus)) {
        let mut decided = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !decided.hedges.contains_key(pool) {
            decided.hedges.insert(pool.clone(), HedgeStatus::default());
        }
        decided.hedges.get_mut(pool).map(count);
    }

    /// Forgets pools that are gone.
    pub(crate) fn keep(&self, pools: &HashSet<&PoolKey>) {
        let mut decided = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        decided.refused.retain(|key, _| pools.contains(key));
        decided.opened.retain(|key, _| pools.contains(key));
        decided.replaced.retain(|key, _| pools.contains(key));
        decided.served.retain(|key, _| pools.contains(key));
        decided.hedges.retain(|key, _| pools.contains(key));
    }

    /// Adds these to the sums.
    pub(crate) fn add_to(&self, sums: &mut Decided) {
        let decided = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut sums.without, &decided.without);
        for (pool, reasons) in &decided.refused {
            add(sums.refused.entry(pool.clone()).or_default(), reasons);
        }
        for (pool, count) in &decided.opened {
            *sums.opened.entry(pool.clone()).or_default() += count;
        }
        for (pool, count) in &decided.replaced {
            *sums.replaced.entry(pool.clone()).or_default() += count;
        }
        for (pool, count) in &decided.served {
            *sums.served.entry(pool.clone()).or_default() += count;
        }
        for (pool, more) in &decided.hedges {
            sums.hedges.entry(pool.clone()).or_default().add(more);
        }
    }
}

/// Counts one without memory for its name, but for the first.
fn count(counts: &mut BTreeMap<PoolKey, u64>, pool: &PoolKey) {
    match counts.get_mut(pool) {
        Some(count) => *count += 1,
        None => drop(counts.insert(pool.clone(), 1)),
    }
}

fn add(sums: &mut Reasons, more: &Reasons) {
    more.iter().for_each(|(reason, count)| *sums.entry(reason).or_default() += count);
}

impl Decided {
    /// As they are told.
    pub(crate) fn refused(&self) -> Vec<RefusedStatus> {
        let none = std::iter::once((None, &self.without));
        let all = none.chain(self.refused.iter().map(|(pool, reasons)| (Some(pool), reasons)));
        let of = |(pool, reasons): (Option<&PoolKey>, &Reasons)| {
            let one = |(reason, count): (&&'static str, &u64)| RefusedStatus {
                pool: pool.cloned(),
                reason: (*reason).to_owned(),
                count: *count,
            };
            reasons.iter().map(one).collect::<Vec<_>>()
        };
        all.flat_map(of).collect()
    }
}

/// Handshakes.
#[derive(Default)]
pub(crate) struct TlsGauges {
    under_way: AtomicU64,
    done: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    turned_away: AtomicU64,
}

impl TlsGauges {
    /// Counts a handshake that found a place, or a connection that did not.
    pub(crate) fn begin(&self, fits: bool) {
        let counter = if fits { &self.under_way } else { &self.turned_away };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives the place back.
    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, resumed: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.resumed.fetch_add(u64::from(resumed), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds these numbers to the sums.
    pub(crate) fn add_to(&self, sums: &mut TlsStatus) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sums.under_way += read(&self.under_way);
        sums.done += read(&self.done);
        sums.resumed += read(&self.resumed);
        sums.failed += read(&self.failed);
        sums.turned_away += read(&self.turned_away);
    }
}
