//! Tests of variables in texts.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Variables, substitute};

struct Known {
    values: BTreeMap<&'static str, &'static str>,
    missing: Vec<String>,
}

impl Variables for Known {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).map(|value| (*value).to_owned())
    }

    fn missing(&mut self, name: &str) {
        self.missing.push(name.to_owned());
    }
}

fn known() -> Known {
    Known { values: BTreeMap::from([("SET", "yes"), ("EMPTY", "")]), missing: Vec::new() }
}

#[track_caller]
fn check(text: &str, want: Expect) {
    let mut known = known();
    let got = match substitute(text, &mut known) {
        Ok(text) if known.missing.is_empty() => text,
        Ok(text) => format!("{text} (missing {})", known.missing.join(", ")),
        Err(broken) => format!("{broken:?}"),
    };
    want.assert_eq(&got);
}

#[test]
fn every_form_fills_in() {
    check("$SET-${SET}x", expect!["yes-yesx"]);
    check("${EMPTY:-d}${EMPTY-d}${NONE-d}", expect!["dd"]);
    check("${SET:+r}${EMPTY:+r}${EMPTY+s}${NONE+r}", expect!["rs"]);
    check("${SET:?words}${EMPTY?words}", expect!["yes"]);
    check("${EMPTY:?say $SET}", expect![[r#"Required { name: "EMPTY", reason: "say yes" }"#]]);
    check("$NONE", expect![" (missing NONE)"]);
    check("$$SET $1 $", expect!["$SET $1 $"]);
}

#[test]
fn defaults_nest_and_end_at_the_brace_that_closes_them() {
    check("${A:-${B:-${SET}}}!", expect!["yes!"]);
    check("${A:-a}${B:-b}", expect!["ab"]);
    check("${A:-{\"k\": 1}}", expect![[r#"{"k": 1}"#]]);
    check("${A:-a:b/c?d=e-f+g}", expect!["a:b/c?d=e-f+g"]);
    check("${SET:-${NONE:?never asked}}", expect![[r#"Required { name: "NONE", reason: "never asked" }"#]]);
}

#[test]
fn a_brace_that_begins_no_variable_is_broken() {
    for text in ["${", "${}", "${1}", "${A", "${A b}", "${A:-b", "${A:=b}", "${A:-a\nb}"] {
        check(text, expect!["Form"]);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r"[$:{}?+\-A-C\n ü]{0,40}") {
        let _ = substitute(&text, &mut known());
    }

    #[test]
    fn a_text_without_dollars_stays_as_it_is(text in "[^$]{0,40}") {
        prop_assert_eq!(substitute(&text, &mut known()).unwrap(), text);
    }
}
