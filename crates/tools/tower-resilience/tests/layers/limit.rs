//! The adaptive limit.

use std::time::Duration;

use expect_test::expect;
use resilience::deadline;
use resilience::limit::Policy;
use tower::{Layer, ServiceBuilder};
use tower_resilience::deadline::DeadlineLayer;
use tower_resilience::limit::LimitLayer;

use crate::support::{Puppet, timeline, world};

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_limit_is_refused_and_a_dropped_call_gives_its_place_back() {
    let limit = LimitLayer::new(Policy { initial: 2, least: 1, ..Policy::default() }, &world(1));
    let calls = "0 hang x10\n0 ok:20\n0 ok:1\n9 ok:1\n11 ok:1\n15 ok:9";
    let told = expect![[r#"
        0 hang x10 -> 10 dropped
        0 ok:20 -> 20 ok
        0 ok:1 -> 0 LimitReached 2
        9 ok:1 -> 9 LimitReached 2
        11 ok:1 -> 12 ok
        15 ok:9 -> 24 ok
    "#]];
    told.assert_eq(&timeline(limit.layer(Puppet::default()), calls).await);
    assert_eq!((limit.in_flight(), limit.utilisation()), (0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn timeouts_shrink_it_and_good_answers_let_it_grow() {
    let world = world(1);
    let policy = Policy { initial: 20, samples: 10, ..Policy::default() };
    let limit = LimitLayer::new(policy, &world);
    let timeout = deadline::Policy { timeout: Duration::from_millis(50), ..deadline::Policy::default() };
    let service = ServiceBuilder::new()
        .layer(limit.clone())
        .layer(DeadlineLayer::new(timeout, &world))
        .service(Puppet::default());
    timeline(service.clone(), &"0 hang\n".repeat(20)).await;
    let shrunk = limit.limit();
    assert!(shrunk < 10, "it is {shrunk}");
    for _ in 0..20 {
        timeline(service.clone(), &"0 ok:10\n".repeat(shrunk as usize)).await;
    }
    assert!(limit.limit() > shrunk, "it is {}", limit.limit());
}
