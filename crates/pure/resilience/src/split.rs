//! Splits: which of several versions of a service gets a request, by weights, so that clients stay where they are.
//!
//! MODEL. Sides stand beside each other, each with a weight. A request brings a point: a hash of what its client has in
//! common with its other requests, where clients are to stay at their side, or any number, where each request is drawn
//! by itself. Each side runs a race of its own against the others: its time is exponential with its weight as the rate, made
//! of the point and the side's key alone, and the first wins. So
//!
//! - a side wins as often as its weight is a part of the sum;
//! - one point always has the same winner, on every thread, in every process, whatever the order of the sides, and nothing is
//!   kept for it;
//! - when a weight grows and the others stay, points move to that side alone, and only as many as its share grows; when it shrinks
//!   they move away from it alone, and the last that came are the first to leave;
//! - where a side cannot be used its points go to the others by their weights, and come back when it can. Nobody else moves.
//!
//! With two sides this is a line between them that weights move. With more and several weights changed at once, no rule
//! without memory moves as few as possible; this one moves at most twice as many.
//!
//! SOURCE. Thaler, Ravishankar: "Using name-based mappings to increase hit rates", 1998, for the highest random weight;
//! Schindelhauer, Schomaker: "Weighted distributed hash tables", 2005, for the logarithm that makes weights exact; Bavarian
//! et al.: "Optimality of correlated sampling strategies", 2016, for the bound with several sides.
//!
//! DEFAULTS. None. A weight is a whole number beside the others' and no percentage, so that one can be changed alone. A
//! side of weight zero is drawn for nobody, also where no other can be used.

use crate::hash::mix;

/// One side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// What it is known by for good: a hash of its name. Two sides have two.
    pub key: u64,
    /// How much it gets beside the others.
    pub weight: u32,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The place of the side.
    pub side: usize,
    /// The side that it would have gone to, had that been usable.
    pub instead_of: Option<usize>,
}

/// The sides of one split.
///
/// ```
/// use resilience::split::{Drawn, Side, Split};
///
/// let sides = |next| Split::new([Side { key: 1, weight: 90 }, Side { key: 2, weight: next }]);
/// // Where the new side has more, whoever was there stays there.
/// let moved_back = (0..1000).filter(|client| {
///     sides(10).owner(*client) == Some(1) && sides(20).owner(*client) != Some(1)
/// });
/// assert_eq!(moved_back.count(), 0);
/// // While it cannot be used, its clients are at the other.
/// let client = (0..).find(|client| sides(10).owner(*client) == Some(1)).unwrap_or(0);
/// assert_eq!(sides(10).draw(client, |side| side == 0), Some(Drawn { side: 0, instead_of: Some(1) }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    sides: Vec<Side>,
}

impl Split {
    /// Of these sides, which are known by their places from here on.
    pub fn new(sides: impl IntoIterator<Item = Side>) -> Self {
        Self { sides: sides.into_iter().collect() }
    }

    /// Which side a point belongs to; none when no side has any weight.
    pub fn owner(&self, point: u64) -> Option<usize> {
        self.first(point, |_| true)
    }

    /// Which side a request with this point goes to: its own, or another if that is not usable. With none that is, its own.
    /// None when no side has any weight.
    pub fn draw(&self, point: u64, usable: impl Fn(usize) -> bool) -> Option<Drawn> {
        let own = self.owner(point)?;
        if usable(own) {
            return Some(Drawn { side: own, instead_of: None });
        }
        match self.first(point, usable) {
            Some(side) => Some(Drawn { side, instead_of: Some(own) }),
            None => Some(Drawn { side: own, instead_of: None }),
        }
    }

    /// The part of all points that a side owns, from 0 to 1.
    pub fn share(&self, side: usize) -> f64 {
        let sum: u64 = self.sides.iter().map(|side| u64::from(side.weight)).sum();
        let weight = self.sides.get(side).map_or(0, |side| side.weight);
        if sum == 0 { 0.0 } else { f64::from(weight) / sum as f64 }
    }

    /// The first of the race among those for which `runs` holds.
    fn first(&self, point: u64, runs: impl Fn(usize) -> bool) -> Option<usize> {
        let scattered = mix(point);
        let mut first: Option<(f64, u64, usize)> = None;
        for (place, side) in self.sides.iter().enumerate() {
            if side.weight == 0 || !runs(place) {
                continue;
            }
            let time = time(scattered, side);
            // Two that come in together are told apart by their keys, not by their places.
            if first.is_none_or(|(best, key, _)| (time, side.key) < (best, key)) {
                first = Some((time, side.key, place));
            }
        }
        first.map(|(_, _, place)| place)
    }
}

/// When a side comes in.
fn time(scattered: u64, side: &Side) -> f64 {
    // Above 0, so that its logarithm is a number; at most 1.
    let chance = ((mix(scattered ^ side.key) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -chance.ln() / f64::from(side.weight)
}

#[cfg(test)]
mod tests;
