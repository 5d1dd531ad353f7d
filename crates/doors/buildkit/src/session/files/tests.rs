//! Tests of how wishes for files are written into metadata.

use super::*;

#[track_caller]
fn check(wanted: &Wanted, expected: &[&str]) {
    let metadata = wanted.metadata().expect("it can be written");
    let lines: Vec<String> = metadata
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("plain text")))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn plain_values_go_as_they_are() {
    let wanted = Wanted {
        dir: "context".into(),
        follow: vec!["a b".into(), "c".into()],
        exclude: vec!["!x%y".into()],
    };
    check(&wanted, &["dir-name: context", "followpaths: a b", "followpaths: c", "exclude-patterns: !x%y"]);
}

#[test]
fn others_go_escaped_all_of_one_name() {
    let wanted =
        Wanted {
            dir: "ordner-ä".into(), follow: vec!["a b".into(), "ü".into()], exclude: vec!["x".into()]
        };
    check(
        &wanted,
        &[
            "dir-name: ordner-%C3%A4",
            "dir-name-encoded: 1",
            "followpaths: a%20b",
            "followpaths: %C3%BC",
            "followpaths-encoded: 1",
            "exclude-patterns: x",
        ],
    );
}
