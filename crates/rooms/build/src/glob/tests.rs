//! Tests of patterns, with the cases that Go's own tests of `filepath.Match` are about.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let glob = Glob::new(pattern, Dialect::Go).expect("every pattern here makes sense");
    for path in yes {
        assert!(glob.matches(path), "{pattern} takes {path}");
    }
    for path in no {
        assert!(!glob.matches(path), "{pattern} does not take {path}");
    }
}

#[test]
fn go_patterns_match_what_go_matches() {
    check("abc", &["abc"], &["ab", "abcd"]);
    check("*", &["", "abc"], &["a/b"]);
    check("*c", &["c", "abc"], &["abcd", "a/c"]);
    check("a*", &["a", "abc"], &["ab/c"]);
    check("a*/b", &["abc/b", "a/b"], &["a/c/b"]);
    check("a*b*c*d*e*/f", &["axbxcxdxe/f", "axbxcxdxexxx/f"], &["axbxcxdxe/xxx/f", "axbxcxdxexxx/fff"]);
    check("a*b?c*x", &["abxbbxdbxebxczzx"], &["abxbbxdbxebxczzy"]);
    check("ab[c]", &["abc"], &["abd"]);
    check("ab[b-d]", &["abc"], &["abe"]);
    check("ab[^c]", &["abd"], &["abc"]);
    check("ab[^b-d]", &["abe"], &["abc"]);
    check("a\\*b", &["a*b"], &["ab"]);
    check("a?b", &["a☺b"], &["a/b"]);
    check("[a-ζ]*", &["α"], &[]);
    check("[\\]a]", &["]", "a"], &["b"]);
    check("*.g?", &[".go", "a.go"], &["a.g"]);
    check("**", &["abc"], &["a/b"]);
}

#[test]
fn a_pattern_that_makes_no_sense_is_refused() {
    for text in ["[", "[^", "[]a]", "[-]", "[x-]", "[-x]", "a[", "\\", "[a-b-c]", "[a\\"] {
        assert_eq!(Glob::new(text, Dialect::Go), Err(BadPattern), "{text}");
    }
}

proptest! {
    #[test]
    fn no_pattern_makes_matching_panic(pattern in "[a-c*?\\[\\]^/\\\\-]{0,12}", path in "[a-c/*-]{0,16}") {
        for dialect in [Dialect::Go, Dialect::Ignore] {
            if let Ok(glob) = Glob::new(&pattern, dialect) {
                let _ = glob.matches(&path);
            }
        }
    }

    #[test]
    fn text_without_signs_matches_itself_alone(path in "[a-z/.]{0,12}", other in "[a-z/.]{0,12}") {
        let glob = Glob::new(&path, Dialect::Go).expect("no signs");
        prop_assert!(glob.matches(&path));
        prop_assert_eq!(glob.matches(&other), path == other);
    }
}
