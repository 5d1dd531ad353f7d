//! Bringing the machine and the record together again, after a crash, a reboot, or somebody's clumsiness.

use std::collections::BTreeSet;

use base::{ContainerId, NetworkName};

use super::Realm;
use super::attach::Namespace;
use super::host::Host;
use crate::events;
use crate::netlink::link;
use crate::order::Settled;
use crate::problems::{ChangeError, KernelError, RecordError};
use crate::record::AttachmentRecord;

const WHAT: &str = "bring the networks in order";

impl Realm {
    /// Makes the machine agree with the record, of which only live containers' attachments are kept.
    ///
    /// Repeatable: a second time in a row finds nothing to do.
    pub(crate) fn settle(&mut self, live: &[ContainerId]) -> Result<Settled, ChangeError> {
        let mut settled = Settled::default();
        self.release(&live.iter().collect(), &mut settled)
            .map_err(|source| ChangeError::Record { what: WHAT, source })?;
        self.complete_served().map_err(|source| ChangeError::Record { what: WHAT, source })?;
        let kernel = |source| ChangeError::Kernel { what: WHAT, source };
        self.remove_strangers(&mut settled).map_err(kernel)?;
        self.write_filters().map_err(kernel)?;
        self.restore_bridges(&mut settled).map_err(kernel)?;
        let lost = self.restore_attachments(&mut settled).map_err(kernel)?;
        for (container, network) in lost {
            self.drop_records(&container, |record| record.network_id == network)
                .map_err(|source| ChangeError::Record { what: WHAT, source })?;
        }
        let host = Host::look(&mut self.kernel).map_err(kernel)?;
        self.forward_packets(&host);
        events::settled(&self.tag, &settled);
        Ok(settled)
    }

    /// Drops the records of the dead, of the half made, and of networks that are gone.
    fn release(&mut self, live: &BTreeSet<&ContainerId>, settled: &mut Settled) -> Result<(), RecordError> {
        let ids: BTreeSet<String> = self.networks.values().map(|n| n.id.clone()).collect();
        let containers: Vec<_> = self.attached.keys().cloned().collect();
        for container in containers {
            let lives = live.contains(&container);
            let gone = self.drop_records(&container, |record| {
                !(lives && record.made && ids.contains(&record.network_id))
            })?;
            let named = gone.into_iter().filter_map(|record| self.name_of(&record.network_id));
            let named: Vec<_> = named.map(|network| (container.clone(), network)).collect();
            if lives { &mut settled.lost } else { &mut settled.released }.extend(named);
        }
        Ok(())
    }

    fn name_of(&self, id: &str) -> Option<NetworkName> {
        self.network_by_id(id).map(|network| network.name.clone())
    }

    fn drop_records(
        &mut self,
        container: &ContainerId,
        which: impl Fn(&AttachmentRecord) -> bool,
    ) -> Result<Vec<AttachmentRecord>, RecordError> {
        let records = self.attached.get(container).cloned().unwrap_or_default();
        let (gone, kept): (Vec<_>, Vec<_>) = records.into_iter().partition(which);
        if !gone.is_empty() {
            self.write_attachments(container, kept)?;
        }
        Ok(gone)
    }

    /// Removes links that bear our tag and that the record does not know.
    fn remove_strangers(&mut self, settled: &mut Settled) -> Result<(), KernelError> {
        let bridges = self.networks.values().map(|n| n.bridge.clone());
        let ends = self.attached.values().flatten().map(|r| r.host_interface.clone());
        let known: BTreeSet<String> = bridges.chain(ends).collect();
        for link in self.kernel.links()? {
            if self.tag.owns_link(&link.name) && !known.contains(&link.name) {
                self.kernel.remove_link(&link.name)?;
                settled.links_removed.push(link.name);
            }
        }
        Ok(())
    }

    fn restore_bridges(&mut self, settled: &mut Settled) -> Result<(), KernelError> {
        for network in self.networks.values().cloned().collect::<Vec<_>>() {
            if self.kernel.link(&network.bridge)?.is_none() {
                settled.bridges_restored.push(network.name.clone());
            }
            // Also when it is there: a crash may have come between the bridge and its addresses.
            let index = self.make_bridge(&network)?;
            self.take_stray_addresses(&network, index)?;
        }
        Ok(())
    }

    /// Puts every link back where it belongs; returns what cannot be brought back, by container and network id.
    fn restore_attachments(
        &mut self,
        settled: &mut Settled,
    ) -> Result<Vec<(ContainerId, String)>, KernelError> {
        let mut lost = Vec::new();
        let all: Vec<_> = self
            .attached
            .iter()
            .flat_map(|(container, records)| records.iter().map(|r| (container.clone(), r.clone())))
            .collect();
        for (container, record) in all {
            let Some(network) = self.network_by_id(&record.network_id).cloned() else { continue };
            let bridge = self.kernel.link(&network.bridge)?.map(|link| link.index);
            if let Some(end) = self.kernel.link(&record.host_interface)? {
                if let Some(bridge) = bridge.filter(|_| end.master != bridge) {
                    let name = &record.host_interface;
                    self.kernel
                        .route()?
                        .change(&[link::enslave(name, bridge), link::raise(name)])
                        .map_err(|r| KernelError::new(format!("put `{name}` on its bridge"), r.source))?;
                    self.await_way(&network.bridge, name)?;
                    settled.attachments_restored.push((container, network.name));
                }
                continue;
            }
            // The number tells whether the process is still the one meant and not a later one of the same id.
            let namespace = Namespace::of(record.pid).ok().filter(|n| n.is(record.namespace));
            let restored = namespace.is_some_and(|n| self.connect(&network, &record, &n).is_ok());
            if restored {
                settled.attachments_restored.push((container, network.name));
            } else {
                lost.push((container.clone(), record.network_id));
                settled.lost.push((container, network.name));
            }
        }
        Ok(lost)
    }
}
