//! Ranges, against plain arithmetic.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::Cidr;

#[track_caller]
fn range(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[test]
fn bits_behind_the_prefix_are_dropped() {
    assert_eq!(range("172.18.3.9/16").to_string(), "172.18.0.0/16");
    assert_eq!(range("fd00::5/64").to_string(), "fd00::/64");
    assert_eq!(range("0.0.0.0/0").last().to_string(), "255.255.255.255");
    assert_eq!(range("::/0").parts(1).count(), 2);
}

#[test]
fn texts_that_are_no_range_are_refused() {
    for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/-1", "a/8", "10.0.0.0/8 "]
    {
        assert!(text.parse::<Cidr>().is_err(), "{text}");
    }
}

#[test]
fn a_range_is_cut_into_parts_in_order() {
    let parts: Vec<_> = range("172.18.0.0/15").parts(17).map(|p| p.to_string()).collect();
    assert_eq!(parts, ["172.18.0.0/17", "172.18.128.0/17", "172.19.0.0/17", "172.19.128.0/17"]);
    assert_eq!(range("10.0.0.0/24").parts(23).count(), 0, "a part is not larger than the whole");
    assert_eq!(range("10.0.0.0/24").parts(33).count(), 0);
}

proptest! {
    #[test]
    fn containing_and_overlapping_agree_with_numbers(a: u32, b: u32, p in 0u8..=32, q in 0u8..=32) {
        let one = Cidr::around(Ipv4Addr::from_bits(a).into(), p).unwrap();
        let two = Cidr::around(Ipv4Addr::from_bits(b).into(), q).unwrap();
        let bounds = |c: &Cidr| match (c.address(), c.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits(), last.to_bits()),
            _ => unreachable!("both are IPv4"),
        };
        let ((f1, l1), (f2, l2)) = (bounds(&one), bounds(&two));
        prop_assert!(f1 <= a && a <= l1);
        prop_assert_eq!(one.contains(Ipv4Addr::from_bits(b).into()), f1 <= b && b <= l1);
        prop_assert_eq!(one.overlaps(&two), f1 <= l2 && f2 <= l1);
        prop_assert_eq!(one.covers(&two), f1 <= f2 && l2 <= l1);
        prop_assert_eq!(one.to_string().parse::<Cidr>().unwrap(), one);
        let offset = one.offset(Ipv4Addr::from_bits(a).into()).unwrap();
        prop_assert_eq!(one.nth(offset), Some(Ipv4Addr::from_bits(a).into()));
    }
}
