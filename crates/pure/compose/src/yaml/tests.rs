//! Texts as they are parsed: every leaf with its place.

use expect_test::{Expect, expect};

use super::parse;
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
fn what_is_wrong_otherwise_is_told_at_its_place() {
    check(
        "a:\n  b: [\n  ]\n c: 1\n",
        expect!["4:2: this is not YAML: while parsing a block mapping, did not find expected key"],
    );
    check("a: !!binary a\n", expect!["1:13: this is not what `!!binary` says"]);
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
