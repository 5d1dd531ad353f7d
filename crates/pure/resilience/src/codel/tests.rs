//! When a queue stands, what is dropped then, and from which end it is served.

use std::time::Duration;

use base::Instant;
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Codel, Policy, Queue, Rule, Taken, Verdict};

#[test]
fn a_burst_is_served_whole() {
    // 60 at once, one a millisecond: the last waits for 60 ms.
    check(
        Rule::Controlled,
        Load { burst: 60, arrive_us: 0, serve_us: 1_000, ms: 200 },
        expect!["60 served, 0 dropped, longest wait 60ms"],
    );
}

#[test]
fn a_load_below_what_is_served_loses_nothing() {
    let load = Load { burst: 20, arrive_us: 1_100, serve_us: 1_000, ms: 2_000 };
    check(Rule::Controlled, load, expect!["1838 served, 0 dropped, longest wait 20ms"]);
}

#[test]
fn twice_the_load_is_served_at_full_rate_with_short_waits() {
    let load = Load { burst: 0, arrive_us: 500, serve_us: 1_000, ms: 2_000 };
    check(Rule::Controlled, load, expect!["2000 served, 1990 dropped, longest wait 100ms"]);
}

#[test]
fn the_classic_rule_drops_ever_faster_as_the_rfc_says() {
    let mut codel = Codel::new(Policy { rule: Rule::Classic, ..Policy::default() });
    let waited = Duration::from_millis(20);
    let drops: Vec<u64> =
        (0..700).filter(|ms| codel.judge(waited, false, Instant(ms * 1_000_000)) == Verdict::Drop).collect();
    // An interval above the target, then after 100/√1, 100/√2, … ms.
    assert_eq!(drops, [100, 200, 271, 329, 379, 424, 464, 502, 538, 571, 603, 633, 662, 689]);
    assert_eq!(codel.judge(Duration::from_millis(4), false, Instant(700_000_000)), Verdict::Serve);
    assert!(!codel.stands());
    assert_eq!(codel.judge(waited, false, Instant(701_000_000)), Verdict::Serve);
}

#[test]
fn an_interval_with_calls_enough_and_no_drop_ends_a_standing_queue() {
    let mut codel = Codel::new(Policy::default());
    let mut judge =
        |waited, empty, ms: u64| codel.judge(Duration::from_millis(waited), empty, Instant(ms * 1_000_000));
    for ms in 0..=150 {
        judge(50, false, ms);
    }
    assert_eq!(judge(50, true, 151), Verdict::Drop);
    assert_eq!(judge(9, true, 152), Verdict::Serve, "it is empty only because of what was dropped");
    assert_eq!(judge(50, false, 201), Verdict::Drop, "it stands on");
    assert_eq!(judge(9, false, 301), Verdict::Serve);
    assert_eq!(judge(50, false, 402), Verdict::Drop, "one that was not dropped says too little");
    for ms in 403..420 {
        assert_eq!(judge(9, false, ms), Verdict::Serve);
    }
    assert_eq!(judge(9, false, 503), Verdict::Serve);
    assert_eq!(judge(50, false, 604), Verdict::Serve, "an interval had no drop");
}

#[test]
fn calls_that_come_home_in_waves_do_not_make_others_wait() {
    // Ten places, each for 50 ms, all free at the same moment; 600 requests a second.
    let policy = Policy::default().of_calls(Duration::from_millis(50));
    let mut queue = Queue::new(policy);
    let (mut served, mut longest) = (0, Duration::ZERO);
    let mut next = 0;
    for wave in 1..200u64 {
        let now = Instant(wave * 50_000_000);
        while next <= now.0 {
            queue.push(Instant(next), Instant(next)).expect("there is room");
            next += 1_666_667;
        }
        let mut places = 10;
        while places > 0 {
            match queue.take(now) {
                Some(Taken::Serve(since)) => {
                    places -= 1;
                    served += u32::from(wave > 20);
                    longest = if wave > 20 { longest.max(now.since(since)) } else { longest };
                }
                Some(Taken::Drop(_)) => {}
                None => break,
            }
        }
    }
    assert_eq!(served, 179 * 10);
    assert!(longest <= policy.target * 2, "{longest:?}");
}

#[test]
fn a_full_queue_gives_the_item_back() {
    let mut queue = Queue::new(Policy { most: 2, ..Policy::default() });
    let now = Instant(0);
    assert_eq!((queue.push(1, now), queue.push(2, now), queue.push(3, now)), (Ok(()), Ok(()), Err(3)));
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_waits_beyond_the_interval_to_be_served(
        classic in proptest::bool::ANY,
        steps in proptest::collection::vec((0u64..40, proptest::bool::ANY), 1..300),
    ) {
        let rule = if classic { Rule::Classic } else { Rule::Controlled };
        let policy = Policy { rule, most: 20, ..Policy::default() };
        let mut queue = Queue::new(policy);
        let (mut now, mut put, mut out) = (Instant(0), 0usize, 0usize);
        for (later_ms, push) in steps {
            now = now + Duration::from_millis(later_ms);
            if push {
                put += usize::from(queue.push(now, now).is_ok());
            } else if let Some(taken) = queue.take(now) {
                out += 1;
                if let (Taken::Serve(since), Rule::Controlled) = (taken, rule) {
                    prop_assert!(now.since(since) <= policy.interval);
                }
            }
            prop_assert!(queue.len() <= 20);
            prop_assert_eq!(put - out, queue.len());
        }
    }
}

/// A first burst, then one every so often, served one after another.
#[derive(Clone, Copy)]
struct Load {
    burst: u64,
    arrive_us: u64,
    serve_us: u64,
    ms: u64,
}

#[track_caller]
fn check(rule: Rule, load: Load, comes: Expect) {
    let mut queue = Queue::new(Policy { rule, ..Policy::default() });
    let at = |us: u64| Instant(us * 1000);
    for _ in 0..load.burst {
        queue.push(at(0), at(0)).expect("there is room");
    }
    let (mut served, mut dropped, mut longest) = (0, 0, Duration::ZERO);
    let (mut next_in, mut next_out) = (load.arrive_us, load.serve_us);
    while next_out <= load.ms * 1000 {
        while load.arrive_us > 0 && next_in <= next_out {
            dropped += u64::from(queue.push(at(next_in), at(next_in)).is_err());
            next_in += load.arrive_us;
        }
        loop {
            match queue.take(at(next_out)) {
                Some(Taken::Drop(_)) => dropped += 1,
                Some(Taken::Serve(since)) => {
                    served += 1;
                    longest = longest.max(at(next_out).since(since));
                    break;
                }
                None => break,
            }
        }
        next_out += load.serve_us;
    }
    comes.assert_eq(&format!("{served} served, {dropped} dropped, longest wait {longest:?}"));
}

#[test]
fn the_last_one_gives_its_place_up_unjudged() {
    let mut queue = Queue::new(Policy { most: 2, ..Policy::default() });
    let now = Instant::from_secs(1);
    assert_eq!(queue.give_up(), None);
    assert!(queue.push('a', now).is_ok() && queue.push('b', now).is_ok() && queue.push('c', now).is_err());
    assert_eq!((queue.give_up(), queue.len()), (Some('b'), 1));
    assert!(queue.push('c', now).is_ok());
    assert_eq!(queue.take(now), Some(Taken::Serve('a')));
}
