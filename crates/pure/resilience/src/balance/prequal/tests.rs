//! The pool of answers: who is asked, what is kept, and what is picked from it.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::balance::fixtures::{NOW, counts, percents, roster};
use crate::balance::{Roster, Standing};

fn open(count: usize) -> Roster {
    roster(&vec!["open"; count].join(", "))
}

/// Answers as `place:rif/ms`, then picks; what they were, and how many answers are left.
#[track_caller]
fn check(policy: PrequalPolicy, answers: &str, picks: usize, expected: Expect) {
    let (roster, mut rng) = (open(100), Rng::seeded(1));
    let candidates = roster.candidates(|_| 0);
    let mut prequal = Prequal::new(policy);
    for answer in answers.split(' ') {
        let (place, reading) = answer.split_once(':').expect("a place");
        let (rif, took) = reading.split_once('/').expect("a latency");
        let latency = Duration::from_millis(took.parse().expect("milliseconds"));
        let reading = Reading { rif: rif.parse().expect("a number"), latency };
        prequal.answered(place.parse().expect("a place"), reading, &candidates, NOW, &mut rng);
    }
    let picked: Vec<_> = (0..picks)
        .filter_map(|_| prequal.pick(&candidates, NOW, &mut rng))
        .map(|place| place.to_string())
        .collect();
    expected.assert_eq(&format!("{} of {}", picked.join(" "), prequal.known()));
}

/// Answers are used without being used up.
const KEEP: PrequalPolicy = PrequalPolicy {
    probes: 3.0,
    removals: 0.0,
    rif_quantile: 0.84,
    age: Duration::from_secs(1),
    slack: 20.0,
};

#[test]
fn of_the_cold_the_fastest_is_taken_and_of_the_hot_the_least_full() {
    let half = PrequalPolicy { rif_quantile: 0.5, ..KEEP };
    check(half, "1:1/50 2:2/40 3:9/1 4:2/60", 1, expect!["2 of 4"]);
    check(PrequalPolicy { rif_quantile: 1.0, ..KEEP }, "1:1/50 2:2/40 3:9/1", 1, expect!["3 of 3"]);
    check(PrequalPolicy { rif_quantile: 0.0, ..KEEP }, "1:3/50 2:2/40 3:9/1", 1, expect!["2 of 3"]);
}

#[test]
fn an_answer_that_is_used_counts_one_request_more() {
    // At two requests and beyond an endpoint is hot here, so picks alternate as they fill up.
    let half = PrequalPolicy { rif_quantile: 0.5, ..KEEP };
    check(half, "1:0/10 2:1/20 3:1/30", 6, expect!["1 1 2 3 1 2 of 3"]);
}

#[test]
fn an_answer_may_be_used_so_often_and_no_more() {
    // (1 + 1) / ((1 - 16/100) 3 - 1) is 1.3: once or twice.
    let policy = PrequalPolicy { removals: 1.0, ..PrequalPolicy::default() };
    let used = (1..=1_000).map(|seed| Prequal::new(policy).budget(100, &mut Rng::seeded(seed)));
    let mean = used.sum::<u32>() as f64 / 1_000.0;
    assert!((mean - 2.0 / (0.84 * 3.0 - 1.0)).abs() < 0.05, "{mean}");
    assert_eq!(Prequal::new(policy).budget(3, &mut Rng::seeded(1)), 8, "few endpoints");
    assert_eq!(Prequal::new(policy).budget(0, &mut Rng::seeded(1)), 8);
}

#[test]
fn each_query_removes_the_worst_and_the_oldest_in_turn_but_leaves_two() {
    let remove = PrequalPolicy { removals: 1.0, slack: 9.0, rif_quantile: 1.0, ..KEEP };
    check(remove, "1:0/10 2:0/20 3:0/30 4:0/40 5:0/50", 1, expect!["1 of 4"]);
    check(remove, "1:0/10 2:0/20 3:0/30 4:0/40 5:0/50", 9, expect!["1 1 2 2 2 2 2 2 76 of 1"]);
}

#[test]
fn with_fewer_than_two_answers_chance_decides() {
    let (roster, mut prequal) = (open(4), Prequal::new(PrequalPolicy::default()));
    let picked = counts(&roster, 40_000, |rng| prequal.pick(&roster.candidates(|_| 0), NOW, rng));
    assert_eq!(percents(&picked), "25 25 25 25");
}

#[test]
fn answers_that_are_old_or_of_endpoints_that_are_out_are_not_used() {
    let (mut roster, mut rng) = (open(4), Rng::seeded(1));
    let mut prequal = Prequal::new(KEEP);
    for place in 0..4 {
        let reading = Reading { rif: 0, latency: Duration::from_millis(place as u64) };
        let at = NOW + Duration::from_millis(300 * place as u64);
        prequal.answered(place, reading, &roster.candidates(|_| 0), at, &mut rng);
    }
    roster.stand(1, Standing::Spared, NOW);
    roster.refresh(NOW);
    let now = NOW + Duration::from_millis(1_200);
    assert_eq!(prequal.pick(&roster.candidates(|_| 0), now, &mut rng), Some(2));
    assert_eq!(prequal.known(), 2, "of 0, 1, 2, 3 one is too old and one is spared");
}

#[test]
fn as_many_are_asked_as_are_owed_on_average() {
    let (roster, mut rng) = (open(30), Rng::seeded(1));
    let asked = |probes: f64, rng: &mut Rng| {
        let mut prequal = Prequal::new(PrequalPolicy { probes, ..KEEP });
        (0..100).map(|_| prequal.probes(&roster.candidates(|_| 0), rng).count()).sum::<usize>()
    };
    let found = [0.0, 0.25, 1.5, 3.0, 8.0, 50.0, -1.0].map(|probes| asked(probes, &mut rng));
    assert_eq!(found, [0, 25, 150, 300, 800, 800, 0]);
}

proptest! {
    /// Whatever comes, each query asks different usable endpoints, and picks a usable one.
    #[test]
    fn only_the_usable_are_asked_and_picked(
        weights in prop::collection::vec(0u32..4, 1..40),
        out in prop::collection::vec(any::<bool>(), 40),
        seed: u64,
    ) {
        let standing = |out: bool| if out { "out" } else { "open" };
        let seats = weights.iter().zip(out);
        let text: Vec<_> = seats.map(|(weight, out)| format!("{weight} {}", standing(out))).collect();
        let (roster, mut rng) = (roster(&text.join(", ")), Rng::seeded(seed));
        let candidates = roster.candidates(|_| 0);
        let mut prequal = Prequal::new(PrequalPolicy::default());
        for turn in 0..60u64 {
            let now = NOW + Duration::from_millis(turn * 10);
            let mut asked: Vec<_> = prequal.probes(&candidates, &mut rng).collect();
            prop_assert!(asked.iter().all(|place| candidates.is_available(*place)));
            for place in &asked {
                let reading = Reading { rif: rng.below(9) as u32, latency: Duration::from_micros(rng.below(900)) };
                prequal.answered(*place, reading, &candidates, now, &mut rng);
            }
            let count = asked.len();
            asked.sort_unstable();
            asked.dedup();
            prop_assert_eq!(asked.len(), count);
            prop_assert!(prequal.known() <= 16);
            match prequal.pick(&candidates, now, &mut rng) {
                Some(place) => prop_assert!(candidates.is_available(place)),
                None => prop_assert!(candidates.usable().is_empty()),
            }
        }
    }
}
