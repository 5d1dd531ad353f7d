//! Which addresses are free: subnets for networks, addresses for containers. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use crate::order::PoolOrder;
use crate::tag::Tag;
use base::Cidr;

/// A range in use, and by what, as people would say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occupied {
    pub(crate) range: Cidr,
    pub(crate) by: String,
}

/// Where subnets come from unless somebody says otherwise.
///
/// Within 172.16.0.0/12, without 172.16 and 172.31, which clouds like, and 172.17, which is docker's bridge.
pub(crate) fn default_pools() -> Vec<PoolOrder> {
    ["172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/14", "172.28.0.0/15", "172.30.0.0/16"]
        .iter()
        .map(|base| PoolOrder { base: base.parse().expect("the pools above are ranges"), size: 20 })
        .collect()
}

/// A local IPv6 range of a root's own, cut into one `/64` a network (RFC 4193, with the tag for chance).
pub(crate) fn ipv6_pool(tag: &Tag) -> PoolOrder {
    let digits = u128::from_str_radix(tag.as_str(), 16).expect("a tag is hexadecimal");
    let base = Ipv6Addr::from_bits((0xfd5e_u128 << 112) | (digits << 80));
    PoolOrder { base: Cidr::around(base.into(), 48).expect("48 is a prefix length of IPv6"), size: 64 }
}

/// The first free subnet of the pools, looked for from a given place on, so that several roots seldom meet.
pub(crate) fn choose_subnet(pools: &[PoolOrder], occupied: &[Occupied], start: u64) -> Option<Cidr> {
    let count = pool_size(pools);
    let start = usize::try_from(start % (count.max(1) as u64)).unwrap_or(0);
    let all = || pools.iter().flat_map(|pool| pool.base.parts(pool.size));
    let free = |subnet: &Cidr| !occupied.iter().any(|o| o.range.overlaps(subnet));
    all().take(count).skip(start).find(free).or_else(|| all().take(start).find(free))
}

/// How many subnets the pools have, as far as anybody would search.
pub(crate) fn pool_size(pools: &[PoolOrder]) -> usize {
    let sizes = pools.iter().map(|p| 1usize << u32::from(p.size.saturating_sub(p.base.prefix())).min(16));
    sizes.sum()
}

/// A free address of a range, after the one given last, so that a released address rests before it is given anew.
pub(crate) fn choose_address(range: &Cidr, taken: &BTreeSet<IpAddr>, last: u128) -> Option<IpAddr> {
    let end = range.offset(range.last())?;
    // More than `taken` misses in a row cannot happen: so a search is short even in a huge range.
    let tries = u128::try_from(taken.len()).unwrap_or(u128::MAX).saturating_add(1).min(end.saturating_add(1));
    let candidate = |offset: u128| range.nth(offset).filter(|address| !taken.contains(address));
    let after = (last.saturating_add(1)..=end).take(usize::try_from(tries).unwrap_or(usize::MAX));
    let before = (0..=end.min(last)).take(usize::try_from(tries).unwrap_or(usize::MAX));
    after.chain(before).find_map(candidate)
}

/// Addresses of a subnet that no container may have: its first and last in IPv4, the first in IPv6.
pub(crate) fn reserved(subnet: &Cidr) -> Vec<IpAddr> {
    if subnet.is_ipv4() && subnet.prefix() < 31 {
        vec![subnet.address(), subnet.last()]
    } else {
        vec![subnet.address()]
    }
}

#[cfg(test)]
mod tests;
