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
    key: Option<u64>,
}

impl World {
    fn of(count: u8) -> Self {
        let endpoint = |n: u8| {
            let address = ([127, 0, 0, 1], u16::from(n)).into();
            LocalEndpoint::new(&Arc::new(EndpointState::new(ContainerId::from_bytes([n; 32]), address, 1)), 0)
        };
        let endpoints: Vec<_> = (0..count).map(endpoint).collect();
        let now = Instant::from_secs(100);
        let balance = Balance::new(&BalanceBy::Latency, &endpoints, None, 0, now);
        let mut world = Self { endpoints, balance, now, rng: Rng::seeded(3), key: None };
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
        self.balance.pick(&self.endpoints, self.now, (self.key, &mut self.rng), |_| false)
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
        hedger: None,
        stick: None,
        wishes: None,
        fork: None,
        cache: None,
        down_since: None.into(),
    };
    world.endpoints = [3, 0, 2].map(|at| pool.endpoints[at].clone()).into();
    world.balance = Balance::new(&BalanceBy::Latency, &world.endpoints, Some(&pool), 0, world.now);
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

impl World {
    fn by(count: u8, by: &BalanceBy) -> Self {
        let mut world = Self::of(count);
        world.balance = Balance::new(by, &world.endpoints, None, 0, world.now);
        world
    }

    /// How often each is picked for requests that are over at once.
    fn shares(&mut self, count: usize) -> Vec<usize> {
        let mut shares = vec![0; self.endpoints.len()];
        (0..count).filter_map(|_| self.pick()).for_each(|place| shares[place] += 1);
        shares
    }
}

#[test]
fn round_robin_gives_each_its_turn_whatever_it_takes() {
    let mut world = World::by(3, &BalanceBy::RoundRobin);
    // The first is slow and has much to do.
    world.say(0, 20, Verdict::Answered(200));
    (0..9).for_each(|_| world.endpoints[0].state.begin(0));
    assert_eq!(world.shares(30), [10, 10, 10]);
}

#[test]
fn least_requests_goes_by_what_is_under_way() {
    let mut world = World::by(3, &BalanceBy::LeastRequests);
    world.endpoints[0].state.begin(0);
    world.endpoints[2].state.begin(0);
    assert_eq!(world.shares(10), [0, 10, 0]);
}

#[test]
fn a_key_keeps_its_instance_and_only_those_of_one_that_leaves_move() {
    let mut world = World::by(4, &BalanceBy::Client);
    let places = |world: &mut World| -> Vec<usize> {
        let one = |n: u8| {
            world.key = Some(of_address([10, 0, 0, n].into()));
            world.pick().expect("one of them")
        };
        (0..200).map(one).collect()
    };
    let before = places(&mut world);
    assert_eq!(places(&mut world), before, "each time the same");
    assert!((0..4).all(|place| before.contains(&place)), "all are used: {before:?}");
    // Another thread, or the same after a restart, in another order.
    world.endpoints.reverse();
    world.balance = Balance::new(&BalanceBy::Client, &world.endpoints, None, 1, world.now);
    assert_eq!(places(&mut world), before.iter().map(|place| 3 - place).collect::<Vec<_>>());
    world.endpoints.reverse();

    world.endpoints.pop();
    world.balance = Balance::new(&BalanceBy::Client, &world.endpoints, None, 0, world.now);
    let after = places(&mut world);
    let moved = before.iter().zip(&after).filter(|(before, after)| **before != 3 && before != after).count();
    assert_eq!(moved, 0, "{before:?}\n{after:?}");
}

#[test]
fn one_that_has_too_many_of_a_key_is_helped() {
    let mut world = World::by(2, &BalanceBy::Client);
    world.key = Some(7);
    let mut in_flight = [0, 0];
    for _ in 0..8 {
        let place = world.pick().expect("one of two");
        world.endpoints[place].state.begin(0);
        in_flight[place] += 1;
    }
    in_flight.sort_unstable();
    assert_eq!(in_flight, [3, 5], "at most 1.25 times its share");
}

#[test]
fn who_failed_is_passed_over_by_every_rule() {
    let client = BalanceBy::Client;
    for by in [BalanceBy::RoundRobin, BalanceBy::LeastRequests, client] {
        let mut world = World::by(3, &by);
        world.key = Some(7);
        world.say(1, 3, Verdict::Lost);
        assert_eq!(world.shares(60)[1], 0, "{by:?}");
    }
}
