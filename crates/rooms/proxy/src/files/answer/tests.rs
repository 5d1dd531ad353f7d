//! Conditions and ranges, as the sections say.

use super::*;
use crate::head::request;

const NOW: Timestamp = Timestamp(0);

fn entry() -> Entry {
    let modified = 784_111_777;
    Entry {
        name: "x".into(),
        etag: "\"abc\"".into(),
        size: 10,
        modified,
        date: http_date::write(Timestamp::from_secs(modified)).into(),
    }
}

/// The answer to a request with these fields, a line each.
fn answer(method: &str, fields: &[&str]) -> Answer {
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let text = format!("{method} / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
    let mut fields = Vec::new();
    request::parse(text.as_bytes(), &mut fields).expect("a good head");
    Conditions::of(&fields, text.as_bytes()).decide(&entry(), method == "GET", NOW)
}

#[track_caller]
fn check(fields: &[&str], want: Answer) {
    assert_eq!(answer("GET", fields), want, "{fields:?}");
}

const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

#[test]
fn what_the_client_has_is_not_sent_again() {
    for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
        check(&[&format!("If-None-Match: {known}")], Answer::Known);
    }
    check(&["If-None-Match: \"x\"", "If-None-Match: \"abc\""], Answer::Known);
    check(&["If-None-Match: \"abcd\""], Answer::Whole);
    check(&[&format!("If-Modified-Since: {SAME}")], Answer::Known);
    check(&[&format!("If-Modified-Since: {BEFORE}")], Answer::Whole);
    check(&["If-Modified-Since: yesterday"], Answer::Whole);
    // A tag says more than a date.
    check(&["If-None-Match: \"x\"", &format!("If-Modified-Since: {SAME}")], Answer::Whole);
    assert_eq!(answer("HEAD", &["If-None-Match: \"abc\""]), Answer::Known);
}

#[test]
fn who_wants_the_one_that_it_has_is_told_of_another() {
    check(&["If-Match: \"abc\""], Answer::Whole);
    check(&["If-Match: *"], Answer::Whole);
    check(&["If-Match: W/\"abc\""], Answer::Other);
    check(&["If-Match: \"x\""], Answer::Other);
    check(&[&format!("If-Unmodified-Since: {BEFORE}")], Answer::Other);
    check(&[&format!("If-Unmodified-Since: {SAME}")], Answer::Whole);
    check(&["If-Match: \"abc\"", &format!("If-Unmodified-Since: {BEFORE}")], Answer::Whole);
}

#[test]
fn one_range_is_given_and_others_are_as_if_nothing_were_said() {
    let range = |text: &str, want| check(&[&format!("Range: {text}")], want);
    range("bytes=0-0", Answer::Part(0, 0));
    range("bytes=2-", Answer::Part(2, 9));
    range("bytes=2-99999999999999999999999", Answer::Part(2, 9));
    range("bytes=-3", Answer::Part(7, 9));
    range("bytes=-99", Answer::Part(0, 9));
    range("BYTES=9-9", Answer::Part(9, 9));
    range("bytes=10-", Answer::Beyond);
    range("bytes=-0", Answer::Beyond);
    for other in
        ["bytes=3-2", "bytes=0-1,3-4", "lines=1-2", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=+1-2"]
    {
        range(other, Answer::Whole);
    }
    check(&["Range: bytes=0-1", "Range: bytes=3-4"], Answer::Whole);
    assert_eq!(answer("HEAD", &["Range: bytes=0-1"]), Answer::Whole);
}

#[test]
fn a_part_belongs_to_the_file_that_the_client_has_begun() {
    let part = Answer::Part(0, 1);
    for (same, want) in [
        ("\"abc\"", part),
        ("W/\"abc\"", Answer::Whole),
        ("\"x\"", Answer::Whole),
        (SAME, part),
        (BEFORE, Answer::Whole),
        ("nonsense", Answer::Whole),
    ] {
        check(&["Range: bytes=0-1", &format!("If-Range: {same}")], want);
    }
    check(&["Range: bytes=0-1", "If-None-Match: \"abc\""], Answer::Known);
}
