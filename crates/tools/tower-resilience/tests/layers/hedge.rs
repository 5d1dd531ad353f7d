//! Hedged requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use expect_test::{Expect, expect};
use resilience::hedge::Policy;
use tower::Layer;
use tower_resilience::hedge::{Around, HedgeLayer};

use crate::support::{ByNumber, Puppet, Request, timeline, world};

/// After 200 answers within 10 ms; requests of the client `post` are not safe.
async fn check(calls: &str, sent: u64, expected: Expect) {
    let policy = Policy { share: 1.0, ..Policy::default() };
    let hedge =
        HedgeLayer::new(policy, &world(1), |request: &Request| request.client != "post").judged_by(ByNumber);
    let puppet = Puppet::default();
    let service = hedge.layer(puppet.clone());
    timeline(service.clone(), &"0 ok:10\n".repeat(200)).await;
    expected.assert_eq(&timeline(service, calls).await);
    assert_eq!((hedge.sent(), puppet.out()), (sent, 0), "sent, and still out");
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_is_made_twice_and_the_first_good_answer_wins() {
    let told = expect![[r#"
        0 hang/ok:5 -> 16 ok
        100 ok:20/hang -> 120 ok
        200 ok:9/ok:1 -> 209 ok
        300 ok:30/500:1 -> 330 ok
        400 err:30/ok:40 -> 451 ok
        500 err:30/500:40 -> 551 500
        600 hang/hang x50 -> 650 dropped
    "#]];
    let calls = "0 hang/ok:5\n100 ok:20/hang\n200 ok:9/ok:1\n300 ok:30/500:1\n400 err:30/ok:40
        500 err:30/500:40\n600 hang/hang x50";
    check(calls, 6, told).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_safe_or_fails_early_is_made_once() {
    let told = expect![[r#"
        0 ok:50/ok:1@post -> 50 ok
        100 err:5/ok:1 -> 105 it broke
    "#]];
    check("0 ok:50/ok:1@post\n100 err:5/ok:1", 0, told).await;
}

#[tokio::test(start_paused = true)]
async fn none_is_sent_without_samples_or_while_the_service_is_busy() {
    let busy = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&busy);
    let hedge = HedgeLayer::new(Policy { share: 1.0, ..Policy::default() }, &world(1), |_: &Request| true)
        .sees(move || Around {
            breaker_closed: true,
            load: if seen.load(Ordering::Relaxed) { 0.9 } else { 0.1 },
        });
    let service = hedge.layer(Puppet::default());
    timeline(service.clone(), "0 ok:50/ok:1").await;
    timeline(service.clone(), &"0 ok:10\n".repeat(200)).await;
    timeline(service.clone(), "0 ok:50/ok:1").await;
    assert_eq!(hedge.sent(), 0);
    busy.store(false, Ordering::Relaxed);
    timeline(service, "0 ok:50/ok:1").await;
    assert_eq!(hedge.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn second_requests_are_a_share_of_the_first() {
    let hedge = HedgeLayer::new(Policy::default(), &world(1), |_: &Request| true);
    let service = hedge.layer(Puppet::default());
    timeline(service.clone(), &"0 ok:10\n".repeat(400)).await;
    timeline(service, &"0 ok:500/ok:500\n".repeat(600)).await;
    // 400 first requests save up the burst of 10, and 600 more bring 30; those of the same moment come after all.
    assert!((10..=40).contains(&hedge.sent()), "{}", hedge.sent());
}
