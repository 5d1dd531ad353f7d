//! Paths with and without a version.

use super::*;

#[test]
fn a_version_in_front_of_a_path_is_taken_off() {
    let check = |path: &str, version: Option<ApiVersion>, rest: &str| {
        assert_eq!(split(path), (version, rest), "{path}");
    };
    check("/containers/json", None, "/containers/json");
    check("/v1.43/containers/json", Some(ApiVersion(1, 43)), "/containers/json");
    check("/v1.24", Some(ApiVersion(1, 24)), "/");
    check("/v1/containers/json", None, "/v1/containers/json");
    check("/volumes", None, "/volumes");
    check("/v1.x/volumes", None, "/v1.x/volumes");
    check("/v+1.2/volumes", None, "/v+1.2/volumes");
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(ApiVersion(1, 9) < ApiVersion(1, 24));
    assert!(OLDEST < NEWEST);
}
