//! Who may be picked: the endpoints of a pool, with all that decides their share put together once, not per request.
//!
//! A [`Seat`] says what is known of one endpoint: its weight, how it stands, since when it takes part. From all seats,
//! the slow start and the panic threshold follow a list of usable places, an effective weight for each, and a table
//! to draw from. That work is done by [`Roster::refresh`], which the owner calls when a seat changed or when
//! [`Roster::next_refresh`] has come; picks only read. Places are indices into the seats and hold until
//! [`Roster::replace`].
//!
//! MODEL. Health changes seldom against requests: milliseconds of delay in seeing a change do not matter, nanoseconds a
//! request do. A machine that lets an endpoint back by time tells its owner when, so no pick has to compare times.
//!
//! Invariant: after a refresh, a place has a weight above zero exactly if it is usable.

use std::time::Duration;

use base::{Instant, Rng};

use super::alias::Alias;
use super::{Candidates, SlowStart, Weight};
use crate::health::outliers::Outliers;
use crate::health::panic::Threshold;
use crate::health::readiness::Readiness;

/// How an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes new requests.
    Open,
    /// It is well, but said "not now": no new requests, not even in panic.
    Spared,
    /// It is about to leave: no new requests but those of sessions that are bound to it.
    Draining,
    /// It fails its checks or was ejected: no new requests, except in panic.
    Out,
}

impl Standing {
    /// How an endpoint stands by what its answers told.
    pub fn by_answers(outliers: &Outliers, readiness: &Readiness, place: usize, now: Instant) -> Self {
        if outliers.is_out(place) {
            Self::Out
        } else if readiness.is_spared(place, now) {
            Self::Spared
        } else {
            Self::Open
        }
    }
}

/// What is known of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The endpoint's own number, which stays the same when places change; unique in the roster.
    pub key: u64,
    /// What it is worth when warm.
    pub weight: Weight,
    /// How it stands.
    pub standing: Standing,
    /// When it came, or came back from being out.
    pub since: Instant,
}

/// Which endpoints are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those that are open.
    Usual,
    /// Too few are well, so those that are out are used too.
    Panic,
    /// None: all that are well said "not now". Answer that, with the soonest time.
    Spared,
    /// None: there is nobody.
    Nobody,
}

/// The endpoints of a pool, made ready for picks.
///
/// ```
/// use base::{Instant, Rng};
/// use resilience::balance::{Roster, Rules, Standing, Weight, least_requests};
///
/// let now = Instant::from_secs(1);
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(7, Weight::USUAL), (8, Weight::USUAL), (9, Weight::USUAL)], now);
/// roster.stand(0, Standing::Out, now);
/// roster.refresh(now);
/// let in_flight = [0, 5, 2];
/// let candidates = roster.candidates(|place| in_flight[place]);
/// assert_eq!(least_requests::pick(&candidates, &mut Rng::seeded(1)), Some(2));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Roster {
    rules: Rules,
    seats: Vec<Seat>,
    /// Places by key, in the order of keys.
    places: Vec<(u64, u32)>,
    mode: Option<Mode>,
    usable: Vec<u32>,
    /// By place, in thousandths; zero for places that are not usable.
    effective: Vec<u32>,
    total: u64,
    /// Whether the usable places have one weight, so that a draw needs no table.
    even: bool,
    alias: Alias,
    next: Option<Instant>,
}

/// The rules that decide a share, beside the seats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rules {
    /// How weight grows with age.
    pub slow_start: SlowStart,
    /// How few have to be well for a panic.
    pub panic: Threshold,
}

impl Roster {
    /// A roster without endpoints.
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes these endpoints, by key and weight, in this order. Those that were there keep how they stand and since
    /// when; new ones are open. Keys are to be unique: of two endpoints with one key, both are used and one is found.
    pub fn replace(&mut self, endpoints: impl IntoIterator<Item = (u64, Weight)>, now: Instant) {
        let known = |key| self.place(key).map(|place| self.seats[place]);
        let mut seats: Vec<Seat> = Vec::new();
        let mut places: Vec<(u64, u32)> = Vec::new();
        for (key, weight) in endpoints {
            let new = Seat { key, weight, standing: Standing::Open, since: now };
            places.push((key, seats.len() as u32));
            seats.push(known(key).map_or(new, |seat| Seat { weight, ..seat }));
        }
        places.sort_unstable();
        (self.seats, self.places) = (seats, places);
        self.refresh(now);
    }

    /// Changes how an endpoint stands; to be seen after the next refresh. One that comes back from being out starts
    /// slowly; one that was spared is warm and does not.
    pub fn stand(&mut self, place: usize, standing: Standing, now: Instant) {
        let Some(seat) = self.seats.get_mut(place) else { return };
        if seat.standing == Standing::Out && standing != Standing::Out {
            seat.since = now;
        }
        seat.standing = standing;
    }

    /// Changes what an endpoint is worth; to be seen after the next refresh.
    pub fn weigh(&mut self, place: usize, weight: Weight) {
        if let Some(seat) = self.seats.get_mut(place) {
            seat.weight = weight;
        }
    }

    /// Works out who is usable, and with which weight. Linear in the number of endpoints.
    pub fn refresh(&mut self, now: Instant) {
        let mode = self.judge();
        let uses = |seat: &Seat| match seat.standing {
            Standing::Open => true,
            Standing::Out => mode == Mode::Panic,
            Standing::Spared | Standing::Draining => false,
        };
        self.usable.clear();
        let all = (0u32..).zip(&self.seats);
        self.usable
            .extend(all.filter(|(_, seat)| uses(seat) && seat.weight > Weight::ZERO).map(|(place, _)| place));
        self.mode = Some(mode);
        self.weigh_usable(now, mode);
        let weights = || self.usable.iter().map(|place| self.effective[*place as usize]);
        self.total = weights().map(u64::from).sum();
        self.even = weights().min() == weights().max();
        if !self.even {
            let effective = &self.effective;
            self.alias.build(self.usable.iter().map(|place| effective[*place as usize]));
        }
    }

    fn judge(&self) -> Mode {
        let count =
            |wanted| self.seats.iter().filter(|s| s.weight > Weight::ZERO && s.standing == wanted).count();
        let (open, spared, out) = (count(Standing::Open), count(Standing::Spared), count(Standing::Out));
        if out > 0 && self.rules.panic.is_crossed(open + spared, open + spared + out) {
            Mode::Panic
        } else if open > 0 {
            Mode::Usual
        } else if spared > 0 {
            Mode::Spared
        } else {
            Mode::Nobody
        }
    }

    fn weigh_usable(&mut self, now: Instant, mode: Mode) {
        let ramp = self.rules.slow_start;
        let seats = &self.seats;
        let usable = self.usable.iter().map(|place| &seats[*place as usize]);
        let age = |seat: &Seat| now.since(seat.since);
        let spares = mode == Mode::Usual && ramp.can_spare(usable.clone().map(|s| (s.weight, age(s))));
        let ramps = spares && usable.clone().any(|seat| !ramp.is_warm(age(seat)));
        // Ages also decide whether the cold can be spared, so any that is not warm calls for another look.
        let young = mode == Mode::Usual && usable.clone().any(|seat| !ramp.is_warm(age(seat)));
        self.next = young.then(|| ramp.step(now));
        self.effective.clear();
        self.effective.resize(seats.len(), 0);
        for place in &self.usable {
            let seat = &seats[*place as usize];
            let weight = if ramps { ramp.weight(seat.weight, age(seat)) } else { seat.weight };
            self.effective[*place as usize] = weight.thousandths();
        }
    }

    /// When weights change by themselves; nothing while all are warm.
    pub fn next_refresh(&self) -> Option<Instant> {
        self.next
    }

    /// Which endpoints are used, as of the last refresh.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Nobody)
    }

    /// All endpoints, by place.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// How long an endpoint has taken part.
    pub fn age(&self, place: usize, now: Instant) -> Option<Duration> {
        self.seats.get(place).map(|seat| now.since(seat.since))
    }

    /// Where the endpoint with this key is.
    pub fn place(&self, key: u64) -> Option<usize> {
        let at = self.places.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.places[at].1 as usize)
    }

    /// What policies pick from: the usable endpoints, with the number of requests that each has in flight now.
    pub fn candidates<L: Fn(usize) -> u32>(&self, load: L) -> Candidates<'_, L> {
        Candidates { roster: self, load }
    }

    pub(super) fn usable(&self) -> &[u32] {
        &self.usable
    }

    pub(super) fn effective(&self, place: usize) -> u32 {
        self.effective.get(place).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn is_even(&self) -> bool {
        self.even
    }

    /// An index into the usable places, by weight.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<usize> {
        match self.usable.len() {
            0 => None,
            1 => Some(0),
            count if self.even => Some(rng.below(count as u64) as usize),
            _ => self.alias.draw(rng),
        }
    }
}

#[cfg(test)]
mod tests;
