//! Keys in the order of the reference's writer.

use super::sort_keys;

#[test]
fn digits_in_keys_count_as_numbers() {
    check("a10 a2 a1 b B a_1 a", "B a a_1 a1 a2 a10 b");
}

#[test]
fn keys_whose_order_runs_in_a_circle_are_sorted_all_the_same() {
    let odd = "1a 1- -1 a1 01 0a a- -a 1_ _1 a: :a 0- 10 1é é1 é- .1 1. a. .a é ~ ~1 1~ a~ ~a 0~ 00 0é";
    let mut want: Vec<&str> = odd.split(' ').collect();
    want.sort_unstable();
    let mut got = sorted(odd);
    got.sort_unstable();
    assert_eq!(got, want);
}

#[track_caller]
fn check(keys: &str, want: &str) {
    assert_eq!(sorted(keys).join(" "), want);
}

fn sorted(keys: &str) -> Vec<String> {
    sort_keys(keys.split(' ').map(|key| (key.to_owned(), ())).collect())
        .into_iter()
        .map(|pair| pair.0)
        .collect()
}
