//! Texts as they are parsed: every leaf with its place.

use expect_test::{Expect, expect};

use super::{Out, parse, to_yaml};
use crate::tree::{Node, Value};

#[test]
fn a_block_of_text_that_ends_with_the_file_has_no_line_break_at_its_end() {
    check("a: |\n  one\n  two", expect![[r#"a="one\ntwo"@2:3"#]]);
    check("a: |\n  one\n  two\n", expect![[r#"a="one\ntwo\n"@2:3"#]]);
    check("a: |+\n  one\n\n  two", expect![[r#"a="one\n\ntwo"@2:3"#]]);
    check("a: >\n  one\n  two", expect![[r#"a="one two"@2:3"#]]);
    check("a: |\n  one\nb: 1", expect![[r#"a="one\n"@2:3 b=1@3:4"#]]);
    check("a: |\n  one\n# two", expect![[r#"a="one\n"@2:3"#]]);
}

#[test]
fn lines_in_brackets_and_quotes_may_stand_to_the_left() {
    check("a:\n  b: [\n  1,\n2\n  ]\n  c: 3\n", expect![[r#"a.b.0=1@3:3 a.b.1=2@4:1 a.c=3@6:6"#]]);
    check("a:\n  b: {\n c: 'x\ny'\n}\nd: 4\n", expect![[r#"a.b.c="x y"@3:5 d=4@6:4"#]]);
    check("a:\n  b: \"x\ny\"\n  c: 3\n", expect![[r#"a.b="x y"@2:6 a.c=3@4:6"#]]);
    check("a:\n  - b: |\n      [ \"\n    c: [\n  1 ]\n", expect![[r#"a.0.b="[ \"\n"@3:7 a.0.c.0=1@5:3"#]]);
    check("a:\n  b: it's [ here\n  c: [\n]\n  d: 1 # [ \n", expect![[r#"a.b="it's [ here"@2:6 a.d=1@5:6"#]]);
}

#[test]
fn a_comment_may_follow_what_is_no_word_at_once() {
    check("a: |#,\n  b\n", expect![[r#"a="b\n"@2:3"#]]);
    check("a: >-# c\n  b\n", expect![[r#"a="b"@2:3"#]]);
    check("a: \"b\"#c\nd: [1,#c\n 2]#c\n", expect![[r#"a="b"@1:4 d.0=1@2:5 d.1=2@3:2"#]]);
    check("a: b#c\n", expect![[r#"a="b#c"@1:4"#]]);
}

#[test]
fn signs_in_brackets_are_what_the_reference_takes_them_for() {
    check("a: [?x, {?b: c, ?'d':e}]\n", expect![[r#"a.0.x=<nil>@1:7 a.1.b="c"@1:14 a.1.d="e"@1:22"#]]);
    check(
        "a: [x -, -, b:, -c, '-']\n",
        expect![[r#"a.0="x -"@1:5 a.1="-"@1:10 a.2="b:"@1:13 a.3="-c"@1:17 a.4="-"@1:21"#]],
    );
    check(
        "a: {\"b\":1, c: &d e, *d : 2, f: [*d]}\n",
        expect![[r#"a.b=1@1:9 a.c="e"@1:18 a.e=2@1:26 a.f.0="e"@1:18"#]],
    );
    check("a: &b c\n*b: 1\n", expect![[r#"a="c"@1:7 c=1@2:5"#]]);
    check("a: [?]\n", expect!["1:6: a key must be a text, and this is nothing"]);
    check("a: {:b}\n", expect!["1:5: a key must be a text, and this is nothing"]);
}

#[test]
fn every_kind_of_line_break_may_stand_between_words() {
    check("a: [\u{2028}b,\u{2029} c\u{85}]\nd: 1\n", expect![[r#"a.0="b"@2:1 a.1="c"@3:2 d=1@5:4"#]]);
    check("a: 1 # b\u{2028}c: 2\n", expect![[r#"a=1@1:4 c=2@2:4"#]]);
}

#[test]
fn line_breaks_that_are_kept_stand_in_values_as_the_reference_reads_them() {
    check(
        "a: b\u{2028} c\n\u{2029}\n d\u{2028}\ne: 1\n",
        expect![[r#"a="b\u{2028}c\u{2029}\nd"@1:4 e=1@7:4"#]],
    );
    check(
        "a: 'b \u{2028}\n c''d\n\u{2029} e'\nf: g\n",
        expect![[r#"a="b\u{2028}\nc'd\u{2029}e"@1:4 f="g"@6:4"#]],
    );
    check(
        "a: \"b\\\u{2028} c\\x41\u{2029} \\L\"\nf: g\n",
        expect![[r#"a="bcA\u{2029}\u{2028}"@1:4 f="g"@4:4"#]],
    );
    check(
        "a: |\n  b\u{2028}  c\n\u{2029}  d\u{2028}\u{2028}\nf: g\n",
        expect![[r#"a="b\u{2028}c\n\u{2029}d\u{2028}"@2:3 f="g"@8:4"#]],
    );
    check(
        "a: >-\u{2028}  b\n  c\u{2029}  d\n\u{2028}   e\u{2028}\nf: g\n",
        expect![[r#"a="b c\u{2029}d\n\u{2028} e"@2:3 f="g"@8:4"#]],
    );
    check("a: |+\n  b\u{2028}\n\u{2029}f: g\n", expect![[r#"a="b\u{2028}\n\u{2029}"@2:3 f="g"@5:4"#]]);
    check(
        "a:\u{2028}  - b\u{2028}  - {c: d\u{2028} e}\n",
        expect![[r#"a.0="b"@2:5 a.1.c="d\u{2028}e"@3:9"#]],
    );
}

#[test]
fn bytes_that_are_no_text_are_printed_as_they_were_written() {
    let printed = |text: &str| {
        let root = parse(text, 0).expect("it is YAML").remove(0).root;
        let value = root.get("a").and_then(Node::str).expect("it has this text").to_owned();
        to_yaml(&Out::Map(vec![(value.clone(), Out::Text(value))]))
    };
    expect!["!!binary Zv8=: !!binary Zv8=\n"].assert_eq(&printed("a: !!binary Zv8=\n"));
    // Signs that would be a number without the tag.
    expect!["!!binary 8888: !!binary 8888\n"].assert_eq(&printed("a: !!binary 8888\n"));
    expect!["föö: föö\n"].assert_eq(&printed("a: !!binary ZsO2w7Y=\n"));
    let long = "////".repeat(18);
    let lines = format!("{}\n  //\n", &long[..70]);
    assert_eq!(
        printed(&format!("a: !!binary {long}\n")),
        format!("? !!binary |\n  {lines}: !!binary |\n  {lines}")
    );
}

#[test]
fn dashes_and_dots_end_a_document_only_at_the_beginning_of_a_line() {
    check("a:\n  --- b\n  ... c\nd: [\n  ...]\n", expect![[r#"a="--- b ... c"@2:3 d.0="..."@5:3"#]]);
}

#[test]
fn a_tag_has_more_signs_than_the_parser_knows() {
    check(
        "a: !, b\nc: [!.5[x], d, !!str, 1, !<e> 2]\n",
        expect![[r#"a="b"@1:7 c.0="d"@2:13 c.1="1"@2:23 c.2="2"@2:31"#]],
    );
    check("a: !!a!b c\n", expect![[r#"a="c"@1:10"#]]);
    check("a: !!str, 1\nb: !!str 1\n", expect![[r#"a="1"@1:11 b="1"@2:10"#]]);
}

#[test]
fn tabs_may_stand_between_words() {
    check("a:\tb\nc: [\td,\n\te\t]\t# f\n", expect![[r#"a="b"@1:4 c.0="d"@2:6 c.1="e"@3:2"#]]);
    check("a: {?\tb: c}\n", expect![[r#"a.b="c"@1:10"#]]);
}

#[test]
fn a_quote_may_be_written_with_a_backslash() {
    check(r#"a: "it\'s \x01""#, expect![[r#"a="it's \u{1}"@1:4"#]]);
}

#[test]
fn a_block_of_text_ends_with_a_comment_further_left() {
    check(
        "a:\n  b: |4\n   # c\n  d: |\n        \n   # c\ne: 1\n",
        expect![[r#"a.b=""@3:1 a.d=""@6:1 e=1@7:4"#]],
    );
}

#[test]
fn a_word_that_only_looks_like_quotes_or_brackets_changes_nothing() {
    check("a: b\n  'c\n  [d\ne:\n  f: g\n", expect![[r#"a="b 'c [d"@1:4 e.f="g"@5:6"#]]);
}

#[test]
fn a_next_line_sign_ends_a_line() {
    check("a: b # c\u{85}d: 'e\u{85} f'\ng: 'h\u{85}i'\n", expect![[r#"a="b"@1:4 d="e f"@2:4 g="h i"@4:4"#]]);
    check("a: |\n  b\u{85}  c\nd: e\u{85}f: g\n", expect![[r#"a="b\nc\n"@2:3 d="e"@4:4 f="g"@5:4"#]]);
}

#[test]
fn a_line_in_quotes_may_be_a_tab_alone() {
    check("a:\n  b: 'c\n\t\n\n d'\n", expect![[r#"a.b="c\n\nd"@2:6"#]]);
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    check(
        "a: 2001-01-01T00:00:00.1234567891Z\nb: 2001-01-01 00:00:00,5\n",
        expect!["a=2001-01-01T00:00:00.123456789Z@1:4 b=2001-01-01T00:00:00.5Z@2:4"],
    );
    check("a: 2001-01-01T00:00:00.Z\n", expect![[r#"a="2001-01-01T00:00:00.Z"@1:4"#]]);
}

#[test]
fn a_key_merges_unless_it_has_quotes_or_a_tag() {
    check("- <<: {a: 1}\n- '<<': 2\n", expect!["0.a=1@1:11 1.<<=2@2:9"]);
    check(
        "- !!merge '<<': {a: 1}\n- !!str <<: 2\n- ! <<: {a: 1}\n",
        expect!["0.a=1@1:21 1.<<=2@2:13 2.a=1@3:13"],
    );
}

#[test]
fn an_override_is_taken_as_it_stands() {
    check(
        "a: !override {b: !reset 1, c: [!reset 2], <<: {d: 3}}\n",
        expect![[r#"a.b="1"@1:25 a.c.0="2"@1:39 a.d=3@1:51"#]],
    );
}

#[test]
fn a_number_is_a_float_only_when_it_is_not_too_large() {
    check("a: !!float 9223372036854775807\n", expect!["a=9.223372036854776e+18@1:12"]);
    check(
        "a: !!float 9223372036854775808\n",
        expect!["1:12: `9223372036854775808` is not what `!!float` says"],
    );
}

#[test]
fn a_name_holds_in_the_documents_after_its_own() {
    check("a: &a 1\n---\nb: *a\n", expect!["a=1@1:7 b=1@1:7"]);
}

#[test]
fn a_key_may_be_there_twice_in_what_is_dropped() {
    check("a: !reset {b: 1, b: 2}\nc: 3\n", expect!["c=3@2:4"]);
}

#[test]
fn what_is_wrong_otherwise_is_told_at_its_place() {
    check(
        "a:\n  b: [\n  ]\n c: 1\n",
        expect!["4:2: this is not YAML: while parsing a block mapping, did not find expected key"],
    );
    check("a: !!binary a\n", expect!["1:13: this is not what `!!binary` says"]);
}

#[test]
fn a_text_is_written_as_the_reference_writes_it() {
    written("\u{feff}\u{a0}", expect![[r#""a: \"\\uFEFF\\_\"\n""#]]);
    written("\u{a0}\u{7}", expect![[r#""a: \"\u{a0}\\a\"\n""#]]);
    written("\u{feff}a é", expect![[r#""a: \"\\uFEFF\\x61\\x20\\xE9\"\n""#]]);
    written("a\u{2028}b", expect![[r#""a: 'a\u{2028}  b'\n""#]]);
    written("a\u{2028}\n\u{2028}b\n", expect![[r#""a: |\n  a\u{2028}\n\u{2028}  b\n""#]]);
    written("\u{2028}\nb\u{2028}", expect![[r#""a: |2\n\u{2028}\n  b\u{2028}""#]]);
    written("a \u{2028}b", expect![[r#""a: \"a \\Lb\"\n""#]]);
    written("a\u{2028} b", expect![[r#""a: \"a\\L b\"\n""#]]);
    written("a \u{2028}\nb", expect![[r#""a: \"a \\L\\nb\"\n""#]]);
    written("\na\n", expect![[r#""a: |2\n\n  a\n""#]]);
    written("a\n\n", expect![[r#""a: |+\n  a\n\n""#]]);
}

/// A text as the value of a key.
#[track_caller]
fn written(text: &str, want: Expect) {
    let yaml = to_yaml(&Out::Map(vec![("a".into(), Out::Text(text.into()))]));
    want.assert_eq(&format!("{yaml:?}"));
}

/// Every leaf of a text with its place, or what is wrong with it.
#[track_caller]
fn check(text: &str, want: Expect) {
    let mut leaves = Vec::new();
    match parse(text, 0) {
        Ok(documents) => documents.iter().for_each(|one| walk(&one.root, "", &mut leaves)),
        Err(fault) => {
            let at = fault.at.unwrap_or_default();
            leaves.push(format!("{}:{}: {}", at.line, at.column, fault.message));
        }
    }
    want.assert_eq(&leaves.join(" "));
}

fn walk(node: &Node, path: &str, leaves: &mut Vec<String>) {
    let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match &node.value {
        Value::Map(map) => map.iter().for_each(|(key, node)| walk(node, &under(key), leaves)),
        Value::List(list) => {
            for (index, node) in list.iter().enumerate() {
                walk(node, &under(&index.to_string()), leaves);
            }
        }
        Value::Text(text) => leaves.push(format!("{path}={text:?}@{}:{}", node.at.line, node.at.column)),
        _ => leaves.push(format!("{path}={}@{}:{}", node.print(), node.at.line, node.at.column)),
    }
}
