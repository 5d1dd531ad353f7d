//! What is told of the threads' own states, and how what several say is told together.

use expect_test::{Expect, expect};
use spec::{EdgePolicy, Hedge, HedgeAfter};

use super::super::tests::patterns::table;
use super::super::tests::{NOW, ask};
use super::super::{Seen, explain};
use super::*;

/// What is said in the step of this name of a service with this policy, when its threads say this.
#[track_caller]
fn check(policy: &EdgePolicy, all: &[Present], step: &str, want: Expect) {
    let table = table(policy.clone(), 2);
    let key = ("shop".to_owned(), "web".to_owned());
    let (http, threads) = ([([0, 0, 0, 0], 80).into()], Some(Threads { key: &key, all }));
    let seen = Seen { table: &table, http: &http, https: &[], now: NOW, threads };
    let told = explain(&seen, &ask("GET http://a/"));
    let said = told.steps.iter().find(|it| it.name == step).map_or("nothing", |it| &*it.found);
    want.assert_eq(&match told.verdict {
        crate::explain::Verdict::Refused { status, code, .. } => format!("{said}: {status} {code}"),
        _ => said.to_owned(),
    });
}

fn present(breaker: Circuit) -> Present {
    Present { breaker: Some(breaker), delay: None, retries: (1000, 1000) }
}

#[test]
fn a_breaker_refuses_when_it_does_so_on_every_thread() {
    let open = |ms: u64| present(Circuit::Open { until: NOW + Duration::from_millis(ms) });
    let trying = |out: usize| present(Circuit::Trying { out, most: 3 });
    let closed = present(Circuit::Closed);
    let over = present(Circuit::Open { until: NOW });
    let check = |all: &[Present], want: Expect| check(&EdgePolicy::default(), all, "breaker", want);
    check(&[], expect!["nothing"]);
    check(&[Present { breaker: None, ..closed }; 2], expect!["nothing"]);
    check(&[closed; 2], expect!["closed"]);
    check(
        &[open(1500), closed],
        expect!["closed (by 1 of 2 threads); open for 1500 ms more (by 1 of 2 threads)"],
    );
    check(&[open(1500), open(1600)], expect!["open for 1500 ms to 1600 ms more: 503 breaker"]);
    check(&[over; 2], expect!["open until the next call, which is a trial"]);
    check(
        &[trying(1), open(9)],
        expect![
            "open for 9.0 ms more (by 1 of 2 threads); being tried, with 1 of 3 trial calls out (by 1 of 2 threads)"
        ],
    );
    check(
        &[trying(3), open(9)],
        expect![
            "open for 9.0 ms more (by 1 of 2 threads); being tried, with 3 of 3 trial calls out (by 1 of 2 threads): 503 breaker"
        ],
    );
    check(
        &[trying(3), trying(1), closed],
        expect!["closed (by 1 of 3 threads); being tried, with 4 of 6 trial calls out (by 2 of 3 threads)"],
    );
}

#[test]
fn what_was_learnt_of_delays_is_told_with_how_many_threads_know_it() {
    let usual = EdgePolicy { hedge: Some(Hedge::USUAL), ..EdgePolicy::default() };
    let known =
        |micros: u64| Present { delay: Some(Duration::from_micros(micros)), ..present(Circuit::Closed) };
    let none = present(Circuit::Closed);
    check(
        &usual,
        &[none; 2],
        "hedge",
        expect![
            "a second instance is asked when the first says nothing for longer than 95 % of the answers take, for at most 5 % of the requests; too little is known of them yet"
        ],
    );
    check(
        &usual,
        &[known(3210), none],
        "hedge",
        expect![
            "a second instance is asked when the first says nothing for longer than 95 % of the answers take, for at most 5 % of the requests; that is 3.2 ms now, known to 1 of 2 threads"
        ],
    );
    check(
        &usual,
        &[known(3210), known(41_700)],
        "hedge",
        expect![
            "a second instance is asked when the first says nothing for longer than 95 % of the answers take, for at most 5 % of the requests; that is 3.2 ms to 41 ms now"
        ],
    );
    let fixed = Hedge { after: HedgeAfter::Time(Duration::from_millis(50)), ..Hedge::USUAL };
    let fixed = EdgePolicy { hedge: Some(fixed), ..EdgePolicy::default() };
    check(
        &fixed,
        &[known(50_000); 2],
        "hedge",
        expect![
            "a second instance is asked when the first says nothing for 50 ms, for at most 5 % of the requests"
        ],
    );
}

#[test]
fn the_requests_that_may_be_sent_again_are_told_by_thread() {
    let left = |count: u32| Present { retries: (count, 1000), ..present(Circuit::Closed) };
    let usual = EdgePolicy::default();
    check(&usual, &[left(1000)], "retries", expect!["1000 of 1000 requests may be sent again"]);
    check(
        &usual,
        &[left(1000), left(12)],
        "retries",
        expect!["12 to 1000 of 1000 requests may be sent again by each thread"],
    );
    let none = EdgePolicy { retries: Some(0), ..EdgePolicy::default() };
    check(&none, &[left(1000)], "retries", expect!["none: the service wants none"]);
}

#[test]
fn the_shorter_a_time_the_more_exact_it_is_told() {
    let shown = [1_450_000, 9_949_000, 10_000_000, 9_999_000_000, 10_999_000_000, 86_400_000_000_000];
    let shown = shown.map(|nanos| time(Duration::from_nanos(nanos))).join(", ");
    expect!["1.4 ms, 9.9 ms, 10 ms, 9999 ms, 10 s, 86400 s"].assert_eq(&shown);
}
