//! The document that says which names there are, and finding one in it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;

/// All names of one root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NamesTable {
    /// Which daemon's; drawn anew by each.
    pub epoch: u64,
    /// Counts up with every change of that daemon.
    pub generation: u64,
    /// By network.
    pub networks: Vec<NamesOfNetwork>,
}

/// The names of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesOfNetwork {
    /// The network's name.
    pub network: String,
    /// The bridge by which its questions come.
    pub bridge: String,
    /// The addresses where it asks.
    pub listen: Vec<IpAddr>,
    /// Its addresses: questions about others are not for us.
    pub subnets: Vec<Cidr>,
    /// Nothing is passed on to the outside.
    pub internal: bool,
    /// Who is on it.
    pub members: Vec<Member>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    /// Names that mean it alone.
    pub names: Vec<String>,
    /// Names that it shares.
    pub aliases: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether shared names lead to it.
    pub ready: bool,
    /// Servers to ask in its place; the host's when none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
}

/// The names of one network, arranged for finding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Directory {
    /// By name in small letters. A name whose instances are all not ready is there, without addresses.
    by_name: BTreeMap<String, Vec<IpAddr>>,
    by_address: BTreeMap<IpAddr, String>,
    upstreams: BTreeMap<IpAddr, Vec<IpAddr>>,
    subnets: Vec<Cidr>,
    pub(crate) internal: bool,
}

impl Directory {
    /// Arranges a network's names.
    pub(crate) fn of(network: &NamesOfNetwork) -> Self {
        let mut directory =
            Self { subnets: network.subnets.clone(), internal: network.internal, ..Self::default() };
        let suffix = network.network.to_ascii_lowercase();
        for member in &network.members {
            for (name, leads) in member
                .names
                .iter()
                .map(|name| (name, true))
                .chain(member.aliases.iter().map(|alias| (alias, member.ready)))
            {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                for form in [format!("{name}.{suffix}"), name] {
                    let addresses = directory.by_name.entry(form).or_default();
                    let new = member.addresses.iter().filter(|_| leads);
                    let new: Vec<_> = new.filter(|address| !addresses.contains(address)).copied().collect();
                    addresses.extend(new);
                }
            }
            if let Some(name) = member.names.first() {
                let name = format!("{name}.{}", network.network);
                directory.by_address.extend(member.addresses.iter().map(|a| (*a, name.clone())));
            }
            if !member.dns.is_empty() {
                directory.upstreams.extend(member.addresses.iter().map(|a| (*a, member.dns.clone())));
            }
        }
        directory
    }

    /// The addresses of a name; none if it is not one of ours.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.by_name.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// The name of an address.
    pub(crate) fn name(&self, address: IpAddr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    /// Whether the address could be one of ours.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(address))
    }

    /// Servers that this asker wants asked; none for the host's.
    pub(crate) fn upstreams(&self, asker: IpAddr) -> Option<&[IpAddr]> {
        self.upstreams.get(&asker).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
