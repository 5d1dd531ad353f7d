//! That copies are bounded, and that the share is kept.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Copies of requests of these bytes, `-` for the end of the oldest; what became of each.
#[track_caller]
fn check(policy: Policy, requests: &str, expected: Expect) {
    let mut mirror = Mirror::default();
    let mut rng = Rng::seeded(7);
    let mut under_way = std::collections::VecDeque::new();
    let told = requests.split(' ').map(|word| {
        if word == "-" {
            mirror.settle(under_way.pop_front().expect("one is under way"));
            return "ended".to_owned();
        }
        match mirror.admit(policy, word.parse().expect("bytes"), &mut rng) {
            Ok(ticket) => {
                under_way.push_back(ticket);
                format!("copied, {} under way", mirror.under_way())
            }
            Err(skipped) => skipped.to_string(),
        }
    });
    expected.assert_eq(&told.collect::<Vec<_>>().join("\n"));
}

#[test]
fn copies_are_bounded_in_number() {
    let policy = Policy { at_once: 2, ..Policy::default() };
    check(
        policy,
        "1 1 1 - 1",
        expect![[r#"
        copied, 1 under way
        copied, 2 under way
        as many copies are under way as may
        ended
        copied, 2 under way"#]],
    );
}

#[test]
fn copies_are_bounded_in_bytes() {
    let policy = Policy { bytes: 100, ..Policy::default() };
    check(
        policy,
        "60 50 40 - 60 101",
        expect![[r#"
        copied, 1 under way
        as many copies are under way as may
        copied, 2 under way
        ended
        copied, 2 under way
        as many copies are under way as may"#]],
    );
}

#[test]
fn nothing_is_copied_of_a_share_of_nothing() {
    check(
        Policy { share: 0.0, ..Policy::default() },
        "1",
        expect!["the request is not in the share that is copied"],
    );
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let policy = Policy { share: 0.1, ..Policy::default() };
    let mut mirror = Mirror::default();
    let mut rng = Rng::seeded(3);
    let mut copied = 0;
    for _ in 0..10_000 {
        if let Ok(ticket) = mirror.admit(policy, 1, &mut rng) {
            copied += 1;
            mirror.settle(ticket);
        }
    }
    // Five standard deviations are 150.
    assert!((850..=1150).contains(&copied), "{copied}");
}

proptest! {
    /// Whatever comes and goes, and whatever the bounds become: no more than they say is let in, and all comes back.
    #[test]
    fn what_is_under_way_stays_within_the_bounds(
        steps in prop::collection::vec((0u64..400, any::<bool>(), 0u32..8), 1..100),
    ) {
        let mut mirror = Mirror::default();
        let mut rng = Rng::seeded(1);
        let mut tickets = Vec::new();
        for (bytes, end, bound) in steps {
            if end && let Some(ticket) = tickets.pop() {
                mirror.settle(ticket);
            }
            let policy = Policy { at_once: bound, bytes: 1_000, ..Policy::default() };
            let before = mirror.under_way();
            match mirror.admit(policy, bytes, &mut rng) {
                Ok(ticket) => {
                    prop_assert!(before < bound);
                    tickets.push(ticket);
                }
                Err(skipped) => prop_assert_eq!(skipped, Skipped::Busy),
            }
            let held: u64 = tickets.iter().map(|ticket: &Ticket| ticket.bytes).sum();
            prop_assert!(held <= 1_000 && mirror.bytes == held && mirror.under_way() as usize == tickets.len());
        }
        tickets.into_iter().for_each(|ticket| mirror.settle(ticket));
        prop_assert_eq!((mirror.under_way(), mirror.bytes), (0, 0));
    }
}
