//! The power of few choices: draw two endpoints by chance, or a few more, and take the one that costs least.
//!
//! MODEL. What is known of loads may be old or partial, so always taking the best of many would send everyone to the
//! same endpoint at once; few at random spread, and yet avoid the worst: with two, the longest queue of n falls from
//! log n to log log n.
//!
//! SOURCE. Mitzenmacher, "The power of two choices in randomized load balancing", 2001.
//!
//! DEFAULTS. [`DEFAULT_CHOICES`] is 5. The picker knows the loads exactly, so more choices do not herd; in the
//! simulation (`tests/balance_sim.rs`), with ten replicas that differ or are disturbed, the 99th percentile was lower by
//! a sixth to a third with five than with two, and by a twentieth more with all. A pool of up to five is compared as a
//! whole. Two are for where loads are told late, and cost half the time. The cost is the caller's;
//! [`Ewma::cost`](super::Ewma::cost) knows load and latency, [`Candidates::relative_load`] the load alone.
//!
//! WEIGHTS. The first is drawn in proportion to weight. Each other contends with a chance of its weight over that of
//! the first, at most 1. That is the rule by which the walk of Metropolis et al. (1953) keeps its distribution: if
//! contests of two are fair, shares are as the weights, and however they end, no endpoint gets more than twice its
//! share; with more choices, not more than that many times.
//!
//! Constant in the number of endpoints.

use base::Rng;

use super::Candidates;

/// How many endpoints are compared where loads are known exactly.
pub const DEFAULT_CHOICES: usize = 5;

/// The cheapest of so many, or of all if there are no more; the one drawn first when they cost the same. With many
/// endpoints and more than two choices the same may come twice.
///
/// ```
/// use std::time::Duration;
/// use base::{Instant, Rng};
/// use resilience::balance::choices::{self, DEFAULT_CHOICES};
/// use resilience::balance::{Ewma, EwmaPolicy, Roster, Rules, Weight};
///
/// let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(1, Weight::USUAL), (2, Weight::USUAL)], now);
/// let mut latencies = [Ewma::default(); 2];
/// latencies[0].answered(Duration::from_millis(20), now, EwmaPolicy::default());
/// latencies[1].answered(Duration::from_millis(3), now, EwmaPolicy::default());
/// let in_flight = [1, 2];
/// let candidates = roster.candidates(|place| in_flight[place]);
/// let cost = |place: usize| {
///     latencies[place].cost(candidates.relative_load(place), now, EwmaPolicy::default())
/// };
/// assert_eq!(choices::pick(&candidates, DEFAULT_CHOICES, &mut rng, cost), Some(1));
/// ```
pub fn pick<L: Fn(usize) -> u32, C: PartialOrd>(
    candidates: &Candidates<'_, L>,
    choices: usize,
    rng: &mut Rng,
    cost: impl FnMut(usize) -> C,
) -> Option<usize> {
    let first = candidates.draw_slot(rng)?;
    Some(cheapest(candidates, first, choices, rng, cost))
}

/// The same with endpoints of equal cost taken in turn: `turn` counts the picks. Where weights differ they are drawn.
pub fn pick_in_turn<L: Fn(usize) -> u32, C: PartialOrd>(
    candidates: &Candidates<'_, L>,
    (choices, turn): (usize, usize),
    rng: &mut Rng,
    cost: impl FnMut(usize) -> C,
) -> Option<usize> {
    let first = candidates.turn_slot(turn).or_else(|| candidates.draw_slot(rng))?;
    Some(cheapest(candidates, first, choices, rng, cost))
}

/// Of those that contend with the first.
fn cheapest<L: Fn(usize) -> u32, C: PartialOrd>(
    candidates: &Candidates<'_, L>,
    first: usize,
    choices: usize,
    rng: &mut Rng,
    mut cost: impl FnMut(usize) -> C,
) -> usize {
    let usable = candidates.usable();
    let count = usable.len();
    let mut best = usable[first] as usize;
    if count == 1 {
        return best;
    }
    let mut least = cost(best);
    // Each of few, beginning anywhere, or whoever stands behind a dear one would get its share too; and any of many.
    let others = count as u64 - 1;
    let begin = rng.below(others) as usize;
    for turn in 1..choices.min(count) {
        let step = if count <= choices {
            1 + (begin + turn - 1) % (count - 1)
        } else {
            1 + rng.below(others) as usize
        };
        let slot = if first + step < count { first + step } else { first + step - count };
        if !candidates.contends(first, slot, rng) {
            continue;
        }
        let place = usable[slot] as usize;
        let cost = cost(place);
        if cost < least {
            (best, least) = (place, cost);
        }
    }
    best
}

#[cfg(test)]
mod tests;
