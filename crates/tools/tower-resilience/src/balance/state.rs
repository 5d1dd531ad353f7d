//! What all clones of a balancer share: the endpoints, how they stand, and who waits for one.
//!
//! Invariant: the endpoints, the roster, the outliers and the readiness have the same places. A number is an endpoint's
//! for ever and is never given to another, so a call that comes home late is not counted for a newcomer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use base::{Instant, Rng};
use resilience::balance::{Ewma, Mode, Roster, Standing, choices, ewma};
use resilience::health::outliers::{Change as OutlierChange, Outcome, Outliers, Reason};
use resilience::health::readiness::Readiness;
use resilience::retry::Failure;

use super::{BalancePolicy, Endpoint, EndpointView};
use crate::world::lock;
use crate::{Ending, Refusal, World};

/// The pool is looked at this often at least, while it is used.
const LOOK: Duration = Duration::from_secs(1);

/// What changed about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// It is out until then.
    Ejected {
        /// When it comes back.
        until: Instant,
        /// Why.
        reason: Reason,
    },
    /// It is back.
    Returned,
}

type OnChange<K> = Box<dyn Fn(&K, Change) + Send + Sync>;

pub(super) struct Shared<K, S> {
    world: World,
    on_change: OnceLock<OnChange<K>>,
    state: Mutex<State<K, S>>,
}

struct State<K, S> {
    policy: BalancePolicy,
    endpoints: Vec<Known<K, S>>,
    latencies: Vec<Ewma>,
    roster: Roster,
    outliers: Outliers,
    readiness: Readiness,
    /// Latencies below this count as alike.
    alike: Duration,
    turn: usize,
    /// When there is something to do by time alone.
    next: Instant,
    rng: Rng,
    generation: u64,
    next_number: u64,
    next_id: u64,
    /// Clones that wait for an endpoint.
    waiting: HashMap<u64, Waker>,
}

struct Known<K, S> {
    key: Arc<K>,
    number: u64,
    service: S,
    in_flight: u32,
}

/// What a caller is to do that asks whether it is ready.
pub(super) enum Wait {
    /// Call.
    No,
    /// Wait until it is woken, or for this long.
    For(Duration),
    /// Take over a change of endpoints first.
    Stale,
}

/// Where a request goes.
pub(super) struct Picked {
    pub(super) place: usize,
    pub(super) number: u64,
    pub(super) began: Instant,
}

/// What happened under the lock that is to be told after it: who waits is woken, and who listens is told.
struct News<K> {
    changes: Vec<(Arc<K>, Change)>,
    wakers: Vec<Waker>,
}

impl<K> Default for News<K> {
    fn default() -> Self {
        Self { changes: Vec::new(), wakers: Vec::new() }
    }
}

impl<K, S> Shared<K, S> {
    pub(super) fn new(policy: BalancePolicy, world: &World) -> Self {
        let now = world.now();
        let state = State {
            policy,
            endpoints: Vec::new(),
            latencies: Vec::new(),
            roster: Roster::new(policy.rules),
            outliers: Outliers::new(policy.outliers, 0, now),
            readiness: Readiness::new(policy.readiness, 0),
            alike: Duration::ZERO,
            turn: 0,
            next: now,
            rng: world.rng(),
            generation: 0,
            next_number: 0,
            next_id: 0,
            waiting: HashMap::new(),
        };
        Self { world: world.clone(), on_change: OnceLock::new(), state: Mutex::new(state) }
    }

    pub(super) fn on_change(&self, told: OnChange<K>) {
        self.on_change.get_or_init(|| told);
    }

    pub(super) fn new_id(&self) -> u64 {
        let state = &mut *lock(&self.state);
        state.next_id += 1;
        state.next_id
    }

    pub(super) fn forget(&self, id: u64) {
        lock(&self.state).waiting.remove(&id);
    }

    /// The services of all endpoints, if they changed since this generation.
    pub(super) fn since(&self, generation: u64) -> Option<(u64, Vec<(u64, S)>)>
    where
        S: Clone,
    {
        let state = lock(&self.state);
        let services = || state.endpoints.iter().map(|known| (known.number, known.service.clone())).collect();
        (state.generation != generation).then(|| (state.generation, services()))
    }

    /// A fresh copy of one.
    pub(super) fn service(&self, number: u64) -> Option<S>
    where
        S: Clone,
    {
        let state = lock(&self.state);
        state.endpoints.iter().find(|known| known.number == number).map(|known| known.service.clone())
    }

    /// Whether the caller is to wait: then it is woken when anything changes. It tells by place what it has of each
    /// endpoint.
    pub(super) fn wait(
        &self,
        id: u64,
        generation: u64,
        cx: &Context<'_>,
        is_ready: impl Fn(usize) -> bool,
        may_come: impl Fn(usize) -> bool,
    ) -> Wait {
        let now = self.world.now();
        let mut news = News::default();
        let wait = {
            let state = &mut *lock(&self.state);
            if state.generation != generation {
                return Wait::Stale;
            }
            state.keep_up(now, &mut news);
            let usable = state.roster.candidates(|_| 0);
            let mut usable = usable.usable().iter().map(|place| *place as usize).peekable();
            let none_can = usable.peek().is_none();
            let (mut any_ready, mut any_may_come) = (false, false);
            for place in usable {
                any_ready |= is_ready(place);
                any_may_come |= may_come(place);
            }
            if any_ready || none_can || !any_may_come {
                state.waiting.remove(&id);
                Wait::No
            } else {
                state.waiting.insert(id, cx.waker().clone());
                Wait::For(state.next.since(now).max(Duration::from_millis(1)))
            }
        };
        self.tell(news);
        wait
    }

    /// The place for a request among those that are ready; nothing if the caller is to take over a change first.
    pub(super) fn pick(
        &self,
        generation: u64,
        is_ready: impl Fn(usize) -> bool,
    ) -> Option<Result<Picked, Refusal>> {
        let now = self.world.now();
        let mut news = News::default();
        let picked = {
            let state = &mut *lock(&self.state);
            if state.generation != generation {
                return None;
            }
            state.keep_up(now, &mut news);
            match state.pick(is_ready, now) {
                Some(place) => {
                    let known = &mut state.endpoints[place];
                    known.in_flight += 1;
                    Ok(Picked { place, number: known.number, began: now })
                }
                None => Err(state.refusal(now)),
            }
        };
        self.tell(news);
        Some(picked)
    }

    /// A call is back: it ended so, or was dropped.
    pub(super) fn settle(&self, number: u64, began: Instant, ending: Option<Ending>) {
        let now = self.world.now();
        let mut news = News::default();
        {
            let state = &mut *lock(&self.state);
            let Some(place) = state.roster.place(number) else { return };
            let known = &mut state.endpoints[place];
            known.in_flight = known.in_flight.saturating_sub(1);
            match ending {
                Some(ending) => state.learn(place, ending, (now.since(began), now), &mut news),
                None => state.dropped(place, now.since(began), now),
            }
        }
        self.tell(news);
    }

    /// An endpoint failed while it became ready.
    pub(super) fn could_not(&self, number: u64, ending: Ending) {
        let now = self.world.now();
        let mut news = News::default();
        {
            let state = &mut *lock(&self.state);
            let Some(place) = state.roster.place(number) else { return };
            state.learn(place, ending, (Duration::ZERO, now), &mut news);
        }
        self.tell(news);
    }

    fn tell(&self, news: News<K>) {
        news.wakers.into_iter().for_each(Waker::wake);
        if let Some(told) = self.on_change.get() {
            news.changes.iter().for_each(|(key, change)| told(key, *change));
        }
    }
}

impl<K: Clone + PartialEq, S> Shared<K, S> {
    pub(super) fn replace(&self, endpoints: Vec<Endpoint<K, S>>) {
        let now = self.world.now();
        let mut news = News::default();
        // What leaves is dropped after the lock is let go: it may be a service's last copy.
        let _left = {
            let state = &mut *lock(&self.state);
            let left = state.replace(endpoints, now);
            state.next = now;
            state.wake(&mut news);
            left
        };
        self.tell(news);
    }

    pub(super) fn view(&self) -> Vec<EndpointView<K>> {
        let now = self.world.now();
        let state = lock(&self.state);
        let each = state.endpoints.iter().zip(state.roster.seats()).zip(&state.latencies);
        each.map(|((known, seat), latency)| EndpointView {
            key: K::clone(&known.key),
            standing: seat.standing,
            in_flight: known.in_flight,
            latency: latency.value(now, state.policy.ewma),
        })
        .collect()
    }
}

impl<K: PartialEq, S> State<K, S> {
    fn replace(&mut self, endpoints: Vec<Endpoint<K, S>>, now: Instant) -> Vec<Known<K, S>> {
        let mut old: Vec<Option<Known<K, S>>> =
            std::mem::take(&mut self.endpoints).into_iter().map(Some).collect();
        let mut from = Vec::with_capacity(endpoints.len());
        let mut weights = Vec::with_capacity(endpoints.len());
        for Endpoint { key, weight, service } in endpoints {
            let at = old.iter().position(|known| known.as_ref().is_some_and(|known| *known.key == key));
            let known = at.and_then(|at| old[at].take()).unwrap_or_else(|| {
                self.next_number += 1;
                Known { key: Arc::new(key), number: self.next_number, service, in_flight: 0 }
            });
            from.push(at);
            weights.push((known.number, weight));
            self.endpoints.push(known);
        }
        self.latencies =
            from.iter().map(|at| at.map_or_else(Ewma::default, |at| self.latencies[at])).collect();
        self.outliers.rearrange(from.iter().copied());
        self.readiness.rearrange(from.iter().copied());
        self.roster.replace(weights, now);
        self.generation += 1;
        old.into_iter().flatten().collect()
    }
}

impl<K, S> State<K, S> {
    fn pick(&mut self, is_ready: impl Fn(usize) -> bool, now: Instant) -> Option<usize> {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let BalancePolicy { ewma, choices, .. } = self.policy;
        let Self { roster, endpoints, latencies, alike, rng, .. } = self;
        let candidates = roster.candidates(|place| endpoints[place].in_flight);
        let cost = |place: usize| {
            if !is_ready(place) {
                return f64::INFINITY;
            }
            latencies[place].cost_alike(candidates.relative_load(place), *alike, now, ewma)
        };
        let picked = choices::pick_in_turn(&candidates, (choices, turn), rng, cost)?;
        if is_ready(picked) {
            return Some(picked);
        }
        // None of those that were compared is ready; perhaps another is.
        let count = endpoints.len();
        let others = || (1..count).map(|step| (picked + step) % count).filter(|place| is_ready(*place));
        // One that went out since the caller was told that it is ready is better than none.
        others().find(|place| candidates.is_available(*place)).or_else(|| others().next())
    }

    /// Why there is no place for a request.
    fn refusal(&self, now: Instant) -> Refusal {
        let well = (0..self.endpoints.len()).filter(|place| !self.outliers.is_out(*place));
        match self.readiness.soonest_of(well, now) {
            Some(soonest) if self.roster.mode() == Mode::Spared => {
                Refusal::AllSpared { retry_after: soonest.since(now) }
            }
            Some(_) | None => Refusal::NoEndpoint,
        }
    }

    /// Takes in how a call ended.
    fn learn(&mut self, place: usize, ending: Ending, (took, now): (Duration, Instant), news: &mut News<K>) {
        let outcome = match ending {
            Ending::Void => return,
            Ending::Refused(trouble) if trouble.retry_after.is_none() => return,
            Ending::NotNow(trouble) | Ending::Refused(trouble) => {
                let told = trouble.retry_after;
                if let Some(until) = self.readiness.not_now(place, told, now, &mut self.rng) {
                    self.stand(place, now, news);
                    self.next = self.next.min(until);
                }
                return;
            }
            Ending::Good => Outcome::Good,
            Ending::Failed(trouble) => match trouble.failure {
                Failure::Status(502..=504) | Failure::Unknown | Failure::NotProcessed => {
                    Outcome::GatewayError
                }
                Failure::Status(_) => Outcome::OwnError,
            },
        };
        match outcome {
            Outcome::Good => self.latencies[place].answered(took, now, self.policy.ewma),
            Outcome::OwnError | Outcome::GatewayError => {
                self.latencies[place].failed(took, now, self.policy.ewma);
            }
        }
        if let Some(change) = self.outliers.settle(place, outcome, took, now, &mut self.rng) {
            self.heed(change, now, news);
            self.next = self.next.min(self.outliers.next_at());
        }
    }

    /// A call was dropped after this time: it would have taken longer, which is news if it is more than was known.
    fn dropped(&mut self, place: usize, took: Duration, now: Instant) {
        let policy = self.policy.ewma;
        let latency = &mut self.latencies[place];
        if latency.value(now, policy).is_none_or(|known| known < took) {
            latency.answered(took, now, policy);
        }
    }

    /// What is to be done by time: those whose time is over come back, and the pool is judged.
    fn keep_up(&mut self, now: Instant, news: &mut News<K>) {
        if now < self.next {
            return;
        }
        if now >= self.outliers.next_at() {
            for change in self.outliers.poll(now, &mut self.rng) {
                self.heed(change, now, news);
            }
        }
        (0..self.endpoints.len()).for_each(|place| self.mark(place, now));
        self.refresh(now, news);
        let quickest = ewma::quickest(&self.latencies, now, self.policy.ewma).unwrap_or_default();
        self.alike = quickest.mul_f64(ewma::ALIKE);
        let spared = (0..self.endpoints.len()).filter_map(|place| self.readiness.soonest_of([place], now));
        let times = [Some(self.outliers.next_at()), self.roster.next_refresh()];
        self.next = times.into_iter().flatten().chain(spared).fold(now + LOOK, Instant::min);
    }

    fn heed(&mut self, change: OutlierChange, now: Instant, news: &mut News<K>) {
        let (place, change) = match change {
            OutlierChange::Ejected { place, until, reason } => (place, Change::Ejected { until, reason }),
            OutlierChange::Returned { place } => (place, Change::Returned),
        };
        news.changes.push((Arc::clone(&self.endpoints[place].key), change));
        self.stand(place, now, news);
    }

    fn stand(&mut self, place: usize, now: Instant, news: &mut News<K>) {
        self.mark(place, now);
        self.refresh(now, news);
    }

    fn mark(&mut self, place: usize, now: Instant) {
        let standing = Standing::by_answers(&self.outliers, &self.readiness, place, now);
        self.roster.stand(place, standing, now);
    }

    /// Works out who is usable; those who wait for one look again if that changed.
    fn refresh(&mut self, now: Instant, news: &mut News<K>) {
        let usable = |roster: &Roster| roster.candidates(|_| 0).usable().to_vec();
        let before = (!self.waiting.is_empty()).then(|| usable(&self.roster));
        self.roster.refresh(now);
        if before.is_some_and(|before| before != usable(&self.roster)) {
            self.wake(news);
        }
    }

    fn wake(&mut self, news: &mut News<K>) {
        news.wakers.extend(self.waiting.drain().map(|(_, waker)| waker));
    }
}
