//! Who is passed over, for what, and for how long.

use std::sync::Arc;

use base::ContainerId;

use super::*;
use crate::endpoint::EndpointState;

const TOOK: Duration = Duration::from_millis(5);
const WISH: NotNow = NotNow { secs: Some(2), plain: true };

struct World {
    endpoints: Vec<Rc<LocalEndpoint>>,
    balance: Balance,
    now: Instant,
    rng: Rng,
}

impl World {
    fn of(count: u8) -> Self {
        let endpoint = |n: u8| {
            let address = ([127, 0, 0, 1], u16::from(n)).into();
            LocalEndpoint::new(&Arc::new(EndpointState::new(ContainerId::from_bytes([n; 32]), address, 1)), 0)
        };
        let endpoints: Vec<_> = (0..count).map(endpoint).collect();
        let now = Instant::from_secs(100);
        let balance = Balance::new(&endpoints, None, 0, now);
        let mut world = Self { endpoints, balance, now, rng: Rng::seeded(3) };
        (0..count.into()).for_each(|place| world.say(place, 1, Verdict::Answered(200)));
        world
    }

    fn say(&mut self, place: usize, times: usize, verdict: Verdict) {
        for _ in 0..times {
            let when = (TOOK, self.now);
            self.balance.settle(place, &self.endpoints[place], verdict, when, &mut self.rng);
            self.now = self.now + Duration::from_millis(20);
        }
    }

    fn pick(&mut self) -> Option<usize> {
        self.balance.pick(&self.endpoints, self.now, &mut self.rng, |_| false)
    }

    /// Who is picked for requests that are all answered well, each before the next.
    #[track_caller]
    fn gives(&mut self, wanted: &str) {
        let mut seen = Vec::new();
        for _ in 0..60 {
            if let Some(place) = self.pick() {
                self.say(place, 1, Verdict::Answered(200));
                seen.push(place);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        let seen: Vec<_> = seen.iter().map(ToString::to_string).collect();
        assert_eq!(seen.join(" "), wanted);
    }

    fn later(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }
}

#[test]
fn an_instance_that_fails_gets_nothing_for_a_while() {
    let mut world = World::of(3);
    world.gives("0 1 2");
    world.say(1, 4, Verdict::Answered(500));
    world.say(1, 1, Verdict::Answered(200));
    world.say(1, 4, Verdict::Answered(500));
    assert!(!world.balance.outliers.is_out(1), "one good answer in between");
    world.say(1, 1, Verdict::Answered(500));
    world.gives("0 2");
    world.later(13);
    world.gives("0 1 2");
    world.say(1, 3, Verdict::Lost);
    world.gives("0 2");
    // No second one is ejected; its failures are remembered as slow answers.
    world.say(0, 3, Verdict::Lost);
    assert!(!world.balance.outliers.is_out(0));
    world.gives("2");
    assert_eq!(world.endpoints[1].state.sums().ejected, 2);
}

#[test]
fn what_is_the_clients_fault_counts_for_nothing() {
    let mut world = World::of(2);
    world.say(0, 50, Verdict::Answered(404));
    world.say(0, 50, Verdict::Answered(429));
    world.gives("0 1");
}

#[test]
fn an_instance_that_asks_for_it_is_spared() {
    let mut world = World::of(2);
    world.say(0, 1, Verdict::NotNow(WISH));
    world.gives("1");
    assert_eq!(world.balance.spared(world.now), None);
    world.say(0, 1, Verdict::NotNow(WISH));
    world.say(1, 1, Verdict::NotNow(WISH));
    world.gives("");
    assert_eq!(world.balance.spared(world.now), Some(3));
    world.later(3);
    world.gives("0 1");
    assert_eq!(world.endpoints[0].state.sums().spared, 2);
}

#[test]
fn answers_of_503_from_all_hide_nobodys_own_answer() {
    let mut world = World::of(2);
    let once = NotNow { plain: false, ..WISH };
    world.say(0, 1, Verdict::NotNow(once));
    world.gives("1");
    world.say(1, 1, Verdict::NotNow(WISH));
    world.gives("0");
}

#[test]
fn what_is_known_stays_when_instances_come_and_go() {
    let mut world = World::of(4);
    world.say(2, 5, Verdict::Answered(500));
    world.say(3, 1, Verdict::NotNow(WISH));
    world.gives("0 1");
    let pool = LocalPool {
        key: ("a".into(), "b".into()),
        endpoints: world.endpoints.clone(),
        balance: world.balance.clone().into(),
        http2: false,
        policy: spec::EdgePolicy::default(),
        gate: None,
        breaker: None,
        wishes: None,
        down_since: None.into(),
    };
    world.endpoints = [3, 0, 2].map(|at| pool.endpoints[at].clone()).into();
    world.balance = Balance::new(&world.endpoints, Some(&pool), 0, world.now);
    world.gives("1");
}

#[test]
fn a_slow_instance_gets_what_it_can_do() {
    let mut world = World::of(3);
    let mut given = [0u32; 3];
    for _ in 0..1000 {
        let place = world.pick().expect("one of three");
        given[place] += 1;
        let took = Duration::from_millis(if place == 2 { 200 } else { 5 });
        let when = (took, world.now);
        world.balance.settle(place, &world.endpoints[place], Verdict::Answered(200), when, &mut world.rng);
        world.now = world.now + Duration::from_millis(5);
    }
    assert!(given[2] < 20 && given[0].abs_diff(given[1]) < 200, "{given:?}");
}
