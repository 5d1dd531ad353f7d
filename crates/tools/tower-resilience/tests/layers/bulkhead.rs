//! Bulkheads.

use std::time::Duration;

use expect_test::{Expect, expect};
use resilience::bulkhead::Limits;
use tower::Layer;
use tower_resilience::bulkhead::{BulkheadLayer, Compartments};

use crate::support::{Puppet, Request, timeline, world};

fn limits(at_once: u32, waiting: u32, wait_ms: u64) -> Limits {
    Limits { at_once, waiting, wait: Duration::from_millis(wait_ms), ..Limits::default() }
}

async fn check(limits: Limits, calls: &str, expected: Expect) {
    let bulkhead = BulkheadLayer::new(limits, &world(1));
    expected.assert_eq(&timeline(bulkhead.layer(Puppet::default()), calls).await);
    assert_eq!(bulkhead.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_wait_in_order_and_the_queue_is_bounded_in_number_and_time() {
    let calls = "0 ok:40\n1 ok:20\n2 ok:10\n3 ok:1\n4 ok:1\n70 ok:1";
    let told = expect![[r#"
        0 ok:40 -> 40 ok
        1 ok:20 -> 60 ok
        2 ok:10 -> 52 BulkheadFull Waited
        3 ok:1 -> 3 BulkheadFull Queue
        4 ok:1 -> 4 BulkheadFull Queue
        70 ok:1 -> 71 ok
    "#]];
    check(limits(1, 2, 50), calls, told).await;
}

#[tokio::test(start_paused = true)]
async fn a_place_comes_back_from_a_call_that_is_dropped_and_a_waiter_that_is_dropped_leaves_the_queue() {
    let calls = "0 hang x10\n1 ok:1 x5\n2 ok:7\n7 ok:1\n7 ok:1";
    let told = expect![[r#"
        0 hang x10 -> 10 dropped
        1 ok:1 x5 -> 6 dropped
        2 ok:7 -> 17 ok
        7 ok:1 -> 18 ok
        7 ok:1 -> 7 BulkheadFull Queue
    "#]];
    check(limits(1, 2, 50), calls, told).await;
}

#[tokio::test(start_paused = true)]
async fn under_contention_a_client_has_its_share_only() {
    let policy = Limits { client_share: 0.5, contended_from: 0.5, ..limits(4, 2, 50) };
    let bulkhead =
        BulkheadLayer::new(policy, &world(1)).by_client(|request: &Request| request.client.clone());
    let calls = "0 ok:9@ann\n0 ok:9@ann\n0 ok:9@ann\n0 ok:9@ann\n1 ok:9@bob\n1 ok:9@cat";
    let told = expect![[r#"
        0 ok:9@ann -> 9 ok
        0 ok:9@ann -> 9 ok
        0 ok:9@ann -> 18 ok
        0 ok:9@ann -> 0 BulkheadFull Share
        1 ok:9@bob -> 10 ok
        1 ok:9@cat -> 10 ok
    "#]];
    told.assert_eq(&timeline(bulkhead.layer(Puppet::default()), calls).await);
    assert_eq!(bulkhead.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn layers_can_share_a_compartment_and_raised_limits_let_in_who_waits() {
    let compartments = Compartments::new(&world(1));
    let everyone = |limits| Limits { client_share: 1.0, ..limits };
    let all = compartments.add(everyone(limits(2, 9, 100)));
    let route = compartments.add(everyone(limits(1, 9, 30)));
    let narrow = BulkheadLayer::through(&compartments, &[route, all]).layer(Puppet::default());
    let wide = BulkheadLayer::through(&compartments, &[all]).layer(Puppet::default());
    let calls = "0 ok:20\n1 ok:20\n2 ok:20";
    let (narrow, wide, ()) = tokio::join!(timeline(narrow, calls), timeline(wide, calls), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        compartments.set(all, everyone(limits(9, 9, 100)));
    });
    let told = expect![[r#"
        0 ok:20 -> 20 ok
        1 ok:20 -> 40 ok
        2 ok:20 -> 32 BulkheadFull Waited
        |
        0 ok:20 -> 20 ok
        1 ok:20 -> 30 ok
        2 ok:20 -> 30 ok
    "#]];
    told.assert_eq(&format!("{narrow}|\n{wide}"));
    assert_eq!((compartments.load(all), compartments.load(route)), ((0, 0), (0, 0)));
}
