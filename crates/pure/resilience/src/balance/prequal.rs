//! Prequal: probes tell how many requests endpoints have in flight and how fast they answer now; the fastest of those
//! that are not overfull gets the request.
//!
//! MODEL. Endpoints share machines with work that comes and goes, so equal load is not equal latency. Requests in
//! flight (RIF) tell of trouble first, as latencies are known only when answers come; latency tells which of the
//! unloaded is fast. So RIF is a limit and latency the choice: an endpoint is hot when its RIF exceeds a quantile of
//! what was lately seen, cold otherwise; of the cold the one with the lowest latency is taken, and only if all are hot
//! the one with the lowest RIF.
//!
//! SOURCE. Wydrowski, Kleinberg, Rumble, Archer, "Load is not what you should balance: introducing Prequal",
//! NSDI 2024. Probes are asynchronous: sent with one query, used by later ones, so no query waits. Their answers lie
//! in a pool of at most 16. One leaves it by age, when it was used often enough, when the endpoint answers anew, or by
//! removal with each query, in turn the oldest and the worst: an answer is chosen because it is good, so the bad ones
//! would else stay. Using an answer raises its RIF by one, since that query is in flight now.
//!
//! DEFAULTS. Those of the paper's testbed: pool of 16, 3 probes a query, 1 removal a query, RIF quantile
//! 2^-0.25 ≈ 0.84, answers valid for 1 s. An answer may be used `(1 + δ) / ((1 - m/n) · r_probe - r_remove)` times, with
//! pool size m, n endpoints and δ = 1, so that the pool neither dries up nor goes stale; rounded at random to keep the
//! mean. With few endpoints that quotient has no meaning, as nearly every answer replaces one of the same endpoint;
//! then it is at most 8. With fewer than 2 answers a query goes to an endpoint by chance.
//!
//! # When all traffic of the endpoints goes through the picker itself
//!
//! Then it knows every RIF without asking, exactly and now, and it saw every latency. There is nothing to probe; the
//! rule is applied to the loads of the candidates and to [`LatencyByRif`] kept for each endpoint: see [`Local`]. Probes
//! are for several edges in front of the same endpoints, or for endpoints that also serve others.

mod latency;
mod local;
mod quantile;

pub use latency::LatencyByRif;
pub use local::{Local, LocalPolicy};

use std::time::Duration;

use base::{Instant, Rng};

use super::Candidates;
use quantile::RecentRif;

/// Most answers that are kept.
const POOL: usize = 16;
/// Below so many answers, chance decides.
const FEWEST: usize = 2;
/// Most uses of one answer.
const MOST_USES: f64 = 8.0;
/// Most endpoints asked at once.
const MOST_PROBES: usize = 8;

/// How much is probed, and what is believed for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrequalPolicy {
    /// Probes a query, on average; at most 8.
    pub probes: f64,
    /// Answers removed a query, on average; less than `probes`.
    pub removals: f64,
    /// Which part of the recent RIFs is not hot, from 0 to 1: 0 goes by RIF alone, 1 by latency alone.
    pub rif_quantile: f64,
    /// How long an answer is believed.
    pub age: Duration,
    /// δ of the reuse budget: more keeps the pool fuller, with older answers.
    pub slack: f64,
}

impl Default for PrequalPolicy {
    fn default() -> Self {
        Self { probes: 3.0, removals: 1.0, rif_quantile: 0.84, age: Duration::from_secs(1), slack: 1.0 }
    }
}

/// What a probe found, or what is known without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Requests in flight.
    pub rif: u32,
    /// What a request with that many others takes.
    pub latency: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Answer {
    at: Instant,
    latency_ns: u64,
    place: u32,
    rif: u32,
    uses_left: u32,
}

/// The pool of answers of one picker. Made anew when places change.
///
/// ```
/// use std::time::Duration;
/// use base::{Instant, Rng};
/// use resilience::balance::prequal::{Prequal, PrequalPolicy, Reading};
/// use resilience::balance::{Roster, Rules, Weight};
///
/// let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
/// let mut roster = Roster::new(Rules::default());
/// roster.replace((0..40).map(|key| (key, Weight::USUAL)), now);
/// let candidates = roster.candidates(|_| 0);
/// let mut prequal = Prequal::new(PrequalPolicy::default());
/// for place in prequal.probes(&candidates, &mut rng) {
///     // An endpoint is asked, and answers a millisecond later.
///     let reading = Reading { rif: 2, latency: Duration::from_millis(10 + place as u64) };
///     prequal.answered(place, reading, &candidates, now, &mut rng);
/// }
/// let fastest = prequal.pick(&candidates, now, &mut rng).unwrap();
/// assert!(fastest < 40);
/// ```
#[derive(Debug, Clone)]
pub struct Prequal {
    policy: PrequalPolicy,
    answers: [Answer; POOL],
    count: usize,
    recent: RecentRif,
    /// Parts of a probe and of a removal that are owed.
    probes_owed: f64,
    removals_owed: f64,
    worst_is_next: bool,
}

impl Prequal {
    /// A picker that knows nothing yet.
    pub fn new(policy: PrequalPolicy) -> Self {
        Self {
            policy,
            answers: [Answer::default(); POOL],
            count: 0,
            recent: RecentRif::new(policy.rif_quantile),
            probes_owed: 0.0,
            removals_owed: 0.0,
            worst_is_next: false,
        }
    }

    /// The endpoints to ask on behalf of one query: usable ones by chance, each at most once.
    pub fn probes<L: Fn(usize) -> u32>(
        &mut self,
        candidates: &Candidates<'_, L>,
        rng: &mut Rng,
    ) -> impl Iterator<Item = usize> + use<L> {
        self.probes_owed += self.policy.probes.clamp(0.0, MOST_PROBES as f64);
        let usable = candidates.usable();
        let wanted = (self.probes_owed as usize).min(MOST_PROBES);
        self.probes_owed = (self.probes_owed - wanted as f64).min(1.0);
        let wanted = wanted.min(usable.len());
        let (mut chosen, mut count) = ([0usize; MOST_PROBES], 0);
        for last in usable.len() - wanted..usable.len() {
            // Floyd's sampling without replacement. With uneven weights, one that is drawn again is asked once.
            let drawn = match candidates.draw_slot_of(last + 1, rng) {
                Some(slot) if chosen[..count].contains(&slot) => last,
                Some(slot) => slot,
                None => break,
            };
            if !chosen[..count].contains(&drawn) {
                chosen[count] = drawn;
                count += 1;
            }
        }
        let places = chosen.map(|slot| usable.get(slot).map_or(0, |place| *place as usize));
        places.into_iter().take(count)
    }

    /// Notes what an endpoint answered. It replaces what that endpoint answered before, or the oldest answer.
    pub fn answered<L: Fn(usize) -> u32>(
        &mut self,
        place: usize,
        reading: Reading,
        candidates: &Candidates<'_, L>,
        now: Instant,
        rng: &mut Rng,
    ) {
        let relative = candidates.relative(f64::from(reading.rif), place);
        let rif = relative.ceil() as u32;
        self.recent.note(rif);
        let Ok(place) = u32::try_from(place) else { return };
        if let Some(at) = self.pool().iter().position(|answer| answer.place == place) {
            self.remove(at);
        }
        if self.count == POOL {
            self.remove_oldest();
        }
        let uses_left = self.budget(candidates.usable().len(), rng);
        self.answers[self.count] =
            Answer { at: now, latency_ns: nanos(reading.latency), place, rif, uses_left };
        self.count += 1;
    }

    /// Where the query goes.
    pub fn pick<L: Fn(usize) -> u32>(
        &mut self,
        candidates: &Candidates<'_, L>,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<usize> {
        let oldest = now - self.policy.age;
        for at in (0..self.count).rev() {
            let answer = &self.answers[at];
            if answer.at < oldest || !candidates.is_available(answer.place as usize) {
                self.remove(at);
            }
        }
        if self.count < FEWEST {
            return candidates.draw(rng);
        }
        let limit = self.recent.limit();
        let best = self.index_of_least(|answer| rank(answer.rif, answer.latency_ns, limit))?;
        let place = self.answers[best].place as usize;
        let answer = &mut self.answers[best];
        let one_more = candidates.relative(1.0, place).ceil() as u32;
        answer.rif = answer.rif.saturating_add(one_more);
        answer.uses_left = answer.uses_left.saturating_sub(1);
        if answer.uses_left == 0 {
            self.remove(best);
        }
        self.remove_some(limit);
        Some(place)
    }

    /// How many answers there are to pick from.
    pub fn known(&self) -> usize {
        self.count
    }

    fn pool(&self) -> &[Answer] {
        &self.answers[..self.count]
    }

    fn budget(&self, endpoints: usize, rng: &mut Rng) -> u32 {
        let new = (1.0 - POOL as f64 / endpoints.max(1) as f64) * self.policy.probes - self.policy.removals;
        let uses = if new > 0.0 { (1.0 + self.policy.slack) / new } else { MOST_USES };
        let uses = uses.clamp(1.0, MOST_USES);
        uses as u32 + u32::from(rng.chance(uses.fract()))
    }

    fn remove_some(&mut self, limit: u32) {
        self.removals_owed += self.policy.removals.clamp(0.0, MOST_PROBES as f64);
        while self.removals_owed >= 1.0 {
            self.removals_owed -= 1.0;
            // What is left must still be a choice for the next query.
            if self.count <= FEWEST {
                continue;
            }
            self.worst_is_next = !self.worst_is_next;
            if self.worst_is_next { self.remove_worst(limit) } else { self.remove_oldest() }
        }
    }

    fn remove_worst(&mut self, limit: u32) {
        let worst =
            self.index_of_least(|answer| std::cmp::Reverse(rank(answer.rif, answer.latency_ns, limit)));
        worst.into_iter().for_each(|at| self.remove(at));
    }

    fn remove_oldest(&mut self) {
        let oldest = self.index_of_least(|answer| answer.at);
        oldest.into_iter().for_each(|at| self.remove(at));
    }

    fn index_of_least<K: Ord>(&self, key: impl Fn(&Answer) -> K) -> Option<usize> {
        self.pool().iter().enumerate().min_by_key(|(_, answer)| key(answer)).map(|(at, _)| at)
    }

    fn remove(&mut self, at: usize) {
        self.count -= 1;
        self.answers.swap(at, self.count);
    }
}

/// Cold before hot; among the cold by latency, among the hot by RIF.
fn rank(rif: u32, latency_ns: u64, limit: u32) -> u64 {
    if rif > limit { HOT | u64::from(rif) } else { latency_ns.min(HOT - 1) }
}

const HOT: u64 = 1 << 63;

fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

#[cfg(test)]
mod tests;
