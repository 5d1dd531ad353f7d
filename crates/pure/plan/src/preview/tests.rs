//! What `sea plan` shows.

use expect_test::{Expect, expect};

use super::*;
use crate::fixtures::{app, draft, ledger, need, seen, service};

#[track_caller]
fn check(then: App, now: App, instances: &str, expected: Expect) {
    let ledger = ledger([then]);
    let preview = preview(&ledger, &draft(now), &seen(&ledger, instances)).expect("a preview");
    expected.assert_eq(&preview.to_string());
}

#[test]
fn a_preview_names_the_keys_that_differ_and_hides_secrets() {
    let mut web = service("web:1", 2);
    web.environment.insert("MODE".into(), "dev".into());
    web.environment.insert("DB_PASSWORD".into(), "hush".into());
    let then = app([("web", web.clone()), ("old", service("old:1", 1))]);
    web.image = "web:2".into();
    web.environment["MODE"] = "prod".into();
    web.environment["DB_PASSWORD"] = "other".into();
    need(&mut web, "db", spec::Condition::Healthy);
    let now = app([("web", web), ("db", service("db:1", 1))]);
    check(
        then,
        now,
        "web-1 r1 ready, web-2 r1 ready, old-1 r1 ready",
        expect![[r#"
            + db: create, 0 -> 1
                image: db:1
            ~ web: replace
                image: web:1 -> web:2
                environment.MODE: dev -> prod
                environment.DB_PASSWORD: changed
                depends_on.db: none -> {"condition":"healthy","restart":false,"required":true}
            - old: remove, 1 -> 0
        "#]],
    );
}

#[test]
fn nothing_to_do_is_told_as_such() {
    let same = || app([("web", service("web:1", 1))]);
    let ledger = ledger([same()]);
    let running = seen(&ledger, "web-1 r1 ready");
    assert!(preview(&ledger, &draft(same()), &running).expect("a preview").is_empty());
    assert!(!preview(&ledger, &draft(same()), &[]).expect("a preview").is_empty());
}
