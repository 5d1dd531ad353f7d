//! Who asks, where proxies of ours stand in front.

use std::net::{IpAddr, SocketAddr};

use base::Cidr;

use crate::head::{Field, Known};

/// The client's address: of those that `X-Forwarded-For` lists, from the right, the first that is no proxy of ours.
///
/// `peer` is a proxy of ours itself. What stands to the left of the client anybody can have written. Where an element is
/// no address, the proxy to its right is taken; where all are proxies of ours, the leftmost.
pub(crate) fn origin(peer: IpAddr, fields: &[Field], buf: &[u8], trusted: &[Cidr]) -> IpAddr {
    let lists = fields.iter().rev().filter(|field| field.known == Known::ForwardedFor);
    let mut best = peer;
    for element in lists.flat_map(|field| field.value.of(buf).rsplit(|c| *c == b',')) {
        let Some(address) = address(element.trim_ascii()) else { return best };
        best = address;
        if !trusted.iter().any(|range| range.contains(address)) {
            return best;
        }
    }
    best
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}
