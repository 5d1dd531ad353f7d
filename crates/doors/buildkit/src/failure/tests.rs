//! Tests of how failures are told.

use build::dockerfile::parse;
use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let error = parse(text).expect_err("it cannot be read");
    expected.assert_eq(&Failure::parse(&error).message);
}

#[test]
fn a_dockerfile_that_cannot_be_read_is_told_in_docker_s_words() {
    check(
        "FROM a\nRUNN x\n",
        expect!["dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"],
    );
    check("FROM a\nZZZ x\n", expect!["dockerfile parse error on line 2: unknown instruction: ZZZ"]);
}

#[test]
fn the_lines_travel_as_json_in_a_detail() {
    let failure = Failure { message: "m".into(), span: Some(Span { start: 2, end: 3 }), cancelled: false };
    let status = failure.status("File", "a\nb\nc\n", Some("sha256:00"));
    let details: Vec<_> = status
        .details
        .iter()
        .map(|detail| format!("{} {}", detail.type_url, String::from_utf8_lossy(&detail.value)))
        .collect();
    expect![[r#"
        github.com/moby/buildkit/errdefs.Vertex+json {"digest":"sha256:00"}
        github.com/moby/buildkit/errdefs.Source+json {"info":{"filename":"File","data":"YQpiCmMK","language":"Dockerfile"},"ranges":[{"start":{"line":2},"end":{"line":3}}]}"#]]
    .assert_eq(&details.join("\n"));
    assert_eq!(status.code, Code::Unknown);
}

#[test]
fn a_long_dockerfile_stays_out_of_the_header() {
    let failure = Failure { message: "m".into(), span: Some(Span::line(1)), cancelled: false };
    assert!(failure.status("File", &"x\n".repeat(100_000), None).details.is_empty());
}

#[test]
fn a_build_that_was_called_off_says_so() {
    let failure = Failure::build(&BuildError::Cancelled, &parse("FROM a\n").expect("it can be read"));
    assert_eq!(failure.status("File", "", None).code, Code::Cancelled);
}
