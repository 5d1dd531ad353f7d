//! Deadlines.

use std::time::Duration;

use base::Instant;
use expect_test::{Expect, expect};
use resilience::deadline::{Deadline, Policy};
use tower::{Layer, Service, ServiceExt};
use tower_resilience::deadline::DeadlineLayer;
use tower_resilience::{AnyAnswer, Ending};

use crate::support::{Puppet, Request, call, short, timeline, world};

async fn check(timeout_ms: u64, calls: &str, expected: Expect) {
    let policy = Policy { timeout: Duration::from_millis(timeout_ms), ..Policy::default() };
    let puppet = Puppet::default();
    expected.assert_eq(&timeline(DeadlineLayer::new(policy, &world(1)).layer(puppet.clone()), calls).await);
    assert_eq!(puppet.out(), 0, "what ran too long was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_timeout_and_not_before() {
    let told = expect![[r#"
        0 ok:49 -> 49 ok
        0 ok:51 -> 50 TimedOut 50
        0 err:10 -> 10 it broke
        0 hang -> 50 TimedOut 50
        0 hang x20 -> 20 dropped
    "#]];
    check(50, "0 ok:49\n0 ok:51\n0 err:10\n0 hang\n0 hang x20", told).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_too_late_costs_no_work_and_a_near_deadline_holds() {
    let puppet = Puppet::default();
    let service = DeadlineLayer::new(Policy::default(), &world(1)).layer(puppet.clone());
    // The clock begins at one second.
    for (deadline_ms, expected) in [(1_000, "Expired"), (1_000, "Expired"), (1_030, "TimedOut 30")] {
        let deadline = Some(Deadline::at(Instant(deadline_ms * 1_000_000)));
        let request = Request { deadline, ..Request::new("hang") };
        assert_eq!(short(&call(service.clone(), request).await.unwrap_err()), expected);
    }
    assert_eq!(puppet.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_no_time_does_not_put_the_blame_on_the_service() {
    let world = world(1);
    let fair = Duration::from_millis(20);
    let service = DeadlineLayer::new(Policy::default(), &world).fair_from(fair).layer(Puppet::default());
    for (left_ms, is_failure) in [(10, false), (19, false), (20, true), (30, true)] {
        let deadline = Deadline::at(world.clock().now() + Duration::from_millis(left_ms));
        let request = Request { deadline: Some(deadline), ..Request::new("hang") };
        let error = call(service.clone(), request).await.unwrap_err();
        assert_eq!(matches!(AnyAnswer::of_error(&error), Ending::Failed(_)), is_failure, "{left_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn http_requests_carry_it_as_an_extension() {
    let policy = Policy { timeout: Duration::from_millis(50), ..Policy::default() };
    let inside = tower::service_fn(async |request: http::Request<()>| {
        Ok::<_, tower_resilience::BoxError>(request.extensions().get::<Deadline>().copied())
    });
    let mut service = DeadlineLayer::new(policy, &world(1)).layer(inside);
    let mut request = http::Request::new(());
    for (told, expected_ms) in [(None, 1_050), (Some(1_020), 1_020), (Some(9_000), 1_050)] {
        if let Some(told) = told {
            request.extensions_mut().insert(Deadline::at(Instant(told * 1_000_000)));
        }
        let seen = service.ready().await.unwrap().call(request.clone()).await.unwrap().unwrap();
        assert_eq!(seen, Deadline::at(Instant(expected_ms * 1_000_000)));
    }
}
