//! Tests of challenges: the forms that registries send, and that no text is a surprise.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let shown: Vec<String> = parse(text)
        .iter()
        .map(|one| {
            let parameters: Vec<String> =
                one.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {}", one.scheme, parameters.join(";"))
        })
        .collect();
    assert_eq!(shown.join(" | "), expected, "{text}");
}

#[test]
fn challenges_are_read_in_every_form() {
    check("Basic", "basic ");
    check(r#"Basic realm="Registry Realm""#, "basic realm=Registry Realm");
    check(
        r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
        "bearer realm=https://auth.example/token;scope=repository:a/b:pull,push;service=registry.example",
    );
    check(
        r#"Bearer realm="https://a/t" , service=r , error="invalid_token", Basic realm="x, \"y\"""#,
        r#"bearer error=invalid_token;realm=https://a/t;service=r | basic realm=x, "y""#,
    );
    check(r#"Negotiate, Basic realm="a""#, "negotiate  | basic realm=a");
    check(r#"Bearer realm="https://a"#, "bearer ");
    check("=", "");
    check("", "");
}

proptest! {
    #[test]
    fn a_quoted_value_comes_out_as_it_went_in(value in "[ -~]{0,40}") {
        let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
        let read = parse(&format!("Bearer realm=\"{quoted}\", service=\"s\""));
        prop_assert_eq!(read[0].get("realm"), Some(value.as_str()));
        prop_assert_eq!(read[0].get("service"), Some("s"));
    }

    #[test]
    fn any_text_ends(text in "\\PC{0,200}") {
        parse(&text);
    }
}
