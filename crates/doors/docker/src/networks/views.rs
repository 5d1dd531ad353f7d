//! Networks in docker's words.

use std::collections::BTreeMap;

use base::{ContainerId, Timestamp};
use containers::Filter;
use network::{Attachment, NetworkView};
use oci::Digest;
use serde_json::{Map, Value, json};
use spec::NetworkMode;

use crate::Docker;
use crate::version::ApiVersion;

/// A network that docker's clients may speak of.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// A bridge of ours.
    Bridge(Box<NetworkView>),
    /// The host's network.
    Host,
    /// No network.
    None,
}

/// How much to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Without its containers' names and addresses, as lists have it.
    Summary,
    /// All of it.
    Whole,
}

impl Known {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Bridge(view) => view.name.as_str(),
            Self::Host => "host",
            Self::None => "none",
        }
    }

    pub(super) fn driver(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Host => "host",
            Self::None => "null",
        }
    }

    /// Those that are not made have an id of their root, so that it is the same tomorrow.
    pub(super) fn id(&self, docker: &Docker) -> String {
        match self {
            Self::Bridge(view) => view.id.clone(),
            Self::Host | Self::None => {
                let text = format!("{}\n{}", docker.root.display(), self.name());
                Digest::sha256(text.as_bytes()).hex().to_owned()
            }
        }
    }

    pub(super) fn created(&self, docker: &Docker) -> Timestamp {
        match self {
            Self::Bridge(view) => view.created,
            Self::Host | Self::None => docker.started,
        }
    }

    /// One of the three that are always there.
    pub(super) fn is_predefined(&self) -> bool {
        self.removable().is_none()
    }

    /// The bridge, unless it is the one of the beginning.
    pub(super) fn removable(&self) -> Option<&NetworkView> {
        match self {
            Self::Bridge(view) if view.name.as_str() != network::DEFAULT_NETWORK => Some(view),
            Self::Bridge(_) | Self::Host | Self::None => None,
        }
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        match self {
            Self::Bridge(view) => view.labels.get(name).map(String::as_str),
            Self::Host | Self::None => None,
        }
    }
}

/// The containers that run, for finding who is on a network and under which name.
pub(super) struct Members {
    names: BTreeMap<ContainerId, String>,
    host: Vec<ContainerId>,
    none: Vec<ContainerId>,
}

impl Members {
    pub(super) fn of(docker: &Docker) -> Self {
        let mut members = Self { names: BTreeMap::new(), host: Vec::new(), none: Vec::new() };
        for view in docker.containers.list(&Filter { all: true, ..Filter::default() }) {
            let record = view.record;
            if record.state.runs() {
                match record.service.network_mode {
                    NetworkMode::Host => members.host.push(record.id.clone()),
                    NetworkMode::None => members.none.push(record.id.clone()),
                    NetworkMode::Networks | NetworkMode::Service(_) | NetworkMode::Container(_) => {}
                }
            }
            members.names.insert(record.id, record.name.to_string());
        }
        members
    }

    /// Who is on this network; without containers that are gone, whose ends the kernel is still giving back.
    pub(super) fn on<'a>(&'a self, known: &'a Known) -> Vec<(&'a ContainerId, Option<&'a Attachment>)> {
        match known {
            Known::Bridge(view) => {
                let there = view.attachments.iter().filter(|on| self.names.contains_key(&on.container));
                there.map(|on| (&on.container, Some(on))).collect()
            }
            Known::Host => self.host.iter().map(|id| (id, None)).collect(),
            Known::None => self.none.iter().map(|id| (id, None)).collect(),
        }
    }
}

/// The id of a container's end of a network: the same that the container itself is described with.
pub(super) fn endpoint_id(network: &str, container: &ContainerId) -> String {
    Digest::sha256(format!("{container} {network}").as_bytes()).hex().to_owned()
}

/// A network as docker describes it.
pub(super) fn network(
    docker: &Docker,
    known: &Known,
    members: &Members,
    (version, detail): (ApiVersion, Detail),
) -> Value {
    let id = known.id(docker);
    let (ipam, plain) = match known {
        Known::Bridge(view) => (ipam(view), view),
        Known::Host | Known::None => {
            let ipam = json!({ "Driver": "default", "Options": null, "Config": null });
            return close(docker, known, (id, ipam), members, (version, detail));
        }
    };
    let mut fields = fields(known, &id, plain.created, ipam);
    fields.insert("EnableIPv6".into(), plain.enable_ipv6.into());
    fields.insert("Internal".into(), plain.internal.into());
    fields.insert("Attachable".into(), plain.remarks.attachable.into());
    fields.insert("Options".into(), json!(options(plain)));
    fields.insert("Labels".into(), json!(plain.labels));
    finish(fields, known, members, (version, detail))
}

fn close(
    docker: &Docker,
    known: &Known,
    (id, ipam): (String, Value),
    members: &Members,
    how: (ApiVersion, Detail),
) -> Value {
    finish(fields(known, &id, known.created(docker), ipam), known, members, how)
}

fn fields(known: &Known, id: &str, created: Timestamp, ipam: Value) -> Map<String, Value> {
    let fields = json!({
        "Name": known.name(), "Id": id, "Created": created.to_string(), "Scope": "local",
        "Driver": known.driver(), "EnableIPv4": true, "EnableIPv6": false, "IPAM": ipam, "Internal": false,
        "Attachable": false, "Ingress": false, "ConfigFrom": { "Network": "" }, "ConfigOnly": false,
        "Options": {}, "Labels": {},
    });
    let Value::Object(fields) = fields else { return Map::new() };
    fields
}

/// Adds who is on it, and takes out what the client's version does not know.
fn finish(
    mut fields: Map<String, Value>,
    known: &Known,
    members: &Members,
    (version, detail): (ApiVersion, Detail),
) -> Value {
    // Lists had an empty `Containers` until they were made of summaries.
    let whole = detail == Detail::Whole;
    if whole || version < ApiVersion(1, 52) {
        let on = if whole { members.on(known) } else { Vec::new() };
        let ends = on.into_iter().map(|(container, attachment)| {
            let name = members.names.get(container).map_or_else(|| container.short(), String::as_str);
            (container.to_string(), end(known.name(), container, name, attachment))
        });
        let ends: Map<String, Value> = ends.collect();
        fields.insert("Containers".into(), Value::Object(ends));
    }
    if whole && version >= ApiVersion(1, 52) {
        fields.insert("Status".into(), status(known));
    }
    Value::Object(fields)
}

fn end(network: &str, container: &ContainerId, name: &str, attachment: Option<&Attachment>) -> Value {
    let with_prefix = |address: Option<String>, prefix: u8| {
        address.map_or_else(String::new, |address| format!("{address}/{prefix}"))
    };
    json!({
        "Name": name,
        "EndpointID": endpoint_id(network, container),
        "MacAddress": attachment.map(|on| on.mac.to_string()).unwrap_or_default(),
        "IPv4Address": attachment
            .map(|on| with_prefix(on.ipv4.map(|a| a.to_string()), on.ipv4_prefix))
            .unwrap_or_default(),
        "IPv6Address": attachment
            .map(|on| with_prefix(on.ipv6.map(|a| a.to_string()), on.ipv6_prefix))
            .unwrap_or_default(),
    })
}

fn ipam(view: &NetworkView) -> Value {
    let config = view.subnets.iter().map(|subnet| {
        let mut config = Map::new();
        config.insert("Subnet".into(), subnet.subnet.to_string().into());
        if let Some(range) = &subnet.ip_range {
            config.insert("IPRange".into(), range.to_string().into());
        }
        config.insert("Gateway".into(), subnet.gateway.to_string().into());
        if !subnet.aux_addresses.is_empty() {
            config.insert("AuxiliaryAddresses".into(), json!(subnet.aux_addresses));
        }
        Value::Object(config)
    });
    let config: Vec<Value> = config.collect();
    json!({ "Driver": "default", "Options": view.remarks.ipam_options, "Config": config })
}

/// The options as ordered. Clients look at those of the first bridge for what docker decides there.
fn options(view: &NetworkView) -> BTreeMap<String, String> {
    if view.name.as_str() != network::DEFAULT_NETWORK {
        return view.driver_opts.clone();
    }
    let own = [
        ("com.docker.network.bridge.default_bridge", "true"),
        ("com.docker.network.bridge.enable_icc", "true"),
        ("com.docker.network.bridge.enable_ip_masquerade", "true"),
        ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
        ("com.docker.network.bridge.name", view.bridge.as_str()),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// How many addresses are taken, which clients of 1.52 and later are told.
fn status(known: &Known) -> Value {
    let Known::Bridge(view) = known else { return json!({ "IPAM": { "Subnets": {} } }) };
    let mut subnets = Map::new();
    for subnet in &view.subnets {
        let taken = |on: &&Attachment| {
            if subnet.subnet.is_ipv4() { on.ipv4.is_some() } else { on.ipv6.is_some() }
        };
        let used = view.attachments.iter().filter(taken).count() as u128;
        // Its first and last address, and the gateway's, are nobody's.
        let reserved = if subnet.subnet.is_ipv4() { 3 } else { 2 } + subnet.aux_addresses.len() as u128;
        let range = subnet.ip_range.unwrap_or(subnet.subnet);
        let bits = if range.is_ipv4() { 32 } else { 128 } - u32::from(range.prefix());
        let all = if bits >= 64 { u64::MAX } else { 1_u64 << bits };
        let in_use = u64::try_from(used + reserved).unwrap_or(u64::MAX);
        subnets.insert(
            subnet.subnet.to_string(),
            json!({ "IPsInUse": in_use, "DynamicIPsAvailable": all.saturating_sub(in_use) }),
        );
    }
    json!({ "IPAM": { "Subnets": subnets } })
}
