//! How long joining takes; prints what it measured.

use std::time::Duration;

use base::{Clock, SystemClock};

use crate::testbed::{Place, container, joins, network, open, order};

/// So many containers.
const COUNT: u8 = 200;

#[test]
fn two_hundred_containers_join_and_leave_in_milliseconds_each() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let places: Vec<_> = (0..COUNT).map(|_| Place::new()).collect();
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        let clock = SystemClock;
        let mut joined = Vec::new();
        for (number, place) in (0..COUNT).zip(&places) {
            let begin = clock.now();
            networks.attach(&network("shop"), joins(number, place)).await.unwrap();
            joined.push(clock.now().since(begin));
        }
        let mut left = Vec::new();
        for number in 0..COUNT {
            let begin = clock.now();
            networks.detach_all(&container(number)).await.unwrap();
            left.push(clock.now().since(begin));
        }
        let (join, leave) = (middle(&mut joined), middle(&mut left));
        println!("join: best {:?}, median {join:?}; leave: best {:?}, median {leave:?}", joined[0], left[0]);
        // Far above what is measured on an idle machine: it tells a mistake, not a busy neighbour.
        assert!(join < Duration::from_millis(50), "{join:?}");
        networks.destroy_all().await.unwrap();
    });
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
