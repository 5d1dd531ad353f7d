//! Tests of references: docker's normalisation rules, as a table, and that every reading is stable.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[test]
fn a_short_name_is_made_whole_and_shown_short() {
    check("busybox", expect!["docker.io/library/busybox:latest = busybox:latest"]);
    check("busybox:1.36", expect!["docker.io/library/busybox:1.36 = busybox:1.36"]);
    check("team/web", expect!["docker.io/team/web:latest = team/web:latest"]);
    check("index.docker.io/busybox", expect!["docker.io/library/busybox:latest = busybox:latest"]);
    check("docker.io/library/busybox", expect!["docker.io/library/busybox:latest = busybox:latest"]);
    check("localhost/web", expect!["localhost/web:latest = localhost/web:latest"]);
    check("localhost:5000/web", expect!["localhost:5000/web:latest = localhost:5000/web:latest"]);
    check(
        "r.example/a/b__c.d-e---f:v_1",
        expect!["r.example/a/b__c.d-e---f:v_1 = r.example/a/b__c.d-e---f:v_1"],
    );
    check("[::1]:5000/web:1", expect!["[::1]:5000/web:1 = [::1]:5000/web:1"]);
    check("web:5000", expect!["docker.io/library/web:5000 = web:5000"]);
    check("HOST/web", expect!["HOST/web:latest = HOST/web:latest"]);
}

#[test]
fn a_digest_stands_beside_or_instead_of_a_tag() {
    let digest = Digest::sha256(b"");
    let only: Reference = format!("busybox@{digest}").parse().unwrap();
    assert_eq!((only.tag(), only.digest()), (None, Some(&digest)));
    let both: Reference = format!("busybox:1@{digest}").parse().unwrap();
    assert_eq!(both.to_string(), format!("docker.io/library/busybox:1@{digest}"));
    assert_eq!(both.with_tag("2").unwrap().familiar(), "busybox:2");
}

#[test]
fn what_is_no_name_says_why_and_what_to_write() {
    check("", expect!["`` is not an image name: it is empty"]);
    check("Web", expect!["`Web` is not an image name: the repository has upper-case letters"]);
    check("web:", expect!["`web:` is not an image name: the tag is empty"]);
    check(
        "web:-x",
        expect![
            "`web:-x` is not an image name: a tag holds letters, digits, `_`, `.` and `-`, and begins with a letter, a digit or `_`"
        ],
    );
    check(
        "a//b",
        expect![
            "`a//b` is not an image name: each part of the repository is made of a-z and 0-9, joined by `.`, `_`, `__` or dashes"
        ],
    );
    check(
        "a___b",
        expect![
            "`a___b` is not an image name: each part of the repository is made of a-z and 0-9, joined by `.`, `_`, `__` or dashes"
        ],
    );
    check("web@sha256:12", expect!["`web@sha256:12` is not an image name: what follows `@` is not a digest"]);
    check(
        "-x.y/web",
        expect!["`-x.y/web` is not an image name: the registry is not a host name with an optional port"],
    );
    check(
        "x.y:z/web",
        expect!["`x.y:z/web` is not an image name: the registry is not a host name with an optional port"],
    );
    check(
        "../../etc/passwd",
        expect![
            "`../../etc/passwd` is not an image name: the registry is not a host name with an optional port"
        ],
    );
    check(
        &"a".repeat(64),
        expect![
            "`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not an image name: 64 hexadecimal digits are an id, not a name"
        ],
    );
    assert_eq!("Web".parse::<Reference>().unwrap_err().hint().unwrap(), "write `web`");
    assert!("a".repeat(300).parse::<Reference>().unwrap_err().to_string().contains("longer than 255"));
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    match text.parse::<Reference>() {
        Ok(reference) => expected.assert_eq(&format!("{reference} = {}", reference.familiar())),
        Err(problem) => expected.assert_eq(&problem.to_string()),
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        let _ = text.parse::<Reference>();
    }

    #[test]
    fn whole_and_familiar_forms_read_as_the_same(
        text in "([a-z]{1,5}\\.[a-z]{2}(:[0-9]{1,4})?/)?[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,5})?(:[\\w][\\w.-]{0,8})?"
    ) {
        let Ok(reference) = text.parse::<Reference>() else { return Ok(()) };
        prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
        prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
    }
}
