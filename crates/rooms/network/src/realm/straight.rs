//! Where services' addresses lead that the edge does not answer: to the instances that are ready, as names would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Realm, create};
use crate::events;
use crate::filter::{self, Fence, Served};
use crate::netlink::{Refusal, flow};
use crate::problems::KernelError;
use crate::record::{NetworkRecord, ServedRecord};

impl Realm {
    /// What the filters are to be made of.
    pub(super) fn fences(&self) -> Vec<Fence> {
        self.networks.values().map(|network| self.fence(network)).collect()
    }

    fn fence(&self, network: &NetworkRecord) -> Fence {
        let lead = |served: &ServedRecord| Served {
            address: IpAddr::V4(served.address),
            instances: self.instances(network, served),
        };
        Fence {
            bridge: network.bridge.clone(),
            internal: network.internal,
            masquerade: create::switch(network, create::OPTION_MASQUERADE),
            talk: create::switch(network, create::OPTION_TALK),
            subnets: network.subnets.iter().map(|s| s.subnet).collect(),
            served: network.served.iter().map(lead).collect(),
        }
    }

    /// The addresses of a service's instances that are ready.
    fn instances(&self, network: &NetworkRecord, served: &ServedRecord) -> Vec<IpAddr> {
        let its = self.attached.values().flatten().filter(|record| {
            let of = record.instance_of.as_ref();
            let its = of.is_some_and(|(app, service)| *app == served.app && *service == served.service);
            its && record.network_id == network.id && record.made && record.ready
        });
        let both =
            |ipv4: Option<_>, ipv6: Option<_>| ipv4.map(IpAddr::V4).into_iter().chain(ipv6.map(IpAddr::V6));
        its.flat_map(|record| both(record.ipv4, record.ipv6)).collect()
    }

    /// Leads services' addresses to the instances that are ready now. What fails is tried again at the next change.
    ///
    /// Before the filters were made at all nothing is done: that is for [`Self::settle`].
    pub(crate) fn lead_services(&mut self) {
        if self.networks.values().all(|network| network.served.is_empty()) {
            return;
        }
        let Some(before) = &self.fenced else { return };
        if *before == self.fences() {
            return;
        }
        if let Err(problem) = self.write_filters() {
            events::services_lead_elsewhere(&problem);
        }
    }

    /// Writes filters without the ways to instances, where the kernel has not all that these take: then the edge alone
    /// answers, and other ports are refused.
    pub(super) fn write_fewer(&mut self, fences: &[Fence], refusal: Refusal) -> Result<(), Refusal> {
        let mut fewer = fences.to_vec();
        let mut led = false;
        for served in fewer.iter_mut().flat_map(|fence| &mut fence.served) {
            led |= !std::mem::take(&mut served.instances).is_empty();
        }
        if !led {
            return Err(refusal);
        }
        let batch = filter::batch(&self.tag, &fewer);
        match self.kernel.filter() {
            Ok(socket) => socket.change(&batch)?,
            Err(_) => return Err(refusal),
        }
        events::services_not_led(&refusal.source);
        Ok(())
    }

    /// Has the kernel forget who answers datagrams, where that one is not among those who do now: a caller that goes on
    /// sending from one port would be led there for ever. What is of TCP goes on to its end.
    pub(super) fn forget_flows(&mut self, before: Option<&[Fence]>) {
        let of = |fences: &[Fence]| -> BTreeMap<IpAddr, BTreeSet<IpAddr>> {
            let served = fences.iter().flat_map(|fence| &fence.served);
            served.map(|one| (one.address, one.instances.iter().copied().collect())).collect()
        };
        let had = of(before.unwrap_or_default());
        let have = of(self.fenced.as_deref().unwrap_or_default());
        let left = |(address, before): (&IpAddr, &BTreeSet<IpAddr>)| {
            let now = have.get(address).cloned().unwrap_or_default();
            !before.is_subset(&now) || (before.is_empty() && !now.is_empty())
        };
        let new = have.keys().filter(|address| before.is_none() || !had.contains_key(*address));
        let stale: BTreeSet<IpAddr> =
            had.iter().filter(|one| left(*one)).map(|(address, _)| *address).chain(new.copied()).collect();
        for ipv4 in [true, false] {
            if stale.iter().any(|address| address.is_ipv4() == ipv4)
                && let Err(problem) = self.forget_family(ipv4, &stale, &have)
            {
                events::flows_remembered(&problem);
            }
        }
    }

    fn forget_family(
        &mut self,
        ipv4: bool,
        stale: &BTreeSet<IpAddr>,
        have: &BTreeMap<IpAddr, BTreeSet<IpAddr>>,
    ) -> Result<(), KernelError> {
        let failed = |source| KernelError::new("have the kernel forget who answered", source);
        let filter = self.kernel.filter()?;
        let all = filter.ask(flow::list(ipv4)).map_err(failed)?;
        let gone = all.iter().filter_map(flow::read).filter(|flow| {
            let there = have.get(&flow.to).is_some_and(|now| now.contains(&flow.by));
            !flow.tcp && stale.contains(&flow.to) && !there
        });
        let steps: Vec<_> = gone.map(|flow| flow::forget(&flow)).collect();
        for some in steps.chunks(64) {
            match filter.change(some) {
                // It ended by itself.
                Err(refusal) if !refusal.is(rustix::io::Errno::NOENT) => return Err(failed(refusal.source)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
