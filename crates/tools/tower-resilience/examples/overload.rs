//! What happens under overload, without layers and with them: `cargo run -p tower-resilience --example overload`.
//!
//! A service does 16 requests at once, each in 5 to 15 ms, so 1,600 a second. Its clients give up after half a second.
//! A quarter of the requests are critical, and the rest can be done later. Time is simulated, so it ends at once and
//! prints the same each time.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Rng;
use resilience::shed::Class;
use resilience::{bulkhead, deadline, shed};
use tokio::sync::Semaphore;
use tower::util::BoxCloneService;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::deadline::{DeadlineLayer, HasDeadline};
use tower_resilience::shed::ShedLayer;
use tower_resilience::{BoxError, Refusal, World};

#[path = "../tests/layers/support/clock.rs"]
mod clock;

const WORKERS: usize = 16;
const PATIENCE: Duration = Duration::from_millis(500);
const SECONDS: u64 = 10;

#[derive(Clone)]
struct Request {
    client: u64,
    class: Class,
    deadline: Option<deadline::Deadline>,
}

impl HasDeadline for Request {
    fn deadline(&self) -> Option<deadline::Deadline> {
        self.deadline
    }

    fn set_deadline(&mut self, deadline: deadline::Deadline) {
        self.deadline = Some(deadline);
    }
}

type Stack = BoxCloneService<Request, (), BoxError>;

/// Serves in the order of arrival, and does not know who has given up: as a service with a queue of connections.
fn service(seed: u64) -> Stack {
    let (workers, rng) = (Arc::new(Semaphore::new(WORKERS)), Arc::new(Mutex::new(Rng::seeded(seed))));
    BoxCloneService::new(tower::service_fn(move |_: Request| {
        let (workers, rng) = (Arc::clone(&workers), Arc::clone(&rng));
        async move {
            let work = tokio::spawn(async move {
                let _worker = workers.acquire_owned().await?;
                let time = rng.lock().map_or(10, |mut rng| 5 + rng.below(11));
                tokio::time::sleep(Duration::from_millis(time)).await;
                Ok::<_, BoxError>(())
            });
            work.await?
        }
    }))
}

/// What is too late is not begun, the least important is shed, and a short queue takes up bursts.
fn layered(service: Stack, world: &World) -> Stack {
    let shed =
        ShedLayer::new(shed::Policy::default(), world, |request: &Request| (request.class, request.client));
    let limits = bulkhead::Limits {
        at_once: WORKERS as u32,
        waiting: 200,
        wait: Duration::from_millis(200),
        ..bulkhead::Limits::default()
    };
    let timeout = deadline::Policy { timeout: PATIENCE, ..deadline::Policy::default() };
    let stack = ServiceBuilder::new()
        .layer(shed.clone())
        .layer(DeadlineLayer::new(timeout, world))
        .layer(BulkheadLayer::new(limits, world).tells(shed.signals()))
        .service(service);
    BoxCloneService::new(stack)
}

/// How the requests of a run ended.
#[derive(Default)]
struct Tally {
    critical: u64,
    critical_served: u64,
    served_ms: Vec<u128>,
    shed: u64,
    full: u64,
    late: u64,
}

async fn run(stack: Stack, a_millisecond: f64) -> Result<Tally, BoxError> {
    let mut rng = Rng::seeded(1);
    let mut tasks = Vec::new();
    let mut due = 0.0;
    for _ in 0..SECONDS * 1_000 {
        due += a_millisecond;
        while due >= 1.0 {
            due -= 1.0;
            let class = if rng.below(4) == 0 { Class::Critical } else { Class::Sheddable };
            let request = Request { client: rng.below(1_000), class, deadline: None };
            tasks.push(tokio::spawn(one(stack.clone(), request)));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut tally = Tally::default();
    for task in tasks {
        let (class, took, ended) = task.await?;
        let is_critical = u64::from(class == Class::Critical);
        tally.critical += is_critical;
        match ended.as_ref().map_err(|error| Refusal::of(&**error)) {
            Ok(()) => {
                tally.critical_served += is_critical;
                tally.served_ms.push(took.as_millis());
            }
            Err(Some(Refusal::Shed { .. })) => tally.shed += 1,
            Err(Some(Refusal::BulkheadFull { .. })) => tally.full += 1,
            Err(_) => tally.late += 1,
        }
    }
    tally.served_ms.sort_unstable();
    Ok(tally)
}

/// One client's request, until it gives up.
async fn one(mut stack: Stack, request: Request) -> (Class, Duration, Result<(), BoxError>) {
    let class = request.class;
    let clock = clock::SimulatedClock::shared();
    let began = clock.now();
    let call = async { stack.ready().await?.call(request).await };
    let ended = tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|late| Err(late.into()));
    (class, clock.now().since(began), ended)
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "                       served    p99   critical            refused a second")?;
    writeln!(out, "load                 a second     ms     served     shed  queue full   too late")?;
    for load in [0.5, 0.9, 1.5, 3.0] {
        for with_layers in [false, true] {
            let world = World::simulated(clock::SimulatedClock::shared(), 1);
            let stack = if with_layers { layered(service(1), &world) } else { service(1) };
            let tally = run(stack, load * 1.6).await?;
            let p99 = tally.served_ms.get(tally.served_ms.len() * 99 / 100).copied().unwrap_or_default();
            let name = format!("{load:.1} {}", if with_layers { "with layers" } else { "without" });
            writeln!(
                out,
                "{name:20} {:>8} {p99:>6} {:>8} % {:>8} {:>11} {:>10}",
                tally.served_ms.len() as u64 / SECONDS,
                100 * tally.critical_served / tally.critical.max(1),
                tally.shed / SECONDS,
                tally.full / SECONDS,
                tally.late / SECONDS,
            )?;
        }
    }
    Ok(())
}
