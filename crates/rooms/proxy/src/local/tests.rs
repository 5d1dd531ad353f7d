//! Who is picked, and who is passed over.

use base::ContainerId;

use super::*;
use crate::endpoint::EndpointState;

fn pool(count: u8) -> LocalPool {
    let endpoint = |n: u8| {
        let state =
            EndpointState::new(ContainerId::from_bytes([n; 32]), ([127, 0, 0, 1], u16::from(n)).into(), 1);
        LocalEndpoint::new(&Arc::new(state), 0)
    };
    let endpoints: Vec<_> = (0..count).map(endpoint).collect();
    LocalPool {
        key: ("a".into(), "b".into()),
        balance: Balance::new(&BalanceBy::Latency, &endpoints, None, 0, Instant(1)).into(),
        endpoints,
        http2: false,
        policy: EdgePolicy::default(),
        gate: None,
        breaker: None,
        hedger: None,
        stick: None,
        wishes: None,
        fork: None,
        cache: None,
        down_since: Cell::new(None),
    }
}

/// So many picks, as ports; each is over before the next.
fn picks(pool: &LocalPool, count: usize, now: Instant) -> Vec<u16> {
    let mut rng = Rng::seeded(1);
    (0..count).filter_map(|_| pool.pick(&[], now, (None, &mut rng))).map(|e| e.state.address.port()).collect()
}

#[test]
fn equal_instances_take_turns() {
    assert_eq!(picks(&pool(3), 7, Instant(1)), [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(picks(&pool(1), 2, Instant(1)), [0, 0]);
    assert!(picks(&pool(0), 2, Instant(1)).is_empty());
}

#[test]
fn a_busy_instance_gets_less() {
    let pool = pool(3);
    let _work: Vec<_> = (0..5).map(|_| Flight::begin(&pool.endpoints[1])).collect();
    let busy = picks(&pool, 300, Instant(1)).into_iter().filter(|port| *port == 1).count();
    assert_eq!(busy, 0, "of two, the one with less to do is taken");
    drop(_work);
    assert_eq!(pool.endpoints[1].state.in_flight(), 0);
}

#[test]
fn an_instance_that_takes_no_connections_is_spared_and_never_all_of_them() {
    let pool = pool(3);
    let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
    let now = Instant::from_secs(5);
    let fails = |e: &Rc<LocalEndpoint>, at, trial| e.state.connect_failed(at, (trial, false), (first, most));
    fails(&pool.endpoints[2], now, false);
    assert!(!picks(&pool, 30, now).contains(&2));
    assert!(picks(&pool, 30, now + first).contains(&2), "it is tried again after its time");
    fails(&pool.endpoints[2], now, false);
    assert!(picks(&pool, 30, now + first).contains(&2), "failures at the same moment are one");
    fails(&pool.endpoints[2], now + first, false);
    assert!(!picks(&pool, 30, now + first * 2).contains(&2), "and spared for longer when it failed again");
    pool.endpoints[2].state.connected(now);
    assert!(picks(&pool, 30, now).contains(&2));
    pool.endpoints.iter().for_each(|e| fails(e, now, false));
    assert_eq!(picks(&pool, 3, now).len(), 3);
}

#[test]
fn one_connection_tries_an_instance_that_failed_and_the_others_wait_for_it() {
    let pool = pool(2);
    let times = (Duration::from_millis(100), Duration::from_secs(1));
    let trial = Duration::from_millis(30);
    let (state, now) = (&pool.endpoints[1].state, Instant::from_secs(5));
    assert!(!state.begin_trial(now, trial), "nothing speaks against it");
    state.connect_failed(now, (false, false), times);
    assert!(!state.begin_trial(now, trial), "it is avoided; whoever asks it now has no other");
    let later = now + times.0;
    assert!(state.begin_trial(later, trial));
    assert!(!picks(&pool, 10, later).contains(&1));
    state.connect_failed(later, (true, false), times);
    assert!(!picks(&pool, 10, later + times.0).contains(&1), "a failed trial doubles the time");
    assert!(state.begin_trial(later + times.0 * 2, trial));
    assert!(
        picks(&pool, 10, later + times.0 * 2 + trial).contains(&1),
        "a trial without an end blocks nobody"
    );
    state.connected(later);
    assert!(picks(&pool, 10, later).contains(&1));
}

#[test]
fn what_was_tried_is_not_tried_again_while_there_are_others() {
    let pool = pool(3);
    let mut rng = Rng::seeded(1);
    let mut tried = Vec::new();
    for _ in 0..3 {
        tried.push(pool.pick(&tried, Instant(1), (None, &mut rng)).expect("an instance"));
    }
    let mut ports: Vec<_> = tried.iter().map(|e| e.state.address.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [0, 1, 2]);
}
