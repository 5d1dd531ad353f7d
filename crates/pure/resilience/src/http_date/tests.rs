//! The three forms, and what is not one of them.

use base::Timestamp;
use expect_test::{Expect, expect};

use super::{parse, write};

#[test]
fn all_three_forms_are_read() {
    check("Sun, 06 Nov 1994 08:49:37 GMT", expect!["1994-11-06T08:49:37.000000000Z"]);
    check("Sunday, 06-Nov-94 08:49:37 GMT", expect!["1994-11-06T08:49:37.000000000Z"]);
    check("Sun Nov  6 08:49:37 1994", expect!["1994-11-06T08:49:37.000000000Z"]);
    check("Thu, 29 Feb 2024 23:59:60 GMT", expect!["2024-02-29T23:59:59.000000000Z"]);
    check("Thu, 01 Jan 1970 00:00:00 GMT", expect!["1970-01-01T00:00:00.000000000Z"]);
    check("Tuesday, 19-Jan-38 03:14:07 GMT", expect!["2038-01-19T03:14:07.000000000Z"]);
    check("Friday, 31-Dec-99 23:59:59 GMT", expect!["1999-12-31T23:59:59.000000000Z"]);
}

#[test]
fn other_forms_are_no_dates() {
    for text in [
        "",
        "0",
        "-1",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Fri, 30 Feb 2024 00:00:00 GMT",
        "Thu, 29 Feb 2023 00:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08-49-37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 GMT 1994",
        ",",
    ] {
        check(text, expect!["no date"]);
    }
}

#[test]
fn every_day_of_a_century_is_its_own() {
    let mut days = 0;
    for year in 1970..2070 {
        for month in 1..=12 {
            for day in 1..=super::days_of(year, month) {
                let short = std::str::from_utf8(super::MONTHS[month as usize - 1]).unwrap_or_default();
                let text = format!("Sun, {day:02} {short} {year} 00:00:00 GMT");
                let read = parse(text.as_bytes(), Timestamp::from_secs(0));
                assert_eq!(read, Some(Timestamp::from_secs(days * 86_400)), "{text}");
                let written = write(Timestamp::from_secs(days * 86_400 + 86_399));
                assert_eq!(written[5..], text[5..].replace("00:00:00", "23:59:59"));
                days += 1;
            }
        }
    }
}

#[test]
fn what_is_written_has_its_day_of_the_week_and_is_read_again() {
    for (secs, text) in [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
    ] {
        assert_eq!(write(Timestamp::from_secs(secs)), text);
        assert_eq!(parse(text.as_bytes(), Timestamp::from_secs(0)), Some(Timestamp::from_secs(secs)));
    }
}

#[track_caller]
fn check(text: &str, reads: Expect) {
    let now = Timestamp::from_rfc3339("2026-06-01T00:00:00Z").expect("a date");
    reads.assert_eq(&parse(text.as_bytes(), now).map_or("no date".to_owned(), |read| read.to_string()));
}

#[test]
fn what_is_written_is_read_again() {
    assert_eq!(write(Timestamp::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(write(Timestamp::from_secs(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(write(Timestamp::from_secs(951_782_400)), "Tue, 29 Feb 2000 00:00:00 GMT");
    for day in -20_000i64..60_000 {
        let moment = Timestamp::from_secs(day * 86_400 + (day * 7919).rem_euclid(86_400));
        assert_eq!(parse(write(moment).as_bytes(), Timestamp::from_secs(0)), Some(moment));
    }
}
