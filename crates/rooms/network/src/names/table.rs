//! The document that says which names there are, and finding one in it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use base::Cidr;

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
    /// Names that lead for it alone, each with the name that it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
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
    /// For askers that are on other networks, too: the names of all their networks. Most resolvers ask the first
    /// server only and take its no for an answer, so each server must know all that the asker may.
    by_asker: BTreeMap<IpAddr, Arc<Directory>>,
}

impl Directory {
    /// Arranges every network's names, in the order of the table.
    pub(crate) fn all(table: &NamesTable) -> Vec<Arc<Self>> {
        let mut directories: Vec<Self> = table.networks.iter().map(Self::of).collect();
        let mut networks_of: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (index, network) in table.networks.iter().enumerate() {
            for own in network.members.iter().filter_map(|member| member.names.first()) {
                networks_of.entry(own).or_default().insert(index);
            }
        }
        // Containers on the same networks share what they see.
        let mut seen: BTreeMap<(usize, &BTreeSet<usize>), Arc<Self>> = BTreeMap::new();
        let mut askers = Vec::new();
        for (index, network) in table.networks.iter().enumerate() {
            for member in &network.members {
                let Some(on) = member.names.first().and_then(|own| networks_of.get(own.as_str())) else {
                    continue;
                };
                let links: Vec<_> = on
                    .iter()
                    .flat_map(|at| &table.networks[*at].members)
                    .filter(|one| one.names.first() == member.names.first())
                    .flat_map(|one| &one.links)
                    .collect();
                if on.len() < 2 && links.is_empty() {
                    continue;
                }
                let shared =
                    seen.entry((index, on)).or_insert_with(|| Arc::new(together(&directories, index, on)));
                let own = if links.is_empty() { Arc::clone(shared) } else { Arc::new(shared.linked(&links)) };
                askers.extend(member.addresses.iter().map(|address| (index, *address, Arc::clone(&own))));
            }
        }
        for (index, address, together) in askers {
            directories[index].by_asker.insert(address, together);
        }
        directories.into_iter().map(Arc::new).collect()
    }

    /// What this asker may see.
    pub(crate) fn for_asker(self: &Arc<Self>, asker: IpAddr) -> Arc<Self> {
        Arc::clone(self.by_asker.get(&asker).unwrap_or(self))
    }

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
            // What has only names that it shares is a service's address.
            if let Some(name) = member.names.first().or(member.aliases.first()) {
                let name = format!("{name}.{}", network.network);
                directory.by_address.extend(member.addresses.iter().map(|a| (*a, name.clone())));
            }
            if !member.dns.is_empty() {
                directory.upstreams.extend(member.addresses.iter().map(|a| (*a, member.dns.clone())));
            }
        }
        directory
    }

    /// The same with names of one asker's own, which come before all others. One whose container is not there leads
    /// nowhere.
    fn linked(&self, links: &[&(String, String)]) -> Self {
        let mut own = self.clone();
        for (alias, target) in links {
            let addresses = self.addresses(target.trim_start_matches('/')).unwrap_or_default().to_vec();
            own.by_name.insert(alias.to_ascii_lowercase(), addresses);
        }
        own
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

/// The names of several networks as one; where two have the same name, that of the network asked wins.
fn together(directories: &[Directory], asked: usize, on: &BTreeSet<usize>) -> Directory {
    let mut sum = directories[asked].clone();
    for other in on.iter().filter(|index| **index != asked).map(|index| &directories[*index]) {
        for (name, addresses) in &other.by_name {
            sum.by_name.entry(name.clone()).or_insert_with(|| addresses.clone());
        }
        sum.by_address.extend(other.by_address.iter().map(|(address, name)| (*address, name.clone())));
        sum.subnets.extend(other.subnets.iter().copied());
        sum.internal &= other.internal;
    }
    sum
}

#[cfg(test)]
mod tests;
