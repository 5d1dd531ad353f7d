//! The kernel's numbers that messages of several kinds have, and addresses as all of them carry them.

use std::net::IpAddr;

/// The family of IPv4.
pub(crate) const INET: u8 = 2;
/// The family of IPv6.
pub(crate) const INET6: u8 = 10;
/// The protocol above IP.
pub(crate) const TCP: u8 = 6;

/// The part of netfilter that remembers conversations.
pub(crate) const CONVERSATIONS: u8 = 1;
/// The part of netfilter that holds tables of rules.
pub(crate) const TABLES: u8 = 10;

/// The number of a message to a part of netfilter.
pub(crate) const fn to_part(part: u8, kind: u8) -> u16 {
    u16::from_be_bytes([part, kind])
}

/// The family of an address.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

/// An address as it goes to the kernel.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An address as it comes from there.
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
