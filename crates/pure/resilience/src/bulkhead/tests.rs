//! Who runs, who waits, who is refused, and that no place is ever lost.

use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Answer, Bulkheads, Full, Limits, Part, Path, Permit, Ticket, Why, Woken};

/// Two places and two in the queue, for all clients alike.
const TWO: Limits =
    Limits { at_once: 2, waiting: 2, wait: Duration::from_secs(1), client_share: 1.0, contended_from: 1.0 };

#[test]
fn the_queue_is_bounded_in_number_and_in_time() {
    check(&[TWO], "a b c d e", expect!["a runs, b runs, c waits, d waits, e Queue"]);
    check(&[TWO], "a b c d -a -b", expect!["a runs, b runs, c waits, d waits, c runs, d runs"]);
    check(&[TWO], "a b c @1 d -a -b", expect!["a runs, b runs, c waits, d waits, c Waited, d runs"]);
    check(&[TWO], "a b c @1 t", expect!["a runs, b runs, c waits, c Waited"]);
    check(&[TWO], "a b c d !c -a", expect!["a runs, b runs, c waits, d waits, d runs"]);
    check(&[Limits { waiting: 0, ..TWO }], "a b c", expect!["a runs, b runs, c Queue"]);
}

#[test]
fn who_waits_for_one_compartment_holds_nothing_of_another() {
    let wide = Limits { at_once: 10, ..TWO };
    // `c` waits for the first; the second has room for `x` meanwhile.
    check(&[TWO, wide], "a/01 b/01 c/01 x/1", expect!["a/01 runs, b/01 runs, c/01 waits, x/1 runs"]);
    // `c` waits for the first, and then finds the second full.
    check(
        &[TWO, TWO],
        "a/0 b/0 c/01 x/1 y/1 -a -x",
        expect!["a/0 runs, b/0 runs, c/01 waits, x/1 runs, y/1 runs, c/01 runs"],
    );
    check(
        &[TWO, Limits { waiting: 0, ..TWO }],
        "a/0 b/0 c/01 x/1 y/1 -a",
        expect!["a/0 runs, b/0 runs, c/01 waits, x/1 runs, y/1 runs, c/01 Queue"],
    );
    check(&[TWO], "a/00 b/00 c/00", expect!["a/00 runs, b/00 runs, c/00 waits"]);
}

#[test]
fn under_contention_a_client_keeps_to_its_share() {
    let fair = Limits { at_once: 10, waiting: 4, client_share: 0.3, contended_from: 0.5, ..TWO };
    // Client 7 has five while nobody else comes, and then no more; others get the rest.
    check(
        &[fair],
        "a7 b7 c7 d7 e7 f7 g7 h1 i2 -a -b -c -d",
        expect!["a7 runs, b7 runs, c7 runs, d7 runs, e7 runs, f7 waits, g7 Share, h1 runs, i2 runs, f7 runs"],
    );
    // Those of others that wait go first.
    let full = Limits { at_once: 2, waiting: 4, client_share: 0.5, contended_from: 0.5, ..TWO };
    check(&[full], "a7 b1 c7 d2 -b", expect!["a7 runs, b1 runs, c7 waits, d2 waits, d2 runs"]);
}

#[test]
fn limits_can_be_changed_while_calls_run() {
    let mut bulkheads = Bulkheads::default();
    let part = bulkheads.add(TWO);
    let path = Path::new(&[part]);
    let now = Instant(0);
    let _first = bulkheads.ask(path, 1, now);
    let Ok(Answer::Go(second)) = bulkheads.ask(path, 1, now) else { panic!("two places") };
    bulkheads.set(part, Limits { at_once: 1, ..TWO });
    let Ok(Answer::Wait(_)) = bulkheads.ask(path, 1, now) else { panic!("none is left") };
    let mut woken = Vec::new();
    bulkheads.settle(second, now, &mut woken);
    assert!(woken.is_empty() && bulkheads.load(part) == (1, 1));
}

proptest! {
    #[test]
    fn places_are_never_lost_nor_given_twice_and_nobody_waits_for_an_empty_compartment(
        seed in proptest::num::u64::ANY,
        share in 0.1..1.0f64,
        steps in proptest::collection::vec((0u64..400, 0u8..10), 1..300),
    ) {
        let mut rng = Rng::seeded(seed);
        let mut sim = Sim::default();
        let limits = Limits { client_share: share, contended_from: 0.5, ..TWO };
        let parts: Vec<Part> =
            (2..5).map(|n| sim.bulkheads.add(Limits { at_once: n, waiting: n, ..limits })).collect();
        for (later_ms, act) in steps {
            sim.now = sim.now + Duration::from_millis(later_ms);
            let through: Vec<Part> = parts.iter().filter(|_| rng.chance(0.6)).copied().collect();
            match act {
                0..5 => sim.ask(Path::new(&through), rng.below(4)),
                5..8 if !sim.running.is_empty() => sim.settle(rng.below(sim.running.len() as u64) as usize),
                8 if !sim.waiting.is_empty() => {
                    let ticket = sim.waiting.swap_remove(rng.below(sim.waiting.len() as u64) as usize);
                    sim.bulkheads.give_up(ticket);
                }
                _ => sim.tick(),
            }
            for (part, most) in parts.iter().zip(2u32..) {
                let running = sim.running.iter().filter(|permit| permit.path.parts().contains(part)).count();
                let (in_flight, waiting) = sim.bulkheads.load(*part);
                prop_assert_eq!(in_flight as usize, running);
                prop_assert!(in_flight <= most && waiting <= most);
            }
            let queued: u32 = parts.iter().map(|part| sim.bulkheads.load(*part).1).sum();
            prop_assert_eq!(queued as usize, sim.waiting.len());
        }
        while !sim.running.is_empty() {
            sim.settle(0);
        }
        prop_assert!(sim.waiting.is_empty());
        prop_assert!(parts.iter().all(|part| sim.bulkheads.load(*part) == (0, 0)));
    }
}

/// Calls that run and wait, as their callers know it.
#[derive(Default)]
struct Sim {
    bulkheads: Bulkheads,
    running: Vec<Permit>,
    waiting: Vec<Ticket>,
    now: Instant,
}

impl Sim {
    fn ask(&mut self, path: Path, client: u64) {
        match self.bulkheads.ask(path, client, self.now) {
            Ok(Answer::Go(permit)) => self.running.push(permit),
            Ok(Answer::Wait(ticket)) => self.waiting.push(ticket),
            Err(Full { .. }) => {}
        }
    }

    fn settle(&mut self, at: usize) {
        let permit = self.running.swap_remove(at);
        let mut woken = Vec::new();
        self.bulkheads.settle(permit, self.now, &mut woken);
        self.wake(woken);
    }

    fn tick(&mut self) {
        let mut woken = Vec::new();
        self.bulkheads.tick(self.now, &mut woken);
        self.wake(woken);
    }

    fn wake(&mut self, woken: Vec<Woken>) {
        for Woken { ticket, end } in woken {
            self.waiting.retain(|waiting| *waiting != ticket);
            self.running.extend(end.ok());
        }
    }
}

/// Plays a script: `a7/01` is call `a` of client 7 (0 if it is not told) through compartments 0 and 1 (0 alone if not
/// told); `-a` ends it, `!a` gives up waiting, `@1` moves to a second, and `t` looks who has waited too long.
#[track_caller]
fn check(parts: &[Limits], script: &str, tells: Expect) {
    let mut sim = Sim::default();
    let parts: Vec<Part> = parts.iter().map(|limits| sim.bulkheads.add(*limits)).collect();
    let mut names: Vec<(String, Ticket)> = Vec::new();
    let mut running: Vec<(String, Permit)> = Vec::new();
    let mut told = Vec::new();
    for word in script.split(' ') {
        let mut woken = Vec::new();
        match word.split_at(1) {
            ("@", second) => sim.now = Instant::from_secs(second.parse().expect("seconds")),
            ("t", "") => sim.bulkheads.tick(sim.now, &mut woken),
            ("-", name) => {
                let at = running.iter().position(|(held, _)| held.starts_with(name)).expect("it runs");
                sim.bulkheads.settle(running.remove(at).1, sim.now, &mut woken);
            }
            ("!", name) => {
                let at = names.iter().position(|(held, _)| held.starts_with(name)).expect("it waits");
                sim.bulkheads.give_up(names.remove(at).1);
            }
            (_, rest) => {
                let (client, path) = rest.split_once('/').unwrap_or((rest, "0"));
                let through: Vec<Part> = path.bytes().map(|digit| parts[(digit - b'0') as usize]).collect();
                let client = client.parse().unwrap_or(0);
                match sim.bulkheads.ask(Path::new(&through), client, sim.now) {
                    Ok(Answer::Go(permit)) => {
                        told.push(format!("{word} runs"));
                        running.push((word.to_owned(), permit));
                    }
                    Ok(Answer::Wait(ticket)) => {
                        told.push(format!("{word} waits"));
                        names.push((word.to_owned(), ticket));
                    }
                    Err(Full { why, .. }) => told.push(format!("{word} {why:?}")),
                }
            }
        }
        for Woken { ticket, end } in woken {
            let at = names.iter().position(|(_, held)| *held == ticket).expect("it waits");
            let name = names.remove(at).0;
            match end {
                Ok(permit) => {
                    told.push(format!("{name} runs"));
                    running.push((name, permit));
                }
                Err(Full { why, .. }) => {
                    assert!(why != Why::Share, "who waits has its share already");
                    told.push(format!("{name} {why:?}"));
                }
            }
        }
    }
    tells.assert_eq(&told.join(", "));
}
