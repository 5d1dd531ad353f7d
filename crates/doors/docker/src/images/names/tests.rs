//! What docker says of names, and how two texts make one.

use super::{pulled, tagged, why};

#[test]
fn malformed_names_are_refused_in_dockers_words() {
    for (text, said) in [
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("Team/web:v1", "invalid reference format: repository name (Team/web) must be lowercase"),
        ("localhost:5000/Web", "invalid reference format: repository name (Web) must be lowercase"),
        ("a b", "invalid reference format"),
        ("", "invalid reference format"),
        ("a@sha256:1", "invalid reference format"),
    ] {
        assert_eq!(why(text), said, "{text}");
    }
}

#[test]
fn a_tag_of_its_own_wins() {
    let name = |repository, tag| tagged(repository, tag).map(|name| name.familiar());
    assert_eq!(name("x/y:1", Some("2")).expect("a name"), "x/y:2");
    assert_eq!(name("x/y", None).expect("a name"), "x/y:latest");
    assert_eq!(name("localhost:5000/x/y", Some("2")).expect("a name"), "localhost:5000/x/y:2");
    assert_eq!(name("a", Some("b/c")).expect_err("refused").message, "invalid tag format");
}

#[test]
fn a_pull_may_name_a_digest() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let name = |repository: &str, tag: Option<&str>| pulled(repository, tag).map(|name| name.familiar());
    assert_eq!(name("busybox", Some(&digest)).expect("a name"), format!("busybox@{digest}"));
    assert_eq!(name("busybox:", None).expect("a name"), "busybox:latest");
    assert_eq!(name("busybox:1", Some("2")).expect("a name"), "busybox:2");
    assert_eq!(name("scratch", None).expect_err("refused").status.as_u16(), 403);
}
