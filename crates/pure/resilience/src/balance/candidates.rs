//! What a policy is shown at the moment of a pick.

use base::Rng;

use super::{Roster, Weight};

/// The usable endpoints of a [`Roster`] and their loads: cheap to make, one a pick.
///
/// Weights, slow start, ejection and panic are already in it, so a policy only chooses. Everything here is constant
/// time but [`Candidates::total_load`].
pub struct Candidates<'a, L> {
    pub(super) roster: &'a Roster,
    pub(super) load: L,
}

impl<L: Fn(usize) -> u32> Candidates<'_, L> {
    /// How many endpoints there are, usable or not. Places are below it.
    pub fn len(&self) -> usize {
        self.roster.seats().len()
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The places that may be picked, in order.
    pub fn usable(&self) -> &[u32] {
        self.roster.usable()
    }

    /// Whether this place may be picked.
    pub fn is_available(&self, place: usize) -> bool {
        self.roster.effective(place) > 0
    }

    /// The weight that counts now; zero for those that may not be picked.
    pub fn weight(&self, place: usize) -> Weight {
        Weight::of_thousandths(self.roster.effective(place))
    }

    /// The sum of the weights of the usable, in thousandths.
    pub fn total_weight(&self) -> u64 {
        self.roster.total()
    }

    /// Requests in flight.
    pub fn load(&self, place: usize) -> u32 {
        (self.load)(place)
    }

    /// Requests in flight at all usable endpoints. Linear; keep a counter where it is asked for often.
    pub fn total_load(&self) -> u64 {
        self.usable().iter().map(|place| u64::from(self.load(*place as usize))).sum()
    }

    /// Requests in flight for each unit of the mean weight: an endpoint with half the weight is as loaded by one
    /// request as another by two.
    pub fn relative_load(&self, place: usize) -> f64 {
        self.relative(f64::from(self.load(place)), place)
    }

    /// That of any figure that grows with the load.
    pub(super) fn relative(&self, load: f64, place: usize) -> f64 {
        if self.roster.is_even() {
            return load;
        }
        let mean = self.roster.total() as f64 / self.usable().len().max(1) as f64;
        load * mean / f64::from(self.roster.effective(place).max(1))
    }

    /// A usable place by chance, in proportion to weight.
    pub fn draw(&self, rng: &mut Rng) -> Option<usize> {
        let slot = self.draw_slot(rng)?;
        Some(self.usable()[slot] as usize)
    }

    /// An index into the usable places, by weight.
    pub(super) fn draw_slot(&self, rng: &mut Rng) -> Option<usize> {
        self.roster.draw(rng)
    }

    /// The index whose turn it is, if weights are even.
    pub(super) fn turn_slot(&self, turn: usize) -> Option<usize> {
        let count = self.usable().len();
        (count > 0 && self.roster.is_even()).then(|| turn % count)
    }

    /// The same among the first so many, if weights are even; if not, among all.
    pub(super) fn draw_slot_of(&self, count: usize, rng: &mut Rng) -> Option<usize> {
        if self.roster.is_even() { Some(rng.below(count as u64) as usize) } else { self.draw_slot(rng) }
    }

    /// Whether one slot may contend with the one that was drawn.
    pub(super) fn contends(&self, drawn: usize, other: usize, rng: &mut Rng) -> bool {
        if self.roster.is_even() {
            return true;
        }
        let weight = |slot: usize| u64::from(self.roster.effective(self.usable()[slot] as usize));
        let (drawn, other) = (weight(drawn), weight(other));
        other >= drawn || rng.below(drawn) < other
    }
}
