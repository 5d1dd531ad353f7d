//! Where services' addresses lead that the edge does not answer: to the instances that are ready, as names would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::{Realm, create};
use crate::events;
use crate::filter::{self, Fence, Served};
use crate::netlink::{Refusal, flow, numbers};
use crate::networks::Answered;
use crate::problems::KernelError;
use crate::record::{AttachmentRecord, NetworkRecord, ServedRecord};

impl Realm {
    /// What the filters are to be made of.
    pub(super) fn fences(&self) -> Vec<Fence> {
        self.networks.values().map(|network| self.fence(network)).collect()
    }

    fn fence(&self, network: &NetworkRecord) -> Fence {
        let lead = |(served, address): (&ServedRecord, IpAddr)| {
            let its = self.answered.values().flatten().filter(|(at, _)| at.ip() == address);
            let answered = its.map(|(at, behind)| (at.port(), *behind)).collect();
            Served { address, instances: self.instances(network, served, address.is_ipv4()), answered }
        };
        let each = |served| ServedRecord::addresses(served).map(move |address| (served, address));
        Fence {
            bridge: network.bridge.clone(),
            internal: network.internal,
            masquerade: create::switch(network, create::OPTION_MASQUERADE),
            talk: create::switch(network, create::OPTION_TALK),
            subnets: network.subnets.iter().map(|s| s.subnet).collect(),
            served: network.served.iter().flat_map(each).map(lead).collect(),
        }
    }

    /// Leaves to the edge only what is kept of what an owner's services had answered; returns what that was.
    pub(crate) fn keep_answered(&mut self, owner: &str, kept: &Answered) -> Answered {
        let Some(had) = self.answered.get_mut(owner) else { return Answered::new() };
        let before = had.clone();
        had.retain(|one| kept.contains(one));
        self.lead_services();
        before
    }

    /// Leaves to the edge what it is wanted to answer for an owner's services, where it listens.
    pub(crate) fn answer(&mut self, owner: &str, mut wanted: Answered) {
        if self.answered.get(owner).is_some_and(|had| *had == wanted) {
            return;
        }
        let listening = listening();
        wanted.retain(|(at, behind)| listening.contains(&SocketAddr::new(at.ip(), *behind)));
        self.answered.insert(owner.to_owned(), wanted);
        self.answered.retain(|_, ports| !ports.is_empty());
        self.lead_services();
    }

    /// The addresses in one family of a service's instances that are ready.
    fn instances(&self, network: &NetworkRecord, served: &ServedRecord, ipv4: bool) -> Vec<IpAddr> {
        let its = self.attached.values().flatten().filter(|record| {
            let of = record.instance_of.as_ref();
            let its = of.is_some_and(|(app, service)| *app == served.app && *service == served.service);
            its && record.network_id == network.id && record.made && record.ready
        });
        let of = |record: &AttachmentRecord| {
            if ipv4 { record.ipv4.map(IpAddr::V4) } else { record.ipv6.map(IpAddr::V6) }
        };
        its.filter_map(of).collect()
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

/// Where programs of this machine listen for TCP.
fn listening() -> BTreeSet<SocketAddr> {
    // Of the thread's own namespace. A machine without IPv6 has no second one.
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"].map(std::fs::read_to_string);
    tables.iter().flatten().flat_map(|text| text.lines()).filter_map(listener).collect()
}

/// The address of a line of `/proc/net/tcp` or `tcp6` that tells of a listener.
fn listener(line: &str) -> Option<SocketAddr> {
    const LISTENS: &str = "0A";
    let mut words = line.split_ascii_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    words.nth(1).filter(|state| *state == LISTENS)?;
    // The address's bytes stand there as numbers of this machine, four bytes each.
    let digits = address.as_bytes();
    if !digits.len().is_multiple_of(8) {
        return None;
    }
    let numbers: Vec<_> = digits.chunks(8).map(number).collect::<Option<_>>()?;
    let bytes: Vec<_> = numbers.into_iter().flat_map(u32::to_ne_bytes).collect();
    Some(SocketAddr::new(numbers::address(&bytes)?, u16::from_str_radix(port, 16).ok()?))
}

fn number(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::listener;

    #[test]
    fn listeners_of_both_families_are_read() {
        let line = |address: &str, state: &str| {
            listener(&format!("   0: {address}:F7B0 00000000:0000 {state} 00000000:00000000 00:00000000"))
        };
        // Of a machine with the lowest byte first.
        let at = |text: &str| Some(text.parse().unwrap()).filter(|_| cfg!(target_endian = "little"));
        assert_eq!(line("0100007F", "0A"), at("127.0.0.1:63408"));
        let local = line("3A125EFD00000000FFFFFFFFFEFFFFFF", "0A");
        assert_eq!(local, at("[fd5e:123a::ffff:ffff:ffff:fffe]:63408"));
        for (address, state) in [("0100007F", "01"), ("0100", "0A"), ("", "0A"), ("0100007F01000000", "0A")] {
            assert_eq!(line(address, state), None, "{address} {state}");
        }
    }
}
