//! The filters of one root: who may speak to whom, and who speaks outward under the host's name.
//!
//! Owns the table `inet sea_<tag>`. A change writes the whole of it anew in one batch, which takes effect at
//! once or not at all: what holds depends on the networks alone and never on how we came there. Only the
//! first packet of a conversation meets these rules one by one; the rest is let through by the first rule.

pub(crate) mod rule;
mod straight;

use std::net::IpAddr;

use crate::netlink::message::{ACK, APPEND, Body, CREATE, DUMP, Request};
use crate::netlink::numbers::{TABLES, to_part};
use crate::tag::Tag;
use base::Cidr;
use rule::{Rule, Verdict};

const NEW_TABLE: u16 = to_part(TABLES, 0);
const DEL_TABLE: u16 = to_part(TABLES, 2);
const NEW_CHAIN: u16 = to_part(TABLES, 3);
const GET_CHAIN: u16 = to_part(TABLES, 4);
const NEW_RULE: u16 = to_part(TABLES, 6);
const DEL_RULE: u16 = to_part(TABLES, 8);
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const FAMILY_INET: u8 = 1;
const HOOK_PREROUTING: u32 = 0;
const HOOK_INPUT: u32 = 1;
const HOOK_FORWARD: u32 = 2;
const HOOK_OUTPUT: u32 = 3;
const HOOK_POSTROUTING: u32 = 4;
const PRIORITY_DESTINATION_NAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SOURCE_NAT: i32 = 100;

/// What the filters must know of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) bridge: String,
    pub(crate) internal: bool,
    pub(crate) masquerade: bool,
    /// Whether its containers may speak to each other.
    pub(crate) talk: bool,
    pub(crate) subnets: Vec<Cidr>,
    /// Addresses of services, for this network alone.
    pub(crate) served: Vec<Served>,
}

/// An address of a service: the edge answers where it listens, and everything else goes to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) address: IpAddr,
    /// Those that are ready.
    pub(crate) instances: Vec<IpAddr>,
    /// Ports of TCP, each with the one of this address at which the edge listens for it.
    pub(crate) answered: Vec<(u16, u16)>,
}

/// The batch that makes the filters of these networks hold and no others; without networks there is no table.
pub(crate) fn batch(tag: &Tag, fences: &[Fence]) -> Vec<Request> {
    if fences.is_empty() {
        return removal(tag);
    }
    let table = tag.table();
    let named = |attribute| header().with_text(attribute, &table);
    let services = straight::services(fences);
    let chains = [
        (("forward", "filter", HOOK_FORWARD, PRIORITY_FILTER), forward(fences)),
        (("outward", "nat", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT), outward(fences)),
        (("inward", "filter", HOOK_INPUT, PRIORITY_FILTER), inward(fences)),
        (("hush", "filter", HOOK_OUTPUT, PRIORITY_FILTER), straight::hush(fences)),
    ];
    let mut requests = vec![named(1).request(NEW_TABLE, CREATE)];
    // Chains that few need are made when one does, and stay.
    for (at, ((name, kind, hook, priority), rules)) in chains.iter().enumerate() {
        if at < 2 || !rules.is_empty() {
            requests.push(chain(&table, name, kind, (*hook, *priority)));
        }
    }
    if !services.is_empty() {
        requests.push(chain(&table, "services", "nat", (HOOK_PREROUTING, PRIORITY_DESTINATION_NAT)));
    }
    requests.push(named(1).request(DEL_RULE, 0));
    let append = |chain: &str, rule: Rule| {
        named(1).with_text(2, chain).with_nested(4, rule.expressions()).request(NEW_RULE, CREATE | APPEND)
    };
    for ((name, ..), rules) in chains {
        requests.extend(rules.into_iter().map(|rule| append(name, rule)));
    }
    for way in services {
        requests.extend(way.map(&table));
        requests.push(append("services", way.rule));
    }
    // The table itself once more, unchanged, only to be confirmed: a batch is answered at its last request.
    requests.push(named(1).request(NEW_TABLE, CREATE | ACK));
    enclose(requests)
}

/// The batch that takes the table away; it may be gone already.
pub(crate) fn removal(tag: &Tag) -> Vec<Request> {
    let named = || header().with_text(1, &tag.table());
    enclose(vec![named().request(NEW_TABLE, CREATE), named().request(DEL_TABLE, ACK)])
}

/// Asks for the chains of all tables.
pub(crate) fn list_chains() -> Request {
    Body::of(&[0, 0, 0, 0]).request(GET_CHAIN, DUMP)
}

/// Who may pass from one link to another.
fn forward(fences: &[Fence]) -> Vec<Rule> {
    let mut rules = vec![Rule::new().established().then(Verdict::Accept)];
    for fence in fences {
        let inside = Rule::new().from(&fence.bridge).to(&fence.bridge);
        rules.push(inside.then(if fence.talk { Verdict::Accept } else { Verdict::Drop }));
    }
    // What is not within one bridge: nobody speaks first to a container, except the host itself, which
    // does not forward; and from an internal network nobody speaks at all.
    for fence in fences {
        rules.push(Rule::new().to(&fence.bridge).then(Verdict::Drop));
        if fence.internal {
            rules.push(Rule::new().from(&fence.bridge).then(Verdict::Drop));
        }
    }
    rules
}

/// Who may come to the addresses of services: their own network, and not even the host, which would let in whoever
/// has it pass packets on. Conversations that were let in need not be looked at again.
fn inward(fences: &[Fence]) -> Vec<Rule> {
    let of = |fence: &Fence| {
        let rule = |served: &Served| Rule::new().not_from(&fence.bridge).destination(served.address);
        fence.served.iter().map(|served| rule(served).then(Verdict::Drop)).collect::<Vec<_>>()
    };
    let mut rules: Vec<_> = fences.iter().flat_map(of).collect();
    if !rules.is_empty() {
        rules.insert(0, Rule::new().established().then(Verdict::Accept));
    }
    rules
}

/// Who takes the host's address on the way out, and the bridge's on the way to an instance.
fn outward(fences: &[Fence]) -> Vec<Rule> {
    let open = fences.iter().filter(|f| f.masquerade && !f.internal);
    let out = open.flat_map(|fence| {
        fence
            .subnets
            .iter()
            .map(|subnet| Rule::new().source(subnet).not_to(&fence.bridge).then(Verdict::Masquerade))
    });
    out.chain(straight::back(fences)).collect()
}

fn header() -> Body {
    Body::of(&[FAMILY_INET, 0, 0, 0])
}

fn chain(table: &str, name: &str, kind: &str, (hook, priority): (u32, i32)) -> Request {
    const POLICY_ACCEPT: u32 = 1;
    let hook = Body::default().with_big_number(1, hook).with_big_number(2, priority.cast_unsigned());
    header()
        .with_text(1, table)
        .with_text(3, name)
        .with_nested(4, hook)
        .with_big_number(5, POLICY_ACCEPT)
        .with_text(7, kind)
        .request(NEW_CHAIN, CREATE)
}

fn enclose(requests: Vec<Request>) -> Vec<Request> {
    // The fixed part of the marks names the subsystem, in the network's order of bytes.
    let mark = |kind| Body::of(&[0, 0, 0, TABLES]).request(kind, 0);
    let mut all = vec![mark(BATCH_BEGIN)];
    all.extend(requests);
    all.push(mark(BATCH_END));
    all
}

#[cfg(test)]
mod tests;
