//! Requests about links, addresses and routes, and what the kernel tells of them.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{ACK, Body, CREATE, DUMP, EXCLUSIVE, REPLACE, Request, attributes, text, u32_at};
use super::numbers::{self, INET, INET6, family, octets};
use crate::order::Mac;
use base::Cidr;

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const GET_GROUPS: u16 = 58;

const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_MASTER: u16 = 10;
const LINK_STATE: u16 = 16;
const LINK_INFO: u16 = 18;
const LINK_FAMILIES: u16 = 26;
const LINK_NAMESPACE_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_PORT_DATA: u16 = 5;
const PORT_STATE: u16 = 1;
const PORT_FORWARDS: u8 = 3;
const STATE_UP: u8 = 6;
const VETH_PEER: u16 = 1;
const INET6_ADDRESS_MODE: u16 = 8;
const ADDRESS_MODE_NONE: u8 = 1;

const UP: u32 = 1;
const ADDRESS_WITHOUT_PROBE: u8 = 0x02;

/// The fixed part of a message about links.
fn link_header(index: u32, flags: u32, mask: u32) -> Body {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&mask.to_ne_bytes());
    Body::of(&fixed)
}

/// No IPv6 addresses that the kernel makes up by itself: no probes and solicitations for nobody.
fn quiet(body: Body) -> Body {
    let inet6 = Body::default().with(INET6_ADDRESS_MODE, &[ADDRESS_MODE_NONE]);
    body.with_nested(LINK_FAMILIES, Body::default().with_nested(INET6.into(), inet6))
}

/// Makes a bridge.
///
/// Its hardware address is fixed: one that changed with the ports would break every neighbour's memory of it.
pub(crate) fn make_bridge(name: &str, mac: Mac, mtu: u32) -> Request {
    link_header(0, 0, 0)
        .with_text(LINK_NAME, name)
        .with(LINK_ADDRESS, &mac.0)
        .with_number(LINK_MTU, mtu)
        .with_nested(LINK_INFO, Body::default().with(INFO_KIND, b"bridge"))
        .request(NEW_LINK, ACK | CREATE | EXCLUSIVE)
}

/// A pair of linked interfaces, of which one is born in a container.
pub(crate) struct Pair<'a> {
    /// The host's end.
    pub(crate) host: &'a str,
    /// The bridge's index.
    pub(crate) bridge: u32,
    /// The container's end.
    pub(crate) inside: &'a str,
    /// The container's hardware address.
    pub(crate) mac: Mac,
    /// The container's network namespace.
    pub(crate) namespace: BorrowedFd<'a>,
    /// The largest packet.
    pub(crate) mtu: u32,
}

/// Makes a pair with one end on the bridge and the other in the container.
pub(crate) fn make_pair(pair: &Pair<'_>) -> Request {
    let peer = link_header(0, 0, 0)
        .with_text(LINK_NAME, pair.inside)
        .with(LINK_ADDRESS, &pair.mac.0)
        .with_number(LINK_MTU, pair.mtu)
        .with_number(LINK_NAMESPACE_FD, pair.namespace.as_raw_fd().cast_unsigned());
    let info = Body::default()
        .with(INFO_KIND, b"veth")
        .with_nested(INFO_DATA, Body::default().with(VETH_PEER, peer.bytes()));
    link_header(0, 0, 0)
        .with_text(LINK_NAME, pair.host)
        .with_number(LINK_MTU, pair.mtu)
        .with_number(LINK_MASTER, pair.bridge)
        .with_nested(LINK_INFO, info)
        .request(NEW_LINK, ACK | CREATE | EXCLUSIVE)
}

/// Forbids the kernel to make up IPv6 addresses for a link.
pub(crate) fn quieten(name: &str) -> Request {
    quiet(link_header(0, 0, 0).with_text(LINK_NAME, name)).request(NEW_LINK, ACK)
}

/// Takes a link into use.
pub(crate) fn raise(name: &str) -> Request {
    link_header(0, UP, UP).with_text(LINK_NAME, name).request(NEW_LINK, ACK)
}

/// Puts a link on a bridge.
pub(crate) fn enslave(name: &str, bridge: u32) -> Request {
    link_header(0, 0, 0).with_text(LINK_NAME, name).with_number(LINK_MASTER, bridge).request(NEW_LINK, ACK)
}

/// Removes a link, and with it its other end.
pub(crate) fn remove(name: &str) -> Request {
    link_header(0, 0, 0).with_text(LINK_NAME, name).request(DEL_LINK, ACK)
}

/// Asks for one link.
pub(crate) fn get(name: &str) -> Request {
    link_header(0, 0, 0).with_text(LINK_NAME, name).request(GET_LINK, 0)
}

/// Asks for all links.
pub(crate) fn list() -> Request {
    link_header(0, 0, 0).request(GET_LINK, DUMP)
}

/// Gives an address to a link, with the route to its subnet; no other machine is asked whether it has it.
pub(crate) fn give_address(index: u32, address: IpAddr, prefix: u8) -> Request {
    address_on(index, address, prefix).request(NEW_ADDRESS, ACK | CREATE | REPLACE)
}

/// Gives a link an address that belongs to somebody else than this machine: it is answered for, and nothing that the
/// machine says by itself comes from it. In IPv4 that is so of every address after the first.
pub(crate) fn lend_address(index: u32, address: IpAddr) -> Request {
    const LIFE: u16 = 6;
    let body = address_on(index, address, whole(address));
    let body = if address.is_ipv4() {
        body
    } else {
        // Never preferred, valid for ever, and two times that the kernel fills in.
        let life = [0, u32::MAX, 0, 0].map(u32::to_ne_bytes);
        body.with(LIFE, life.as_flattened())
    };
    body.request(NEW_ADDRESS, ACK | CREATE | REPLACE)
}

/// The length of a prefix that is an address's own.
pub(crate) fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn address_on(index: u32, address: IpAddr, prefix: u8) -> Body {
    let bytes = octets(address);
    let flags = if address.is_ipv6() { ADDRESS_WITHOUT_PROBE } else { 0 };
    let mut fixed = [family(address), prefix, flags, 0, 0, 0, 0, 0];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    let body = Body::of(&fixed).with(1, &bytes).with(2, &bytes);
    // Packets to all hosts of the subnet go to its last address.
    let last = Cidr::around(address, prefix).map(|subnet| octets(subnet.last()));
    match last {
        Some(last) if address.is_ipv4() && prefix < 31 => body.with(4, &last),
        _ => body,
    }
}

/// Takes an address from a link.
pub(crate) fn take_address(index: u32, address: IpAddr, prefix: u8) -> Request {
    let bytes = octets(address);
    let mut fixed = [family(address), prefix, 0, 0, 0, 0, 0, 0];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    Body::of(&fixed).with(1, &bytes).with(2, &bytes).request(DEL_ADDRESS, ACK)
}

/// Asks for all addresses.
pub(crate) fn list_addresses() -> Request {
    Body::of(&[0; 8]).request(GET_ADDRESS, DUMP)
}

/// Leads the way out over a neighbour.
pub(crate) fn default_route(gateway: IpAddr, index: u32) -> Request {
    const TABLE_MAIN: u8 = 254;
    const PROTOCOL_BOOT: u8 = 3;
    const UNICAST: u8 = 1;
    let fixed = [family(gateway), 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, UNICAST, 0, 0, 0, 0];
    Body::of(&fixed)
        .with(5, &octets(gateway))
        .with_number(4, index)
        .request(NEW_ROUTE, ACK | CREATE | REPLACE)
}

/// Asks for the IPv6 groups that links listen to.
pub(crate) fn list_groups() -> Request {
    Body::of(&[INET6, 0, 0, 0, 0, 0, 0, 0]).request(GET_GROUPS, DUMP)
}

/// Whether this is the group in which neighbours ask that link for that address (RFC 4291, 2.7.1).
pub(crate) fn is_group_of(link: u32, address: Ipv6Addr, (kind, payload): &(u16, Vec<u8>)) -> bool {
    let [.., a, b, c] = address.octets();
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    let mut groups = attributes(payload.get(8..).unwrap_or_default());
    let asked = *kind == GET_GROUPS && u32_at(payload, 4) == Some(link);
    asked && groups.any(|(kind, value)| kind == 7 && value == group)
}

/// Asks for all routes of all tables.
pub(crate) fn list_routes() -> Request {
    Body::of(&[0; 12]).request(GET_ROUTE, DUMP)
}

/// A link as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    pub(crate) master: Option<u32>,
    /// Whether packets leave by it.
    pub(crate) up: bool,
    /// Whether its bridge passes packets for it.
    pub(crate) forwards: bool,
}

/// Reads a link; none if the message is about something else.
pub(crate) fn read_link((kind, payload): &(u16, Vec<u8>)) -> Option<Link> {
    if *kind != NEW_LINK {
        return None;
    }
    let mut link = Link {
        index: u32_at(payload, 4)?,
        name: String::new(),
        mtu: 0,
        master: None,
        up: false,
        forwards: false,
    };
    for (kind, value) in attributes(payload.get(16..)?) {
        match kind {
            LINK_NAME => link.name = text(value),
            LINK_MTU => link.mtu = u32_at(value, 0)?,
            LINK_MASTER => link.master = u32_at(value, 0),
            LINK_STATE => link.up = value == [STATE_UP],
            LINK_INFO => link.forwards = port_forwards(value),
            _ => {}
        }
    }
    Some(link)
}

fn port_forwards(info: &[u8]) -> bool {
    let port = attributes(info).find(|(kind, _)| *kind == INFO_PORT_DATA);
    port.is_some_and(|(_, data)| attributes(data).any(|(k, v)| k == PORT_STATE && v == [PORT_FORWARDS]))
}

/// A range that a link holds or that a route leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) subnet: Cidr,
    /// Zero when no link is told.
    pub(crate) link: u32,
}

/// Reads an address with its subnet.
pub(crate) fn read_address((kind, payload): &(u16, Vec<u8>)) -> Option<Range> {
    if *kind != NEW_ADDRESS {
        return None;
    }
    let (prefix, link) = (*payload.get(1)?, u32_at(payload, 4)?);
    Some(Range { subnet: Cidr::around(local(payload)?, prefix)?, link })
}

/// Reads which address a link holds for itself alone: with a prefix as long as the address.
pub(crate) fn read_single((kind, payload): &(u16, Vec<u8>)) -> Option<(u32, IpAddr)> {
    let prefix = *payload.get(1)?;
    if *kind != NEW_ADDRESS {
        return None;
    }
    let address = local(payload)?;
    (prefix == whole(address)).then_some((u32_at(payload, 4)?, address))
}

/// The local address where there are both; the other is a tunnel's far end. In IPv6 there is most often only the other.
fn local(payload: &[u8]) -> Option<IpAddr> {
    let all = attributes(payload.get(8..)?).filter(|(kind, _)| matches!(kind, 1 | 2));
    numbers::address(all.max_by_key(|(kind, _)| *kind)?.1)
}

/// Reads a route; its range is that of all addresses when it is a default route.
pub(crate) fn read_route((kind, payload): &(u16, Vec<u8>)) -> Option<Range> {
    if *kind != NEW_ROUTE {
        return None;
    }
    let (family, prefix) = (*payload.first()?, *payload.get(1)?);
    let mut address = match family {
        INET => IpAddr::from([0; 4]),
        INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let mut link = 0;
    for (kind, value) in attributes(payload.get(12..)?) {
        match kind {
            1 => address = numbers::address(value)?,
            4 => link = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Range { subnet: Cidr::around(address, prefix)?, link })
}
