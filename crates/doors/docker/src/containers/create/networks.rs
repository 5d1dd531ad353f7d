//! Which networks a container joins, under which names, and which ports of the host lead to it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base::NetworkName;
use indexmap::IndexMap;
use spec::{App, Attachment, INTERFACE_NAME, Link, Network, NetworkMode, Protocol, Published};

use crate::answer::Refusal;
use crate::version::ApiVersion;
use crate::wire::{Config, EndpointSettings, HostConfig, PortBinding};

/// From this version on a container may be made on several networks at once.
const SEVERAL: ApiVersion = ApiVersion(1, 44);
/// A range of ports names at most so many.
const MOST_PORTS: usize = 65_536;

pub(super) struct Joined {
    pub(super) mode: NetworkMode,
    pub(super) networks: IndexMap<String, Attachment>,
    pub(super) ports: Vec<Published>,
}

pub(super) fn joined(
    config: &Config,
    host: &HostConfig,
    endpoints: &BTreeMap<String, EndpointSettings>,
    version: ApiVersion,
    app: &mut App,
) -> Result<Joined, Refusal> {
    if endpoints.len() > 1 && version < SEVERAL {
        return Err(Refusal::invalid("Container cannot be created with multiple network endpoints"));
    }
    let own_network = |mode: NetworkMode| {
        let named = endpoints.keys().find(|name| name.as_str() != host.network_mode);
        match named {
            Some(name) if !matches!(name.as_str(), "default") => Err(Refusal::invalid(format!(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes: {name}"
            ))),
            _ => Ok(Joined { mode, networks: IndexMap::new(), ports: Vec::new() }),
        }
    };
    if config.network_disabled {
        return own_network(NetworkMode::None);
    }
    let mode = host.network_mode.as_str();
    if let Some(other) = mode.strip_prefix("container:") {
        if other.is_empty() {
            return Err(Refusal::invalid(
                "Invalid network mode: invalid container format container:<name|id>",
            ));
        }
        if !config.hostname.is_empty() {
            return Err(Refusal::invalid("conflicting options: hostname and the network mode"));
        }
        if !host.port_bindings.is_empty() || host.publish_all_ports {
            return Err(Refusal::invalid(
                "conflicting options: port publishing and the container type network mode",
            ));
        }
        return own_network(NetworkMode::Container(other.to_owned()));
    }
    let ports = ports(config, host)?;
    match mode {
        "host" => return own_network(NetworkMode::Host),
        "none" => return own_network(NetworkMode::None),
        _ => {}
    }
    let main = if mode == "default" { network::DEFAULT_NETWORK } else { mode };
    let mut networks = IndexMap::new();
    let mut settings = endpoints.get(mode).or_else(|| endpoints.get(main)).cloned().unwrap_or_default();
    settings.links.get_or_insert_default().extend(host.links.clone().unwrap_or_default());
    join(main, &settings, config.mac_address.as_deref(), app, &mut networks)?;
    for (name, settings) in endpoints.iter().filter(|(name, _)| *name != mode && *name != main) {
        join(name, settings, None, app, &mut networks)?;
    }
    Ok(Joined { mode: NetworkMode::Networks, networks, ports })
}

fn join(
    name: &str,
    settings: &EndpointSettings,
    mac: Option<&str>,
    app: &mut App,
    networks: &mut IndexMap<String, Attachment>,
) -> Result<(), Refusal> {
    let known = NetworkName::new(name).map_err(|_| Refusal::missing(format!("network {name} not found")))?;
    app.networks.insert(name.to_owned(), Network::external(known));
    networks.insert(name.to_owned(), attachment(settings, mac)?);
    Ok(())
}

/// How a container is on a network.
pub(crate) fn attachment(settings: &EndpointSettings, mac: Option<&str>) -> Result<Attachment, Refusal> {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    addresses(&ipam.link_local_ips)?;
    let driver_opts: IndexMap<_, _> = settings.driver_opts.clone().unwrap_or_default().into_iter().collect();
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    if let Some(address) = some(&ipam.ipv4_address).filter(|text| text.parse::<std::net::Ipv4Addr>().is_err())
    {
        return Err(Refusal::invalid(format!("invalid endpoint settings:\ninvalid IPv4 address: {address}")));
    }
    if let Some(address) = some(&ipam.ipv6_address).filter(|text| text.parse::<std::net::Ipv6Addr>().is_err())
    {
        return Err(Refusal::invalid(format!("invalid endpoint settings:\ninvalid IPv6 address: {address}")));
    }
    Ok(Attachment {
        aliases: settings.aliases.clone().unwrap_or_default(),
        ipv4_address: some(&ipam.ipv4_address),
        ipv6_address: some(&ipam.ipv6_address),
        mac_address: some(&settings.mac_address).or_else(|| mac.and_then(some)),
        gw_priority: settings.gw_priority,
        priority: 0,
        links: links(settings.links.as_deref().unwrap_or_default())?,
        link_local_ips: ipam.link_local_ips,
        interface_name: driver_opts.get(INTERFACE_NAME).filter(|name| !name.is_empty()).cloned(),
        driver_opts,
    })
}

/// `container:alias`, or `container`, which is then its own alias.
fn links(texts: &[String]) -> Result<Vec<Link>, Refusal> {
    let link = |text: &String| {
        let (target, alias) = text.split_once(':').unwrap_or((text, text));
        // As `inspect` tells those of the default network: `/target:/container/alias`.
        let (target, alias) = (target.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or_default());
        if target.is_empty() || alias.is_empty() || alias.contains(':') {
            return Err(Refusal::invalid(format!("bad format for links: {text}")));
        }
        Ok(Link { target: target.to_owned(), alias: alias.to_owned() })
    };
    texts.iter().map(link).collect()
}

pub(super) fn addresses(texts: &[String]) -> Result<Vec<IpAddr>, Refusal> {
    let address =
        |text: &String| text.parse().map_err(|_| Refusal::invalid(format!("{text} is not an IP address")));
    texts.iter().filter(|text| !text.is_empty()).map(address).collect()
}

/// `name:address`, or `name=address`.
pub(super) fn extra_hosts(texts: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let host = |text: &String| {
        let wrong = || Refusal::invalid(format!("bad format for add-host: \"{text}\""));
        let (name, address) = text.split_once([':', '=']).ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if address != "host-gateway" && bare.parse::<IpAddr>().is_err() {
            return Err(Refusal::invalid(format!("invalid IP address in add-host: \"{address}\"")));
        }
        Ok((name.to_owned(), bare.to_owned()))
    };
    texts.iter().map(host).collect()
}

/// The ports that are published: those that are named, and with `-P` all that are exposed.
fn ports(config: &Config, host: &HostConfig) -> Result<Vec<Published>, Refusal> {
    let mut all = Vec::new();
    for (port, bindings) in &host.port_bindings {
        let (range, protocol) = container_ports(port)?;
        for binding in bindings.iter().flatten() {
            all.extend(bound(&range, protocol, binding)?);
        }
    }
    for port in config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        let (range, protocol) = container_ports(port)?;
        if !host.publish_all_ports {
            continue;
        }
        for port in range {
            if !all.iter().any(|one: &Published| one.port == port && one.protocol == protocol) {
                all.push(Published { host_ip: None, host_port: 0, port, protocol });
            }
        }
    }
    Ok(all)
}

/// `80/tcp`, `80`, `8000-8010/udp`.
fn container_ports(text: &str) -> Result<(Vec<u16>, Protocol), Refusal> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => {
            return Err(Refusal::invalid(format!(
                "invalid port specification: \"{text}\": invalid proto: {other}"
            )));
        }
    };
    let range = range(ports)
        .filter(|range| !range.contains(&0))
        .ok_or_else(|| Refusal::invalid(format!("invalid port specification: \"{text}\"")))?;
    Ok((range, protocol))
}

fn range(text: &str) -> Option<Vec<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && usize::from(last - first) < MOST_PORTS).then(|| (first..=last).collect())
}

fn bound(ports: &[u16], protocol: Protocol, binding: &PortBinding) -> Result<Vec<Published>, Refusal> {
    let wrong = |what: &str| Refusal::invalid(format!("invalid port specification: \"{what}\""));
    let host_ip = match binding.host_ip.as_str() {
        "" => None,
        text => {
            let ip: IpAddr =
                text.parse().map_err(|_| Refusal::invalid(format!("invalid IP address: {text}")))?;
            Some(ip).filter(|ip| !(ip.is_ipv4() && ip.is_unspecified()))
        }
    };
    let hosts = match binding.host_port.as_str() {
        "" | "0" => vec![0; ports.len()],
        text => range(text).ok_or_else(|| wrong(text))?,
    };
    // One port of the container may take any of a range: the first is as good as another.
    let hosts = if ports.len() == 1 { vec![hosts[0]] } else { hosts };
    if hosts.len() != ports.len() {
        return Err(wrong(&binding.host_port));
    }
    let pairs = ports.iter().zip(hosts);
    Ok(pairs.map(|(port, host_port)| Published { host_ip, host_port, port: *port, protocol }).collect())
}
