//! Addresses of services: one for each service that wants it on each of its networks. The edge answers where it listens;
//! all else goes to the instances (`straight`).
//!
//! They stand in the network's record and lie on its bridge, from its upper end down, so that they are seldom in the way of
//! those of containers, which begin at the lower.

use std::net::{IpAddr, Ipv4Addr};

use base::{AppName, ServiceName};

use super::{Realm, create, host};
use crate::names::Member;
use crate::netlink::link;
use crate::order::ServedOrder;
use crate::problems::{ChangeError, KernelError};
use crate::record::{AttachmentRecord, NetworkRecord, ServedRecord};

const WHAT: &str = "give services their addresses";

/// The names that a container shares: where its service has an address, they lead to that, and `tasks.NAME` to it.
pub(super) fn aliases(network: &NetworkRecord, record: &AttachmentRecord) -> Vec<String> {
    let is_its = |served: &&ServedRecord| {
        record.instance_of.as_ref().is_some_and(|(app, service)| served.is_of(app, service))
    };
    match network.served.iter().find(is_its) {
        Some(_) => record.aliases.iter().map(|alias| format!("tasks.{alias}")).collect(),
        None => record.aliases.clone(),
    }
}

/// The names that a container shares by IPv6, for which services have no addresses of their own. It is told before the container
/// itself, whose address it is.
pub(super) fn by_ipv6(network: &NetworkRecord, record: &AttachmentRecord) -> Option<Member> {
    let own = aliases(network, record) == record.aliases;
    let address = record.ipv6.filter(|_| !own)?;
    let (aliases, addresses) = (record.aliases.clone(), vec![IpAddr::V6(address)]);
    Some(Member { aliases, addresses, ready: record.ready, ..Member::default() })
}

/// The service itself, as names see it.
pub(super) fn member(served: &ServedRecord) -> Member {
    Member {
        aliases: served.names.clone(),
        addresses: vec![IpAddr::V4(served.address)],
        ready: true,
        ..Member::default()
    }
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
                    None => self.free_address(network, order)?,
                };
                let (app, service, names) = (app.clone(), order.service.clone(), order.names.clone());
                network.served.push(ServedRecord { app, service, address, names });
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
        for (network, _) in changed {
            let index = self.make_bridge(&network).map_err(kernel)?;
            self.take_stray_addresses(&network, index).map_err(kernel)?;
            if !network.served.is_empty() {
                host::pass_within(&network);
            }
        }
        base::crash::point("network: services have addresses");
        Ok(())
    }

    /// The addresses of services, by app.
    pub(crate) fn served(&self) -> Vec<(AppName, ServiceName, Ipv4Addr)> {
        let all = self.networks.values().flat_map(|network| &network.served);
        all.map(|served| (served.app.clone(), served.service.clone(), served.address)).collect()
    }

    /// The highest address that nobody has and nobody is to have.
    fn free_address(&self, network: &NetworkRecord, order: &ServedOrder) -> Result<Ipv4Addr, ChangeError> {
        let full = || ChangeError::Full { what: WHAT, network: network.name.clone() };
        let subnet = network.subnets.iter().find(|s| s.subnet.is_ipv4()).ok_or_else(full)?;
        let range = subnet.ip_range.unwrap_or(subnet.subnet);
        let mut taken = self.taken(network);
        taken.extend(network.served.iter().map(|served| IpAddr::V4(served.address)));
        taken.extend(order.avoid.iter().map(|address| IpAddr::V4(*address)));
        let end = range.offset(range.last()).ok_or_else(full)?;
        let found = (0..=end).rev().filter_map(|offset| range.nth(offset)).find(|one| !taken.contains(one));
        match found {
            Some(IpAddr::V4(address)) => Ok(address),
            Some(IpAddr::V6(_)) | None => Err(full()),
        }
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
            let known = network.served.iter().any(|served| IpAddr::V4(served.address) == *address);
            *link == index && address.is_ipv4() && !known
        });
        let steps: Vec<_> = stray.map(|(_, address)| link::take_address(index, address, 32)).collect();
        if steps.is_empty() {
            return Ok(());
        }
        self.kernel.route()?.change(&steps).map_err(|refusal| failed(refusal.source))
    }
}
