//! What the lexer must tell apart.

use super::cut;

#[test]
fn strings_characters_and_comments_hide_what_is_in_them() {
    check(r#"a("{ .unwrap()") // b"#, r#"a ( " )"#, "// b");
    check(r##"let x = r#"say "hi" {"#;"##, r#"let x = " ;"#, "");
    check("let q = '{'; let n = '\\n'; let u = '\\u{41}';", "let q = \" ; let n = \" ; let u = \" ;", "");
    check("/* a /* b */ c */ d", "d", "/* a /* b */ c */");
}

#[test]
fn a_lifetime_is_not_a_character() {
    check("fn f<'a>(x: &'a str) {}", "fn f < 'a > ( x : & 'a str ) { }", "");
    check("'outer: loop { break 'outer; }", "'outer : loop { break 'outer ; }", "");
}

#[test]
fn a_line_of_a_long_string_is_code_unless_it_is_empty() {
    let pieces = cut("let x = \"one\n\n two\";\n// end");
    assert_eq!(pieces.code[..4], [true, false, true, false]);
}

#[track_caller]
fn check(text: &str, tokens: &str, comments: &str) {
    let pieces = cut(text);
    let words: Vec<_> = pieces.tokens.iter().map(|token| token.text).collect();
    assert_eq!(words.join(" "), tokens);
    let words: Vec<_> = pieces.comments.iter().map(|comment| comment.text).collect();
    assert_eq!(words.join(" "), comments);
}
