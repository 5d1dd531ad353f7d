//! Least requests: the endpoint with the fewest requests in flight for its weight.
//!
//! MODEL. Requests in flight tell how busy an endpoint is, and the picker knows them all. A slow endpoint holds its
//! requests longer and so gets fewer; but one that fails fast holds none and gets everything, so it needs ejection by
//! [`health::outliers`](crate::health::outliers).
//!
//! SOURCE. Join the shortest queue (Winston, "Optimality of the shortest line discipline", 1977), weighted as in
//! nginx's `least_conn`: loads are compared after division by weight.
//!
//! DEFAULTS. Ties go by chance in proportion to weight, as many endpoints idle is the usual case: were the first
//! taken, it would get all of a low load.
//!
//! Linear in the number of endpoints, two to four nanoseconds each; beyond some thirty, [`choices`](super::choices) do as
//! well for a constant price.

use base::Rng;

use super::Candidates;

/// The endpoint with the least in flight for its weight.
///
/// ```
/// use base::{Instant, Rng};
/// use resilience::balance::{Roster, Rules, Weight, least_requests};
///
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(1, Weight::USUAL), (2, Weight::USUAL.scaled(4.0))], Instant::from_secs(1));
/// let in_flight = [1, 3];
/// let candidates = roster.candidates(|place| in_flight[place]);
/// assert_eq!(least_requests::pick(&candidates, &mut Rng::seeded(1)), Some(1));
/// ```
pub fn pick<L: Fn(usize) -> u32>(candidates: &Candidates<'_, L>, rng: &mut Rng) -> Option<usize> {
    let mut best: Option<Best> = None;
    for place in candidates.usable() {
        let place = *place as usize;
        let (load, weight) =
            (u64::from(candidates.load(place)), u64::from(candidates.roster.effective(place)));
        let Some(best) = &mut best else {
            best = Some(Best { place, load, weight, tied: weight });
            continue;
        };
        // load / weight against best.load / best.weight, without a division.
        match (load * best.weight).cmp(&(best.load * weight)) {
            std::cmp::Ordering::Less => *best = Best { place, load, weight, tied: weight },
            std::cmp::Ordering::Equal => {
                best.tied += weight;
                if rng.below(best.tied) < weight {
                    (best.place, best.load, best.weight) = (place, load, weight);
                }
            }
            std::cmp::Ordering::Greater => {}
        }
    }
    best.map(|best| best.place)
}

struct Best {
    place: usize,
    load: u64,
    weight: u64,
    /// The weight of all that do as well.
    tied: u64,
}

#[cfg(test)]
mod tests;
