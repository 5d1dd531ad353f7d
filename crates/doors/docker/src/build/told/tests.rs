//! A build's story as docker's classic builder tells it.

use ::build::{Progress, Step, StepKind, Stream};
use oci::Digest;

use super::Teller;

fn step(number: usize, text: &str, count: Option<(usize, usize)>) -> Step {
    Step {
        number,
        kind: if text.starts_with("FROM") { StepKind::From } else { StepKind::Files },
        text: text.into(),
        line: 1,
        stage: "stage-0".into(),
        several_stages: false,
        place: None,
        count,
        digest: Digest::sha256(text.as_bytes()),
        inputs: Vec::new(),
    }
}

/// What is said, as the texts of the streams.
fn said(teller: &mut Teller, progress: Progress) -> String {
    let pieces = teller.tell(progress);
    pieces
        .iter()
        .map(|piece| piece["stream"].as_str().map_or_else(|| piece.to_string(), str::to_owned))
        .collect()
}

#[test]
fn steps_are_told_as_docker_tells_them() {
    let mut teller = Teller::default();
    let image = Some(Digest::sha256(b"image"));
    let short = Digest::sha256(b"image").short().to_owned();
    let mut tell = |progress| said(&mut teller, progress);
    assert_eq!(tell(Progress::Started(step(1, "load the context", None))), "");
    assert_eq!(tell(Progress::Started(step(2, "FROM busybox", Some((1, 3))))), "Step 1/3 : FROM busybox\n");
    assert_eq!(tell(Progress::Cached { step: 2, image: image.clone() }), format!(" ---> {short}\n"));
    assert_eq!(tell(Progress::Started(step(3, "RUN a", Some((2, 3))))), "Step 2/3 : RUN a\n");
    let output = |stream, text: &str| Progress::Output { step: 3, stream, bytes: text.into() };
    assert_eq!(tell(output(Stream::Stdout, "hi\n")), "hi\n");
    assert_eq!(tell(output(Stream::Stderr, "err\n")), "\u{1b}[91merr\n\u{1b}[0m");
    assert_eq!(
        tell(Progress::Finished { step: 3, took_ms: 1, image: image.clone() }),
        format!(" ---> {short}\n")
    );
    assert_eq!(tell(Progress::Started(step(4, "COPY a b", Some((3, 3))))), "Step 3/3 : COPY a b\n");
    assert_eq!(tell(Progress::Cached { step: 4, image }), format!(" ---> Using cache\n ---> {short}\n"));
    let warning = |rule| Progress::Warning { rule, line: 2, message: "odd".into() };
    assert_eq!(tell(warning(None)), "[Warning] line 2: odd\n");
    assert_eq!(tell(warning(Some("MaintainerDeprecated"))), "[Warning] line 2: odd\n");
    assert_eq!(tell(warning(Some("JSONArgsRecommended"))), "");
}

#[test]
fn steps_that_run_at_the_same_time_are_told_one_after_the_other() {
    let mut teller = Teller::default();
    let mut tell = |progress| said(&mut teller, progress);
    let output = |step, text: &str| Progress::Output { step, stream: Stream::Stdout, bytes: text.into() };
    assert_eq!(tell(Progress::Started(step(4, "FROM b", Some((4, 5))))), "Step 4/5 : FROM b\n");
    assert_eq!(tell(Progress::Started(step(1, "RUN a", Some((1, 5))))), "");
    assert_eq!(tell(output(1, "of a\n")), "");
    assert_eq!(tell(output(4, "of b\n")), "of b\n");
    assert_eq!(tell(Progress::Finished { step: 4, took_ms: 1, image: None }), "Step 1/5 : RUN a\nof a\n");
    assert_eq!(tell(output(1, "more\n")), "more\n");
    assert_eq!(tell(Progress::Failed { step: 1, why: "it failed".into() }), "");
    assert_eq!(tell(Progress::Started(step(5, "RUN c", Some((5, 5))))), "Step 5/5 : RUN c\n");
}

#[test]
fn the_command_is_shown_as_it_was_run() {
    for (text, command) in [
        ("RUN exit 3", "/bin/sh -c exit 3"),
        ("RUN [\"a\", \"b c\"]", "a b c"),
        ("run --mount=type=tmpfs,target=/x --network=none make all", "/bin/sh -c make all"),
    ] {
        let mut teller = Teller::default();
        teller.tell(Progress::Started(step(1, text, Some((1, 1)))));
        assert_eq!(teller.command(), command);
    }
}
