//! Smooth weighted round robin: everyone in turn, the heavy more often, and never many times in a row.
//!
//! MODEL. Requests cost about the same, and endpoints differ by weight alone. It looks at neither load nor latency, so
//! a slow endpoint gets its full share; it is here for what must be spread evenly whatever happens.
//!
//! SOURCE. nginx's upstream module (Dounin, 2012): at each pick every usable endpoint gains its weight, the one with
//! the most is taken and loses the sum of all weights. Weights 5, 1, 1 give a a b a c a a.
//!
//! DEFAULTS. None. Endpoints begin at random positions: many threads that begin at the same moment would else send
//! their first requests to the same endpoint.
//!
//! Linear in the number of endpoints, one to two nanoseconds each.

use base::Rng;

use super::Candidates;

/// Whose turn it is.
///
/// ```
/// use base::{Instant, Rng};
/// use resilience::balance::{RoundRobin, Roster, Rules, Weight};
///
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(1, Weight::USUAL), (2, Weight::USUAL.scaled(2.0))], Instant::from_secs(1));
/// let (mut turns, mut rng) = (RoundRobin::default(), Rng::seeded(1));
/// let mut picks = [0; 2];
/// for _ in 0..300 {
///     picks[turns.pick(&roster.candidates(|_| 0), &mut rng).unwrap()] += 1;
/// }
/// assert_eq!(picks, [100, 200]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct RoundRobin {
    /// By place, in thousandths. Their sum stays what it is, so none goes far from zero.
    credit: Vec<i64>,
}

impl RoundRobin {
    /// The endpoint whose turn it is. Weights may differ from pick to pick; a change in the number of endpoints begins
    /// anew.
    pub fn pick<L: Fn(usize) -> u32>(
        &mut self,
        candidates: &Candidates<'_, L>,
        rng: &mut Rng,
    ) -> Option<usize> {
        if self.credit.len() != candidates.len() {
            self.begin(candidates, rng);
        }
        let mut best: Option<(usize, i64)> = None;
        for place in candidates.usable() {
            let place = *place as usize;
            let credit = &mut self.credit[place];
            *credit += i64::from(candidates.roster.effective(place));
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((place, *credit));
            }
        }
        let (place, _) = best?;
        self.credit[place] -= i64::try_from(candidates.total_weight()).unwrap_or(i64::MAX);
        Some(place)
    }

    fn begin<L: Fn(usize) -> u32>(&mut self, candidates: &Candidates<'_, L>, rng: &mut Rng) {
        self.credit.clear();
        for place in 0..candidates.len() {
            let weight = u64::from(candidates.roster.effective(place));
            self.credit.push(i64::try_from(rng.below(weight.max(1))).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests;
