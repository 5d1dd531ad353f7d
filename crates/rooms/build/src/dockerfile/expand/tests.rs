//! Tests of expansion, against what BuildKit's lexer gives for the same words.

use super::*;
use proptest::prelude::*;

/// `set` is `hello`, `empty` is empty, `path` is `/a/b.tar.gz`, `two` is `x y`; all others are not set.
fn variables(name: &str) -> Option<String> {
    let value = match name {
        "set" => "hello",
        "empty" => "",
        "path" => "/a/b.tar.gz",
        "two" => "x y",
        "star" => "a*b*c",
        _ => return None,
    };
    Some(value.to_owned())
}

#[track_caller]
fn check(text: &str, expanded: &str) {
    let found = word(text, '\\', &variables).unwrap_or_else(|fault| format!("error: {fault}"));
    assert_eq!(found, expanded, "{text}");
}

#[test]
fn every_form_of_a_variable_gives_what_the_shell_gives() {
    check("$set", "hello");
    check("${set}", "hello");
    check("a${set}b", "ahellob");
    check("$set.txt", "hello.txt");
    check("${none}", "");
    check("$none/x", "/x");
    check("${none:-d}", "d");
    check("${empty:-d}", "d");
    check("${empty-d}", "");
    check("${none-d}", "d");
    check("${set:-d}", "hello");
    check("${set:+r}", "r");
    check("${empty:+r}", "");
    check("${empty+r}", "r");
    check("${none+r}", "");
    check("${none:-${set}}", "hello");
    check("${none:-${other:-deep}}", "deep");
    check("${none:-'a b'}", "a b");
    check("${set:?is needed}", "hello");
    check("$", "$");
    check("a$ b", "a$ b");
    check("$1", "");
    check("${none:-}", "");
}

#[test]
fn patterns_cut_and_replace() {
    check("${path#*/}", "a/b.tar.gz");
    check("${path##*/}", "b.tar.gz");
    check("${path%.*}", "/a/b.tar");
    check("${path%%.*}", "/a/b");
    check("${path#nothing}", "/a/b.tar.gz");
    check("${path/tar/zip}", "/a/b.zip.gz");
    check("${path//[.]/-}", "/a/b.tar.gz");
    check("${path//./-}", "/a/b-tar-gz");
    check("${set/l*/p}", "hep");
    check("${set/?/j}", "jello");
    check("${set//l/}", "heo");
    check("${star//\\*/-}", "a-b-c");
    check("${path##${none:-*/}}", "b.tar.gz");
    check("${none#x}", "");
}

#[test]
fn quotes_and_escapes_work_as_in_a_shell() {
    check("'$set'", "$set");
    check("\"$set\"", "hello");
    check("\\$set", "$set");
    check("\"\\$set\"", "$set");
    check("\"a\\\"b\"", "a\"b");
    check("\"a\\nb\"", "a\\nb");
    check("a\\ b", "a b");
    check("'it''s'", "its");
    check("\"it's\"", "it's");
    check("a\\", "a");
    check("\\\\", "\\");
}

#[test]
fn what_means_nothing_is_an_error_that_says_so() {
    check("${", "error: `${` has no `}`");
    check("${}", "error: `${}` names no variable");
    check("${set", "error: `${set` has no `}`");
    check("${set:-x", "error: `${set:-x` has no `}`");
    check("${set:x}", "error: `${set:x…}` means nothing");
    check("${set^^}", "error: `${set^…}` means nothing");
    check("${none:?give one}", "error: `none` must be set: give one");
    check("${none?}", "error: `none` must be set: it has no value");
    check("${empty?}", "");
    check("'open", "error: a single quote does not end");
    check("\"open", "error: a double quote does not end");
    check(&"${a:-".repeat(100), "error: the expansion is longer or deeper than we allow");
}

#[test]
fn words_are_cut_at_blanks_that_stand_in_no_quotes() {
    let cut = |text: &str| words(text, '\\', &variables).expect("every case here is whole");
    assert_eq!(cut("80 443"), ["80", "443"]);
    assert_eq!(cut("$two"), ["x", "y"]);
    assert_eq!(cut("\"$two\" '$two'"), ["x y", "$two"]);
    assert_eq!(cut("a$two-b"), ["ax", "y-b"]);
    assert_eq!(cut("a\\ b c"), ["a b", "c"]);
    assert_eq!(cut("$none"), Vec::<String>::new());
}

#[test]
fn quotes_of_a_heredoc_are_ordinary_characters() {
    let text = heredoc("say \"$set\" and it's \\$set \\n\n", '\\', &variables);
    assert_eq!(text.as_deref(), Ok("say \"hello\" and it's $set \\n\n"));
}

#[test]
fn doubling_a_value_again_and_again_ends_in_an_error() {
    let mut value = "x".to_owned();
    let fault = loop {
        let last = value.clone();
        match word("$v$v", '\\', &move |_: &str| Some(last.clone())) {
            Ok(longer) => value = longer,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, Substitution::TooMuch);
}

proptest! {
    #[test]
    fn no_text_makes_expansion_panic(text in "[\\PC$\\{\\}:'\"\\\\#%/*?a-c -]{0,60}") {
        let _ = word(&text, '\\', &variables);
        let _ = words(&text, '`', &variables);
        let _ = heredoc(&text, '\\', &variables);
    }

    #[test]
    fn text_without_signs_is_not_changed(text in "[a-zA-Z0-9 ./_=+,:@-]{0,60}") {
        prop_assert_eq!(word(&text, '\\', &variables), Ok(text));
    }

    #[test]
    fn a_prefix_and_a_suffix_that_are_cut_leave_what_was_between(a in "[a-z]{0,8}", b in "[A-Z]{0,8}") {
        let value = format!("{a}{b}");
        let vars = move |_: &str| Some(value.clone());
        prop_assert_eq!(word(&format!("${{v#{a}}}"), '\\', &vars), Ok(b.clone()));
        prop_assert_eq!(word(&format!("${{v%{b}}}"), '\\', &vars), Ok(a));
    }
}
