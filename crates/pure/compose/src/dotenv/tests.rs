//! Tests of env files.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Scope, parse};

fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut vars = BTreeMap::new();
    let outer = |name: &str| (name == "OUTER").then(|| "out".to_owned());
    parse(text, &mut vars, &mut Scope { outer: &outer, missing: &mut |_| {} })
        .map_err(|wrong| format!("line {}: {}", wrong.line, wrong.what))?;
    Ok(vars)
}

#[track_caller]
fn check(text: &str, want: Expect) {
    let got = match read(text) {
        Ok(vars) => vars.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join(" "),
        Err(wrong) => wrong,
    };
    want.assert_eq(&got);
}

#[test]
fn values_are_read_with_and_without_quotes() {
    check("A=1\nB = two words # note\nC: yaml\n", expect![[r#"A="1" B="two words" C="yaml""#]]);
    check("A='$x \\n'\nB=\"a\\nb\"\n", expect![[r#"A="$x \\n" B="a\nb""#]]);
    check("A=\"two\nlines\"\nB=2", expect![[r#"A="two\nlines" B="2""#]]);
    check("export A=1\nexport\tB=2\n", expect![[r#"A="1" B="2""#]]);
    check("# note\n\n  A=1#no note\n", expect![[r##"A="1#no note""##]]);
    check("A=\nB=\"\"\n", expect![[r#"A="" B="""#]]);
    check("\u{feff}A=1", expect![[r#"A="1""#]]);
}

#[test]
fn values_may_use_what_came_before_and_what_is_outside() {
    check("A=1\nB=$A-${OUTER}\nC='$A'\nD=\"\\$A\"", expect![[r#"A="1" B="1-out" C="$A" D="$A""#]]);
    check("OUTER\nNONE\nA=1", expect![[r#"A="1" OUTER="out""#]]);
}

#[test]
fn what_is_wrong_names_its_line() {
    check("A=1\nB C=2\n", expect!["line 2: the name `B C` has a space in it"]);
    check("A=1\n\nB!=2\n", expect!["line 3: the character `!` cannot be in a variable's name: `B!=2`"]);
    check("A=\"x\n", expect![[r#"line 1: the quote of this value has no end: `"x`"#]]);
    check("A=${\n", expect!["line 1: `${` has a `$` that begins no variable"]);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"[A-C="'$\\{}#: \nü0-9!x]{0,60}"#) {
        let _ = read(&text);
    }
}
