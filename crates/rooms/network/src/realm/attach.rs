//! Joining containers to networks, and letting them go.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use base::{ContainerId, NetworkName};

use super::host::mac_of;
use super::{CrashPoint, Realm};
use crate::events;
use crate::netlink::{Family, Socket, link};
use crate::order::{AttachOrder, Attachment};
use crate::pool;
use crate::problems::{AttachError, ChangeError, KernelError};
use crate::record::{AttachmentRecord, NetworkRecord};

/// A container's network namespace, held open.
pub(super) struct Namespace {
    file: File,
    number: u64,
}

impl Namespace {
    /// That of a process.
    pub(super) fn of(pid: u32) -> std::io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        let number = file.metadata()?.ino();
        Ok(Self { file, number })
    }

    /// Whether it has this number.
    pub(super) fn is(&self, number: u64) -> bool {
        self.number == number
    }

    /// To open sockets in it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether it is the one that we stand in ourselves.
    fn is_ours(&self) -> bool {
        std::fs::metadata("/proc/thread-self/ns/net").is_ok_and(|ours| ours.ino() == self.number)
    }
}

impl Realm {
    /// Joins a container to a network; once more is no harm, and after a restart it keeps its addresses.
    pub(crate) fn attach(
        &mut self,
        name: &NetworkName,
        order: &AttachOrder,
    ) -> Result<Attachment, AttachError> {
        let Some(network) = self.networks.get(name).cloned() else {
            return Err(AttachError::Missing { network: name.clone() });
        };
        let namespace = self.namespace(order)?;
        let kernel = |source| AttachError::Kernel {
            network: name.clone(),
            container: order.container.clone(),
            source,
        };
        let before = self.record_of(&order.container, &network.id).cloned();
        if let Some(before) = &before {
            let there = before.made && before.namespace == namespace.number;
            if there && self.kernel.link(&before.host_interface).map_err(kernel)?.is_some() {
                let mut renamed = before.clone();
                renamed.names.clone_from(&order.names);
                renamed.aliases.clone_from(&order.aliases);
                renamed.ready = order.ready;
                renamed.dns.clone_from(&order.dns);
                renamed.links.clone_from(&order.links);
                renamed.instance_of.clone_from(&order.instance_of);
                self.record_attachment(&network, &order.container, renamed.clone())?;
                return Ok(super::attachment_of(&order.container, &renamed, &network));
            }
            self.kernel.remove_link(&before.host_interface).map_err(kernel)?;
        }
        let mut record = self.choose_addresses(&network, order, before.as_ref())?;
        record.namespace = namespace.number;
        self.record_attachment(&network, &order.container, record.clone())?;
        if self.dies_at(CrashPoint::Recorded) {
            return Ok(super::attachment_of(&order.container, &record, &network));
        }
        if let Err(source) = self.connect(&network, &record, &namespace) {
            // What cannot be taken back now is a leftover that the next settling removes.
            let _ = self.kernel.remove_link(&record.host_interface);
            let _ = self.forget(&order.container, &network.id);
            return Err(kernel(source));
        }
        if self.dies_at(CrashPoint::Finished) {
            return Ok(super::attachment_of(&order.container, &record, &network));
        }
        record.made = true;
        self.record_attachment(&network, &order.container, record.clone())?;
        let attachment = super::attachment_of(&order.container, &record, &network);
        let address = attachment.ipv4.map(|a| a.to_string()).unwrap_or_default();
        events::attached(name, &order.container, &address);
        Ok(attachment)
    }

    /// Lets a container go from one network; it need not be on it.
    pub(crate) fn detach(&mut self, name: &NetworkName, container: &ContainerId) -> Result<(), ChangeError> {
        let Some(id) = self.networks.get(name).map(|n| n.id.clone()) else { return Ok(()) };
        self.let_go(container, |record| record.network_id == id)
    }

    /// Lets a container go from all networks.
    pub(crate) fn detach_all(&mut self, container: &ContainerId) -> Result<(), ChangeError> {
        self.let_go(container, |_| true)
    }

    fn let_go(
        &mut self,
        container: &ContainerId,
        which: impl Fn(&AttachmentRecord) -> bool,
    ) -> Result<(), ChangeError> {
        const WHAT: &str = "take a container off its networks";
        let Some(records) = self.attached.get(container).cloned() else { return Ok(()) };
        let (gone, kept): (Vec<_>, Vec<_>) = records.into_iter().partition(which);
        if gone.is_empty() {
            return Ok(());
        }
        self.write_attachments(container, kept)
            .map_err(|source| ChangeError::Record { what: WHAT, source })?;
        if self.dies_at(CrashPoint::Recorded) {
            return Ok(());
        }
        for record in gone {
            self.kernel
                .remove_link(&record.host_interface)
                .map_err(|source| ChangeError::Kernel { what: WHAT, source })?;
            if let Some(network) = self.network_by_id(&record.network_id) {
                events::detached(&network.name, container);
            }
        }
        Ok(())
    }

    /// Whether shared names lead to a container; says whether that changed.
    pub(crate) fn set_ready(&mut self, container: &ContainerId, ready: bool) -> Result<bool, ChangeError> {
        let Some(mut records) = self.attached.get(container).cloned() else { return Ok(false) };
        if records.iter().all(|record| record.ready == ready) {
            return Ok(false);
        }
        records.iter_mut().for_each(|record| record.ready = ready);
        self.write_attachments(container, records)
            .map_err(|source| ChangeError::Record { what: "note whether a container is ready", source })?;
        Ok(true)
    }

    /// Other names for others, valid on one network.
    pub(crate) fn set_links(
        &mut self,
        container: &ContainerId,
        network: &NetworkName,
        links: &[(String, String)],
    ) -> Result<(), ChangeError> {
        let id = self.networks.get(network).map(|network| network.id.clone());
        let Some(mut records) = self.attached.get(container).cloned() else { return Ok(()) };
        let on = records.iter_mut().filter(|record| Some(&record.network_id) == id.as_ref());
        on.for_each(|record| record.links = links.to_vec());
        self.write_attachments(container, records)
            .map_err(|source| ChangeError::Record { what: "note the links of a container", source })
    }

    /// Gives a container other names of its own.
    pub(crate) fn rename(&mut self, container: &ContainerId, names: &[String]) -> Result<(), ChangeError> {
        let Some(mut records) = self.attached.get(container).cloned() else { return Ok(()) };
        records.iter_mut().for_each(|record| record.names = names.to_vec());
        self.write_attachments(container, records)
            .map_err(|source| ChangeError::Record { what: "note the names of a container", source })
    }

    fn namespace(&self, order: &AttachOrder) -> Result<Namespace, AttachError> {
        let none =
            |source| AttachError::NoNamespace { container: order.container.clone(), pid: order.pid, source };
        let namespace = Namespace::of(order.pid).map_err(|e| none(Some(e)))?;
        if namespace.is_ours() { Err(none(None)) } else { Ok(namespace) }
    }

    fn record_of(&self, container: &ContainerId, network: &str) -> Option<&AttachmentRecord> {
        self.attached.get(container)?.iter().find(|record| record.network_id == network)
    }

    /// Decides everything about an attachment.
    fn choose_addresses(
        &mut self,
        network: &NetworkRecord,
        order: &AttachOrder,
        before: Option<&AttachmentRecord>,
    ) -> Result<AttachmentRecord, AttachError> {
        let mut addresses = Vec::new();
        for subnet in &network.subnets {
            let ipv4 = subnet.subnet.is_ipv4();
            let (fixed, had) = if ipv4 {
                (order.ipv4.map(IpAddr::V4), before.and_then(|b| b.ipv4).map(IpAddr::V4))
            } else {
                (order.ipv6.map(IpAddr::V6), before.and_then(|b| b.ipv6).map(IpAddr::V6))
            };
            let mut taken = self.taken(network);
            had.iter().for_each(|own| {
                taken.remove(own);
            });
            let address = match (fixed, had) {
                (Some(fixed), _) => check_fixed(network, &subnet.subnet, &taken, fixed)?,
                (None, Some(had)) => had,
                (None, None) => self.next_address(network, subnet, &taken)?,
            };
            addresses.push(address);
        }
        if let (Some(address), false) = (order.ipv6, network.enable_ipv6) {
            let why = "the network has no IPv6".to_owned();
            let address = IpAddr::V6(address);
            return Err(AttachError::Address { network: network.name.clone(), address, why, taken: false });
        }
        let names: Vec<_> = self.attached.values().flatten().map(|r| r.host_interface.as_str()).collect();
        let host_interface = std::iter::repeat_with(|| self.tag.veth(self.rng.next_u64()))
            .find(|name| !names.contains(&name.as_str()))
            .expect("an endless search ends with a find");
        Ok(AttachmentRecord {
            network_id: network.id.clone(),
            interface: order.interface.clone().unwrap_or_else(|| format!("eth{}", order.index)),
            host_interface,
            mac: order.mac.unwrap_or_else(|| mac_of(addresses[0])),
            ipv4: addresses.iter().find_map(|a| if let IpAddr::V4(v4) = a { Some(*v4) } else { None }),
            ipv6: addresses.iter().find_map(|a| if let IpAddr::V6(v6) = a { Some(*v6) } else { None }),
            default_route: order.default_route,
            names: order.names.clone(),
            aliases: order.aliases.clone(),
            ready: order.ready,
            dns: order.dns.clone(),
            links: order.links.clone(),
            link_local: order.link_local.clone(),
            instance_of: order.instance_of.clone(),
            pid: order.pid,
            namespace: 0,
            made: false,
        })
    }

    fn next_address(
        &mut self,
        network: &NetworkRecord,
        subnet: &crate::record::SubnetRecord,
        taken: &std::collections::BTreeSet<IpAddr>,
    ) -> Result<IpAddr, AttachError> {
        let range = subnet.ip_range.unwrap_or(subnet.subnet);
        // One memory for both families: they advance together.
        let last = self.last_given.get(&network.id).copied().unwrap_or(0);
        let free = pool::choose_address(&range, taken, last.saturating_sub(u128::from(!range.is_ipv4())));
        let address = free.ok_or_else(|| AttachError::Exhausted {
            network: network.name.clone(),
            subnet: range,
            count: taken.iter().filter(|a| range.contains(**a)).count() as u128,
        })?;
        if let (Some(offset), true) = (range.offset(address), range.is_ipv4()) {
            self.last_given.insert(network.id.clone(), offset);
        }
        Ok(address)
    }

    /// Makes the pair of links and sets up its end in the container.
    pub(super) fn connect(
        &mut self,
        network: &NetworkRecord,
        record: &AttachmentRecord,
        namespace: &Namespace,
    ) -> Result<(), KernelError> {
        let bridge = match self.kernel.link(&network.bridge)? {
            Some(bridge) => bridge.index,
            None => self.make_bridge(network)?,
        };
        let pair = link::Pair {
            host: &record.host_interface,
            bridge,
            inside: &record.interface,
            mac: record.mac,
            namespace: namespace.file.as_fd(),
            mtu: network.mtu,
        };
        let host = &record.host_interface;
        let steps = [link::make_pair(&pair), link::quieten(host), link::raise(host)];
        self.kernel
            .route()?
            .change(&steps)
            .map_err(|r| KernelError::new(format!("make the link `{host}`"), r.source))?;
        base::crash::point("network: link made");
        if self.dies_at(CrashPoint::LinkMade) {
            return Ok(());
        }
        configure(network, record, namespace)
            .map_err(|e| KernelError::new(format!("set up `{}` in the container", record.interface), e))?;
        base::crash::point("network: link set up");
        self.await_way(&network.bridge, host)
    }

    /// Waits until packets pass from the host over the bridge to a container's link.
    pub(super) fn await_way(&mut self, bridge: &str, host: &str) -> Result<(), KernelError> {
        let route = self.kernel.route()?;
        let waited = route.await_link(host, |link| link.up && link.forwards);
        waited
            .and_then(|()| route.await_link(bridge, |link| link.up))
            .map_err(|e| KernelError::new(format!("bring the link `{host}` up"), e))
    }

    fn record_attachment(
        &mut self,
        network: &NetworkRecord,
        container: &ContainerId,
        record: AttachmentRecord,
    ) -> Result<(), AttachError> {
        let mut records = self.attached.get(container).cloned().unwrap_or_default();
        match records.iter_mut().find(|r| r.network_id == record.network_id) {
            Some(place) => *place = record,
            None => records.push(record),
        }
        self.write_attachments(container, records).map_err(|source| AttachError::Record {
            network: network.name.clone(),
            container: container.clone(),
            source,
        })
    }

    fn forget(&mut self, container: &ContainerId, network: &str) -> Result<(), crate::problems::RecordError> {
        let mut records = self.attached.get(container).cloned().unwrap_or_default();
        records.retain(|record| record.network_id != network);
        self.write_attachments(container, records)
    }

    /// Replaces a container's records, on disk first.
    pub(super) fn write_attachments(
        &mut self,
        container: &ContainerId,
        records: Vec<AttachmentRecord>,
    ) -> Result<(), crate::problems::RecordError> {
        self.folder.write_attached(container, &records)?;
        if records.is_empty() {
            self.attached.remove(container);
        } else {
            self.attached.insert(container.clone(), records);
        }
        Ok(())
    }
}

fn check_fixed(
    network: &NetworkRecord,
    subnet: &base::Cidr,
    taken: &std::collections::BTreeSet<IpAddr>,
    address: IpAddr,
) -> Result<IpAddr, AttachError> {
    let refuse =
        |why: String, taken| AttachError::Address { network: network.name.clone(), address, why, taken };
    if !subnet.contains(address) {
        return Err(refuse(format!("it does not lie in {subnet}"), false));
    }
    if taken.contains(&address) {
        return Err(refuse("it is taken".to_owned(), true));
    }
    Ok(address)
}

/// Gives the container's end its addresses and routes and takes it, and loopback, into use.
fn configure(
    network: &NetworkRecord,
    record: &AttachmentRecord,
    namespace: &Namespace,
) -> std::io::Result<()> {
    let mut socket = Socket::open_in(&namespace.file, Family::Route)?;
    let name = record.interface.as_str();
    let mut steps = vec![link::raise("lo"), link::raise(name)];
    if !network.enable_ipv6 {
        steps.insert(0, link::quieten(name));
    }
    socket.change(&steps).map_err(|refusal| refusal.source)?;
    let found = socket.ask(link::get(name))?.iter().find_map(link::read_link);
    let index = found.ok_or(std::io::ErrorKind::NotFound)?.index;
    let mut steps = Vec::new();
    for subnet in &network.subnets {
        let own =
            if subnet.subnet.is_ipv4() { record.ipv4.map(IpAddr::V4) } else { record.ipv6.map(IpAddr::V6) };
        let Some(own) = own else { continue };
        steps.push(link::give_address(index, own, subnet.subnet.prefix()));
        // Without a way out there is no route to it: so programs learn at once that there is none.
        if record.default_route && !network.internal {
            steps.push(link::default_route(subnet.gateway, index));
        }
    }
    for own in &record.link_local {
        steps.push(link::give_address(index, *own, if own.is_ipv4() { 16 } else { 64 }));
    }
    socket.change(&steps).map_err(|refusal| refusal.source)?;
    socket.await_link(name, |link| link.up)?;
    socket.await_addresses(index, record.ipv6.as_slice())
}
