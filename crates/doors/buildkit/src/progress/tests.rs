//! Tests of how a build's progress is told.

use std::collections::BTreeSet;

use build::{Step as Told, Stream};

use super::*;

const TEXT: &str = "FROM busybox\nENV A=1\nRUN make\nRUN test\n";

fn narrator() -> Narrator {
    let file = build::dockerfile::parse(TEXT).expect("it can be read");
    let layout = Layout::new(&file, &BTreeMap::new(), None, &BTreeSet::new());
    Narrator::new("ref", layout, SourceInfo::default(), "sha256:def")
}

fn step(number: usize, kind: StepKind, line: u32, inputs: &[usize]) -> Told {
    let text = TEXT.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default().to_owned();
    Told {
        number,
        kind,
        text,
        line,
        stage: "stage-0".into(),
        several_stages: false,
        place: None,
        count: None,
        digest: Digest::sha256(b""),
        inputs: inputs.to_vec(),
    }
}

fn now() -> Timestamp {
    Timestamp::from_secs(1)
}

/// Begins FROM, ENV and a RUN; gives the digests of those that are shown.
fn begin(narrator: &mut Narrator) -> Vec<String> {
    let steps = [
        step(1, StepKind::Context, 0, &[]),
        step(2, StepKind::From, 1, &[]),
        step(3, StepKind::Settings, 2, &[2]),
        step(4, StepKind::Files, 3, &[3]),
    ];
    let told = steps.into_iter().flat_map(|step| narrator.tell(Progress::Started(step), now()).vertexes);
    told.map(|vertex| vertex.digest).collect()
}

#[test]
fn steps_that_make_no_files_are_not_shown_but_passed_through() {
    let mut narrator = narrator();
    let shown = begin(&mut narrator);
    assert_eq!(shown.len(), 2);
    let run = narrator.tell(Progress::Cached { step: 4, image: None }, now()).vertexes.remove(0);
    assert_eq!(run.name, "[2/3] RUN make");
    assert_eq!(run.inputs, [shown[0].clone()]);
    assert!(run.cached && run.completed.is_some());
    let none = narrator.tell(Progress::Finished { step: 3, took_ms: 1, image: None }, now());
    assert_eq!(none, StatusResponse::default());
}

#[test]
fn output_is_bounded_and_says_so() {
    let mut narrator = narrator();
    begin(&mut narrator);
    let mut output = |length: usize| {
        let bytes = vec![b'x'; length];
        let told = narrator.tell(Progress::Output { step: 4, stream: Stream::Stderr, bytes }, now());
        told.logs.into_iter().map(|log| (log.stream, log.msg)).next()
    };
    let (stream, first) = output(LOG_BYTES - 10).expect("it is told");
    assert_eq!((stream, first.len()), (2, LOG_BYTES - 10));
    let (_, last) = output(100).expect("its beginning is told");
    assert!(last.starts_with(b"xxxxxxxxxx\n[output clipped"), "{}", String::from_utf8_lossy(&last));
    assert_eq!(output(1), None);
}

#[test]
fn the_step_at_the_line_failed_and_others_were_called_off() {
    let mut narrator = narrator();
    let shown = begin(&mut narrator);
    narrator.tell(Progress::Finished { step: 2, took_ms: 1, image: None }, now());
    narrator.tell(Progress::Started(step(5, StepKind::Files, 4, &[3])), now());
    let (status, digest) = narrator.failed(Some(3), "why", now());
    assert_eq!(digest.as_ref(), shown.last());
    let errors: Vec<_> =
        status.vertexes.iter().map(|vertex| (vertex.name.as_str(), vertex.error.as_str())).collect();
    assert_eq!(errors, [("[2/3] RUN make", "why"), ("[3/3] RUN test", "context canceled")]);
}

#[test]
fn what_a_step_moves_is_a_part_of_it() {
    let mut narrator = narrator();
    let shown = begin(&mut narrator);
    let moved = Progress::Moved { step: 2, what: "layer".into(), bytes: 5, of: Some(9), done: false };
    let part = narrator.tell(moved, now()).statuses.remove(0);
    assert_eq!((part.id.as_str(), part.current, part.total, part.completed), ("layer", 5, 9, None));
    assert_eq!(part.vertex, shown[0]);
}

#[test]
fn warnings_name_their_line() {
    let warning = Progress::Warning { rule: None, line: 2, message: "careful".into() };
    let told = narrator().tell(warning, now()).warnings.remove(0);
    assert_eq!(told.vertex, "sha256:def");
    assert_eq!(told.short, b"careful");
    assert_eq!(told.ranges, [Range::lines(2, 2)]);
}

#[test]
fn what_is_found_in_the_file_is_told_with_its_rule() {
    let narrator = narrator();
    let finding = Finding { rule: "JSONArgsRecommended", line: 2, message: "careful".into() };
    let told = narrator.findings(&[finding]).warnings.remove(0);
    assert_eq!(told.short, b"JSONArgsRecommended: careful (line 2)");
    assert_eq!(told.url, "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/");
    assert!(!told.detail[0].is_empty());
}
