//! Load shedding, by what the queue behind tells.

use std::time::Duration;

use base::Rng;
use resilience::bulkhead::Limits;
use resilience::shed::{Class, Policy};
use tower::ServiceBuilder;
use tower_resilience::Refusal;
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::shed::ShedLayer;

use crate::support::{Puppet, Request, call, world};

#[tokio::test(start_paused = true)]
async fn under_overload_the_least_important_are_refused_and_the_most_important_served() {
    let world = world(1);
    let shed = ShedLayer::new(Policy::default(), &world, |request: &Request| {
        let (class, client) = request.client.split_at(1);
        let class = if class == "c" { Class::Critical } else { Class::Sheddable };
        (class, client.parse().unwrap())
    });
    let limits = Limits { at_once: 10, waiting: 50, wait: Duration::from_millis(200), ..Limits::default() };
    let service = ServiceBuilder::new()
        .layer(shed.clone())
        .layer(BulkheadLayer::new(limits, &world).tells(shed.signals()))
        .service(Puppet::default());
    // Ten at once that take 10 ms are 1,000 a second; 2,000 come, a quarter of them critical.
    let mut rng = Rng::seeded(7);
    let mut tasks = Vec::new();
    for number in 0..40_000 {
        let class = if rng.below(4) == 0 { "c" } else { "s" };
        let request = Request::new(&format!("ok:10@{class}{}", rng.below(1_000)));
        let service = service.clone();
        let task = tokio::spawn(async move { (class, number, call(service, request).await) });
        tasks.push(task);
        // Timers count whole milliseconds.
        if number % 2 == 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (mut critical, mut served, mut shed_count) = ([0, 0], 0, 0);
    for task in tasks {
        let (class, number, ended) = task.await.unwrap();
        // The first half is for finding the level.
        if number < 20_000 {
            continue;
        }
        served += u32::from(ended.is_ok());
        if class == "c" {
            critical[usize::from(ended.is_ok())] += 1;
        }
        let refusal = ended.err().and_then(|error| Refusal::of(&*error).copied());
        shed_count += u32::from(matches!(refusal, Some(Refusal::Shed { .. })));
    }
    assert!(
        critical[0] * 20 < critical[1],
        "of critical requests, {} of {} failed",
        critical[0],
        critical[1]
    );
    assert!(served > 9_000, "{served} of the 10,000 that can be were served");
    assert!(shed_count > 8_000, "{shed_count} were shed");
    assert!(shed.admitted_share(Class::Sheddable) < 0.7);
}

#[tokio::test(start_paused = true)]
async fn without_overload_everything_is_admitted() {
    let shed = ShedLayer::new(Policy::default(), &world(1), |_: &Request| (Class::Sheddable, 1));
    let service = ServiceBuilder::new().layer(shed.clone()).service(Puppet::default());
    for _ in 0..1_000 {
        assert!(call(service.clone(), Request::new("ok:1")).await.is_ok());
    }
    assert!(shed.admitted_share(Class::Sheddable) >= 1.0);
}
