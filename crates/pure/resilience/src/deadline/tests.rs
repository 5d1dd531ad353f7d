//! What is read, what is written, and that no hop gives time that it did not have.

use std::time::Duration;

use base::Instant;
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Deadline, Policy, parse_grpc, parse_millis, write_grpc, write_millis};

#[test]
fn only_the_written_form_is_read() {
    check_read("1H", expect!["3600s"]);
    check_read("2M", expect!["120s"]);
    check_read("3S", expect!["3s"]);
    check_read("250m", expect!["250ms"]);
    check_read("10u", expect!["10µs"]);
    check_read("99999999n", expect!["99.999999ms"]);
    check_read("0n", expect!["0ns"]);
    for text in ["", "S", "1", "123456789S", "-1S", "1.5S", " 1S", "1s", "1 S"] {
        check_read(text, expect!["unreadable"]);
    }
    assert_eq!(parse_millis(b"1500"), Ok(Duration::from_millis(1500)));
    for text in ["", "1500ms", "-1", "1.5", "9999999999999"] {
        assert!(parse_millis(text.as_bytes()).is_err(), "`{text}` is no number of milliseconds");
    }
}

#[test]
fn a_hop_uses_up_time_and_never_adds_any() {
    check("told 5s, arrived 10s", 12_000, expect!["left 3s, tells 2.995s"]);
    check("told 5s, arrived 10s", 10_000, expect!["left 5s, tells 4.995s"]);
    check("told 120s, arrived 10s", 10_000, expect!["left 60s, tells 59.995s"]);
    check("arrived 10s", 11_000, expect!["left 59s, tells 58.995s"]);
    check("told 5s, arrived 10s", 14_997, expect!["left 3ms, tells nobody"]);
    check("told 5s, arrived 10s", 15_000, expect!["refused"]);
    check("told 5s, arrived 10s", 16_000, expect!["refused"]);
    check("told 0s, arrived 10s", 10_000, expect!["refused"]);
}

#[test]
fn a_timeout_of_ones_own_only_shortens() {
    let now = Instant::from_secs(10);
    let deadline = Deadline::at(Instant::from_secs(12));
    assert_eq!(deadline.within(Duration::from_secs(1), now).left(now), Ok(Duration::from_secs(1)));
    assert_eq!(deadline.within(Duration::from_secs(9), now), deadline);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_not_longer(nanos in proptest::num::u64::ANY) {
        let left = Duration::from_nanos(nanos);
        let (mut grpc, mut millis) = (Vec::new(), Vec::new());
        write_grpc(left, &mut grpc);
        write_millis(left, &mut millis);
        let read = parse_grpc(&grpc);
        prop_assert!(grpc.len() <= 9);
        prop_assert!(read.is_ok_and(|read| read <= left && read + left / 90_000 + Duration::from_nanos(1) >= left));
        prop_assert_eq!(parse_millis(&millis), Ok(Duration::from_millis((nanos / 1_000_000).min(999_999_999_999))));
    }
}

#[track_caller]
fn check_read(text: &str, read: Expect) {
    read.assert_eq(&parse_grpc(text.as_bytes()).map_or("unreadable".to_owned(), |time| format!("{time:?}")));
}

#[track_caller]
fn check(request: &str, now_ms: u64, becomes: Expect) {
    let word = |name: &str| -> Option<Duration> {
        let rest = request.split(", ").find_map(|part| part.strip_prefix(name))?;
        rest.trim().trim_end_matches('s').parse().ok().map(Duration::from_secs)
    };
    let now = Instant(now_ms * 1_000_000);
    let arrived = Instant(0) + word("arrived").expect("a time of arrival");
    let policy = Policy::default();
    let told = match policy.enter(word("told"), arrived, now) {
        Err(_) => "refused".to_owned(),
        Ok(deadline) => {
            let onward = policy.onward(deadline, now).map_or("nobody".to_owned(), |left| format!("{left:?}"));
            format!("left {:?}, tells {onward}", deadline.left(now).unwrap_or_default())
        }
    };
    becomes.assert_eq(&told);
}
