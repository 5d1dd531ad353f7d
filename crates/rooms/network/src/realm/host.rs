//! What the host has already: ranges in use, ways out, and whether it passes packets on.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use super::{Kernel, Realm};
use crate::events;
use crate::netlink::link::{self, Link, Range};
use crate::pool::Occupied;
use crate::problems::KernelError;
use crate::record::NetworkRecord;
use base::Cidr;

/// Whether the machine passes packets of IPv6 on.
const ALL_IPV6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// What Ethernet carries, and what a network gets unless the way out carries less.
const USUAL_MTU: u32 = 1500;

/// Links, addresses and routes of the host at one moment.
pub(super) struct Host {
    pub(super) links: Vec<Link>,
    addresses: Vec<Range>,
    routes: Vec<Range>,
}

impl Host {
    /// Asks the kernel.
    pub(super) fn look(kernel: &mut Kernel) -> Result<Self, KernelError> {
        let links = kernel.links()?;
        let route = kernel.route()?;
        let addresses =
            route.ask(link::list_addresses()).map_err(|e| KernelError::new("list addresses", e))?;
        let routes = route.ask(link::list_routes()).map_err(|e| KernelError::new("list routes", e))?;
        Ok(Self {
            links,
            addresses: addresses.iter().filter_map(link::read_address).collect(),
            routes: routes.iter().filter_map(link::read_route).collect(),
        })
    }

    /// Ranges that links of the host hold.
    pub(super) fn held(&self) -> Vec<Occupied> {
        let by = |range: &Range| format!("{} on {}", range.subnet, self.name(range.link));
        self.addresses.iter().map(|r| Occupied { range: r.subnet, by: by(r) }).collect()
    }

    /// Ranges that links hold, routes lead to, or name servers lie in.
    pub(super) fn occupied(&self) -> Vec<Occupied> {
        let mut occupied = self.held();
        let led = self.routes.iter().filter(|r| r.subnet.prefix() > 0);
        occupied.extend(led.map(|r| Occupied {
            range: r.subnet,
            by: format!("the route to {} over {}", r.subnet, self.name(r.link)),
        }));
        let servers = crate::texts::nameservers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        occupied.extend(servers.into_iter().filter_map(|server| {
            let width = if server.is_ipv4() { 32 } else { 128 };
            let range = Cidr::around(server, width)?;
            Some(Occupied { range, by: format!("the name server {server}") })
        }));
        occupied
    }

    /// A link other than this one that holds a part of the range.
    pub(super) fn rival(&self, subnet: &Cidr, own: u32) -> Option<String> {
        let rival = self.addresses.iter().find(|a| a.link != own && a.subnet.overlaps(subnet))?;
        Some(format!("{} on {}", rival.subnet, self.name(rival.link)))
    }

    /// The largest packet that every way out carries.
    pub(super) fn mtu(&self) -> u32 {
        let out: BTreeSet<_> =
            self.routes.iter().filter(|r| r.subnet.prefix() == 0).map(|r| r.link).collect();
        let mtus = self.links.iter().filter(|l| out.contains(&l.index)).map(|l| l.mtu);
        mtus.min().unwrap_or(USUAL_MTU).clamp(1280, USUAL_MTU)
    }

    /// Links of the host over which packets may come back, but not loopback.
    fn ways(&self, ipv4: bool) -> BTreeSet<&str> {
        let led = self.routes.iter().filter(|r| r.subnet.is_ipv4() == ipv4);
        led.map(|r| self.name(r.link)).filter(|name| *name != "lo" && *name != "?").collect()
    }

    fn name(&self, index: u32) -> &str {
        self.links.iter().find(|l| l.index == index).map_or("?", |l| &l.name)
    }
}

impl Realm {
    /// Has the kernel pass packets between the bridges of open networks and the ways out, and within those where
    /// services have addresses.
    ///
    /// For IPv4 only the links concerned are told; a machine whose whole forwarding is on needs nothing.
    /// IPv6 knows only the whole machine, which then stops listening to routers unless told otherwise.
    pub(super) fn forward_packets(&self, host: &Host) {
        self.networks.values().filter(|n| !n.served.is_empty()).for_each(|n| pass_within(n, host));
        let open: Vec<&NetworkRecord> = self.networks.values().filter(|n| !n.internal).collect();
        if open.is_empty() {
            return;
        }
        if !is_on("/proc/sys/net/ipv4/ip_forward") {
            let bridges = open.iter().map(|n| n.bridge.as_str());
            for link in bridges.chain(host.ways(true)) {
                switch_on(&format!("/proc/sys/net/ipv4/conf/{link}/forwarding"), "1");
            }
        }
        if open.iter().any(|n| n.enable_ipv6) && !is_on(ALL_IPV6) {
            forward_all_ipv6(&host.ways(false));
        }
    }
}

/// Has the kernel pass packets from a bridge back into it. The filters keep an internal network's from going elsewhere.
///
/// In IPv6 kernels before 6.17 know that for the whole machine only.
pub(super) fn pass_within(network: &NetworkRecord, host: &Host) {
    if !is_on("/proc/sys/net/ipv4/ip_forward") {
        switch_on(&format!("/proc/sys/net/ipv4/conf/{}/forwarding", network.bridge), "1");
    }
    if !network.served.iter().any(|served| served.ipv6.is_some()) || is_on(ALL_IPV6) {
        return;
    }
    let alone = format!("/proc/sys/net/ipv6/conf/{}/force_forwarding", network.bridge);
    if fs::exists(&alone).unwrap_or(false) {
        switch_on(&alone, "1");
    } else {
        forward_all_ipv6(&host.ways(false));
    }
}

/// Has the whole machine pass packets of IPv6 on, and go on listening to routers on these links where it did.
fn forward_all_ipv6(ways: &BTreeSet<&str>) {
    for link in ways {
        let listening = format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
        if is_on(&listening) {
            switch_on(&listening, "2");
        }
    }
    switch_on(ALL_IPV6, "1");
}

/// Which of the kernel's switches are off that open networks need; for `sea doctor`.
pub(crate) fn forwarding_wanted() -> Vec<&'static str> {
    let switches = ["/proc/sys/net/ipv4/ip_forward", ALL_IPV6];
    switches.into_iter().filter(|path| !is_on(path)).collect()
}

fn is_on(path: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}

fn switch_on(path: &str, value: &str) {
    let setting = path.trim_start_matches("/proc/sys/");
    match fs::read_to_string(path) {
        Ok(now) if now.trim() == value => {}
        // A link that went away a moment ago needs no switch.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Ok(_) | Err(_) => match fs::write(path, value) {
            Ok(()) => events::forwarding_enabled(setting),
            Err(error) => events::forwarding_refused(setting, &error),
        },
    }
}

/// The hardware address that belongs to an address: who gets an address anew gets the same one, so what
/// neighbours remember of the address stays true.
pub(super) fn mac_of(address: IpAddr) -> crate::order::Mac {
    let bytes: [u8; 4] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => (v6.to_bits() as u32).to_be_bytes(),
    };
    let [a, b, c, d] = bytes;
    crate::order::Mac([0x02, 0x42, a, b, c, d])
}
