//! Who is refused first, that it is always the same, and how the level moves.

use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, proptest};

use super::{Class, Policy, Shed, Waited};

#[test]
fn classes_are_read_in_any_case() {
    assert_eq!(Class::parse(b"Critical"), Some(Class::Critical));
    assert_eq!(Class::parse(b"sheddable"), Some(Class::Sheddable));
    assert_eq!(Class::parse(b"default"), Some(Class::Default));
    assert_eq!(Class::parse(b"urgent"), None);
}

#[test]
fn the_least_important_are_shed_first_and_some_critical_ones_never() {
    check(0, Duration::ZERO, expect!["critical 100 %, default 100 %, sheddable 100 %"]);
    check(2, Duration::from_millis(30), expect!["critical 100 %, default 100 %, sheddable 89 %"]);
    check(20, Duration::from_millis(30), expect!["critical 100 %, default 90 %, sheddable 0 %"]);
    check(200, Duration::from_millis(30), expect!["critical 50 %, default 0 %, sheddable 0 %"]);
}

#[test]
fn between_the_thresholds_nothing_moves_and_calm_lets_back_slowly() {
    let mut sim = Sim::new();
    (0..30).for_each(|_| sim.window(Duration::from_millis(30), 0.5));
    let low = sim.shares();
    (0..30).for_each(|_| sim.window(Duration::from_millis(15), 0.5));
    assert_eq!(sim.shares(), low);
    (0..30).for_each(|_| sim.window(Duration::from_millis(5), 1.3));
    assert_eq!(sim.shares(), low);
    sim.window(Duration::from_millis(5), 0.9);
    let once = sim.shares();
    assert!(once > low, "{once:?}");
    (0..200).for_each(|_| sim.window(Duration::from_millis(5), 0.9));
    assert_eq!(sim.shares(), [1.0, 1.0, 1.0]);
}

#[test]
fn drops_behind_it_set_the_level_to_what_was_served() {
    let mut sim = Sim::new();
    // A third of what arrives is served; each window brings the level half of the way there.
    sim.capacity = Some(500);
    (0..7).for_each(|_| sim.window(Duration::from_millis(15), 0.9));
    let admitted: f64 = sim.shares().iter().sum::<f64>() / 3.0;
    assert!((0.32..0.35).contains(&admitted), "{admitted}");
}

#[test]
fn a_client_is_served_or_not_until_ranks_are_dealt_anew() {
    let mut sim = Sim::new();
    (0..4).for_each(|_| sim.window(Duration::from_millis(30), 0.5));
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
    (0..50).for_each(|_| sim.window(Duration::from_millis(30), 0.5));
    let later = sim.now + Duration::from_secs(30);
    assert!(sim.shed.admit(Class::Sheddable, 1, later).is_ok());
}

proptest! {
    #[test]
    fn a_more_important_class_is_never_shed_before_a_less_important_one(
        seed in proptest::num::u64::ANY,
        delays in proptest::collection::vec(0u64..50, 1..60),
    ) {
        let mut sim = Sim::new();
        sim.rng = Rng::seeded(seed);
        for delay in delays {
            sim.window(Duration::from_millis(delay), 0.5);
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

    fn window(&mut self, delay: Duration, used: f64) {
        let mut served = 0;
        for at in 0..1500u32 {
            let class = [Class::Critical, Class::Default, Class::Sheddable][at as usize % 3];
            if self.shed.admit(class, self.rng.below(100_000), self.now).is_ok() {
                served += 1;
                let dropped = self.capacity.is_some_and(|capacity| served > capacity);
                self.shed.observe(if dropped { Waited::Dropped } else { Waited::Served(delay) });
                self.shed.observe_use(used);
            }
        }
        self.now = self.now + Duration::from_millis(501);
        // What follows sees the level of the window that has ended.
        self.shed.end_window(self.now);
    }

    fn shares(&self) -> [f64; 3] {
        [Class::Critical, Class::Default, Class::Sheddable].map(|class| self.shed.admitted_share(class))
    }
}

#[track_caller]
fn check(windows: u32, delay: Duration, admits: Expect) {
    let mut sim = Sim::new();
    (0..windows).for_each(|_| sim.window(delay, 0.5));
    let [critical, default, sheddable] = sim.shares().map(|share| (share * 100.0) as u32);
    admits.assert_eq(&format!("critical {critical} %, default {default} %, sheddable {sheddable} %"));
}
