//! The circuit breaker.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use expect_test::{Expect, expect};
use resilience::breaker::{Policy, Position};
use tower::{Layer, Service, ServiceExt};
use tower_resilience::breaker::BreakerLayer;

use crate::support::{ByNumber, Puppet, Request, short, timeline, world};

fn policy() -> Policy {
    Policy { failures_in_a_row: Some(2), jitter: 0.0, trials: 1, trial_successes: 1, ..Policy::default() }
}

async fn check(calls: &str, expected: Expect) {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&changes);
    let breaker = BreakerLayer::new(policy(), &world(1))
        .judged_by(ByNumber)
        .on_change(move |change| told.lock().unwrap().push(format!("{change:?}")));
    let mut seen = timeline(breaker.layer(Puppet::default()), calls).await;
    for change in &*changes.lock().unwrap() {
        seen.push_str(change);
        seen.push('\n');
    }
    expected.assert_eq(&seen);
}

#[tokio::test(start_paused = true)]
async fn it_opens_rests_tries_once_and_closes() {
    let calls = "0 500:1\n2 err:1\n4 ok:1\n500 ok:1\n1003 ok:10\n1005 ok:1\n1020 ok:1";
    let told = expect![[r#"
        0 500:1 -> 1 500
        2 err:1 -> 3 it broke
        4 ok:1 -> 4 BreakerOpen 999
        500 ok:1 -> 500 BreakerOpen 503
        1003 ok:10 -> 1013 ok
        1005 ok:1 -> 1005 BreakerOpen 4998
        1020 ok:1 -> 1021 ok
        Opened { until: Instant(2003000000), cause: InARow }
        Closed
    "#]];
    check(calls, told).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_or_says_not_now_decides_nothing_and_a_dropped_trial_gives_its_place_back() {
    let calls = "0 500:1\n2 503:1\n4 hang x1\n6 503:1\n8 500:1\n1010 hang x5\n1020 ok:1\n1030 ok:1";
    let told = expect![[r#"
        0 500:1 -> 1 500
        2 503:1 -> 3 503
        4 hang x1 -> 5 dropped
        6 503:1 -> 7 503
        8 500:1 -> 9 500
        1010 hang x5 -> 1015 dropped
        1020 ok:1 -> 1021 ok
        1030 ok:1 -> 1031 ok
        Opened { until: Instant(2009000000), cause: InARow }
        Closed
    "#]];
    check(calls, told).await;
}

/// Never ready.
#[derive(Clone)]
struct Stuck;

impl Service<Request> for Stuck {
    type Response = String;
    type Error = tower_resilience::BoxError;
    type Future = std::future::Pending<Result<String, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Pending
    }

    fn call(&mut self, _request: Request) -> Self::Future {
        std::future::pending()
    }
}

#[tokio::test(start_paused = true)]
async fn it_passes_backpressure_on_while_closed_and_refuses_at_once_while_open() {
    let breaker = BreakerLayer::new(policy(), &world(1));
    let mut service = breaker.layer(Stuck);
    assert!(tokio::time::timeout(Duration::from_secs(1), service.ready()).await.is_err());
    breaker.trip();
    let refused = service.ready().await.unwrap().call(Request::new("ok")).await;
    assert_eq!(short(&refused.unwrap_err()), "BreakerOpen 1000");
    breaker.reset();
    assert_eq!(breaker.position(), Position::Closed);
    assert!(tokio::time::timeout(Duration::from_secs(1), service.ready()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_become_ready_opens_it() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request> for Broken {
        type Response = String;
        type Error = &'static str;
        type Future = std::future::Pending<Result<String, Self::Error>>;
        fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Err("no connection"))
        }
        fn call(&mut self, _request: Request) -> Self::Future {
            std::future::pending()
        }
    }
    let breaker = BreakerLayer::new(policy(), &world(1));
    for _ in 0..2 {
        assert!(breaker.layer(Broken).ready().await.is_err());
    }
    assert!(matches!(breaker.position(), Position::Open(_)));
    assert!(breaker.layer(Broken).ready().await.is_ok(), "and refuses in `call`");
}
