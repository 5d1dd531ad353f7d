//! Tests of names: what finds an image, and what may be taken away.

use expect_test::{Expect, expect};

use crate::tests::{Fixture, archive, names};
use crate::{FindError, RemoveError, Removed};

#[test]
fn an_image_is_found_by_name_id_and_the_beginning_of_its_id() {
    let fixture = Fixture::new();
    let id = fixture.load(&archive(&["web:1"]))[0].id.clone();
    let hex = id.0.hex();
    for name in [
        "web:1",
        "docker.io/library/web:1",
        &id.to_string(),
        hex,
        &hex[..12],
        &hex[..2],
        &format!("sha256:{}", &hex[..9]),
    ] {
        assert_eq!(fixture.images.find(name).unwrap().id, id, "{name}");
    }
    for name in
        ["web", "web:2", "", "zz", "../x", "Web:1", &format!("{}0", &hex[..12]).replace(&hex[12..13], "x")]
    {
        assert!(matches!(fixture.images.find(name), Err(FindError::NoImage { .. })), "{name}");
    }
    fixture.load(&archive(&[
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
    ]));
    // Of 18 images some begin with the same digit.
    let fits = |digit: &str| fixture.images.find(digit);
    assert!(
        "0123456789abcdef"
            .chars()
            .any(|digit| matches!(fits(&digit.to_string()), Err(FindError::Ambiguous { .. })))
    );
}

#[test]
fn a_name_goes_alone_and_the_image_with_its_last_name() {
    let fixture = Fixture::new();
    let id = fixture.load(&archive(&["web:1"]))[0].id.clone();
    fixture.images.tag("web:1", &"web:2".parse().unwrap()).unwrap();
    removing(&fixture, id.short(), false, expect!["2 names"]);
    removing(&fixture, "web:1", false, expect!["untagged web:1"]);
    fixture.images.snapshot(&id, "c1").unwrap();
    removing(&fixture, "web:2", false, expect!["needed by container `c1`"]);
    removing(&fixture, "web:2", true, expect!["untagged web:2"]);
    assert!(fixture.images.find(id.short()).is_ok(), "a container needs it");
    fixture.images.drop_snapshot("c1").unwrap();
    removing(&fixture, id.short(), false, expect!["deleted"]);
    assert!(names(&fixture.path("layers")).is_empty() && names(&fixture.path("blobs/sha256")).is_empty());
    removing(&fixture, id.short(), false, expect!["no image"]);
}

#[track_caller]
fn removing(fixture: &Fixture, name: &str, force: bool, expected: Expect) {
    let text = match fixture.images.remove(name, force) {
        Ok(removed) => removed
            .iter()
            .map(|one| match one {
                Removed::Untagged(name) => format!("untagged {}", name.familiar()),
                Removed::Deleted(_) => "deleted".into(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(RemoveError::InUse { by, .. }) => format!("needed by {by}"),
        Err(RemoveError::ManyNames { names, .. }) => format!("{names} names"),
        Err(RemoveError::Find(_)) => "no image".into(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&text);
}

#[test]
fn names_outlive_a_restart_and_move_with_a_tag() {
    let fixture = Fixture::new();
    fixture.load(&archive(&["a", "b"]));
    let b = fixture.images.find("b").unwrap().id;
    fixture.images.tag("b", &"a".parse().unwrap()).unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.images.find("a").unwrap().id, b);
    assert_eq!(fixture.images.list().len(), 2, "the image that lost its name is still here");
    assert_eq!(fixture.images.history("a").unwrap().len(), 2);
}
