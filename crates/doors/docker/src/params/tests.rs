//! Queries, filters and moments as docker's clients write them.

use super::*;

#[test]
fn a_query_is_undone_and_keeps_its_order() {
    let params = Params::parse("all=1&names=a%2Fb&names=c+d&size=false&limit=&x=%zz&y=%+1");
    assert_eq!(params.get("limit"), Some(""));
    assert_eq!(params.text("limit"), None);
    assert_eq!(params.all("names").collect::<Vec<_>>(), ["a/b", "c d"]);
    assert!(params.truth("all") && !params.truth("size") && !params.truth("missing"));
    assert!(params.truth_or("missing", true));
    assert_eq!((params.get("x"), params.get("y")), (Some("%zz"), Some("% 1")));
}

#[test]
fn filters_come_in_two_forms() {
    let list = Filters::parse(r#"{"label":["a","b=c"],"status":["running"]}"#).expect("a list");
    let map = Filters::parse(r#"{"label":{"a":true,"b=c":true,"no":false},"status":{"running":true}}"#)
        .expect("a map");
    assert_eq!(list, map);
    assert!(Filters::parse("[]").is_err() && Filters::parse("{").is_err());
    assert!(list.only(&["label", "status"]).is_ok() && list.only(&["label"]).is_err());
    let labels = BTreeMap::from([("a", ""), ("b", "c")]);
    assert!(list.labels(|name| labels.get(name).copied()));
    let labels = BTreeMap::from([("a", ""), ("b", "d")]);
    assert!(!list.labels(|name| labels.get(name).copied()));
}

#[test]
fn moments_are_numbers_dates_and_times_ago() {
    let now = Timestamp::from_secs(1_000);
    let check =
        |text: &str, nanos: Option<i64>| assert_eq!(moment(text, now).map(|at| at.0), nanos, "{text}");
    check("900", Some(900_000_000_000));
    check("900.5", Some(900_500_000_000));
    check("900.000000001", Some(900_000_000_001));
    check("1970-01-01T00:00:02Z", Some(2_000_000_000));
    check("10s", Some(990_000_000_000));
    check("1m30s", Some(910_000_000_000));
    check("soon", None);
    check("9.1234567890", None);
}
