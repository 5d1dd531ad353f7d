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

#[test]
fn old_versions_are_refused_but_where_images_are_carried() {
    let check = |path: &str, expected: Option<ApiVersion>| {
        let request = Request::builder().uri(path).body(axum::body::Body::empty()).expect("a request");
        let seen = versioned(request).ok().and_then(|request| request.extensions().get().copied());
        assert_eq!(seen, expected, "{path}");
    };
    check("/images/get", Some(NEWEST));
    check("/v1.24/images/json", Some(OLDEST));
    check("/v1.22/images/get?names=a", Some(OLDEST));
    check("/v1.22/images/load", Some(OLDEST));
    check("/v1.22/images/json", None);
    check("/v1.23/containers/json", None);
    check("/v1.21/images/get", None);
    check("/v1.99/images/get", None);
}
