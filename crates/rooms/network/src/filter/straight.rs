//! What comes to a service's address where the edge does not listen: it goes straight to an instance that is ready.
//!
//! Only the first packet of a conversation is led; the kernel remembers the rest. Caller and instance are neighbours, so an
//! answer would go from one to the other without us and come from the wrong address: the conversation takes the
//! bridge's address on its way.

use std::net::IpAddr;

use super::rule::{Family, Rule, Verdict};
use super::{Fence, Served, header};
use crate::netlink::message::{Body, CREATE, Request};
use crate::netlink::numbers::{TABLES, octets, to_part};

const NEW_SET: u16 = to_part(TABLES, 9);
const NEW_ELEMENT: u16 = to_part(TABLES, 12);

/// The kernel draws a name of this form for a map that one rule alone has.
pub(super) const MAP: &str = "__map%d";
/// A message's attribute holds fewer than 64 KiB.
const ELEMENTS_AT_ONCE: usize = 500;

/// A rule with the map that it looks into, if any; the map's number is its own within the batch.
pub(super) struct Way {
    pub(super) rule: Rule,
    map: Option<(u32, Vec<IpAddr>)>,
}

/// Where packets go that come to services' addresses over their own bridge: to the edge where it listens, else to an
/// instance.
pub(super) fn services(fences: &[Fence]) -> Vec<Way> {
    let mut ways = Vec::new();
    let led = |fence: &Fence, served: &Served| {
        fence.talk && served.instances.iter().any(|one| one.is_ipv4() == served.address.is_ipv4())
    };
    for fence in fences {
        for served in &fence.served {
            // Who gives itself another network's address would have the answer sent there.
            let subnet = fence.subnets.iter().find(|one| one.is_ipv4() == served.address.is_ipv4());
            let Some(subnet) = subnet else { continue };
            let called = || Rule::new().from(&fence.bridge).source(subnet).destination(served.address);
            for (port, behind) in &served.answered {
                ways.push(Way { rule: called().port(*port).on_to(served.address, *behind), map: None });
            }
            if !led(fence, served) {
                continue;
            }
            let alike = |one: &&IpAddr| one.is_ipv4() == served.address.is_ipv4();
            let among: Vec<_> = served.instances.iter().filter(alike).copied().collect();
            let number = u32::try_from(ways.len() + 1).expect("a root has few networks");
            let rule = called().in_turn(number, &among);
            ways.push(Way { rule, map: Some((number, among)) });
        }
    }
    ways
}

/// Which conversations take the bridge's address: those that were led.
pub(super) fn back(fences: &[Fence]) -> Vec<Rule> {
    let of = |fence: &Fence| {
        let rule = |served: &Served| {
            Rule::new().to(&fence.bridge).began_with(served.address).then(Verdict::Masquerade)
        };
        fence.served.iter().filter(|served| !served.instances.is_empty()).map(rule).collect::<Vec<_>>()
    };
    fences.iter().flat_map(of).collect()
}

/// What the kernel would tell a caller of the shorter way to an instance, at which the address means nothing.
pub(super) fn hush(fences: &[Fence]) -> Vec<Rule> {
    let with = fences.iter().filter(|fence| fence.served.iter().any(|served| !served.instances.is_empty()));
    with.flat_map(|fence| {
        let families = [true, false].into_iter();
        let has = |ipv4: &bool| fence.served.iter().any(|served| served.address.is_ipv4() == *ipv4);
        let rule = |ipv4| Rule::new().to(&fence.bridge).redirect(ipv4).then(Verdict::Drop);
        families.filter(has).map(rule).collect::<Vec<_>>()
    })
    .collect()
}

impl Way {
    /// The map of the rule, as it must come before it.
    pub(super) fn map(&self, table: &str) -> Vec<Request> {
        const ANONYMOUS_CONSTANT_MAP: u32 = 1 | 2 | 8;
        const INTEGER: u32 = 4;
        // What `nft` writes there to show keys as numbers in this machine's order of bytes.
        const KEYS_OF_THIS_MACHINE: [u8; 6] = [0, 4, 1, 0, 0, 0];
        let Some((number, among)) = &self.map else { return Vec::new() };
        let Some(family) = among.first().map(|one| Family::of(*one)) else { return Vec::new() };
        let set = header()
            .with_text(1, table)
            .with_text(2, MAP)
            .with_big_number(3, ANONYMOUS_CONSTANT_MAP)
            .with_big_number(4, INTEGER)
            .with_big_number(5, 4)
            .with_big_number(6, family.kind)
            .with_big_number(7, family.length)
            .with_big_number(10, *number)
            .with(13, &KEYS_OF_THIS_MACHINE)
            .request(NEW_SET, CREATE);
        let value = |bytes: &[u8]| Body::default().with(1, bytes);
        let element = |(at, address): &(u32, IpAddr)| {
            let key = value(&at.to_ne_bytes());
            Body::default().with_nested(1, key).with_nested(2, value(&octets(*address)))
        };
        let numbered: Vec<_> = (0u32..).zip(among.iter().copied()).collect();
        let elements = numbered.chunks(ELEMENTS_AT_ONCE).map(|some| {
            let list = some.iter().fold(Body::default(), |list, one| list.with_nested(1, element(one)));
            let into = header().with_text(1, table).with_text(2, MAP).with_big_number(4, *number);
            into.with_nested(3, list).request(NEW_ELEMENT, CREATE)
        });
        std::iter::once(set).chain(elements).collect()
    }
}
