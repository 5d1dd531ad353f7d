//! Which instance of a pool gets the next request, by what one thread has seen of them.
//!
//! Each thread judges for itself, by its own share of the requests: there is nothing to agree on and nothing to wait
//! for. What they share is in [`EndpointState`](crate::endpoint::EndpointState): requests in flight, and who takes no
//! connections.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use base::{Instant, Rng};
use resilience::balance::choices::{self, DEFAULT_CHOICES};
use resilience::balance::sticky::{self, Affinity, CookieValue, Unbound};
use resilience::balance::{
    Ewma, EwmaPolicy, Mode, Ring, RingPolicy, Roster, RoundRobin, Rules, Standing, Weight, ewma,
    least_requests,
};
use resilience::health::outliers::{Change, Outcome, OutlierPolicy, Outliers};
use resilience::health::readiness::{Readiness, ReadinessPolicy, retry_after_secs};

use spec::BalanceBy;

use crate::events;
use crate::head::response::NotNow;
use crate::local::{LocalEndpoint, LocalPool};

/// How often the least latency of the pool is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// What became of a request, as far as it says something about the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answered, with this status.
    Answered(u16),
    /// It gave no answer, or none that can be read.
    Lost,
    /// It asked to be spared, for this long if it said so.
    NotNow(NotNow),
    /// Another was quicker, and it was not waited for.
    Overtaken,
}

/// By which rule an instance is picked.
#[derive(Clone)]
enum Way {
    Latency,
    InTurn(RoundRobin),
    Least,
    Keyed(Box<Ring>),
}

impl Way {
    fn of(by: &BalanceBy, roster: &Roster, before: Self) -> Self {
        match (by, before) {
            (BalanceBy::Latency, _) => Self::Latency,
            (BalanceBy::RoundRobin, Self::InTurn(turns)) => Self::InTurn(turns),
            (BalanceBy::RoundRobin, _) => Self::InTurn(RoundRobin::default()),
            (BalanceBy::LeastRequests, _) => Self::Least,
            (BalanceBy::Client | BalanceBy::Header(_), _) => {
                Self::Keyed(Box::new(Ring::new(roster, RingPolicy::default())))
            }
        }
    }
}

/// The instances of one pool, by place.
#[derive(Clone)]
pub(crate) struct Balance {
    way: Way,
    roster: Roster,
    latency: Vec<Ewma>,
    outliers: Outliers,
    readiness: Readiness,
    /// Those that said as a whole that they take nothing now.
    closed: Vec<bool>,
    /// Latencies up to this one are alike.
    alike: Duration,
    /// Counts the picks.
    turn: usize,
    /// When there is something to do by time.
    next: Instant,
}

impl Balance {
    /// Of these instances, with what was known of those that were there before. `turn` is where turns begin.
    pub(crate) fn new(
        by: &BalanceBy,
        endpoints: &[Rc<LocalEndpoint>],
        before: Option<&LocalPool>,
        turn: usize,
        now: Instant,
    ) -> Self {
        let old = before.map_or(&[][..], |pool| &pool.endpoints);
        let mut balance = before.map_or_else(|| Self::empty(turn, now), |pool| pool.balance.borrow().clone());
        let places: Vec<Option<usize>> =
            endpoints.iter().map(|e| old.iter().position(|o| Rc::ptr_eq(o, e))).collect();
        balance.latency =
            places.iter().map(|place| place.map_or_else(Ewma::default, |at| balance.latency[at])).collect();
        balance.outliers.rearrange(places.iter().copied());
        balance.readiness.rearrange(places.iter().copied());
        balance.closed = places.iter().map(|place| place.is_some_and(|at| balance.closed[at])).collect();
        balance.roster.replace(endpoints.iter().map(|e| (e.state.mark, Weight::USUAL)), now);
        balance.way = Way::of(by, &balance.roster, std::mem::replace(&mut balance.way, Way::Latency));
        balance.next = now;
        balance
    }

    fn empty(turn: usize, now: Instant) -> Self {
        Self {
            way: Way::Latency,
            roster: Roster::new(Rules::default()),
            latency: Vec::new(),
            outliers: Outliers::new(OutlierPolicy::default(), 0, now),
            readiness: Readiness::new(ReadinessPolicy::default(), 0),
            closed: Vec::new(),
            alike: Duration::ZERO,
            turn,
            next: now,
        }
    }

    /// The place for the next request, passing over those for which `shun` holds while there are others. `key` is what
    /// requests have in common that go to the same instance, where the service wants that.
    ///
    /// None when all that are well asked to be spared: see [`Balance::spared`].
    pub(crate) fn pick(
        &mut self,
        endpoints: &[Rc<LocalEndpoint>],
        now: Instant,
        (key, rng): (Option<u64>, &mut Rng),
        shun: impl Fn(&Rc<LocalEndpoint>) -> bool,
    ) -> Option<usize> {
        if now >= self.next {
            self.keep_up(endpoints, now, rng);
        }
        let now_at = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let Self { way, roster, latency, alike, .. } = self;
        let policy = EwmaPolicy::default();
        let load = |place: usize| u32::try_from(endpoints[place].state.in_flight()).unwrap_or(u32::MAX);
        let candidates = roster.candidates(load);
        let cost = |place: usize| {
            if shun(&endpoints[place]) {
                return f64::INFINITY;
            }
            latency[place].cost_alike(candidates.relative_load(place), *alike, now, policy)
        };
        let picked = match (way, key) {
            (Way::Latency, _) => choices::pick_in_turn(&candidates, (DEFAULT_CHOICES, now_at), rng, cost),
            (Way::InTurn(turns), _) => turns.pick(&candidates, rng),
            (Way::Keyed(ring), Some(key)) => ring.pick(&candidates, key, candidates.total_load()),
            (Way::Least | Way::Keyed(_), _) => least_requests::pick(&candidates, rng),
        };
        let Some(picked) = picked else {
            return self.least_bad(endpoints.len(), now);
        };
        if !shun(&endpoints[picked]) {
            return Some(picked);
        }
        // All that were compared are to be passed over; perhaps not all that there are.
        let count = endpoints.len();
        let mut others = (1..count).map(|step| (picked + step) % count);
        let usable = |place: &usize| candidates.is_available(*place) && !shun(&endpoints[*place]);
        Some(others.find(usable).unwrap_or(picked))
    }

    /// Where a request goes that brought this value of the cookie of the service.
    pub(crate) fn affinity(
        &mut self,
        endpoints: &[Rc<LocalEndpoint>],
        brought: Option<&[u8]>,
        now: Instant,
        rng: &mut Rng,
    ) -> Affinity {
        if now >= self.next {
            self.keep_up(endpoints, now, rng);
        }
        let is = |e: &Rc<LocalEndpoint>| brought == Some(CookieValue::of(e.state.mark).as_bytes());
        match sticky::resolve(&self.roster, brought) {
            // One that takes nothing more as a whole is about to end.
            Affinity::Detour if endpoints.iter().position(is).is_some_and(|place| self.closed[place]) => {
                Affinity::Bind(Unbound::Out)
            }
            Affinity::Stay(place) if endpoints[place].state.is_avoided(now) => Affinity::Bind(Unbound::Out),
            resolved => resolved,
        }
    }

    /// When all are spared: one that said so of an answer only, as it may have an answer of its own for this too.
    fn least_bad(&self, count: usize, now: Instant) -> Option<usize> {
        let open = (0..count).filter(|place| !self.closed[*place]);
        open.min_by_key(|place| self.readiness.soonest_of([*place], now))
    }

    /// In how many seconds to ask again, if all that are well asked to be spared.
    pub(crate) fn spared(&self, now: Instant) -> Option<u32> {
        if self.roster.mode() != Mode::Spared {
            return None;
        }
        let well = (0..self.latency.len()).filter(|place| !self.outliers.is_out(*place));
        let secs = self.readiness.soonest_of(well, now).map_or(1, |soonest| retry_after_secs(soonest, now));
        Some(u32::try_from(secs).unwrap_or(u32::MAX))
    }

    /// Takes in what became of a request.
    pub(crate) fn settle(
        &mut self,
        place: usize,
        endpoint: &LocalEndpoint,
        verdict: Verdict,
        (took, now): (Duration, Instant),
        rng: &mut Rng,
    ) {
        let outcome = match verdict {
            Verdict::NotNow(wish) => {
                endpoint.state.asked_to_be_spared(endpoint.thread);
                self.closed[place] = wish.plain;
                let asked = wish.secs.map(|secs| Duration::from_secs(secs.into()));
                if let Some(until) = self.readiness.not_now(place, asked, now, rng) {
                    endpoint.state.spare(endpoint.thread, until);
                    self.stand(place, now);
                    self.next = self.next.min(until);
                }
                return;
            }
            Verdict::Overtaken => {
                // It takes at least so long, which is no reason to eject it.
                let policy = EwmaPolicy::default();
                if self.latency[place].value(now, policy).is_none_or(|known| known < took) {
                    self.latency[place].answered(took, now, policy);
                }
                return;
            }
            Verdict::Answered(502..=504) | Verdict::Lost => Outcome::GatewayError,
            Verdict::Answered(500..) => Outcome::OwnError,
            Verdict::Answered(_) => Outcome::Good,
        };
        let policy = EwmaPolicy::default();
        match outcome {
            Outcome::Good => self.latency[place].answered(took, now, policy),
            Outcome::OwnError | Outcome::GatewayError => self.latency[place].failed(took, now, policy),
        }
        if let Some(change) = self.outliers.settle(place, outcome, took, now, rng) {
            self.heed(change, endpoint, now);
            self.next = self.next.min(self.outliers.next_at());
        }
    }

    /// What is to be done by time: those whose time is over come back, and the pool is judged.
    fn keep_up(&mut self, endpoints: &[Rc<LocalEndpoint>], now: Instant, rng: &mut Rng) {
        if now >= self.outliers.next_at() {
            for change in self.outliers.poll(now, rng) {
                let (Change::Ejected { place, .. } | Change::Returned { place }) = change;
                self.heed(change, &endpoints[place], now);
            }
        }
        (0..endpoints.len()).for_each(|place| self.mark(place, now));
        self.roster.refresh(now);
        let quickest = ewma::quickest(&self.latency, now, EwmaPolicy::default()).unwrap_or_default();
        self.alike = quickest.mul_f64(ewma::ALIKE);
        let times = [Some(self.outliers.next_at()), self.roster.next_refresh()];
        self.next = times.into_iter().flatten().fold(now + LOOK, Instant::min).max(now);
    }

    fn heed(&mut self, change: Change, endpoint: &LocalEndpoint, now: Instant) {
        match change {
            Change::Ejected { place, until, reason } => {
                let state = &endpoint.state;
                state.ejected(endpoint.thread, until);
                events::ejected(&state.instance, state.address, until.since(now), reason);
                self.stand(place, now);
            }
            Change::Returned { place } => {
                endpoint.state.returned(endpoint.thread);
                events::returned(&endpoint.state.instance, endpoint.state.address);
                self.stand(place, now);
            }
        }
    }

    fn stand(&mut self, place: usize, now: Instant) {
        self.mark(place, now);
        self.roster.refresh(now);
    }

    fn mark(&mut self, place: usize, now: Instant) {
        let standing = Standing::by_answers(&self.outliers, &self.readiness, place, now);
        self.roster.stand(place, standing, now);
    }
}

/// What requests have in common, as a number: FNV-1a, the same in every process.
pub(crate) fn key(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An address as such a number.
pub(crate) fn of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => key(&[&v4.octets()]),
        IpAddr::V6(v6) => key(&[&v6.octets()]),
    }
}

#[cfg(test)]
mod tests;
