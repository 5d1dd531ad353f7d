//! Who gives way to whom.

use std::net::IpAddr;

use base::Instant;

use super::{Activity, Held, Holder};

/// Long after all that moved in these tests.
const NOW: Instant = Instant(10_000_000_000);

fn give_way(all: Vec<Held>, most: usize) -> Vec<usize> {
    super::give_way(all, most, NOW)
}

fn held(place: usize, holder: &str, activity: Activity, moved: u64) -> Held {
    let holder = holder.parse().map_or(Holder::MANY, |address: IpAddr| Holder::of(address));
    Held { place, holder, activity, moved: Instant(moved) }
}

/// So many of one holder from this place on, each moved later than the one before.
fn many(from: usize, count: usize, holder: &str, activity: Activity) -> Vec<Held> {
    (from..from + count).map(|place| held(place, holder, activity, place as u64)).collect()
}

#[test]
fn the_largest_holder_loses_what_rests_longest() {
    let mut all = many(0, 20, "192.0.2.1", Activity::Resting);
    all.extend(many(20, 44, "192.0.2.2", Activity::Resting));
    all.extend(many(64, 64, "192.0.2.3", Activity::Busy));
    assert_eq!(give_way(all, 128), [20, 21, 22, 23]);
}

#[test]
fn who_has_not_asked_gives_way_where_he_holds_an_eighth() {
    let mut all = many(0, 16, "192.0.2.1", Activity::Asking);
    all.extend(many(16, 15, "192.0.2.2", Activity::Asking));
    all.extend((31..128).map(|place| held(place, &format!("198.51.100.{place}"), Activity::Busy, 0)));
    assert_eq!(give_way(all, 128), [0], "and no more, as then it is a holder like others");
}

#[test]
fn who_works_gives_way_only_down_to_a_quarter_and_last_who_moved_last() {
    let mut all = many(0, 34, "192.0.2.1", Activity::Busy);
    all.extend((34..128).map(|place| held(place, &format!("198.51.100.{place}"), Activity::Busy, 0)));
    assert_eq!(give_way(all.clone(), 128), [0, 1]);
    all[0].moved = Instant(1000);
    assert_eq!(give_way(all, 128), [1, 2]);
}

#[test]
fn among_equals_nobody_who_asks_is_disturbed() {
    let each = |activity| {
        (0..128).map(|place| held(place, &format!("198.51.100.{place}"), activity, 0)).collect::<Vec<_>>()
    };
    assert!(give_way(each(Activity::Asking), 128).is_empty());
    assert!(give_way(each(Activity::Busy), 128).is_empty());
    assert_eq!(give_way(each(Activity::Resting), 128).len(), 4);
}

#[test]
fn who_came_a_moment_ago_does_not_give_way_to_those_who_hold_much() {
    let mut all = many(0, 127, "192.0.2.1", Activity::Asking);
    all.push(held(127, "192.0.2.2", Activity::Resting, NOW.0 - 500_000_000));
    assert_eq!(give_way(all.clone(), 128), [0, 1, 2, 3]);
    all[127].moved = Instant(NOW.0 - 1_500_000_000);
    assert_eq!(give_way(all, 128), [127, 0, 1, 2], "who rests is missed least");
}

#[test]
fn who_speaks_for_many_never_gives_way() {
    let all = many(0, 128, "a proxy", Activity::Resting);
    assert!(give_way(all, 128).is_empty());
}

#[test]
fn a_network_is_one_holder_and_an_address_is_the_same_in_both_families() {
    let of = |address: &str| Holder::of(address.parse().expect("an address"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}
