//! Judgments of HTTP answers, and what refusals say of themselves.

use std::time::Duration;

use base::{Kind, Problem};
use expect_test::{Expect, expect};
use http::Response;
use resilience::bulkhead::Why;
use tower_resilience::{BoxError, ByStatus, Judge, Refusal};

fn check(status: u16, fields: &[(&'static str, &str)], expected: Expect) {
    let mut answer = Response::builder().status(status);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    let ending = ByStatus::default().judge(Ok(&answer.body(()).unwrap()));
    expected.assert_eq(&format!("{ending:?}"));
}

#[test]
fn statuses_from_500_are_failures_and_retry_after_makes_them_not_now() {
    check(200, &[], expect!["Good"]);
    check(404, &[], expect!["Good"]);
    check(429, &[], expect!["Good"]);
    check(
        500,
        &[],
        expect![
            "Failed(Trouble { failure: Status(500), retry_after: None, marked: false, breaker_open: false })"
        ],
    );
    check(
        503,
        &[("retry-after", "7")],
        expect![
            "NotNow(Trouble { failure: Status(503), retry_after: Some(7s), marked: false, breaker_open: false })"
        ],
    );
    check(
        502,
        &[("x-should-retry", "false")],
        expect![
            "Failed(Trouble { failure: Status(502), retry_after: None, marked: true, breaker_open: false })"
        ],
    );
}

#[test]
fn an_answer_that_was_retried_is_marked() {
    let mut answer = Response::new(());
    ByStatus::default().mark(&mut answer);
    assert_eq!(answer.headers()["x-should-retry"], "false");
}

#[test]
fn a_refusal_is_found_behind_other_errors_and_says_what_to_answer() {
    #[derive(Debug, thiserror::Error)]
    #[error("the page could not be made")]
    struct Page(#[source] Refusal);
    let second = Duration::from_secs(1);
    for (refusal, status, kind, told) in [
        (Refusal::Expired, 504, Kind::TimedOut, None),
        (Refusal::BulkheadFull { why: Why::Waited }, 503, Kind::Exhausted, None),
        (Refusal::BreakerOpen { retry_after: second }, 503, Kind::Unavailable, Some(second)),
    ] {
        let error: BoxError = Page(refusal).into();
        let found = Refusal::of(&*error).unwrap();
        assert_eq!((found.status().as_u16(), found.kind(), found.retry_after()), (status, kind, told));
    }
    assert!(Refusal::of(&*BoxError::from("else")).is_none());
}
