//! Which latency is told for which number of requests in flight.

use expect_test::{Expect, expect};

use super::*;

const HALF_LIFE: Duration = Duration::from_secs(4);

/// Answers as `rif:ms`, then what is told at some RIFs, after a time.
#[track_caller]
fn check(answers: &str, after: Duration, rifs: &[u32], expected: Expect) {
    let (mut latencies, now) = (LatencyByRif::default(), Instant::from_secs(1));
    for (rif, took) in answers.split(' ').filter_map(|answer| answer.split_once(':')) {
        let took = Duration::from_millis(took.parse().expect("milliseconds"));
        latencies.answered(rif.parse().expect("a number"), took, now);
    }
    let told = rifs.iter().map(|rif| {
        latencies.at(*rif, now + after, HALF_LIFE).map_or("-".into(), |took| took.as_millis().to_string())
    });
    expected.assert_eq(&told.collect::<Vec<_>>().join(" "));
}

#[test]
fn the_median_at_the_nearest_rif_is_told() {
    let at = [0, 1, 2, 3, 4, 7, 8, 100, 5_000_000];
    check("", Duration::ZERO, &at, expect!["- - - - - - - - -"]);
    check("0:10", Duration::ZERO, &at, expect!["10 10 10 10 10 10 10 10 10"]);
    check("0:10 5:50", Duration::ZERO, &at, expect!["10 10 10 50 50 50 50 50 50"]);
    check("1:10 1:30 1:20 1000:7", Duration::ZERO, &at, expect!["20 20 20 20 20 20 20 7 7"]);
}

#[test]
fn two_strays_of_nine_do_not_move_it_and_the_tenth_answer_replaces_the_first() {
    check("0:1 0:1 0:1 0:1 0:1 0:1 0:1 0:900 0:900", Duration::ZERO, &[0], expect!["1"]);
    check("0:9 0:9 0:9 0:9 0:9 0:1 0:1 0:1 0:1", Duration::ZERO, &[0], expect!["9"]);
    check("0:9 0:9 0:9 0:9 0:9 0:1 0:1 0:1 0:1 0:1", Duration::ZERO, &[0], expect!["1"]);
}

#[test]
fn what_was_not_seen_for_long_is_halved() {
    check("0:80", Duration::from_secs(3), &[0], expect!["80"]);
    check("0:80", Duration::from_secs(8), &[0], expect!["20"]);
    check("0:80", Duration::from_secs(4_000), &[0], expect!["0"]);
}
