//! Choosing over which of its networks a container's way out leads, while it runs.

use std::net::IpAddr;

use base::{ContainerId, NetworkName};

use super::Realm;
use super::attach::Namespace;
use crate::netlink::{Family, Socket, link};
use crate::problems::{ChangeError, KernelError};
use crate::record::{AttachmentRecord, NetworkRecord};

const WHAT: &str = "turn a container's way out";

impl Realm {
    /// Leads a container's way out over this network from now on. An internal network, and one that it is not on, lead
    /// nowhere and change nothing.
    pub(crate) fn lead_out(
        &mut self,
        container: &ContainerId,
        name: &NetworkName,
    ) -> Result<(), ChangeError> {
        let Some(network) = self.networks.get(name).filter(|network| !network.internal).cloned() else {
            return Ok(());
        };
        let Some(mut records) = self.attached.get(container).cloned() else { return Ok(()) };
        let Some(chosen) = records.iter().find(|record| record.network_id == network.id).cloned() else {
            return Ok(());
        };
        records.iter_mut().for_each(|record| record.default_route = record.network_id == network.id);
        self.write_attachments(container, records)
            .map_err(|source| ChangeError::Record { what: WHAT, source })?;
        turn(&network, &chosen).map_err(|source| ChangeError::Kernel {
            what: WHAT,
            source: KernelError::new(format!("lead the way out over `{}`", chosen.interface), source),
        })
    }
}

/// Replaces the default routes in the container's namespace. One that has ended needs none.
fn turn(network: &NetworkRecord, record: &AttachmentRecord) -> std::io::Result<()> {
    let Some(namespace) = Namespace::of(record.pid).ok().filter(|found| found.is(record.namespace)) else {
        return Ok(());
    };
    let mut socket = Socket::open_in(namespace.file(), Family::Route)?;
    let found = socket.ask(link::get(&record.interface))?.iter().find_map(link::read_link);
    let index = found.ok_or(std::io::ErrorKind::NotFound)?.index;
    let own = |subnet_is_ipv4: bool| {
        if subnet_is_ipv4 { record.ipv4.map(IpAddr::V4) } else { record.ipv6.map(IpAddr::V6) }
    };
    let steps: Vec<_> = network
        .subnets
        .iter()
        .filter(|subnet| own(subnet.subnet.is_ipv4()).is_some())
        .map(|subnet| link::default_route(subnet.gateway, index))
        .collect();
    socket.change(&steps).map_err(|refusal| refusal.source)
}
