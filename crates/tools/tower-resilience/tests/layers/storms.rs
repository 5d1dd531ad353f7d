//! Storms: thousands of calls through all layers, many of them dropped at any moment, after which nothing is held.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use base::Rng;
use resilience::retry::Repeatable;
use resilience::shed::Class;
use resilience::{breaker, bulkhead, deadline, flights, hedge, limit, rate, retry, shed};
use tower::ServiceBuilder;
use tower::util::BoxCloneService;
use tower_resilience::balance::{Balance, BalancePolicy, Endpoint, Pool};
use tower_resilience::breaker::BreakerLayer;
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::deadline::DeadlineLayer;
use tower_resilience::flights::FlightsLayer;
use tower_resilience::hedge::HedgeLayer;
use tower_resilience::limit::LimitLayer;
use tower_resilience::rate::RateLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::shed::ShedLayer;
use tower_resilience::{BoxError, World};

use crate::support::{ByNumber, Puppet, Request, call, world};

type Stack = BoxCloneService<Request, String, BoxError>;

/// All layers, and the handles to look at them.
struct Everything {
    stack: Stack,
    bulkhead: BulkheadLayer,
    limit: LimitLayer<ByNumber>,
    look: Box<dyn Fn() -> (usize, usize)>,
    pool: Pool<usize, Stack>,
    puppets: Vec<Puppet>,
}

fn everything(world: &World) -> Everything {
    let puppets: Vec<Puppet> = ["a", "b", "c", "d"].map(Puppet::named).to_vec();
    let timeout = |ms| deadline::Policy { timeout: Duration::from_millis(ms), ..deadline::Policy::default() };
    let endpoint = |(key, puppet): (usize, &Puppet)| {
        let service = ServiceBuilder::new()
            .layer(BreakerLayer::new(breaker::Policy::default(), world).judged_by(ByNumber))
            .layer(DeadlineLayer::new(timeout(200), world))
            .service(puppet.clone());
        Endpoint::new(key, BoxCloneService::new(service))
    };
    let endpoints: Vec<Endpoint<usize, Stack>> = puppets.iter().enumerate().map(endpoint).collect();
    let balance = Balance::new(BalancePolicy::default(), world, endpoints).judged_by(ByNumber);
    let pool = balance.pool();
    let shed = ShedLayer::new(shed::Policy::default(), world, |request: &Request| {
        (Class::Default, request.client.len() as u64)
    });
    let limits = bulkhead::Limits {
        at_once: 60,
        waiting: 40,
        wait: Duration::from_millis(50),
        ..bulkhead::Limits::default()
    };
    let bulkhead = BulkheadLayer::new(limits, world).tells(shed.signals());
    let limit = LimitLayer::new(limit::Policy { initial: 50, ..limit::Policy::default() }, world)
        .judged_by(ByNumber)
        .tells(shed.signals());
    let flights = FlightsLayer::new(flights::Policy::default(), world, |request: &Request| {
        Some(request.client.clone()).filter(|client| client.len() < 3)
    });
    let quota = rate::Quota::new(100_000, Duration::from_secs(1), 10_000);
    let hedging = hedge::Policy { least_samples: 20, share: 0.5, burst: 100, ..hedge::Policy::default() };
    let safe = |_: &Request| Repeatable::Yes;
    let looked = flights.clone();
    let stack = ServiceBuilder::new()
        .layer(RateLayer::new(quota, world, |request: &Request| request.client.clone()))
        .layer(shed)
        .layer(flights)
        .layer(DeadlineLayer::new(timeout(400), world))
        .layer(RetryLayer::new(retry::Policy::default(), world, safe).judged_by(ByNumber))
        .layer(HedgeLayer::new(hedging, world, |_: &Request| true).judged_by(ByNumber))
        .layer(bulkhead.clone())
        .layer(limit.clone())
        .service(balance);
    let look = Box::new(move || looked.load());
    Everything { stack: BoxCloneService::new(stack), bulkhead, limit, look, pool, puppets }
}

impl Everything {
    #[track_caller]
    fn holds_nothing(&self) {
        assert_eq!(self.bulkhead.load(), (0, 0), "in the bulkhead");
        assert_eq!(self.limit.in_flight(), 0, "in the limit");
        assert_eq!((self.look)(), (0, 0), "flights");
        assert!(self.pool.view().iter().all(|endpoint| endpoint.in_flight == 0), "at the endpoints");
        assert!(self.puppets.iter().all(|puppet| puppet.out() == 0), "in the services");
    }
}

fn any_request(rng: &mut Rng) -> Request {
    let answer = |rng: &mut Rng| {
        let what = rng.pick(&["ok", "ok", "ok", "ok", "ok", "ok", "err", "500", "503", "hang"]);
        format!("{}:{}", what.unwrap_or(&"ok"), rng.below(80))
    };
    let client = rng.pick(&["a", "b", "c", "ab", "long", "longer", "longest"]).unwrap_or(&"a");
    Request::new(&format!("{}/{}@{client}", answer(rng), answer(rng)))
}

/// The seed of this run: `SEED=N` replays one.
fn seeds() -> Vec<u64> {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=5).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_on_a_simulated_clock_nothing_is_held() {
    for seed in seeds() {
        eprintln!("SEED={seed}");
        let mut rng = Rng::seeded(seed);
        let everything = everything(&world(seed));
        let (done, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = Vec::new();
        for _ in 0..4_000 {
            let (service, request) = (everything.stack.clone(), any_request(&mut rng));
            let patience = if rng.chance(0.5) { rng.below(100) } else { 10_000 };
            let (done, dropped) = (Arc::clone(&done), Arc::clone(&dropped));
            tasks.push(tokio::spawn(async move {
                let call = call(service, request);
                let ended = tokio::time::timeout(Duration::from_millis(patience), call).await;
                if ended.is_ok() { done } else { dropped }.fetch_add(1, Ordering::SeqCst);
            }));
            if rng.chance(0.3) {
                tokio::time::sleep(Duration::from_micros(rng.below(3_000))).await;
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        everything.holds_nothing();
        let (done, dropped) = (done.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst));
        assert!(done > 1_000 && dropped > 500, "{done} ended and {dropped} were dropped");
        // And it serves as before: time heals what the storm did to breakers and endpoints.
        tokio::time::sleep(Duration::from_secs(60)).await;
        for _ in 0..100 {
            call(everything.stack.clone(), Request::new("ok:1@after")).await.unwrap();
        }
        everything.holds_nothing();
    }
}

/// Yields a few times instead of sleeping, so that a storm needs no clock.
fn yielding() -> impl tower::Service<Request, Response = String, Error = BoxError, Future: Send> + Clone + Send
{
    tower::service_fn(async |request: Request| {
        for _ in 0..request.what.len() {
            tokio::task::yield_now().await;
        }
        if request.what.len().is_multiple_of(5) { Err("it broke".into()) } else { Ok(request.what) }
    })
}

/// Many threads, no timers that matter: what races is the locks. Futures are dropped after any number of polls.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_storm_on_many_threads_nothing_is_held() {
    let world = World::real();
    let limits = bulkhead::Limits { at_once: 3, waiting: 20, ..bulkhead::Limits::default() };
    let bulkhead = BulkheadLayer::new(limits, &world);
    let limit = LimitLayer::new(limit::Policy { initial: 100, ..limit::Policy::default() }, &world);
    let flights = FlightsLayer::new(flights::Policy::default(), &world, |request: &Request| {
        Some(request.client.clone())
    });
    let inside = [0, 1].map(|key| Endpoint::new(key, BoxCloneService::new(yielding())));
    let balance = Balance::new(BalancePolicy::default(), &world, inside);
    let pool = balance.pool();
    let stack = ServiceBuilder::new()
        .layer(flights.clone())
        .layer(BreakerLayer::new(
            breaker::Policy { failure_share: 2.0, failures_in_a_row: None, ..breaker::Policy::default() },
            &world,
        ))
        .layer(limit.clone())
        .layer(bulkhead.clone())
        .service(balance);
    let stack = BoxCloneService::new(stack);
    let mut tasks = Vec::new();
    for worker in 0..8 {
        let stack = stack.clone();
        tasks.push(tokio::spawn(async move {
            let mut rng = Rng::seeded(worker);
            for _ in 0..50 {
                storm_of_one_worker(stack.clone(), &mut rng).await;
            }
        }));
    }
    // Endpoints come and go meanwhile.
    for turn in 0..200 {
        let keys = [turn % 3, (turn + 1) % 3];
        pool.replace(keys.map(|key| Endpoint::new(key, BoxCloneService::new(yielding()))));
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(bulkhead.load(), (0, 0));
    assert_eq!(limit.in_flight(), 0);
    assert_eq!(flights.load(), (0, 0));
    assert!(pool.view().iter().all(|endpoint| endpoint.in_flight == 0));
}

/// Twenty calls at once, each polled by hand now and then, and dropped at any time.
async fn storm_of_one_worker(stack: Stack, rng: &mut Rng) {
    let clients = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut calls: Vec<_> = (0..20)
        .map(|_| {
            let what = "x".repeat(rng.below(12) as usize);
            let client = rng.pick(&clients).unwrap_or(&"a");
            Some(Box::pin(call(stack.clone(), Request::new(&format!("{what}@{client}")))))
        })
        .collect();
    for _ in 0..60 {
        let at = rng.below(20) as usize;
        let Some(running) = &mut calls[at] else { continue };
        let ended = running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if ended || rng.chance(0.05) {
            calls[at] = None;
        }
        if rng.chance(0.2) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn services_are_let_go_with_their_layers() {
    let world = world(1);
    let everything = everything(&world);
    let witness = everything.puppets[0].clone();
    for _ in 0..50 {
        let mut running = pin!(call(everything.stack.clone(), Request::new("hang@x")));
        assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(everything);
    assert_eq!(Arc::strong_count(&witness.calls), 1);
}
