//! Addresses of services: one of each family of the network for each service that wants it on each of its networks. The edge answers where it listens;
//! all else goes to the instances (`straight`).
//!
//! They stand in the network's record and lie on its bridge, from its upper end down, so that they are seldom in the way of
//! those of containers, which begin at the lower.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::{AppName, ServiceName};

use super::host::{Host, pass_within};
use super::{Realm, create};
use crate::events;
use crate::names::Member;
use crate::netlink::link;
use crate::order::ServedOrder;
use crate::problems::{ChangeError, KernelError, RecordError};
use crate::record::{AttachmentRecord, NetworkRecord, ServedRecord, SubnetRecord};

const WHAT: &str = "give services their addresses";

/// The names that a container shares: where its service has an address, they lead to that, and `tasks.NAME` to it.
pub(super) fn aliases(network: &NetworkRecord, record: &AttachmentRecord) -> Vec<String> {
    match own(network, record) {
        Some(_) => record.aliases.iter().map(|alias| format!("tasks.{alias}")).collect(),
        None => record.aliases.clone(),
    }
}

/// What a container's service has on a network.
fn own<'a>(network: &'a NetworkRecord, record: &AttachmentRecord) -> Option<&'a ServedRecord> {
    let (app, service) = record.instance_of.as_ref()?;
    network.served.iter().find(|served| served.is_of(app, service))
}

/// The names that a container shares by IPv6, where its service has an address of its own in IPv4 alone. It is told before the
/// container itself, whose address it is.
pub(super) fn by_ipv6(network: &NetworkRecord, record: &AttachmentRecord) -> Option<Member> {
    let served = own(network, record).filter(|served| served.ipv6.is_none());
    let address = record.ipv6.filter(|_| served.is_some())?;
    let (aliases, addresses) = (record.aliases.clone(), vec![IpAddr::V6(address)]);
    Some(Member { aliases, addresses, ready: record.ready, ..Member::default() })
}

/// The service itself, as names see it.
pub(super) fn member(served: &ServedRecord) -> Member {
    Member {
        aliases: served.names.clone(),
        addresses: served.addresses().collect(),
        ready: true,
        ..Member::default()
    }
}

fn full(network: &NetworkRecord, family: &'static str) -> ChangeError {
    ChangeError::Full { what: WHAT, network: network.name.clone(), family }
}

impl ServedRecord {
    fn is_of(&self, app: &AppName, service: &ServiceName) -> bool {
        self.app == *app && self.service == *service
    }
}

impl Realm {
    /// Gives the services of an app these addresses, and takes back all others that it has; those that it had stay as
    /// they are. A network whose containers may not speak to each other has none.
    pub(crate) fn serve(&mut self, app: &AppName, orders: &[ServedOrder]) -> Result<(), ChangeError> {
        let mut changed = Vec::new();
        let mut networks = self.networks.clone();
        for (name, network) in &mut networks {
            let before = network.served.clone();
            network.served.retain(|served| served.app != *app);
            let talks = create::switch(network, create::OPTION_TALK);
            for order in orders.iter().filter(|order| talks && order.network == *name) {
                let had = before.iter().find(|served| served.is_of(app, &order.service));
                let address = match had {
                    Some(had) => had.address,
                    None => self.free_ipv4(network, &order.avoid)?,
                };
                let ipv6 = match had.and_then(|had| had.ipv6) {
                    Some(had) => Some(had),
                    None => self.free_ipv6(network, &order.avoid)?,
                };
                let (app, service, names) = (app.clone(), order.service.clone(), order.names.clone());
                network.served.push(ServedRecord { app, service, address, ipv6, names });
            }
            if network.served != before {
                changed.push((network.clone(), before));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.folder
            .write_networks(networks.values().cloned().collect())
            .map_err(|source| ChangeError::Record { what: WHAT, source })?;
        self.networks = networks;
        base::crash::point("network: services recorded");
        let kernel = |source| ChangeError::Kernel { what: WHAT, source };
        // The filters come first: an address is never there without them.
        self.write_filters().map_err(kernel)?;
        let host = Host::look(&mut self.kernel).map_err(kernel)?;
        for (network, _) in changed {
            let index = self.make_bridge(&network).map_err(kernel)?;
            self.take_stray_addresses(&network, index).map_err(kernel)?;
            if !network.served.is_empty() {
                pass_within(&network, &host);
            }
        }
        base::crash::point("network: services have addresses");
        Ok(())
    }

    /// The addresses of services, by app.
    pub(crate) fn served(&self) -> Vec<(AppName, ServiceName, IpAddr)> {
        let all = self.networks.values().flat_map(|network| &network.served);
        let of = |served: &ServedRecord| {
            let (app, service) = (served.app.clone(), served.service.clone());
            served.addresses().map(move |address| (app.clone(), service.clone(), address))
        };
        all.flat_map(of).collect()
    }

    /// Gives services IPv6 addresses that have none yet where their network has IPv6: an earlier program gave none. Where
    /// no address is free the name leads to instances by IPv6, as it did then.
    pub(super) fn complete_served(&mut self) -> Result<(), RecordError> {
        let mut networks = self.networks.clone();
        for network in networks.values_mut() {
            for at in 0..network.served.len() {
                if network.served[at].ipv6.is_none() {
                    match self.free_ipv6(network, &[]) {
                        Ok(address) => network.served[at].ipv6 = address,
                        Err(full) => events::service_without_ipv6(&network.served[at].service, &full),
                    }
                }
            }
        }
        if networks != self.networks {
            self.folder.write_networks(networks.values().cloned().collect())?;
            self.networks = networks;
        }
        Ok(())
    }

    fn free_ipv4(&self, network: &NetworkRecord, avoid: &[IpAddr]) -> Result<Ipv4Addr, ChangeError> {
        let subnet = network.subnets.iter().find(|s| s.subnet.is_ipv4());
        match subnet.and_then(|subnet| self.free_address(network, subnet, avoid)) {
            Some(IpAddr::V4(address)) => Ok(address),
            Some(IpAddr::V6(_)) | None => Err(full(network, "IPv4")),
        }
    }

    /// None where the network has no IPv6.
    fn free_ipv6(&self, network: &NetworkRecord, avoid: &[IpAddr]) -> Result<Option<Ipv6Addr>, ChangeError> {
        let Some(subnet) = network.subnets.iter().find(|s| !s.subnet.is_ipv4()) else { return Ok(None) };
        match self.free_address(network, subnet, avoid) {
            Some(IpAddr::V6(address)) => Ok(Some(address)),
            Some(IpAddr::V4(_)) | None => Err(full(network, "IPv6")),
        }
    }

    /// The highest address that nobody has and nobody is to have.
    fn free_address(
        &self,
        network: &NetworkRecord,
        subnet: &SubnetRecord,
        avoid: &[IpAddr],
    ) -> Option<IpAddr> {
        let range = subnet.ip_range.unwrap_or(subnet.subnet);
        let mut taken = self.taken(network);
        taken.extend(avoid);
        let end = range.offset(range.last())?;
        (0..=end).rev().filter_map(|offset| range.nth(offset)).find(|one| !taken.contains(one))
    }

    /// Takes addresses of services from a bridge that no record knows any more.
    pub(super) fn take_stray_addresses(
        &mut self,
        network: &NetworkRecord,
        index: u32,
    ) -> Result<(), KernelError> {
        let failed =
            |source| KernelError::new(format!("take addresses from the bridge `{}`", network.bridge), source);
        let there = self.kernel.route()?.ask(link::list_addresses()).map_err(failed)?;
        let stray = there.iter().filter_map(link::read_single).filter(|(link, address)| {
            let known = network.served.iter().flat_map(ServedRecord::addresses).any(|one| one == *address);
            *link == index && !known
        });
        let steps: Vec<_> =
            stray.map(|(_, address)| link::take_address(index, address, link::whole(address))).collect();
        if steps.is_empty() {
            return Ok(());
        }
        self.kernel.route()?.change(&steps).map_err(|refusal| failed(refusal.source))
    }
}
