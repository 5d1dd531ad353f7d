//! A pull in docker's words.

use images::{LayerState, PullStep};
use oci::{Digest, Reference};

use super::{says_tag, words};

#[test]
fn a_tag_is_known_from_a_port() {
    for (text, says) in [
        ("busybox", false),
        ("busybox:1", true),
        ("busybox:", false),
        ("localhost:5000/x", false),
        ("localhost:5000/x:1", true),
    ] {
        assert_eq!(says_tag(text), says, "{text}");
    }
}

#[test]
fn steps_are_told_as_docker_tells_them() {
    let image: Reference = "localhost:5000/team/web:v1".parse().expect("a name");
    let blob = Digest::sha256(b"layer");
    let short = blob.short().to_owned();
    let layer = |state| words(PullStep::Layer { blob: blob.clone(), state }, &image)[0].clone();
    let first = words(PullStep::Resolved { digest: blob.clone() }, &image);
    assert_eq!(first[0].to_string(), r#"{"status":"Pulling from team/web","id":"v1"}"#);
    for (state, status) in [
        (LayerState::Known, "Already exists"),
        (LayerState::Waiting { size: 9 }, "Pulling fs layer"),
        (LayerState::Verifying, "Verifying Checksum"),
        (LayerState::Arrived, "Download complete"),
        (LayerState::Done, "Pull complete"),
    ] {
        assert_eq!(
            layer(state).to_string(),
            format!(r#"{{"status":"{status}","progressDetail":{{}},"id":"{short}"}}"#)
        );
    }
    let arriving = layer(LayerState::Arriving { bytes: 5, size: 10 });
    assert_eq!(arriving["status"], "Downloading");
    assert_eq!(arriving["progressDetail"].to_string(), r#"{"current":5,"total":10}"#);
}
