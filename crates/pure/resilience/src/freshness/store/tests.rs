//! The bound in bytes, what stays and what goes, against a plain map.

use std::collections::{HashMap, VecDeque};

use base::Rng;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{OVERHEAD, Store, TooLarge};

#[test]
fn what_is_popular_survives_a_scan_that_washes_an_lru_list_out() {
    let (mut store, mut lru) = (Store::new(100_000), Lru { order: VecDeque::new(), most: 0 });
    let fetch = |store: &mut Store<u64>, name: u64| -> bool {
        let key = name.to_be_bytes();
        let hit = store.get(&key).is_some();
        if !hit {
            store.insert(&key, name, 800).expect("it is small");
        }
        hit
    };
    let (mut hits, mut lru_hits) = (0, 0);
    lru.most = 100_000 / (800 + OVERHEAD as usize + 16);
    let mut rng = Rng::seeded(8);
    for turn in 0..50_000 {
        // Sixty popular names, asked for half of the time; the others never come again.
        let name = if rng.chance(0.5) { rng.below(60) } else { 1_000 + turn };
        let popular = u32::from(name < 60);
        hits += popular * u32::from(fetch(&mut store, name));
        lru_hits += popular * u32::from(lru.fetch(name));
    }
    assert!(hits > 24_500, "{hits} of about 25,000");
    assert!(lru_hits < 20_000, "{lru_hits} of about 25,000");
}

#[test]
fn those_that_are_meant_go_and_their_room_is_free() {
    let mut store = Store::new(80_000);
    for (key, value) in [(&b"a1"[..], 1), (b"a2", 2), (b"b1", 3)] {
        store.insert(key, value, 100).expect("it is small");
    }
    let before = store.bytes();
    store.remove_where(|key, value| key.starts_with(b"a") && *value > 1);
    let mut left: Vec<_> = store.iter().map(|(key, value)| (key.to_vec(), *value)).collect();
    left.sort();
    assert_eq!(left, [(b"a1".to_vec(), 1), (b"b1".to_vec(), 3)]);
    assert_eq!((store.len(), store.bytes()), (2, before / 3 * 2));
    store.remove_where(|_, _| true);
    assert!(store.is_empty() && store.bytes() == 0 && store.iter().next().is_none());
}

#[test]
fn what_is_too_large_is_refused_and_the_old_value_goes() {
    let mut store = Store::new(8_000);
    store.insert(b"a", 1, 100).expect("it is small");
    assert_eq!(store.insert(b"a", 2, 900), Err(TooLarge));
    assert!(store.get(b"a").is_none() && store.is_empty() && store.bytes() == 0);
}

#[test]
fn putting_and_removing_for_ever_takes_no_more_room() {
    let mut store = Store::new(100_000);
    for turn in 0..10_000 {
        store.insert(b"a", turn, 10).expect("it is small");
        store.remove(b"a");
        store.insert(b"b", turn, 10).expect("it is small");
    }
    assert!(store.short.len() + store.long.len() <= 70 && store.items.len() <= 2);
}

proptest! {
    #[test]
    fn it_never_holds_more_than_its_bytes_nor_a_wrong_value(
        seed in proptest::num::u64::ANY,
        steps in proptest::collection::vec((0u8..4, 0u64..40, 0u64..400), 1..400),
    ) {
        let mut store = Store::new(8_000);
        let mut put: HashMap<u64, u64> = HashMap::new();
        let mut rng = Rng::seeded(seed);
        for (act, name, bytes) in steps {
            let key = name.to_be_bytes();
            match act {
                0 => {
                    prop_assert_eq!(store.remove(&key).is_some_and(|value| put.get(&name) != Some(&value)), false);
                    prop_assert!(store.get(&key).is_none());
                }
                1 => {
                    let value = rng.next_u64();
                    store.insert(&key, value, bytes).expect("it is small");
                    put.insert(name, value);
                    prop_assert_eq!(store.get(&key).copied(), Some(value));
                }
                _ => prop_assert!(store.get(&key).is_none_or(|value| put.get(&name) == Some(value))),
            }
            prop_assert!(store.bytes() <= 8_000);
            let live = store.items.iter().filter_map(|(_, item)| item.as_ref());
            prop_assert_eq!(live.clone().map(|item| item.bytes).sum::<u64>(), store.bytes());
            prop_assert_eq!(live.filter(|item| !item.long).map(|item| item.bytes).sum::<u64>(), store.short_bytes);
            prop_assert!(store.left.len() <= store.len() + 16 + 40);
        }
    }
}

/// The usual list, for comparison.
struct Lru {
    order: VecDeque<u64>,
    most: usize,
}

impl Lru {
    fn fetch(&mut self, name: u64) -> bool {
        let at = self.order.iter().position(|held| *held == name);
        if let Some(at) = at {
            self.order.remove(at);
        }
        self.order.push_back(name);
        if self.order.len() > self.most {
            self.order.pop_front();
        }
        at.is_some()
    }
}
