//! Who is refused first, that it is always the same, and how the level moves.

use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, proptest};

use super::{Class, Policy, Shed};

#[test]
fn classes_are_read_in_any_case() {
    assert_eq!(Class::parse(b"Critical"), Some(Class::Critical));
    assert_eq!(Class::parse(b"sheddable"), Some(Class::Sheddable));
    assert_eq!(Class::parse(b"default"), Some(Class::Default));
    assert_eq!(Class::parse(b"urgent"), None);
}

#[test]
fn the_least_important_are_shed_first_and_some_critical_ones_never() {
    check(0, 30, expect!["critical 100 %, default 100 %, sheddable 100 %"]);
    check(2, 30, expect!["critical 100 %, default 100 %, sheddable 92 %"]);
    check(45, 30, expect!["critical 100 %, default 45 %, sheddable 0 %"]);
    check(200, 30, expect!["critical 50 %, default 0 %, sheddable 0 %"]);
}

#[test]
fn nobody_is_shed_before_somebody_was_dropped_behind() {
    let mut sim = Sim::new();
    (0..100).for_each(|_| sim.window(0, 9.0));
    assert_eq!(sim.shares(), [1.0, 1.0, 1.0]);
}

#[test]
fn idle_places_let_back_in_by_as_much_as_idles_though_some_are_dropped() {
    let mut sim = Sim::new();
    (0..10).for_each(|_| sim.window(200, 1.0));
    let low = sim.admitted();
    sim.window(0, 1.0);
    assert!(sim.admitted() == low, "nothing idles, and none is dropped");
    sim.window(200, 0.97);
    let once = sim.admitted();
    assert!(low < once && once < low * 1.03, "a hundredth too much idles: {low} {once}");
    sim.window(200, 0.7);
    assert!((once * 1.5..once * 1.6).contains(&sim.admitted()), "{once} {}", sim.admitted());
    (0..20).for_each(|_| sim.window(0, 0.7));
    assert_eq!(sim.shares(), [1.0, 1.0, 1.0]);
}

#[test]
fn the_nearer_it_is_to_what_may_idle_the_less_the_level_sinks() {
    let after = |used| {
        let mut sim = Sim::new();
        sim.window(300, used);
        sim.admitted()
    };
    let (full, near) = (after(1.0), after(0.985));
    assert!((0.89..0.91).contains(&full) && (0.97..0.98).contains(&near), "{full} {near}");
}

#[test]
fn where_all_wait_in_one_queue_the_level_sinks_until_hardly_any_is_dropped_whatever_idles() {
    let mut sim = Sim::new();
    sim.shed = Shed::new(Policy::of_one_queue());
    let mut levels = Vec::new();
    for (dropped, used) in [(15, 0.5), (30, 0.5), (10, 0.5), (0, 0.95)] {
        sim.window(dropped, used);
        levels.push((sim.admitted() * 100.0) as u32);
    }
    assert_eq!(levels, [100, 97, 100, 100]);
}

#[test]
fn drops_behind_it_set_the_level_to_what_was_served() {
    let mut sim = Sim::new();
    // A third of what arrives is served; each window brings the level half of the way there.
    sim.capacity = Some(500);
    (0..7).for_each(|_| sim.window(0, 1.0));
    assert!((0.32..0.35).contains(&sim.admitted()), "{}", sim.admitted());
}

#[test]
fn a_client_is_served_or_not_until_ranks_are_dealt_anew() {
    let mut sim = Sim::new();
    (0..4).for_each(|_| sim.window(50, 1.0));
    let now = sim.now;
    let mut served = |client| sim.shed.admit(Class::Sheddable, client, now).is_ok();
    let first: Vec<bool> = (0..500).map(&mut served).collect();
    let again: Vec<bool> = (0..500).map(&mut served).collect();
    assert_eq!(first, again);
    assert!(first.contains(&true) && first.contains(&false));
    sim.shed.rotate(77);
    let later: Vec<bool> =
        (0..500).map(|client| sim.shed.admit(Class::Sheddable, client, now).is_ok()).collect();
    assert_ne!(first, later);
}

#[test]
fn a_long_silence_ends_an_overload() {
    let mut sim = Sim::new();
    (0..50).for_each(|_| sim.window(50, 1.0));
    assert!(sim.admitted() < 0.5);
    let later = sim.now + Duration::from_secs(30);
    assert!(sim.shed.admit(Class::Sheddable, 1, later).is_ok());
}

proptest! {
    #[test]
    fn a_more_important_class_is_never_shed_before_a_less_important_one(
        seed in proptest::num::u64::ANY,
        windows in proptest::collection::vec((0u32..1500, 0.0..1.5), 1..60),
    ) {
        let mut sim = Sim::new();
        sim.rng = Rng::seeded(seed);
        for (dropped, used) in windows {
            sim.window(dropped, used);
            let [critical, default, sheddable] = sim.shares();
            prop_assert!(critical >= 0.5);
            prop_assert!(default == 0.0 || critical == 1.0);
            prop_assert!(sheddable == 0.0 || default == 1.0);
        }
    }
}

/// Windows of 1,500 requests, evenly of all classes, from many clients.
struct Sim {
    shed: Shed,
    now: Instant,
    rng: Rng,
    /// So many of a window are served, and the rest dropped behind.
    capacity: Option<u32>,
}

impl Sim {
    fn new() -> Self {
        let shed = Shed::new(Policy::default());
        Self { shed, now: Instant::from_secs(1), rng: Rng::seeded(4), capacity: None }
    }

    /// The first so many that are let in are dropped behind.
    fn window(&mut self, dropped: u32, used: f64) {
        let mut served = 0;
        for at in 0..1500u32 {
            let class = [Class::Critical, Class::Default, Class::Sheddable][at as usize % 3];
            if self.shed.admit(class, self.rng.below(100_000), self.now).is_ok() {
                self.shed.observe_use(used);
                served += 1;
                if served <= dropped || self.capacity.is_some_and(|capacity| served > capacity) {
                    self.shed.observe_drop();
                }
            }
        }
        self.now = self.now + Duration::from_millis(501);
        // What follows sees the level of the window that has ended.
        self.shed.end_window(self.now);
    }

    fn shares(&self) -> [f64; 3] {
        [Class::Critical, Class::Default, Class::Sheddable].map(|class| self.shed.admitted_share(class))
    }

    fn admitted(&self) -> f64 {
        self.shares().iter().sum::<f64>() / 3.0
    }
}

#[track_caller]
fn check(windows: u32, dropped: u32, admits: Expect) {
    let mut sim = Sim::new();
    (0..windows).for_each(|_| sim.window(dropped, 1.0));
    let [critical, default, sheddable] = sim.shares().map(|share| (share * 100.0) as u32);
    admits.assert_eq(&format!("critical {critical} %, default {default} %, sheddable {sheddable} %"));
}
