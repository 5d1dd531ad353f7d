//! Address ranges: a prefix and its length, of either family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range as in `172.28.0.0/24` or `fd00::/64`. The bits behind the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// The text is not an address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address range, as in `172.28.0.0/24` or `fd00::/64`")]
pub struct InvalidCidr(String);

impl Cidr {
    /// The range of this prefix length around an address; none if the length is too long for it.
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let width = width(address);
        if prefix > width {
            return None;
        }
        let host_bits = u32::from(width - prefix);
        let number = u128::MAX.checked_shl(host_bits).unwrap_or(0) & number(address);
        Some(Self { address: address_of(number, address.is_ipv4()), prefix })
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        address_of(number(self.address) | self.host_mask(), self.is_ipv4())
    }

    /// The address so far behind the first; none if that lies outside.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        (offset <= self.host_mask()).then(|| address_of(number(self.address) | offset, self.is_ipv4()))
    }

    /// How far an address lies behind the first; none if it lies outside.
    pub fn offset(&self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| number(address) & self.host_mask())
    }

    /// Whether the address lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4()
            && Self::around(address, self.prefix).is_some_and(|range| range.address == self.address)
    }

    /// Whether it lists IPv4 addresses in the form that IPv6 has for them (`::ffff:10.0.0.0/104`). Clients are known by
    /// their plain address, so that none would be found in it.
    pub fn is_mapped(&self) -> bool {
        matches!(self.address, IpAddr::V6(v6) if self.prefix >= 96 && v6.to_ipv4_mapped().is_some())
    }

    /// Whether the whole of the other range lies inside.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether they share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Its parts of this prefix length, in order.
    pub fn parts(self, prefix: u8) -> impl Iterator<Item = Self> {
        let count = prefix
            .checked_sub(self.prefix)
            .filter(|_| prefix <= width(self.address))
            .map_or(0, |bits| 1u128.checked_shl(bits.into()).unwrap_or(u128::MAX));
        let step = u32::from(width(self.address).saturating_sub(prefix));
        (0..count).map_while(move |index| {
            let offset = index.checked_shl(step)?;
            Some(Self { address: address_of(number(self.address) | offset, self.is_ipv4()), prefix })
        })
    }

    /// The bits behind the prefix, all set.
    fn host_mask(&self) -> u128 {
        let host_bits = u32::from(width(self.address) - self.prefix);
        !u128::MAX.checked_shl(host_bits).unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address_of(number: u128, ipv4: bool) -> IpAddr {
    if ipv4 {
        // Only the low half word can be set: an IPv4 prefix is at most 32 bits wide.
        IpAddr::V4(Ipv4Addr::from_bits((number & u128::from(u32::MAX)) as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        Self::around(address, prefix).ok_or_else(invalid)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;
    fn try_from(text: String) -> Result<Self, InvalidCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests;
