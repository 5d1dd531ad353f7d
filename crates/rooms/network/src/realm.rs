//! All networks of one root, one change at a time.
//!
//! Every change writes the record first and the machine second, and takes away in the same order: so what the
//! record does not know is a leftover and may be removed, and what it knows can be made again.
//! `settle` does both, from wherever a crash left things.

mod attach;
mod create;
mod host;
mod lead_out;
mod serve;
mod settle;
mod straight;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base::{ContainerId, NetworkName, Rng};

use crate::events;
use crate::filter::{self, Fence};
use crate::names::{Member, NamesOfNetwork};
use crate::netlink::{Family, Socket, link};
use crate::order::{Attachment, NetworkView, PoolOrder, SubnetView};
use crate::problems::{ChangeError, FindError, KernelError, OpenError, RecordError, RemoveError};
use crate::record::{AttachmentRecord, Folder, NetworkRecord, ServedRecord};
use crate::tag::Tag;

pub use create::driver_option_names;
pub(crate) use host::forwarding_wanted;

/// The networks, what is attached to them, and the means to change both.
pub(crate) struct Realm {
    tag: Tag,
    folder: Folder,
    pools: Vec<PoolOrder>,
    networks: BTreeMap<NetworkName, NetworkRecord>,
    attached: BTreeMap<ContainerId, Vec<AttachmentRecord>>,
    /// By network id: how far into its range addresses were given last.
    last_given: BTreeMap<String, u128>,
    rng: Rng,
    kernel: Kernel,
    /// What the filters were made of last; none before they were made at all.
    fenced: Option<Vec<Fence>>,
    /// By owner: at which addresses and ports of services the edge listens, and where.
    answered: BTreeMap<String, BTreeSet<(SocketAddr, u16)>>,
    /// Tests stop an operation in its middle here, as a crash would.
    #[cfg(test)]
    pub(crate) crash: Option<CrashPoint>,
}

/// The sockets to the kernel, opened when first needed so that a folder can be read without rights.
#[derive(Default)]
pub(crate) struct Kernel {
    route: Option<Socket>,
    filter: Option<Socket>,
}

/// Between which steps a test lets an operation die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// The intent is on disk, nothing else has happened.
    Recorded,
    /// The link is there, its addresses or rules are not.
    LinkMade,
    /// Everything is there, the record does not say so yet.
    Finished,
}

impl Kernel {
    pub(crate) fn route(&mut self) -> Result<&mut Socket, KernelError> {
        if self.route.is_none() {
            let socket = Socket::open(Family::Route).map_err(|e| KernelError::new("talk about links", e))?;
            self.route = Some(socket);
        }
        Ok(self.route.as_mut().expect("it was opened above"))
    }

    pub(crate) fn filter(&mut self) -> Result<&mut Socket, KernelError> {
        if self.filter.is_none() {
            let socket =
                Socket::open(Family::Netfilter).map_err(|e| KernelError::new("talk about filters", e))?;
            self.filter = Some(socket);
        }
        Ok(self.filter.as_mut().expect("it was opened above"))
    }

    /// All links of this namespace.
    pub(crate) fn links(&mut self) -> Result<Vec<link::Link>, KernelError> {
        let answers = self.route()?.ask(link::list()).map_err(|e| KernelError::new("list links", e))?;
        Ok(answers.iter().filter_map(link::read_link).collect())
    }

    /// One link; none if it is not there.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<link::Link>, KernelError> {
        match self.route()?.ask(link::get(name)) {
            Ok(answers) => Ok(answers.iter().find_map(link::read_link)),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
            Err(e) => Err(KernelError::new(format!("look at the link `{name}`"), e)),
        }
    }

    /// Removes a link if it is there.
    pub(crate) fn remove_link(&mut self, name: &str) -> Result<(), KernelError> {
        match self.route()?.change(&[link::remove(name)]) {
            Err(refusal) if !refusal.is(rustix::io::Errno::NODEV) => {
                Err(KernelError::new(format!("remove the link `{name}`"), refusal.source))
            }
            Ok(()) | Err(_) => {
                base::crash::point("network: link removed");
                Ok(())
            }
        }
    }
}

impl Realm {
    /// Reads the record; touches nothing on the machine.
    pub(crate) fn open(tag: Tag, dir: &Path, pools: Vec<PoolOrder>) -> Result<Self, OpenError> {
        let folder = Folder::open(dir)?;
        let networks: BTreeMap<_, _> =
            folder.networks()?.into_iter().map(|network| (network.name.clone(), network)).collect();
        let (files, damaged) = folder.attached()?;
        for path in damaged {
            events::record_damaged(&path);
            std::fs::remove_file(&path).map_err(|source| RecordError { action: "remove", path, source })?;
        }
        let attached = files.into_iter().map(|file| (file.container, file.attachments)).collect();
        Ok(Self {
            tag,
            folder,
            pools,
            networks,
            attached,
            last_given: BTreeMap::new(),
            rng: Rng::from_kernel(),
            kernel: Kernel::default(),
            fenced: None,
            answered: BTreeMap::new(),
            #[cfg(test)]
            crash: None,
        })
    }

    /// The names of all networks.
    pub(crate) fn names(&self) -> Vec<NamesOfNetwork> {
        self.networks.values().map(|network| self.names_of(network)).collect()
    }

    fn names_of(&self, network: &NetworkRecord) -> NamesOfNetwork {
        let on = self.attached.values().flatten().filter(|r| r.network_id == network.id && r.made);
        let member = |record: &AttachmentRecord| Member {
            names: record.names.clone(),
            aliases: serve::aliases(network, record),
            addresses: record.ipv4.map(IpAddr::V4).into_iter().chain(record.ipv6.map(IpAddr::V6)).collect(),
            ready: record.ready,
            dns: record.dns.clone(),
            links: record.links.clone(),
        };
        let both = |record| serve::by_ipv6(network, record).into_iter().chain([member(record)]);
        let members = on.flat_map(both).chain(network.served.iter().map(serve::member)).collect();
        NamesOfNetwork {
            network: network.name.to_string(),
            bridge: network.bridge.clone(),
            listen: network.subnets.iter().map(|s| s.gateway).collect(),
            subnets: network.subnets.iter().map(|s| s.subnet).collect(),
            internal: network.internal,
            members,
        }
    }

    /// All networks, by name.
    pub(crate) fn list(&self) -> Vec<NetworkView> {
        self.networks.values().map(|network| self.view(network)).collect()
    }

    /// The network of this name, id, or beginning of an id.
    pub(crate) fn find(&self, text: &str) -> Result<NetworkView, FindError> {
        if let Some(network) = self.networks.values().find(|n| n.name.as_str() == text || n.id == text) {
            return Ok(self.view(network));
        }
        let hex = text.len() >= 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut begun = self.networks.values().filter(|n| hex && n.id.starts_with(text));
        match (begun.next(), begun.count()) {
            (None, _) => Err(FindError::Missing { text: text.to_owned() }),
            (Some(network), 0) => Ok(self.view(network)),
            (Some(_), more) => Err(FindError::Ambiguous { text: text.to_owned(), count: more + 1 }),
        }
    }

    /// What a container is attached to, in the order in which it joined.
    pub(crate) fn attachments(&self, container: &ContainerId) -> Vec<Attachment> {
        let records = self.attached.get(container).into_iter().flatten();
        records.filter_map(|record| self.attachment(container, record)).collect()
    }

    /// The links of the host that lead to a container.
    pub(crate) fn links(&self, container: &ContainerId) -> Vec<String> {
        self.attached
            .get(container)
            .into_iter()
            .flatten()
            .map(|record| record.host_interface.clone())
            .collect()
    }

    /// Takes a network away.
    pub(crate) fn remove(&mut self, name: &NetworkName) -> Result<(), RemoveError> {
        let Some(network) = self.networks.get(name).cloned() else {
            return Err(RemoveError::Missing { network: name.clone() });
        };
        let containers = self.containers_on(&network.id);
        if !containers.is_empty() {
            return Err(RemoveError::InUse { network: name.clone(), containers });
        }
        let mut rest = self.networks.clone();
        rest.remove(name);
        self.folder
            .write_networks(rest.values().cloned().collect())
            .map_err(|source| RemoveError::Record { network: name.clone(), source })?;
        self.networks = rest;
        self.last_given.remove(&network.id);
        let kernel = |source| RemoveError::Kernel { network: name.clone(), source };
        if self.dies_at(CrashPoint::Recorded) {
            return Ok(());
        }
        self.kernel.remove_link(&network.bridge).map_err(kernel)?;
        if self.dies_at(CrashPoint::LinkMade) {
            return Ok(());
        }
        self.write_filters().map_err(kernel)?;
        events::removed(name);
        Ok(())
    }

    /// Removes what nobody is attached to, but not the default network.
    pub(crate) fn prune(&mut self) -> Result<Vec<NetworkName>, RemoveError> {
        let unused = |n: &&NetworkRecord| n.name.as_str() != crate::DEFAULT_NETWORK;
        let names: Vec<_> =
            self.networks.values().filter(unused).map(|n| (n.name.clone(), n.id.clone())).collect();
        let mut removed = Vec::new();
        for (name, id) in names {
            if self.containers_on(&id).is_empty() {
                self.remove(&name)?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Takes everything away that this root has on the machine and in the record.
    pub(crate) fn destroy(&mut self) -> Result<(), ChangeError> {
        const WHAT: &str = "take the networks away";
        let record = |source| ChangeError::Record { what: WHAT, source };
        let kernel = |source| ChangeError::Kernel { what: WHAT, source };
        for container in std::mem::take(&mut self.attached).into_keys() {
            self.folder.write_attached(&container, &[]).map_err(record)?;
        }
        self.networks.clear();
        self.folder.write_networks(Vec::new()).map_err(record)?;
        for link in self.kernel.links().map_err(kernel)? {
            if self.tag.owns_link(&link.name) {
                self.kernel.remove_link(&link.name).map_err(kernel)?;
            }
        }
        self.write_filters().map_err(kernel)
    }

    /// Makes the filters agree with the networks; without networks there is no table.
    fn write_filters(&mut self) -> Result<(), KernelError> {
        let fences = self.fences();
        let table = self.tag.table();
        let whole = self.kernel.filter()?.change(&filter::batch(&self.tag, &fences));
        let written = whole.or_else(|refusal| self.write_fewer(&fences, refusal));
        written.map_err(|refusal| {
            KernelError::new(format!("write the filters `inet {table}`"), refusal.source)
        })?;
        base::crash::point("network: filters written");
        let before = self.fenced.replace(fences);
        self.forget_flows(before.as_deref());
        Ok(())
    }

    fn network_by_id(&self, id: &str) -> Option<&NetworkRecord> {
        self.networks.values().find(|network| network.id == id)
    }

    fn containers_on(&self, id: &str) -> Vec<ContainerId> {
        let on = |records: &Vec<AttachmentRecord>| records.iter().any(|r| r.network_id == id);
        self.attached
            .iter()
            .filter(|(_, records)| on(records))
            .map(|(container, _)| container.clone())
            .collect()
    }

    /// Addresses of a network that are not free.
    fn taken(&self, network: &NetworkRecord) -> BTreeSet<IpAddr> {
        let mut taken = BTreeSet::new();
        for subnet in &network.subnets {
            taken.extend(crate::pool::reserved(&subnet.subnet));
            taken.insert(subnet.gateway);
            taken.extend(subnet.aux_addresses.values());
        }
        taken.extend(network.served.iter().flat_map(ServedRecord::addresses));
        for record in self.attached.values().flatten().filter(|r| r.network_id == network.id) {
            taken.extend(record.ipv4.map(IpAddr::V4));
            taken.extend(record.ipv6.map(IpAddr::V6));
        }
        taken
    }

    fn view(&self, network: &NetworkRecord) -> NetworkView {
        let on = |(container, records): (&ContainerId, &Vec<AttachmentRecord>)| {
            let record = records.iter().find(|r| r.network_id == network.id)?;
            Some(attachment_of(container, record, network))
        };
        NetworkView {
            id: network.id.clone(),
            name: network.name.clone(),
            bridge: network.bridge.clone(),
            created: network.created,
            internal: network.internal,
            enable_ipv6: network.enable_ipv6,
            subnets: network
                .subnets
                .iter()
                .map(|s| SubnetView {
                    subnet: s.subnet,
                    gateway: s.gateway,
                    ip_range: s.ip_range,
                    aux_addresses: s.aux_addresses.clone(),
                })
                .collect(),
            labels: network.labels.clone(),
            app: network.app.clone(),
            driver_opts: network.driver_opts.clone(),
            remarks: network.remarks.clone(),
            attachments: self.attached.iter().filter_map(on).collect(),
        }
    }

    fn attachment(&self, container: &ContainerId, record: &AttachmentRecord) -> Option<Attachment> {
        self.network_by_id(&record.network_id).map(|network| attachment_of(container, record, network))
    }

    #[cfg(test)]
    fn dies_at(&self, point: CrashPoint) -> bool {
        self.crash == Some(point)
    }

    #[cfg(not(test))]
    fn dies_at(&self, _: CrashPoint) -> bool {
        false
    }
}

fn attachment_of(container: &ContainerId, record: &AttachmentRecord, network: &NetworkRecord) -> Attachment {
    let subnet = |ipv4: bool| network.subnets.iter().find(|s| s.subnet.is_ipv4() == ipv4);
    let (v4, v6) = (subnet(true), subnet(false));
    Attachment {
        container: container.clone(),
        network: network.name.clone(),
        network_id: network.id.clone(),
        interface: record.interface.clone(),
        host_interface: record.host_interface.clone(),
        mac: record.mac,
        ipv4: record.ipv4,
        ipv4_prefix: v4.map_or(0, |s| s.subnet.prefix()),
        ipv4_gateway: v4.and_then(|s| match s.gateway {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }),
        ipv6: record.ipv6,
        ipv6_prefix: v6.map_or(0, |s| s.subnet.prefix()),
        ipv6_gateway: v6.and_then(|s| match s.gateway {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }),
        names: record.names.clone(),
        aliases: record.aliases.clone(),
        ready: record.ready,
        default_route: record.default_route,
    }
}
