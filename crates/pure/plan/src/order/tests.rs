//! Orders, circles and jobs.

use expect_test::{Expect, expect};

use super::*;
use crate::fixtures::{app, need, service};

#[track_caller]
fn check(needs: &[(&'static str, &'static [&'static str])], expected: Expect) {
    let services = needs.iter().map(|(name, on)| {
        let mut it = service("a", 1);
        on.iter().for_each(|on| need(&mut it, on, Condition::Started));
        (*name, it)
    });
    let app = app(services);
    let text = match order(&app) {
        Ok(order) => order.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&text);
}

#[test]
fn each_service_comes_after_all_that_it_needs() {
    check(
        &[("web", &["api", "cache"]), ("api", &["db"]), ("db", &[]), ("cache", &[])],
        expect!["db api cache web"],
    );
}

#[test]
fn a_circle_is_named() {
    check(
        &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])],
        expect!["services wait for each other: `b` → `c` → `b`"],
    );
    check(&[("a", &["a"])], expect!["services wait for each other: `a` → `a`"]);
}

#[test]
fn what_is_required_must_be_there() {
    check(&[("a", &["b"])], expect!["`a` needs `b`, which the app does not have"]);
}
