//! Tests of lists in options.

use expect_test::{Expect, expect};
use proptest::prelude::proptest;

use super::*;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let said = match fields(text) {
        Ok(fields) => fields.join(" | "),
        Err(status) => status.message,
    };
    expected.assert_eq(&said);
}

#[test]
fn fields_may_stand_in_quotes() {
    check("a,b", expect!["a | b"]);
    check(r#""a,b",c"#, expect!["a,b | c"]);
    check(r#""say ""x""","#, expect![[r#"say "x" | "#]]);
    check(r#""open"#, expect![[r#"the list `"open` has a quote that does not end"#]]);
    check(r#""a"b"#, expect![[r#"the list `"a"b` has a quote that does not end"#]]);
}

#[test]
fn bounds_of_resources_are_checked() {
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&ulimits(text).expect_err("it is refused").message);
    };
    check("nofile", expect!["invalid ulimit argument nofile: it has no `=`"]);
    check("made-up=1", expect!["invalid ulimit argument made-up=1: there is no such resource"]);
    check("nofile=x", expect!["invalid ulimit argument nofile=x: a bound is a number or -1"]);
    check("nofile=2:1", expect!["invalid ulimit argument nofile=2:1: the soft bound is above the hard one"]);
    check(
        "nofile=-1:1",
        expect!["invalid ulimit argument nofile=-1:1: the soft bound is above the hard one"],
    );
}

#[test]
fn hosts_need_addresses() {
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&hosts(text).expect_err("it is refused").message);
    };
    check("name", expect!["invalid key-value pair name"]);
    check("name=host-gateway", expect!["failed to parse IP host-gateway"]);
}

proptest! {
    #[test]
    fn fields_come_back_from_quotes(all in proptest::collection::vec("[a,\"= ]{0,6}", 1..5)) {
        let text: Vec<String> = all.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        assert_eq!(fields(&text.join(",")), Ok(all));
    }

    #[test]
    fn no_list_breaks_the_readers(text in ".{0,30}") {
        let _ = (fields(&text), hosts(&text), ulimits(&text), cache_imports(&text));
    }
}
