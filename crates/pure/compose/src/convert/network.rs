//! Networks, ports, name servers and shared namespaces of a service.

use std::net::IpAddr;

use base::{NetworkName, ServiceName};
use indexmap::IndexMap;
use spec::{App, Attachment, Link, Namespace, Network, NetworkMode, Protocol, Published};

use super::Desk;
use super::parts::{list, number, pairs, text};
use crate::Project;
use crate::tree::{Map, Node};

/// The published ports.
pub(super) fn ports(desk: &mut Desk<'_>, name: &str, map: &Map) -> Vec<Published> {
    let mut all = Vec::new();
    for (index, node) in map.get("ports").and_then(Node::list).unwrap_or_default().iter().enumerate() {
        let Some(map) = node.map() else { continue };
        let key = format!("services.{name}.ports[{index}]");
        let Some(port) = number::<u16>(map, "target").filter(|port| *port > 0) else {
            desk.fault(node, format!("{key}.target"), "this is no port", "ports are 1 to 65535");
            continue;
        };
        let Some(protocol) = protocol(desk, map, node, &key) else { continue };
        let published = text(map, "published").unwrap_or_default();
        let (first, range) = published.split_once('-').unwrap_or((&published, ""));
        let host_port = if first.is_empty() { Some(0) } else { first.parse::<u16>().ok() };
        let Some(host_port) = host_port else {
            desk.fault(
                node,
                format!("{key}.published"),
                format!("`{published}` is no port"),
                "ports are 0 to 65535; 0 lets the daemon choose",
            );
            continue;
        };
        if !range.is_empty() {
            desk.warn(
                "C0207",
                node,
                key.clone(),
                format!("of the range `{published}` the first port is used"),
            );
        }
        let host_ip = match text(map, "host_ip").map(|ip| ip.parse::<IpAddr>()) {
            None => None,
            Some(Ok(ip)) => Some(ip).filter(|ip| !ip.is_unspecified()),
            Some(Err(_)) => {
                desk.fault(
                    node,
                    format!("{key}.host_ip"),
                    "this is no address",
                    "write an IPv4 or IPv6 address",
                );
                continue;
            }
        };
        all.push(Published { host_ip, host_port, port, protocol });
    }
    all
}

fn protocol(desk: &mut Desk<'_>, map: &Map, node: &Node, key: &str) -> Option<Protocol> {
    let app = text(map, "app_protocol").unwrap_or_default().to_lowercase();
    match text(map, "protocol").unwrap_or_default().to_lowercase().as_str() {
        "udp" => Some(Protocol::Udp),
        "" | "tcp" => Some(match app.as_str() {
            "" => Protocol::Auto,
            "http" | "http1" | "http/1.1" | "ws" => Protocol::Http,
            _ => Protocol::Tcp,
        }),
        other => {
            desk.fault(
                node,
                format!("{key}.protocol"),
                format!("`{other}` cannot be published"),
                "the protocols are tcp and udp",
            );
            None
        }
    }
}

/// Which network a service has.
pub(super) fn mode(desk: &mut Desk<'_>, name: &str, map: &Map) -> NetworkMode {
    let Some(node) = map.get("network_mode") else { return NetworkMode::Networks };
    let text = node.print();
    let key = format!("services.{name}.network_mode");
    match text.split_once(':') {
        Some(("service", other)) => match desk.name(ServiceName::new(other), node, &key) {
            Some(other) => NetworkMode::Service(other),
            None => NetworkMode::None,
        },
        Some(("container", other)) => NetworkMode::Container(other.to_owned()),
        _ => match text.as_str() {
            "" | "bridge" | "default" => NetworkMode::Networks,
            "host" => NetworkMode::Host,
            "none" => NetworkMode::None,
            other => {
                desk.fault(
                    node,
                    key,
                    format!("`{other}` is not a network mode"),
                    "allowed are host, none, bridge, service:NAME and container:NAME; networks go under `networks`",
                );
                NetworkMode::None
            }
        },
    }
}

/// How a service is on its networks.
pub(super) fn attachments(map: &Map) -> IndexMap<String, Attachment> {
    let networks = map.get("networks").and_then(Node::map);
    let nothing = Map::default();
    let mut all: IndexMap<String, Attachment> = IndexMap::new();
    for (name, node) in networks.into_iter().flat_map(Map::iter) {
        let own = node.map().unwrap_or(&nothing);
        let driver_opts = own.get("driver_opts").map(pairs).unwrap_or_default();
        let attachment = Attachment {
            aliases: list(own, "aliases"),
            ipv4_address: text(own, "ipv4_address"),
            ipv6_address: text(own, "ipv6_address"),
            mac_address: text(own, "mac_address"),
            gw_priority: number(own, "gw_priority").unwrap_or_default(),
            priority: number(own, "priority").unwrap_or_default(),
            links: links(map),
            link_local_ips: list(own, "link_local_ips"),
            interface_name: text(own, "interface_name")
                .or_else(|| driver_opts.get(spec::INTERFACE_NAME).cloned()),
            driver_opts,
        };
        all.insert(name.to_owned(), attachment);
    }
    // The old key speaks of the network that is joined first.
    if let Some(address) = text(map, "mac_address") {
        let first = all.iter().max_by_key(|(_, a)| a.priority).map(|(name, _)| name.clone());
        if let Some(attachment) = first.and_then(|name| all.get_mut(&name)) {
            attachment.mac_address.get_or_insert(address);
        }
    }
    all
}

/// Name servers.
pub(super) fn servers(desk: &mut Desk<'_>, name: &str, map: &Map) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for text in list(map, "dns") {
        match (text.parse(), map.get("dns")) {
            (Ok(ip), _) => all.push(ip),
            (Err(_), Some(node)) => {
                desk.fault(
                    node,
                    format!("services.{name}.dns"),
                    format!("`{text}` is no address"),
                    "name servers are given by address",
                );
            }
            (Err(_), None) => {}
        }
    }
    all
}

/// `pid` and `ipc`.
pub(super) fn namespace(desk: &mut Desk<'_>, name: &str, map: &Map, key: &str) -> Namespace {
    let Some(text) = text(map, key) else { return Namespace::Private };
    let Some(node) = map.get(key) else { return Namespace::Private };
    let path = format!("services.{name}.{key}");
    match (text.as_str(), text.split_once(':')) {
        ("private", _) => Namespace::Private,
        ("host", _) => Namespace::Host,
        ("shareable", _) => Namespace::Shareable,
        ("none", _) if key == "ipc" => Namespace::Isolated,
        (_, Some(("service", other))) => match desk.name(ServiceName::new(other), node, &path) {
            Some(other) => Namespace::Service(other),
            None => Namespace::Private,
        },
        (_, Some(("container", other))) => Namespace::Container(other.to_owned()),
        _ => {
            desk.fault(
                node,
                path,
                format!("`{text}` is not allowed here"),
                "allowed are private, host, service:NAME and container:NAME; for ipc also shareable and none",
            );
            Namespace::Private
        }
    }
}

/// `links` and `external_links`: names of others that are valid for this service alone, on each of its networks.
fn links(map: &Map) -> Vec<Link> {
    let link = |text: String| {
        let (target, alias) = text.split_once(':').unwrap_or((&text, &text));
        // A service has its own name anyway.
        (target != alias).then(|| Link { target: target.to_owned(), alias: alias.to_owned() })
    };
    list(map, "links").into_iter().chain(list(map, "external_links")).filter_map(link).collect()
}

/// `network_mode: bridge` means the default network here.
pub(super) fn bridge(project: &Project, app: &mut App, desk: &mut Desk<'_>) {
    let name = app.name.clone();
    for (key, service) in &mut app.services {
        if service.network_mode != NetworkMode::Networks || !service.networks.is_empty() {
            continue;
        }
        let node = project.root.get("services").and_then(|node| node.get(key.as_str()));
        let Some(mode) = node.and_then(|node| node.get("network_mode")) else { continue };
        let message = "there is no network of all apps; the app's default network is used";
        desk.warn("C0205", mode, format!("services.{key}.network_mode"), message);
        service.networks.insert("default".into(), Attachment::default());
        if let Ok(network) = NetworkName::new(format!("{name}_default")) {
            app.networks.entry("default".into()).or_insert_with(|| Network::plain(network));
        }
    }
}
