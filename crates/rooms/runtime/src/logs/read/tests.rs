//! Reading logs over their files.

use base::Bytes;

use super::super::{Follower, Stream, Writer};
use super::*;
use crate::order::LogPolicy;

fn written(count: i64) -> (tempfile::TempDir, Writer) {
    let temp = tempfile::tempdir().unwrap();
    let mut writer =
        Writer::open(temp.path(), LogPolicy { keep: true, max_size: Bytes(500), max_files: 100 }).unwrap();
    for number in 1..=count {
        writer.take(Stream::Stdout, format!("{number}\n").as_bytes(), Timestamp::from_secs(number));
    }
    (temp, writer)
}

#[test]
fn a_query_gives_the_lines_between_its_bounds() {
    let (temp, _writer) = written(100);
    let at = |secs| Some(Timestamp::from_secs(secs));
    check(temp.path(), Query { tail: Some(3), ..Query::default() }, &["98", "99", "100"]);
    check(temp.path(), Query { tail: Some(0), ..Query::default() }, &[]);
    check(temp.path(), Query { since: at(99), ..Query::default() }, &["99", "100"]);
    check(temp.path(), Query { until: at(2), ..Query::default() }, &["1", "2"]);
    check(temp.path(), Query { since: at(40), until: at(50), tail: Some(2) }, &["49", "50"]);
    check(&temp.path().join("nowhere"), Query::default(), &[]);
}

#[track_caller]
fn check(dir: &Path, query: Query, expected: &[&str]) {
    let mut lines = Vec::new();
    read(dir, &query, |line| {
        lines.push(String::from_utf8(line.text).unwrap());
        true
    })
    .unwrap();
    assert_eq!(lines, expected, "{query:?}");
}

#[test]
fn a_follower_loses_nothing_when_files_are_turned_over() {
    let (temp, mut writer) = written(10);
    let mut follower =
        Follower::new(temp.path(), Query { tail: Some(1), ..Query::default() }, std::time::Duration::ZERO)
            .unwrap();
    let mut seen = Vec::new();
    for number in 11..500 {
        writer.take(Stream::Stdout, format!("{number}\n").as_bytes(), Timestamp::from_secs(number));
        // Now and then only, so that several files come to be between two looks.
        while number % 37 == 0
            && let Some(line) = follower.try_next().unwrap()
        {
            seen.push(line.time.secs());
        }
    }
    while let Some(line) = follower.try_next().unwrap() {
        seen.push(line.time.secs());
    }
    assert_eq!(seen, (10..500).collect::<Vec<_>>());
}

#[test]
fn a_line_torn_by_a_crash_is_skipped() {
    let (temp, writer) = written(1);
    drop(writer);
    let file = file(temp.path(), 0);
    let mut text = std::fs::read(&file).unwrap();
    text.extend_from_slice(
        b"1970-01-01T00:00:02Z stdo\n1970-01-01T00:00:03Z stdout F 3\n1970-01-01T00:00:04Z stdout F torn",
    );
    std::fs::write(&file, text).unwrap();
    check(temp.path(), Query::default(), &["1", "3"]);
}
