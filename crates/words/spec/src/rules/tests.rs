//! Which names, values and paths a rule may have.

use super::*;

#[test]
fn a_rule_is_about_no_field_that_frames_or_belongs_to_a_hop() {
    let flaw = |name| HeaderRules::name_flaw(name, HeaderSide::Request);
    for name in ["x-env", "content-type", "x-real-ip", "x-forwarded-port", "authorization"] {
        assert_eq!(flaw(name), None, "{name}");
    }
    for name in NOBODYS.iter().chain(TOLD).chain(&["", "a b", "a:b", "x_env", "ü", "a\r\nb"]) {
        assert!(flaw(name).is_some(), "{name}");
    }
    assert_eq!(HeaderRules::name_flaw("x-forwarded-for", HeaderSide::Response), None);
}

#[test]
fn a_value_is_visible() {
    for value in ["", "a", "a \t b", "max-age=3, x=\"y\""] {
        assert!(HeaderRules::is_value(value), "{value:?}");
    }
    for value in [" a", "a ", "a\r\nb: c", "a\0", "\u{7f}", "ü", &"a".repeat(8193)] {
        assert!(!HeaderRules::is_value(value), "{value:?}");
    }
}

#[test]
fn a_path_that_is_written_leads_to_one_place() {
    let flaw = |path: &str| PathPrefix(path.into()).flaw().is_some();
    for path in ["/", "/v2", "/v2/", "/a%20b/c;x=1", "/..a/.b/c.", "/%C3%BC"] {
        assert!(!flaw(path), "{path}");
    }
    let bad =
        ["", "v2", "//x", "/a/../b", "/.", "/..;x/y", "/a?b", "/a#b", "/a\\b", "/a b", "/%", "/%2", "/%zz"];
    for path in bad.iter().chain(&["/%2e%2E/x", "/a%2f", "/%00", "/%5c", "/ü", "/a\"b", "/a/..", "/a\r\n"]) {
        assert!(flaw(path), "{path}");
    }
}
