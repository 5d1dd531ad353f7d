//! Tables, durations and ids as people read them.

use super::*;

#[test]
fn durations_are_said_in_their_two_largest_units() {
    let say = |secs| age(Duration::from_secs(secs));
    assert_eq!(say(59), "59 s");
    assert_eq!(say(61), "1 min 1 s");
    assert_eq!(say(3_660), "1 h 1 min");
    assert_eq!(say(90_000), "1 d 1 h");
    assert_eq!(age(Duration::from_millis(12)), "12 ms");
}

#[test]
fn ids_and_digests_are_shown_by_12_digits() {
    assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
    assert_eq!(short("abc"), "abc");
}

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    assert_eq!(line(&["a".into(), "b".into()], &[3, 1]), "a     b");
}
