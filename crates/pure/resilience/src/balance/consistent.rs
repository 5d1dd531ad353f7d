//! Consistent hashing with bounded loads: requests with one key go to one endpoint, but never too many of them.
//!
//! MODEL. Requests with the same key are cheaper at the same endpoint, for its cache. Endpoints come and go, and keys
//! are not equally popular. Each endpoint owns points on a ring; a key goes to the first point at or after its hash.
//! When that endpoint is full or not usable, the key goes on along the ring, always in the same order, so that a hot
//! key spreads over as few endpoints as carry it.
//!
//! SOURCE. Karger et al., "Consistent hashing and random trees", 1997; the bound from Mirrokni, Thorup, Zadimoghaddam,
//! "Consistent hashing with bounded loads", 2016: with m requests in flight, the one to be placed included, and a
//! factor c, no endpoint takes more than ⌈c · m · w / W⌉, for its weight w of the sum W.
//!
//! DEFAULTS. Factor 1.25: of c in the paper's bound on how many keys move with a change, O(1 / (c-1)²), and of the
//! load above the mean, which it is, the usual middle (HAProxy's documentation and Vimeo's report of 2016 agree).
//! 100 points for the usual weight: shares are then within some 10 % of the weight before the bound evens them out.
//!
//! A change of who is usable, or of effective weight, needs no new ring: only keys of that endpoint move. A pick is a
//! look into a table of buckets and a walk over about one point, and one more for each that is full.

use super::{Candidates, Roster, Weight};

/// How the ring is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RingPolicy {
    /// How much more than the mean an endpoint may carry; at least 1.
    pub factor: f64,
    /// Points for an endpoint of the usual weight; at least 1.
    pub points: u32,
}

impl Default for RingPolicy {
    fn default() -> Self {
        Self { factor: 1.25, points: 100 }
    }
}

/// Most points that one endpoint gets, whatever it weighs.
const MOST_POINTS: u32 = 2_000;

/// Which endpoint a key belongs to. Made of the places of a roster, and anew when those are replaced.
///
/// ```
/// use base::Instant;
/// use resilience::balance::{Ring, RingPolicy, Roster, Rules, Weight};
///
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(1, Weight::USUAL), (2, Weight::USUAL)], Instant::from_secs(1));
/// let ring = Ring::new(&roster, RingPolicy::default());
/// // Nothing is in flight, so the key's own endpoint takes it, each time.
/// let (key, idle) = (0x1234_5678, roster.candidates(|_| 0));
/// assert_eq!(ring.pick(&idle, key, 0), ring.pick(&idle, key, 0));
/// ```
#[derive(Debug, Clone)]
pub struct Ring {
    /// In order.
    hashes: Vec<u64>,
    /// The place that owns the point, by index of the point.
    owners: Vec<u32>,
    /// The first point in each of equal parts of the ring.
    starts: Vec<u32>,
    /// How far a hash is shifted to get its part.
    shift: u32,
    /// In thousandths.
    factor: u64,
}

impl Ring {
    /// The ring of all endpoints of a roster, whether usable now or not.
    pub fn new(roster: &Roster, policy: RingPolicy) -> Self {
        let mut points: Vec<(u64, u64, u32)> = Vec::new();
        for (place, seat) in (0u32..).zip(roster.seats()) {
            for point in 0..point_count(seat.weight, policy.points) {
                points.push((scatter(seat.key ^ scatter(u64::from(point) + 1)), seat.key, place));
            }
        }
        // By key where hashes collide, so that the order of places does not matter.
        points.sort_unstable();
        let parts = points.len().next_power_of_two();
        let shift = 64 - parts.trailing_zeros();
        let part = |hash: u64| hash.checked_shr(shift).unwrap_or(0) as usize;
        let mut starts = Vec::with_capacity(parts);
        for (at, (hash, _, _)) in (0u32..).zip(&points) {
            starts.resize(starts.len().max(part(*hash) + 1), at);
        }
        starts.resize(parts, points.len() as u32);
        Self {
            hashes: points.iter().map(|(hash, _, _)| *hash).collect(),
            owners: points.iter().map(|(_, _, place)| *place).collect(),
            starts,
            shift,
            factor: (policy.factor.max(1.0) * 1_000.0) as u64,
        }
    }

    /// The endpoint for a request with this key, of which any bits may be alike, and so many requests in flight at all
    /// usable endpoints, as [`Candidates::total_load`] counts them.
    ///
    /// Should the loads contradict that number, the first usable endpoint takes it.
    pub fn pick<L: Fn(usize) -> u32>(
        &self,
        candidates: &Candidates<'_, L>,
        key: u64,
        in_flight: u64,
    ) -> Option<usize> {
        let from = self.find(scatter(key));
        let mut usable = None;
        let (before, after) = self.owners.split_at(from);
        for place in after.iter().chain(before) {
            let place = *place as usize;
            if !candidates.is_available(place) {
                continue;
            }
            if u64::from(candidates.load(place)) < self.capacity(candidates, place, in_flight) {
                return Some(place);
            }
            usable = usable.or(Some(place));
        }
        usable
    }

    /// The most requests that an endpoint carries when one more is placed.
    pub fn capacity<L: Fn(usize) -> u32>(
        &self,
        candidates: &Candidates<'_, L>,
        place: usize,
        in_flight: u64,
    ) -> u64 {
        let weight = u128::from(candidates.weight(place).thousandths());
        let most = u128::from(self.factor) * u128::from(in_flight + 1) * weight;
        let shares = u128::from(candidates.total_weight().max(1)) * 1_000;
        u64::try_from(most.div_ceil(shares)).unwrap_or(u64::MAX)
    }

    /// The first point at or after this hash; the number of points when there is none.
    fn find(&self, hash: u64) -> usize {
        let part = hash.checked_shr(self.shift).unwrap_or(0) as usize;
        let mut at = self.starts.get(part).map_or(0, |start| *start as usize);
        while self.hashes.get(at).is_some_and(|point| *point < hash) {
            at += 1;
        }
        at
    }
}

fn point_count(weight: Weight, usual: u32) -> u32 {
    let points = u64::from(weight.thousandths()) * u64::from(usual.max(1));
    (points.div_ceil(u64::from(Weight::USUAL.thousandths())) as u32).min(MOST_POINTS)
}

/// The finisher of `SplitMix64`: one to one, and every bit depends on every other.
fn scatter(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
