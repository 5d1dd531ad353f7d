//! Making a network: checks the order, chooses what it leaves open, and makes the bridge.

use std::net::IpAddr;

use base::{NetworkName, Timestamp};

use super::host::{Host, mac_of};
use super::{CrashPoint, Realm};
use crate::events;
use crate::netlink::link;
use crate::order::{IpamOrder, NetworkOrder, NetworkView};
use crate::pool::{self, Occupied};
use crate::problems::{CreateError, KernelError};
use crate::record::{NetworkRecord, ServedRecord, SubnetRecord};
use base::Cidr;

/// So many networks may a root have; each costs a few filter rules.
pub(crate) const LIMIT: usize = 512;
/// How often another subnet is tried when another daemon took the same one at the same moment.
const TRIES: usize = 16;

/// The largest packet.
const OPTION_MTU: &str = "com.docker.network.driver.mtu";
/// Whether containers go out under the host's address.
pub(super) const OPTION_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// Whether containers of the network may speak to each other.
pub(super) const OPTION_TALK: &str = "com.docker.network.bridge.enable_icc";

/// The driver options that have an effect; others are kept and shown, and do nothing.
pub const fn driver_option_names() -> &'static [&'static str] {
    &[OPTION_MTU, OPTION_MASQUERADE, OPTION_TALK]
}

/// A yes-or-no option, yes unless it says otherwise.
pub(super) fn switch(network: &NetworkRecord, option: &str) -> bool {
    network.driver_opts.get(option).is_none_or(|value| !matches!(value.as_str(), "false" | "0" | "no"))
}

/// An order whose texts were read.
struct Checked {
    ipv4: Range,
    ipv6: Option<Range>,
    mtu: Option<u32>,
}

/// A range as asked for, read.
#[derive(Default)]
struct Range {
    subnet: Option<Cidr>,
    gateway: Option<IpAddr>,
    ip_range: Option<Cidr>,
    aux_addresses: std::collections::BTreeMap<String, IpAddr>,
}

impl Realm {
    /// Makes a network, or finds that it is there already.
    pub(crate) fn create(
        &mut self,
        order: &NetworkOrder,
        now: Timestamp,
    ) -> Result<NetworkView, CreateError> {
        let checked = check(order)?;
        if self.networks.contains_key(&order.name) {
            return self.agree(order, &checked);
        }
        if self.networks.len() >= LIMIT {
            return Err(CreateError::TooMany { network: order.name.clone(), limit: LIMIT });
        }
        let unknown = order.driver_opts.keys().filter(|o| !driver_option_names().contains(&o.as_str()));
        unknown.for_each(|option| events::option_unknown(&order.name, option));
        // Where the search begins depends on the root, so that two roots seldom want the same.
        let mut start = u64::from_str_radix(self.tag.as_str(), 16).unwrap_or(0);
        let mut tries = 0;
        loop {
            let host = self.look(&order.name)?;
            let network = self.choose(order, &checked, &host, (start, now))?;
            let Err(lost) = self.establish(&network)? else {
                let subnets: Vec<_> = network.subnets.iter().map(|s| s.subnet.to_string()).collect();
                events::created(&network.name, &network.bridge, &subnets.join(", "));
                return Ok(self.view(&network));
            };
            tries += 1;
            let chosen = checked.ipv4.subnet.is_none();
            if !chosen || tries == TRIES {
                let network = order.name.clone();
                return Err(CreateError::Overlaps { network, subnet: lost.subnet, other: lost.rival });
            }
            events::subnet_lost(&order.name, &lost.subnet.to_string(), &lost.rival);
            start = self.rng.next_u64();
        }
    }

    fn look(&mut self, name: &NetworkName) -> Result<Host, CreateError> {
        Host::look(&mut self.kernel).map_err(|source| CreateError::Kernel { network: name.clone(), source })
    }

    /// Compares an order with what is there; labels may change, the rest may not.
    fn agree(&mut self, order: &NetworkOrder, checked: &Checked) -> Result<NetworkView, CreateError> {
        let network = self.networks[&order.name].clone();
        if let Some(difference) = difference(order, checked, &network) {
            return Err(CreateError::Differs { network: order.name.clone(), difference });
        }
        if network.labels != order.labels || network.app != order.app {
            let changed =
                NetworkRecord { labels: order.labels.clone(), app: order.app.clone(), ..network.clone() };
            self.record_network(changed)?;
        }
        let kernel = |source| CreateError::Kernel { network: order.name.clone(), source };
        if self.kernel.link(&network.bridge).map_err(kernel)?.is_none() {
            self.write_filters().map_err(kernel)?;
            self.make_bridge(&network).map_err(kernel)?;
        }
        Ok(self.view(&self.networks[&order.name]))
    }

    /// Fills in what the order leaves open.
    fn choose(
        &mut self,
        order: &NetworkOrder,
        checked: &Checked,
        host: &Host,
        (start, now): (u64, Timestamp),
    ) -> Result<NetworkRecord, CreateError> {
        let own = self.networks.values().flat_map(|network| {
            let by = |s: &SubnetRecord| format!("{} of network `{}`", s.subnet, network.name);
            network.subnets.iter().map(move |s| Occupied { range: s.subnet, by: by(s) })
        });
        let own: Vec<_> = own.collect();
        let mut subnets = vec![choose_subnet(order, &checked.ipv4, &self.pools, (&own, host, start))?];
        if let Some(range) = &checked.ipv6 {
            let pools = [pool::ipv6_pool(&self.tag)];
            subnets.push(choose_subnet(order, range, &pools, (&own, host, start))?);
        }
        let bridge = std::iter::repeat_with(|| self.tag.bridge(self.rng.next_u64()))
            .find(|name| !host.links.iter().any(|link| link.name == *name))
            .expect("an endless search ends with a find");
        let id: [u8; 32] = base::kernel_bytes();
        Ok(NetworkRecord {
            id: id.iter().map(|b| format!("{b:02x}")).collect(),
            name: order.name.clone(),
            bridge,
            mac: mac_of(subnets[0].gateway),
            mtu: checked.mtu.unwrap_or_else(|| host.mtu()),
            created: now,
            internal: order.internal,
            enable_ipv6: order.enable_ipv6,
            subnets,
            labels: order.labels.clone(),
            app: order.app.clone(),
            driver_opts: order.driver_opts.clone(),
            remarks: order.remarks.clone(),
            served: Vec::new(),
        })
    }

    /// Records the network and makes it on the machine; takes both back when that fails or when another
    /// turns out to hold the subnet too.
    ///
    /// Whoever sees a rival gives way. Both may, and then try elsewhere; but two that both stay cannot be,
    /// since each looks only after its own address is there to be seen.
    fn establish(&mut self, network: &NetworkRecord) -> Result<Result<(), Lost>, CreateError> {
        self.record_network(network.clone())?;
        if self.dies_at(CrashPoint::Recorded) {
            return Ok(Ok(()));
        }
        let made = self.write_filters().and_then(|()| self.make_bridge(network));
        let checked = made.and_then(|index| {
            let host = Host::look(&mut self.kernel)?;
            let rival = network
                .subnets
                .iter()
                .find_map(|s| host.rival(&s.subnet, index).map(|rival| Lost { subnet: s.subnet, rival }));
            self.forward_packets(&host);
            Ok(rival)
        });
        let outcome = match checked {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(lost)) => Ok(Err(lost)),
            Err(source) => Err(CreateError::Kernel { network: network.name.clone(), source }),
        };
        // What cannot be taken back now is a leftover that the next settling removes.
        self.networks.remove(&network.name);
        let record = self.folder.write_networks(self.networks.values().cloned().collect());
        let _ = self.kernel.remove_link(&network.bridge).and_then(|()| self.write_filters());
        record.map_err(|source| CreateError::Record { network: network.name.clone(), source })?;
        outcome
    }

    fn record_network(&mut self, network: NetworkRecord) -> Result<(), CreateError> {
        let name = network.name.clone();
        let before = self.networks.insert(name.clone(), network);
        let written = self.folder.write_networks(self.networks.values().cloned().collect());
        written.map_err(|source| {
            match before {
                Some(before) => self.networks.insert(name.clone(), before),
                None => self.networks.remove(&name),
            };
            CreateError::Record { network: name.clone(), source }
        })
    }

    /// Makes the bridge of a network if it is not there, with its addresses; returns its index.
    pub(super) fn make_bridge(&mut self, network: &NetworkRecord) -> Result<u32, KernelError> {
        let name = network.bridge.as_str();
        let failed = |refusal: crate::netlink::Refusal| {
            KernelError::new(format!("make the bridge `{name}`"), refusal.source)
        };
        match self.kernel.route()?.change(&[link::make_bridge(name, network.mac, network.mtu)]) {
            Err(refusal) if !refusal.is(rustix::io::Errno::EXIST) => return Err(failed(refusal)),
            Ok(()) | Err(_) => {}
        }
        let index = self.kernel.link(name)?.map(|link| link.index).ok_or_else(|| {
            KernelError::new(format!("show the bridge `{name}`"), std::io::ErrorKind::NotFound.into())
        })?;
        base::crash::point("network: bridge made");
        if self.dies_at(CrashPoint::LinkMade) {
            return Ok(index);
        }
        let mut steps = vec![link::quieten(name), link::raise(name)];
        if network.enable_ipv6 {
            // The kernel would make it, too, and for a second ask neighbours for none while it asks whether another has it.
            steps.push(link::give_address(index, network.mac.link_local().into(), 64));
        }
        let addresses =
            network.subnets.iter().map(|s| link::give_address(index, s.gateway, s.subnet.prefix()));
        steps.extend(addresses);
        let served = network.served.iter().flat_map(ServedRecord::addresses);
        steps.extend(served.map(|address| link::lend_address(index, address)));
        let route = self.kernel.route()?;
        route.change(&steps).map_err(failed)?;
        let asked: Vec<_> = network.served.iter().filter_map(|served| served.ipv6).collect();
        route
            .await_addresses(index, &asked)
            .map_err(|e| KernelError::new(format!("have neighbours find addresses of `{name}`"), e))?;
        base::crash::point("network: bridge set up");
        Ok(index)
    }
}

/// A subnet that another has too.
struct Lost {
    subnet: Cidr,
    rival: String,
}

fn choose_subnet(
    order: &NetworkOrder,
    asked: &Range,
    pools: &[crate::order::PoolOrder],
    (own, host, start): (&[Occupied], &Host, u64),
) -> Result<SubnetRecord, CreateError> {
    let network = || order.name.clone();
    let subnet = match asked.subnet {
        Some(subnet) => {
            // Whoever names a subnet may mean a part of what a wider route leads to; another link's is never meant.
            let held = host.held();
            if let Some(other) = own.iter().chain(&held).find(|o| o.range.overlaps(&subnet)) {
                return Err(CreateError::Overlaps { network: network(), subnet, other: other.by.clone() });
            }
            subnet
        }
        None => {
            let mut occupied = host.occupied();
            occupied.extend_from_slice(own);
            pool::choose_subnet(pools, &occupied, start).ok_or_else(|| CreateError::PoolExhausted {
                network: network(),
                count: pool::pool_size(pools),
            })?
        }
    };
    let gateway = asked.gateway.or_else(|| subnet.nth(1)).unwrap_or_else(|| subnet.address());
    Ok(SubnetRecord { subnet, gateway, ip_range: asked.ip_range, aux_addresses: asked.aux_addresses.clone() })
}

/// Reads the texts of an order.
fn check(order: &NetworkOrder) -> Result<Checked, CreateError> {
    let invalid = |why: String, hint: Option<&str>| CreateError::Invalid {
        network: order.name.clone(),
        why,
        hint: hint.map(str::to_owned),
    };
    let (mut ipv4, mut ipv6) = (None, None);
    for ipam in &order.ipam {
        let range = check_range(ipam).map_err(|why| invalid(why, None))?;
        let any = range.subnet.map(|s| s.address()).or(range.gateway);
        let slot = if any.is_none_or(|a| a.is_ipv4()) { &mut ipv4 } else { &mut ipv6 };
        if slot.replace(range).is_some() {
            return Err(invalid("it names two ranges of one family".to_owned(), Some("keep one of them")));
        }
    }
    if ipv6.is_some() && !order.enable_ipv6 {
        let hint = "set `enable_ipv6: true`, or take the IPv6 range away";
        return Err(invalid("it names an IPv6 range without having IPv6".to_owned(), Some(hint)));
    }
    let mtu = match order.driver_opts.get(OPTION_MTU) {
        None => None,
        Some(text) => match text.parse() {
            Ok(mtu @ 68..=65535) => Some(mtu),
            _ => {
                let why = format!("`{OPTION_MTU}` is `{text}`");
                return Err(invalid(why, Some("give a number from 68 to 65535")));
            }
        },
    };
    let ipv6 = if order.enable_ipv6 { Some(ipv6.unwrap_or_default()) } else { None };
    Ok(Checked { ipv4: ipv4.unwrap_or_default(), ipv6, mtu })
}

fn check_range(ipam: &IpamOrder) -> Result<Range, String> {
    let range = |text: &Option<String>| {
        text.as_ref().map(|t| t.parse::<Cidr>().map_err(|e| e.to_string())).transpose()
    };
    let (subnet, ip_range) = (range(&ipam.subnet)?, range(&ipam.ip_range)?);
    let inside = |what: &str, text: &str| -> Result<IpAddr, String> {
        let address: IpAddr = text.parse().map_err(|_| format!("{what} `{text}` is not an address"))?;
        match subnet {
            Some(subnet) if subnet.contains(address) && !pool::reserved(&subnet).contains(&address) => {
                Ok(address)
            }
            Some(subnet) => Err(format!("{what} {address} is not an address for a host of {subnet}")),
            None => Err(format!("{what} {address} is given without a subnet")),
        }
    };
    let widest = |s: &Cidr| if s.is_ipv4() { s.prefix() > 30 } else { s.prefix() > 126 };
    if let Some(small) = subnet.as_ref().filter(|s| widest(s)) {
        return Err(format!("subnet {small} has no room for a gateway and a container"));
    }
    if let Some(ip_range) = ip_range
        && !subnet.is_some_and(|s| s.covers(&ip_range))
    {
        return Err(format!("ip_range {ip_range} does not lie within the subnet"));
    }
    let gateway = ipam.gateway.as_deref().map(|text| inside("gateway", text)).transpose()?;
    let aux_addresses = ipam
        .aux_addresses
        .iter()
        .map(|(name, text)| Ok((name.clone(), inside("auxiliary address", text)?)))
        .collect::<Result<_, String>>()?;
    Ok(Range { subnet, gateway, ip_range, aux_addresses })
}

/// The first thing in which an order differs from what is there.
fn difference(order: &NetworkOrder, checked: &Checked, network: &NetworkRecord) -> Option<String> {
    let say = |what: &str, is: &dyn std::fmt::Display, asked: &dyn std::fmt::Display| {
        Some(format!("{what} is {is}, not {asked}"))
    };
    if order.internal != network.internal {
        return say("internal", &network.internal, &order.internal);
    }
    if order.enable_ipv6 != network.enable_ipv6 {
        return say("enable_ipv6", &network.enable_ipv6, &order.enable_ipv6);
    }
    if order.driver_opts != network.driver_opts {
        return Some("the driver's options are others".to_owned());
    }
    let asked = [Some(&checked.ipv4), checked.ipv6.as_ref()].into_iter().flatten();
    for (asked, is) in asked.zip(&network.subnets) {
        if let Some(subnet) = asked.subnet.filter(|s| *s != is.subnet) {
            return say("subnet", &is.subnet, &subnet);
        }
        if let Some(gateway) = asked.gateway.filter(|g| *g != is.gateway) {
            return say("gateway", &is.gateway, &gateway);
        }
        if asked.ip_range != is.ip_range {
            return Some("ip_range is another".to_owned());
        }
        if asked.aux_addresses != is.aux_addresses {
            return Some("the auxiliary addresses are others".to_owned());
        }
    }
    None
}
