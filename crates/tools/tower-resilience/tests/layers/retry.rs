//! Retries.

use std::time::Duration;

use base::Instant;
use expect_test::{Expect, expect};
use resilience::deadline::Deadline;
use resilience::retry::{Backoff, BudgetPolicy, Policy, Repeatable};
use tower::Layer;
use tower_resilience::retry::{RetryLayer, SharedBudget, Terms};

use crate::support::{ByNumber, Puppet, Request, timeline, world};

/// Requests of the client `post` may not be sent twice.
fn terms(request: &Request) -> Terms {
    let repeatable = if request.client == "post" { Repeatable::No } else { Repeatable::Yes };
    Terms { repeatable, deadline: request.deadline }
}

fn policy() -> Policy {
    // Without chance: the wait is what the answer asked for.
    let backoff = Backoff { first: Duration::ZERO, most: Duration::ZERO };
    Policy { backoff, statuses: vec![502, 503], ..Policy::default() }
}

async fn check(calls: &str, expected: Expect) {
    let retry = RetryLayer::new(policy(), &world(1), terms).judged_by(ByNumber);
    let puppet = Puppet::default();
    let told = timeline(retry.layer(puppet.clone()), calls).await;
    expected.assert_eq(&format!("{told}{} calls\n", puppet.calls()));
}

#[tokio::test(start_paused = true)]
async fn what_is_safe_is_tried_again_and_what_is_not_is_not() {
    let calls =
        "0 err:5/ok:1\n100 err:5/ok:1@post\n200 502:1/err:1/ok:1\n300 502:1/err:1/502:1\n400 500:1/ok:1";
    let told = expect![[r#"
        0 err:5/ok:1 -> 6 ok
        100 err:5/ok:1@post -> 105 it broke
        200 502:1/err:1/ok:1 -> 203 ok
        300 502:1/err:1/502:1 -> 303 502 marked
        400 500:1/ok:1 -> 401 500
        10 calls
    "#]];
    check(calls, told).await;
}

#[tokio::test(start_paused = true)]
async fn it_waits_as_long_as_it_was_asked_to() {
    let told = expect![[r#"
        0 503:1/ok:1 -> 2002 ok
        2 calls
    "#]];
    check("0 503:1/ok:1", told).await;
}

#[tokio::test(start_paused = true)]
async fn no_try_begins_after_the_deadline_and_a_dropped_call_is_not_tried_again() {
    let deadline = |request: &Request| Terms {
        deadline: Some(Deadline::at(Instant::from_secs(1) + Duration::from_millis(1_500))),
        ..terms(request)
    };
    let puppet = Puppet::default();
    let service = RetryLayer::new(policy(), &world(1), deadline).judged_by(ByNumber).layer(puppet.clone());
    let told = expect![[r#"
        0 503:1/ok:1 -> 1 503
        10 err:1/hang x50 -> 60 dropped
    "#]];
    told.assert_eq(&timeline(service, "0 503:1/ok:1\n10 err:1/hang x50").await);
    assert_eq!((puppet.calls(), puppet.out()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn layers_share_a_budget_and_retries_stay_a_share_of_the_calls() {
    let world = world(1);
    let budget = SharedBudget::new(BudgetPolicy { least_per_second: 0, ..BudgetPolicy::default() });
    let puppet = Puppet::default();
    let service = |_| RetryLayer::new(policy(), &world, terms).budget(budget.clone()).layer(puppet.clone());
    let all = (0..2).map(service).map(|service| timeline(service, "0 err\n".repeat(50).leak()));
    for told in all {
        told.await;
    }
    assert_eq!(puppet.calls(), 120, "a fifth of 100 calls was retried");
}

#[tokio::test(start_paused = true)]
async fn tries_are_spread_by_chance_that_the_seed_replays() {
    let ends = |seed| async move {
        let backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(1) };
        let retry = RetryLayer::new(Policy { backoff, ..policy() }, &world(seed), terms);
        timeline(retry.layer(Puppet::default()), "0 err/ok\n0 err/ok").await
    };
    let (first, again, other) = (ends(1).await, ends(1).await, ends(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
}
