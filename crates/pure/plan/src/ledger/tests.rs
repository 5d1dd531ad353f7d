//! Releases come, settle, fail and go.

use base::{AppName, ReleaseNumber, Timestamp};
use expect_test::{Expect, expect};

use super::*;
use crate::fixtures::{app, draft, ledger, name, service};

const NOW: Timestamp = Timestamp(7);

fn shop(image: &str) -> spec::App {
    app([("web", service(image, 1))])
}

#[track_caller]
fn check(ledger: &Ledger, expected: Expect) {
    let mut text = format!("{:?}", ledger.record.phase);
    for release in ledger.releases.values() {
        text.push_str(&format!("; {} {:?}", release.number, release.status));
    }
    expected.assert_eq(&text);
}

#[test]
fn a_deploy_that_changes_nothing_makes_no_release() {
    let mut it = ledger([shop("a")]);
    let (number, change) = it.deploy(draft(shop("a")), NOW).expect("taken");
    assert_eq!((number, change), (ReleaseNumber(1), Change::default()));
    let (number, _) = it.deploy(Draft { force: true, ..draft(shop("a")) }, NOW).expect("taken");
    assert_eq!(number, ReleaseNumber(2));
}

#[test]
fn a_failed_release_goes_back_to_the_last_that_ran() {
    let mut it = ledger([shop("a"), shop("b")]);
    it.fail(ReleaseNumber(2), &name("web"), "broke", NOW);
    check(
        &it,
        expect![
            "RollingBack { failed: ReleaseNumber(2), to: ReleaseNumber(1) }; 1 Live; 2 RolledBack { to: ReleaseNumber(1), why: \"`web` broke\", complete: false }"
        ],
    );
    assert_eq!(it.outcome(ReleaseNumber(2)), None);
    it.settle(ReleaseNumber(1), Default::default(), NOW);
    assert_eq!(it.outcome(ReleaseNumber(2)).map(|outcome| outcome.code()), Some(3));
}

#[test]
fn the_newest_wish_wins_and_goes_back_past_the_one_it_replaced() {
    let mut it = ledger([shop("a"), shop("b")]);
    it.deploy(draft(shop("c")), NOW).expect("taken");
    check(
        &it,
        expect![
            "Rolling { to: ReleaseNumber(3), from: Some(ReleaseNumber(1)) }; 1 Live; 2 Superseded; 3 Rolling"
        ],
    );
    assert_eq!(it.outcome(ReleaseNumber(2)).map(|outcome| outcome.code()), Some(4));
}

#[test]
fn a_first_release_that_fails_stays_for_a_person_to_see() {
    let mut it = ledger([shop("a")]);
    it.fail(ReleaseNumber(1), &name("web"), "broke", NOW);
    check(&it, expect!["Held { at: ReleaseNumber(1), from: None }; 1 Failed { why: \"`web` broke\" }"]);
    assert_eq!(it.outcome(ReleaseNumber(1)).map(|outcome| outcome.code()), Some(1));
}

#[test]
fn a_release_that_failed_is_tried_again_when_somebody_asks_again() {
    let mut it = ledger([shop("a")]);
    it.fail(ReleaseNumber(1), &name("web"), "broke", NOW);
    let (number, _) = it.deploy(draft(shop("a")), NOW).expect("taken");
    assert_eq!(number, ReleaseNumber(2));
    check(
        &it,
        expect!["Rolling { to: ReleaseNumber(2), from: None }; 1 Failed { why: \"`web` broke\" }; 2 Rolling"],
    );
}

#[test]
fn no_more_releases_are_kept_than_said_but_those_in_use() {
    let mut it = ledger([shop("a")]);
    it.settle(ReleaseNumber(1), Default::default(), NOW);
    for at in 0..30 {
        it.deploy(draft(shop(&format!("v{at}"))), NOW).expect("taken");
    }
    assert_eq!(it.releases.len(), KEPT_RELEASES);
    assert!(it.releases.contains_key(&ReleaseNumber(1)), "the one to go back to is kept");
    assert!(it.images().contains("sha256:a"));
}

#[test]
fn a_rollback_brings_back_the_last_that_ran_with_its_revisions() {
    let mut it = ledger([shop("a"), shop("b")]);
    it.settle(ReleaseNumber(2), Default::default(), NOW);
    let (number, _) = it.rollback(None, NOW).expect("taken");
    assert_eq!(it.releases[&number].made, it.releases[&ReleaseNumber(1)].made);
    let unknown = it.rollback(Some(ReleaseNumber(77)), NOW).expect_err("refused");
    expect!["release 77 of `shop` is not kept"].assert_eq(&unknown.to_string());
}

#[test]
fn a_ledger_survives_writing_and_reading() {
    let it = ledger([shop("a"), shop("b")]);
    let record: AppRecord =
        serde_json::from_str(&serde_json::to_string(&it.record).expect("text")).expect("read");
    assert_eq!(record, it.record);
    for release in it.releases.values() {
        let text = serde_json::to_string(release.as_ref()).expect("text");
        assert_eq!(&serde_json::from_str::<Release>(&text).expect("read"), release.as_ref());
    }
    assert_eq!(AppName::new("shop").ok(), Some(record.name));
}
