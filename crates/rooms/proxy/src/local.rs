//! One thread's view of the table: pools to pick from, and the idle connections to their instances.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, Rng};
use plan::traffic::PoolProtocol;
use resilience::breaker::{self, Breaker};
use resilience::hedge::Hedger;
use spec::{BalanceBy, Breaking, EdgePolicy};

use crate::balance::{self, Balance, Verdict};
use crate::buffer::Input;
use crate::cache::Cache;
use crate::endpoint::EndpointState;
use crate::exchange;
use crate::fork::Fork;
use crate::gate::Gate;
use crate::http2::FarTrunk;
use crate::limits::{FAR_IDLE, FAR_PER_ENDPOINT, IDLE_PER_ENDPOINT};
use crate::link::Link;
use crate::rules::Wishes;
use crate::stick::Stick;
use crate::stream::Stream;
use crate::table::{PoolKey, Table};
use crate::worker::Worker;

/// The table as one thread goes by it.
pub(crate) struct LocalTable {
    pub(crate) shared: Arc<Table>,
    pub(crate) pools: Vec<Rc<LocalPool>>,
    /// Of requests that are sent elsewhere.
    pub(crate) nowhere: Rc<LocalPool>,
    by_key: HashMap<PoolKey, usize>,
}

/// A pool on one thread.
pub(crate) struct LocalPool {
    pub(crate) key: PoolKey,
    pub(crate) endpoints: Vec<Rc<LocalEndpoint>>,
    pub(crate) balance: RefCell<Balance>,
    /// Its instances are spoken to in HTTP/2.
    pub(crate) http2: bool,
    /// What the service wants beyond the defaults.
    pub(crate) policy: EdgePolicy,
    /// Its bounds, if it has any.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Spares it when it has stopped to answer in time; goes on over changes of the table.
    pub(crate) breaker: Option<Rc<RefCell<Breaker>>>,
    /// When a second instance is asked, if its service wants that; goes on likewise.
    pub(crate) hedger: Option<Rc<RefCell<Hedger>>>,
    /// What it wants done with requests and answers.
    pub(crate) wishes: Option<Arc<Wishes>>,
    /// How clients stay with their instance.
    pub(crate) stick: Option<Arc<Stick>>,
    /// Where its requests go beside it.
    pub(crate) fork: Option<Arc<Fork>>,
    /// What it keeps of its answers.
    pub(crate) cache: Option<Arc<Cache>>,
    /// Since when it has had no instance that takes connections.
    pub(crate) down_since: Cell<Option<Instant>>,
}

/// An instance on one thread, with the connections that rest.
pub(crate) struct LocalEndpoint {
    pub(crate) state: Arc<EndpointState>,
    pub(crate) thread: usize,
    idle: RefCell<Vec<Idle>>,
    /// Connections in HTTP/2, each with its streams.
    far: RefCell<Vec<FarTrunk>>,
    /// It has left the table: connections to it are not kept.
    retired: Cell<bool>,
}

struct Idle {
    stream: Link,
    since: Instant,
}

/// A connection to an instance, at work for one request or tunnel. Counts as in flight until it is dropped.
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    pub(crate) input: Input,
    pub(crate) flight: Flight,
}

/// One request or connection that an instance has to do.
pub(crate) struct Flight(pub(crate) Rc<LocalEndpoint>);

impl Flight {
    pub(crate) fn begin(endpoint: &Rc<LocalEndpoint>) -> Self {
        endpoint.state.begin(endpoint.thread);
        Self(endpoint.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.state.end(self.0.thread);
    }
}

impl LocalTable {
    /// The view of a new table. Instances that stay keep their idle connections; the others' are closed here.
    pub(crate) fn build(shared: Arc<Table>, thread: usize, old: Option<&LocalTable>, now: Instant) -> Self {
        let mut known: HashMap<*const EndpointState, Rc<LocalEndpoint>> = HashMap::new();
        let mut before: HashMap<&PoolKey, &Rc<LocalPool>> = HashMap::new();
        for pool in old.iter().flat_map(|old| &old.pools) {
            before.insert(&pool.key, pool);
            for endpoint in &pool.endpoints {
                known.insert(Arc::as_ptr(&endpoint.state), endpoint.clone());
            }
        }
        let mut kept: HashMap<*const EndpointState, Rc<LocalEndpoint>> = HashMap::new();
        let mut pools = Vec::with_capacity(shared.pools.len());
        for spec in &shared.pools {
            let endpoints = spec.endpoints.iter().map(|state| {
                let id = Arc::as_ptr(state);
                let made = || known.get(&id).cloned().unwrap_or_else(|| LocalEndpoint::new(state, thread));
                kept.entry(id).or_insert_with(made).clone()
            });
            let endpoints: Vec<_> = endpoints.collect();
            let before = before.get(&spec.key);
            let since = before.and_then(|pool| pool.down_since.get());
            let down_since = if endpoints.is_empty() { since.or(Some(now)) } else { None };
            pools.push(Rc::new(LocalPool {
                key: spec.key.clone(),
                // Threads begin at different instances, or few requests would all go to the first.
                balance: Balance::new(
                    &spec.policy.balance,
                    &endpoints,
                    before.map(|pool| &***pool),
                    thread,
                    now,
                )
                .into(),
                http2: spec.protocol == PoolProtocol::H2,
                policy: spec.policy.clone(),
                gate: spec.gate.clone(),
                breaker: breaker(&spec.policy, before.map(|pool| &***pool)),
                hedger: exchange::hedger(spec.policy.hedge, before.map(|pool| &***pool)),
                wishes: spec.wishes.clone(),
                fork: spec.fork.clone(),
                stick: spec.stick.clone(),
                cache: spec.cache.clone(),
                endpoints,
                down_since: Cell::new(down_since),
            }));
        }
        for (id, endpoint) in &known {
            if !kept.contains_key(id) {
                endpoint.retire();
            }
        }
        let by_key = pools.iter().enumerate().map(|(at, pool)| (pool.key.clone(), at)).collect();
        let nowhere = LocalPool::emptied(&PoolKey::default(), now);
        Self { shared, pools, nowhere, by_key }
    }

    /// The pool of this name, if the table still has it.
    pub(crate) fn pool(&self, key: &PoolKey) -> Option<&Rc<LocalPool>> {
        self.by_key.get(key).map(|at| &self.pools[*at])
    }

    /// Closes the idle connections that are too old or that the instance has closed.
    pub(crate) fn sweep(&self, now: Instant, most: Duration) {
        for endpoint in self.pools.iter().flat_map(|pool| &pool.endpoints) {
            endpoint.idle.borrow_mut().retain(|idle| now.since(idle.since) < most && idle.stream.is_quiet());
            endpoint
                .far
                .borrow_mut()
                .retain(|far| far.idle_since().is_none_or(|since| now.since(since) < FAR_IDLE));
        }
    }
}

/// The breaker of a pool, unless its service wants none: the one that it had before, if it had one.
fn breaker(policy: &EdgePolicy, before: Option<&LocalPool>) -> Option<Rc<RefCell<Breaker>>> {
    let known = before.and_then(|pool| pool.breaker.clone());
    let new = || Rc::new(RefCell::new(Breaker::new(breaker::Policy::default())));
    (policy.breaker == Breaking::On).then(|| known.unwrap_or_else(new))
}

impl LocalPool {
    /// A pool that the table no longer has.
    pub(crate) fn emptied(key: &PoolKey, now: Instant) -> Rc<Self> {
        let (key, endpoints, down_since) = (key.clone(), Vec::new(), Cell::new(Some(now)));
        let balance = Balance::new(&BalanceBy::Latency, &endpoints, None, 0, now).into();
        let policy = EdgePolicy::default();
        Rc::new(Self {
            key,
            endpoints,
            balance,
            http2: false,
            policy,
            gate: None,
            breaker: None,
            hedger: None,
            wishes: None,
            fork: None,
            stick: None,
            cache: None,
            down_since,
        })
    }

    /// An instance for the next request, by load and latency; in turns while they have equal ones.
    ///
    /// Instances that take no connections and those in `tried` are passed over while there are others: when all are
    /// avoided, all are used, since a wrong guess must not take the service down. None when there are none, and when
    /// all asked to be spared.
    pub(crate) fn pick(
        &self,
        tried: &[Rc<LocalEndpoint>],
        now: Instant,
        (key, rng): (Option<u64>, &mut Rng),
    ) -> Option<Rc<LocalEndpoint>> {
        let was_tried = |e: &Rc<LocalEndpoint>| tried.iter().any(|t| Rc::ptr_eq(t, e));
        let mut balance = self.balance.borrow_mut();
        let shun = |e: &Rc<LocalEndpoint>| was_tried(e) || e.state.is_avoided(now);
        let picked = &self.endpoints[balance.pick(&self.endpoints, now, (key, rng), shun)?];
        if !was_tried(picked) {
            return Some(picked.clone());
        }
        // Better one that took no connection of others than one that failed this very request.
        let other = self.endpoints.iter().find(|e| !was_tried(e)).unwrap_or(picked);
        Some(other.clone())
    }

    /// What a connection that nobody reads has in common with those that go to the same instance.
    pub(crate) fn key_of_peer(&self, peer: SocketAddr) -> Option<u64> {
        match self.policy.balance {
            BalanceBy::Latency | BalanceBy::RoundRobin | BalanceBy::LeastRequests => None,
            BalanceBy::Client | BalanceBy::Header(_) => Some(balance::of_address(peer.ip())),
        }
    }

    /// Whether this is one of its instances.
    pub(crate) fn has(&self, endpoint: &Rc<LocalEndpoint>) -> bool {
        self.endpoints.iter().any(|e| Rc::ptr_eq(e, endpoint))
    }

    /// Whether one of its instances takes requests, as far as is known.
    pub(crate) fn takes_requests(&self, now: Instant) -> bool {
        self.endpoints.iter().any(|e| !e.state.is_avoided(now)) && self.spared(now).is_none()
    }

    /// In how many seconds to ask again, if all instances asked to be spared.
    pub(crate) fn spared(&self, now: Instant) -> Option<u32> {
        self.balance.borrow().spared(now)
    }

    /// Takes in what became of a request to one of the instances.
    pub(crate) fn settle(
        &self,
        endpoint: &Rc<LocalEndpoint>,
        verdict: Verdict,
        times: (Duration, Instant),
        rng: &mut Rng,
    ) {
        // One that has left the pool meanwhile is nobody's any more.
        if let Some(place) = self.endpoints.iter().position(|e| Rc::ptr_eq(e, endpoint)) {
            self.balance.borrow_mut().settle(place, endpoint, verdict, times, rng);
        }
    }
}

impl LocalEndpoint {
    pub(crate) fn new(state: &Arc<EndpointState>, thread: usize) -> Rc<Self> {
        Rc::new(Self {
            state: state.clone(),
            thread,
            idle: RefCell::default(),
            far: RefCell::default(),
            retired: Cell::new(false),
        })
    }

    fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        // Streams that are open go on; the connection ends with the last of them.
        self.far.borrow_mut().clear();
    }

    /// A stream on a connection that is there and has room.
    pub(crate) fn take_stream(self: &Rc<Self>, worker: &Rc<Worker>) -> Option<Upstream> {
        let now = worker.watches.now();
        let mut far = self.far.borrow_mut();
        far.retain_mut(FarTrunk::is_open);
        let trunk = far.iter().find(|trunk| trunk.has_room())?;
        let stream = Stream::Far(Box::new(trunk.lane(worker, now)));
        Some(Upstream { stream, input: Input::default(), flight: Flight::begin(self) })
    }

    /// Keeps a connection for the streams of others.
    pub(crate) fn keep(&self, trunk: FarTrunk) {
        let mut far = self.far.borrow_mut();
        if !self.retired.get() && far.len() < FAR_PER_ENDPOINT {
            far.push(trunk);
        }
    }

    /// The idle connection that was at work last, if it is not older than `most` and still open.
    ///
    /// `surely` asks the kernel, and not only what the last look at all sockets told.
    pub(crate) fn take_idle(self: &Rc<Self>, now: Instant, most: Duration, surely: bool) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop() {
            if now.since(last.since) >= most {
                // All others are older still; the sweep closes them.
                return None;
            }
            if last.stream.is_quiet() && !(surely && last.stream.has_ended()) {
                let flight = Flight::begin(self);
                return Some(Upstream {
                    stream: Stream::Plain(last.stream),
                    input: Input::default(),
                    flight,
                });
            }
        }
        None
    }
}

impl Upstream {
    /// Keeps the connection for the next request.
    pub(crate) fn rest(self, now: Instant) {
        let endpoint = &self.flight.0;
        let mut idle = endpoint.idle.borrow_mut();
        if let Stream::Plain(stream) = self.stream
            && !endpoint.retired.get()
            && idle.len() < IDLE_PER_ENDPOINT
        {
            idle.push(Idle { stream, since: now });
        }
    }
}

#[cfg(test)]
mod tests;
