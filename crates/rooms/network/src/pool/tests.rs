//! Free subnets and addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::{Occupied, choose_address, choose_subnet, default_pools, ipv6_pool, pool_size, reserved};
use crate::order::PoolOrder;
use base::Cidr;

fn occupied(ranges: &[&str]) -> Vec<Occupied> {
    ranges.iter().map(|r| Occupied { range: r.parse().unwrap(), by: (*r).to_owned() }).collect()
}

#[track_caller]
fn check(start: u64, taken: &[&str], expected: Option<&str>) {
    let pools = [PoolOrder { base: "10.9.0.0/22".parse().unwrap(), size: 24 }];
    let chosen = choose_subnet(&pools, &occupied(taken), start).map(|c| c.to_string());
    assert_eq!(chosen.as_deref(), expected);
}

#[test]
fn the_first_free_subnet_from_the_start_on_is_chosen() {
    check(0, &[], Some("10.9.0.0/24"));
    check(2, &[], Some("10.9.2.0/24"));
    check(6, &[], Some("10.9.2.0/24"));
    check(3, &["10.9.3.7/32"], Some("10.9.0.0/24"));
    check(0, &["10.9.0.0/23", "10.9.3.0/25"], Some("10.9.2.0/24"));
    check(1, &["10.0.0.0/8"], None);
}

#[test]
fn the_usual_pools_leave_dockers_and_clouds_ranges_alone() {
    let pools = default_pools();
    assert_eq!(pool_size(&pools), 13 * 16);
    for range in ["172.17.0.0/16", "172.16.0.0/16", "172.31.0.0/16", "192.168.0.0/16", "10.0.0.0/8"] {
        let range: Cidr = range.parse().unwrap();
        assert!(pools.iter().all(|p| !p.base.overlaps(&range)), "{range}");
    }
    let pool = ipv6_pool(&"12ab34cd".parse().unwrap());
    assert_eq!(pool.base.to_string(), "fd5e:12ab:34cd::/48");
}

proptest! {
    #[test]
    fn an_address_is_free_and_inside_and_found_while_there_is_one(
        prefix in 26u8..=30, last in 0u128..64, taken in proptest::collection::btree_set(0u128..64, 0..64)
    ) {
        let range: Cidr = format!("10.0.0.0/{prefix}").parse().unwrap();
        let mut set: BTreeSet<IpAddr> = taken.iter().filter_map(|o| range.nth(*o)).collect();
        set.extend(reserved(&range));
        let size = 1usize << (32 - prefix);
        match choose_address(&range, &set, last) {
            Some(address) => {
                prop_assert!(range.contains(address));
                prop_assert!(!set.contains(&address));
            }
            None => prop_assert_eq!(set.len(), size),
        }
    }
}

#[test]
fn a_search_in_a_huge_range_is_short() {
    let range: Cidr = "fd00::/64".parse().unwrap();
    let taken = BTreeSet::from(["fd00::".parse().unwrap(), "fd00::1".parse().unwrap()]);
    assert_eq!(choose_address(&range, &taken, 0), "fd00::2".parse().ok());
}
