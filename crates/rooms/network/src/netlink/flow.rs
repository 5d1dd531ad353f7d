//! Conversations that the kernel remembers, so as to lead all their packets as the first one.

use std::net::IpAddr;

use super::message::{ACK, Body, DUMP, Request, attributes};
use super::numbers::{self, CONVERSATIONS, INET, INET6, TCP, to_part};

const GET: u16 = to_part(CONVERSATIONS, 1);
const DELETE: u16 = to_part(CONVERSATIONS, 2);
const THERE: u16 = 1;
const BACK: u16 = 2;
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;

/// One conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Whom it was begun with.
    pub(crate) to: IpAddr,
    /// Who answers it.
    pub(crate) by: IpAddr,
    /// Of TCP, which begins anew by itself when its other end is gone.
    pub(crate) tcp: bool,
    /// As the kernel knows it.
    there: Vec<u8>,
}

/// Asks for all conversations of a family.
pub(crate) fn list(ipv4: bool) -> Request {
    header(ipv4).request(GET, DUMP)
}

/// Has the kernel forget a conversation.
pub(crate) fn forget(flow: &Flow) -> Request {
    header(flow.to.is_ipv4()).with_nested(THERE, Body::of(&flow.there)).request(DELETE, ACK)
}

/// Reads one of those asked for.
pub(crate) fn read((_, payload): &(u16, Vec<u8>)) -> Option<Flow> {
    let all = payload.get(4..)?;
    let of = |kind| attributes(all).find(|(is, _)| *is == kind).map(|(_, value)| value);
    let (there, back) = (of(THERE)?, of(BACK)?);
    let (_, protocol) = attributes(there).find(|(is, _)| *is == PROTOCOL)?;
    let (_, number) = attributes(protocol).find(|(is, _)| *is == NUMBER)?;
    let (to, by) = (address(there, Side::Receiver)?, address(back, Side::Sender)?);
    Some(Flow { to, by, tcp: number.first() == Some(&TCP), there: there.to_vec() })
}

/// Of a packet.
#[derive(Clone, Copy)]
enum Side {
    Sender,
    Receiver,
}

fn address(tuple: &[u8], side: Side) -> Option<IpAddr> {
    let (_, addresses) = attributes(tuple).find(|(is, _)| *is == ADDRESSES)?;
    let (v4, v6) = match side {
        Side::Sender => (1, 3),
        Side::Receiver => (2, 4),
    };
    let (_, octets) = attributes(addresses).find(|(kind, _)| [v4, v6].contains(kind))?;
    numbers::address(octets)
}

fn header(ipv4: bool) -> Body {
    Body::of(&[if ipv4 { INET } else { INET6 }, 0, 0, 0])
}
