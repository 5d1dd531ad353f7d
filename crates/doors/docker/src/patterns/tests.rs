//! Globs as Go reads them.

use super::glob;

#[test]
fn globs_match_as_go_has_them() {
    for (pattern, text, fits) in [
        ("busy*", "busybox", true),
        ("busy*", "busybox:1.36", true),
        ("*/web", "team/web", true),
        ("*", "team/web", false),
        ("*/*", "team/web", true),
        ("b?sybox", "busybox", true),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("\\*", "*", true),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(glob(pattern, text), Some(fits), "{pattern} {text}");
    }
}

#[test]
fn malformed_globs_are_known() {
    for pattern in ["[", "[a", "[]a]", "a\\", "[-a]"] {
        assert_eq!(glob(pattern, "a"), None, "{pattern}");
    }
}
