//! The power of two choices: draw two endpoints by chance, take the one that costs less.
//!
//! MODEL. What is known of loads may be old or partial, so always taking the best would send everyone to the same
//! endpoint at once; two at random spread, and yet avoid the worst: the longest queue falls from log n to log log n.
//!
//! SOURCE. Mitzenmacher, "The power of two choices in randomized load balancing", 2001. How weights enter is told at
//! [`Candidates::draw_pair`].
//!
//! DEFAULTS. The cost is the caller's; [`PeakEwma::cost`](super::PeakEwma::cost) knows load and latency,
//! [`by_load`] the load alone.
//!
//! Constant in the number of endpoints.

use base::Rng;

use super::Candidates;

/// The cheaper of two drawn by weight; the one drawn first when they cost the same. `cost` is asked for at most two
/// places.
///
/// ```
/// use base::{Instant, Rng};
/// use resilience::balance::{Roster, Rules, Weight, two_choices};
///
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(1, Weight::USUAL), (2, Weight::USUAL)], Instant::from_secs(1));
/// let cost = [20.0, 3.0];
/// let picked = two_choices::pick(&roster.candidates(|_| 0), &mut Rng::seeded(1), |place| cost[place]);
/// assert_eq!(picked, Some(1));
/// ```
pub fn pick<L: Fn(usize) -> u32>(
    candidates: &Candidates<'_, L>,
    rng: &mut Rng,
    cost: impl Fn(usize) -> f64,
) -> Option<usize> {
    let (first, other) = candidates.draw_pair(rng)?;
    Some(match other {
        Some(other) if cost(other) < cost(first) => other,
        Some(_) | None => first,
    })
}

/// The less loaded of two drawn by weight.
pub fn by_load<L: Fn(usize) -> u32>(candidates: &Candidates<'_, L>, rng: &mut Rng) -> Option<usize> {
    pick(candidates, rng, |place| candidates.relative_load(place))
}

#[cfg(test)]
mod tests;
