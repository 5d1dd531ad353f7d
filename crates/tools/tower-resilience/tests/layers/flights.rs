//! Joined requests.

use std::time::Duration;

use expect_test::{Expect, expect};
use resilience::flights::{Landing, Policy};
use tower::Layer;
use tower_resilience::flights::FlightsLayer;

use crate::support::{Puppet, Request, timeline, world};

/// Keyed by client; requests without one are not joined.
async fn check(calls: &str, expected: Expect) {
    let key = |request: &Request| Some(request.client.clone()).filter(|client| !client.is_empty());
    let policy = Policy { patience: Duration::from_millis(100), ..Policy::default() };
    let flights = FlightsLayer::new(policy, &world(1), key).lands(|answer: &String| match answer.as_str() {
        "private" => Landing::Private,
        "differs" => Landing::Differs,
        _ => Landing::Shared,
    });
    let puppet = Puppet::default();
    let told = timeline(flights.layer(puppet.clone()), calls).await;
    expected.assert_eq(&format!("{told}{} calls\n", puppet.calls()));
    assert_eq!((flights.load(), puppet.out()), ((0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn the_same_at_once_is_asked_once_and_others_are_not_joined() {
    let told = expect![[r#"
        0 ok:20@a -> 20 ok
        1 no:1@a -> 20 ok
        2 no:1@a -> 20 ok
        3 b:1@b -> 4 b
        4 c:1 -> 5 c
        5 d:1 -> 6 d
        21 e:1@a -> 22 e
        5 calls
    "#]];
    check("0 ok:20@a\n1 no:1@a\n2 no:1@a\n3 b:1@b\n4 c:1\n5 d:1\n21 e:1@a", told).await;
}

#[tokio::test(start_paused = true)]
async fn when_the_first_fails_or_is_dropped_one_follower_tries_in_its_place() {
    let told = expect![[r#"
        0 err:20@a -> 20 it broke
        1 ok:20@a -> 40 ok
        2 no:1@a -> 40 ok
        100 hang@a x10 -> 110 dropped
        101 hang@a x5 -> 106 dropped
        102 ok:20@a -> 130 ok
        103 no:1@a -> 130 ok
        4 calls
    "#]];
    let calls = "0 err:20@a\n1 ok:20@a\n2 no:1@a\n100 hang@a x10\n101 hang@a x5\n102 ok:20@a\n103 no:1@a";
    check(calls, told).await;
}

#[tokio::test(start_paused = true)]
async fn a_private_answer_sends_all_on_alone_and_one_that_differs_only_itself() {
    let told = expect![[r#"
        0 private:20@a -> 20 private
        1 b:5@a -> 25 b
        2 c:5@a -> 25 c
        50 d:5@a -> 55 d
        51 e:5@a -> 56 e
        60 differs:20@x -> 80 differs
        61 f:5@x -> 85 f
        62 g:5@x -> 85 f
        7 calls
    "#]];
    let calls = "0 private:20@a\n1 b:5@a\n2 c:5@a\n50 d:5@a\n51 e:5@a\n60 differs:20@x\n61 f:5@x\n62 g:5@x";
    check(calls, told).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_is_replaced_after_a_while() {
    let told = expect![[r#"
        0 hang@a x400 -> 400 dropped
        1 ok:20@a -> 121 ok
        2 no:1@a -> 121 ok
        2 calls
    "#]];
    check("0 hang@a x400\n1 ok:20@a\n2 no:1@a", told).await;
}
