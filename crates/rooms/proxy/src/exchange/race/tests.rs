//! How many run, and when one begins anew; nothing is connected here, as nothing is polled.

use std::sync::Arc;

use base::ContainerId;

use super::*;
use crate::endpoint::EndpointState;

fn endpoints(count: u8) -> Vec<Rc<LocalEndpoint>> {
    let endpoint = |n: u8| {
        let address = ([127, 0, 0, 1], u16::from(n)).into();
        LocalEndpoint::new(&Arc::new(EndpointState::new(ContainerId::from_bytes([n; 32]), address, 1)), 0)
    };
    (0..count).map(endpoint).collect()
}

/// The places of those that are in the race.
fn running(endpoints: &[Rc<LocalEndpoint>]) -> Vec<usize> {
    (0..endpoints.len()).filter(|at| endpoints[*at].state.in_flight() == 1).collect()
}

#[test]
fn the_oldest_leaves_a_race_that_is_full_and_all_leave_with_it() {
    let (all, settings, now) = (endpoints(6), Settings::default(), Instant::from_secs(5));
    let mut race = Race::default();
    all.iter().for_each(|e| race.begin(e, &settings, now));
    assert_eq!(running(&all), [2, 3, 4, 5]);
    drop(race);
    assert!(running(&all).is_empty());
}

#[test]
fn a_connection_begins_anew_after_a_time_that_doubles_up_to_the_kernels() {
    let (all, settings) = (endpoints(1), Settings::default());
    let mut race = Race::default();
    let mut now = Instant::from_secs(5);
    for millis in [250, 500, 1000, 1000] {
        assert!(millis > 250 || race.is_open_to(&all[0], now));
        race.begin(&all[0], &settings, now);
        assert!(!race.is_open_to(&all[0], now + Duration::from_millis(millis - 1)), "{millis}");
        now = now + Duration::from_millis(millis);
        assert!(race.is_open_to(&all[0], now), "{millis}");
        assert_eq!(running(&all), [0], "there is never a second one");
    }
}

#[test]
fn a_slow_connection_is_held_against_its_instance_once() {
    let (all, settings, now) = (endpoints(1), Settings::default(), Instant::from_secs(5));
    let mut race = Race::default();
    race.begin(&all[0], &settings, now);
    race.note_slow(&settings, now + settings.connect / 2);
    assert!(!all[0].state.is_avoided(now + settings.connect / 2));
    race.note_slow(&settings, now + settings.connect);
    assert!(all[0].state.is_avoided(now + settings.connect));
    let over = now + settings.connect + settings.avoid_first;
    race.note_slow(&settings, over);
    assert!(!all[0].state.is_avoided(over));
}

#[test]
fn a_slow_connection_to_an_instance_that_makes_others_is_not_held_against_it() {
    let (all, settings, now) = (endpoints(2), Settings::default(), Instant::from_secs(5));
    let mut race = Race::default();
    all.iter().for_each(|e| race.begin(e, &settings, now));
    all[0].state.connected(now + settings.connect / 2);
    race.note_slow(&settings, now + settings.connect);
    assert_eq!([0, 1].map(|at| all[at].state.is_avoided(now + settings.connect)), [false, true]);
}

#[test]
fn what_this_process_lacks_is_not_held_against_the_instance() {
    let ours = |errno: Errno| is_ours(&errno.into());
    assert!([Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL].into_iter().all(ours));
    assert!(![Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::TIMEDOUT].into_iter().any(ours));
}
