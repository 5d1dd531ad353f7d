//! What a cookie leads to, by how its endpoint stands.

use expect_test::{Expect, expect};

use super::super::fixtures::{NOW, roster};
use super::*;
use crate::balance::Weight;

/// The cookie is that of place 1, whose key is 101, or what is given.
#[track_caller]
fn check(seats: &str, cookie: Option<&str>, expected: Expect) {
    let own = CookieValue::of(101);
    let cookie = cookie.map(|text| if text == "own" { own.as_str() } else { text });
    expected.assert_eq(&format!("{:?}", resolve(&roster(seats), cookie.map(str::as_bytes))));
}

#[test]
fn a_session_stays_while_its_endpoint_serves() {
    check("open, open", Some("own"), expect!["Stay(1)"]);
    check("open, draining", Some("own"), expect!["Stay(1)"]);
    check("out, out, open", Some("own"), expect!["Stay(1)"]);
}

#[test]
fn a_session_makes_a_detour_around_an_endpoint_that_said_not_now() {
    check("open, spared", Some("own"), expect!["Detour"]);
}

#[test]
fn a_session_moves_when_its_endpoint_is_out_or_gone() {
    check("open, out", Some("own"), expect!["Bind(Out)"]);
    check("open, 0 open", Some("own"), expect!["Bind(Out)"]);
    check("open", Some("own"), expect!["Bind(Gone)"]);
}

#[test]
fn what_is_not_ours_begins_a_new_session() {
    check("open, open", None, expect!["Bind(New)"]);
    for garbled in ["", "65", "0000000000000065 ", "00000000000000ZZ", "000000000000006G", "ÿÿÿÿÿÿÿÿ"]
    {
        check("open, open", Some(garbled), expect!["Bind(Garbled)"]);
    }
    // Only as we write it, so that a session has one value.
    check("open, open", Some("00000000000000AA"), expect!["Bind(Garbled)"]);
    check("open, open", Some("0000000000000065"), expect!["Stay(1)"]);
}

#[test]
fn a_drain_keeps_sessions_and_takes_no_new_ones_until_it_ends() {
    let mut roster = roster("open, draining");
    let cookie = CookieValue::of(101);
    assert_eq!(resolve(&roster, Some(cookie.as_bytes())), Affinity::Stay(1));
    assert_eq!(roster.candidates(|_| 0).usable(), [0]);
    roster.replace([(100, Weight::USUAL)], NOW);
    assert_eq!(resolve(&roster, Some(cookie.as_bytes())), Affinity::Bind(Unbound::Gone));
}

#[test]
fn every_key_is_read_as_it_was_written() {
    for key in [0, 1, 0xdead_beef, u64::MAX, 0x0123_4567_89ab_cdef] {
        assert_eq!(read(CookieValue::of(key).as_bytes()), Some(key));
    }
}
