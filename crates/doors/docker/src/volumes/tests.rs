//! What a request to make a volume becomes, or with which words it is refused.

use serde_json::json;

use super::{Request, folder_size, order};
use crate::version::NEWEST;

fn read(request: serde_json::Value) -> Result<containers::VolumeOrder, (u16, String)> {
    let request: Request = serde_json::from_value(request).expect("a request");
    order(request, NEWEST).map_err(|refusal| (refusal.status.as_u16(), refusal.message))
}

#[test]
fn a_volume_without_a_name_gets_one_of_64_digits() {
    let made = read(json!({})).expect("taken");
    assert!(made.anonymous);
    assert_eq!(made.name.as_str().len(), 64);
    assert!(made.name.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(!made.said.labels && !made.said.options);
}

#[test]
fn what_was_said_is_kept() {
    let made = read(json!({
        "Name": "v1", "Driver": "local", "Labels": {},
        "DriverOpts": { "type": "none", "o": "bind", "device": "/srv" },
    }));
    let made = made.expect("taken");
    assert!(!made.anonymous && made.said.labels && made.said.options);
    assert_eq!(made.options["device"], "/srv");
}

#[test]
fn requests_are_refused_in_dockers_words() {
    for (request, status, text) in [
        (
            json!({ "Name": "x" }),
            400,
            "create x: volume name is too short, names should be at least two alphanumeric characters",
        ),
        (
            json!({ "Name": "a/b" }),
            400,
            "create a/b: \"a/b\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
        ),
        (
            json!({ "Name": "v3", "Driver": "nosuch" }),
            404,
            "create v3: error looking up volume plugin nosuch: plugin \"nosuch\" not found",
        ),
        (json!({ "Name": "v3", "DriverOpts": { "foo": "bar" } }), 400, "create v3: invalid option: \"foo\""),
    ] {
        assert_eq!(read(request.clone()).expect_err("refused"), (status, text.to_owned()), "{request}");
    }
    assert_eq!(read(json!({ "Name": "v4", "ClusterVolumeSpec": {} })).expect_err("refused").0, 503);
}

#[test]
fn a_file_with_two_names_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("in")).expect("made");
    std::fs::write(folder.path().join("in/a"), [0; 1000]).expect("written");
    std::fs::hard_link(folder.path().join("in/a"), folder.path().join("b")).expect("linked");
    std::fs::write(folder.path().join("c"), [0; 10]).expect("written");
    assert_eq!(folder_size(folder.path()).expect("counted"), 1010);
}
