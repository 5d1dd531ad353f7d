//! Checks of one service.

use std::collections::{BTreeMap, BTreeSet};

use super::{section, unknown};
use crate::go;
use crate::problem::Fault;
use crate::tree::{Map, Node, Span};

/// Before paths are resolved.
pub(super) fn shapes(name: &str, service: &Node, faults: &mut Vec<Fault>) {
    let list = |node: Option<&Node>| node.and_then(Node::list).map(<[Node]>::to_vec).unwrap_or_default();
    for (index, port) in list(service.get("ports")).iter().enumerate() {
        if let Some(ip) = port.get("host_ip")
            && ip.str().is_none_or(|ip| ip.parse::<std::net::IpAddr>().is_err())
        {
            faults.push(Fault::at(
                ip.at,
                format!("services.{name}.ports[{index}].host_ip"),
                format!("`{}` is not an address", ip.print()),
            ));
        }
    }
    let watch = list(service.get("develop").and_then(|node| node.get("watch")));
    for path in watch.iter().filter_map(|rule| rule.get("path")).filter(|path| path.str() == Some("")) {
        faults.push(Fault::at(
            path.at,
            format!("services.{name}.develop.watch.path"),
            "this cannot be empty",
        ));
    }
    let reserved = service.get("deploy").and_then(|d| d.get("resources")).and_then(|r| r.get("reservations"));
    let requests = list(reserved.and_then(|r| r.get("devices"))).into_iter().chain(list(service.get("gpus")));
    for request in requests {
        if request.get("count").is_some() && request.get("device_ids").is_some() {
            faults.push(
                Fault::at(
                    request.at,
                    format!("services.{name}"),
                    "`count` and `device_ids` exclude each other",
                )
                .help("keep one of them"),
            );
        }
    }
}

/// A service in its project.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    pub(super) service: &'a Map,
    pub(super) at: Span,
    pub(super) root: &'a Map,
    pub(super) disabled: &'a BTreeSet<String>,
}

impl Seen<'_> {
    fn key(&self, rest: &str) -> String {
        format!("services.{}{rest}", self.name)
    }

    fn get(&self, key: &str) -> Option<&Node> {
        self.service.get(key).filter(|node| !node.is_null())
    }

    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Node::str).unwrap_or_default()
    }

    fn defined(&self, section: &str, name: &str) -> bool {
        self.root.get(section).and_then(Node::map).is_some_and(|map| map.has(name))
    }

    fn list(&self, key: &str) -> &[Node] {
        self.get(key).and_then(Node::list).unwrap_or_default()
    }
}

/// With everything known.
pub(super) fn whole(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    source(seen, faults);
    networks(seen, faults);
    health(seen, faults);
    dependencies(seen, faults);
    resources(seen, faults);
    scale(seen, faults);
    limits(seen, faults);
    targets(seen, faults);
    hosts(seen.get("extra_hosts"), &seen.key(".extra_hosts"), faults);
    let build = seen.get("build").and_then(|build| build.get("extra_hosts"));
    hosts(build, &seen.key(".build.extra_hosts"), faults);
    for rule in
        seen.get("develop").and_then(|node| node.get("watch")).and_then(Node::list).unwrap_or_default()
    {
        let action = rule.get("action").and_then(Node::str).unwrap_or_default();
        let target = rule.get("target").and_then(Node::str).unwrap_or_default();
        if target.is_empty() && !matches!(action, "rebuild" | "restart") {
            faults.push(Fault::at(
                rule.at,
                seen.key(".develop.watch"),
                format!("the action `{action}` needs a `target`"),
            ));
        }
    }
}

fn source(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let build = seen.get("build");
    if build.is_none() && seen.text("image").is_empty() && seen.get("provider").is_none() {
        faults.push(
            Fault::at(seen.at, seen.key(""), "this service has neither `image` nor `build`")
                .help("say with `image` what to run, or with `build` how to make it"),
        );
    }
    let Some(build) = build else { return };
    let text = |key: &str| build.get(key).and_then(Node::str).unwrap_or_default();
    if !text("dockerfile_inline").is_empty() && !text("dockerfile").is_empty() {
        faults.push(
            Fault::at(
                build.at,
                seen.key(".build"),
                "`dockerfile` and `dockerfile_inline` exclude each other",
            )
            .help("keep one of them"),
        );
    }
    for (name, context) in
        build.get("additional_contexts").and_then(Node::map).into_iter().flat_map(Map::iter)
    {
        let Some(other) = context.str().and_then(|text| text.strip_prefix("service:")) else { continue };
        let known = seen.root.get("services").and_then(|node| node.get(other));
        let key = seen.key(&format!(".build.additional_contexts.{name}"));
        match known {
            None => faults.push(unknown(
                context.at,
                key,
                "service",
                other,
                section(seen.root, "services").map(|(n, _)| n).collect::<Vec<_>>().into_iter(),
            )),
            Some(other) if other.get("build").is_none() => {
                faults.push(Fault::at(context.at, key, "this service has no `build`"));
            }
            Some(_) => {}
        }
    }
    let platforms = build.get("platforms").and_then(Node::list).unwrap_or_default();
    let platform = seen.text("platform");
    if !platforms.is_empty() && !platform.is_empty() && !platforms.iter().any(|p| p.str() == Some(platform)) {
        faults.push(Fault::at(
            build.at,
            seen.key(".build.platforms"),
            format!("the service's platform `{platform}` is not in this list"),
        ));
    }
}

fn networks(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let networks = seen.get("networks").and_then(Node::map);
    if let (Some(mode), Some(networks)) = (seen.get("network_mode"), networks)
        && mode.str() != Some("")
        && !networks.is_empty()
    {
        faults.push(
            Fault::at(mode.at, seen.key(".network_mode"), "`network_mode` and `networks` exclude each other")
                .help("keep one of them"),
        );
    }
    for (name, _) in networks.into_iter().flat_map(Map::iter) {
        if !seen.defined("networks", name) {
            let at = networks.map(|map| map.key_at(name)).unwrap_or_default();
            let known: Vec<&str> = section(seen.root, "networks").map(|(name, _)| name).collect();
            faults.push(unknown(at, seen.key(".networks"), "network", name, known.into_iter()));
        }
    }
}

fn health(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let test = seen.get("healthcheck").and_then(|node| node.get("test"));
    let Some(first) = test.and_then(Node::list).and_then(<[Node]>::first) else { return };
    if !matches!(first.str(), Some("CMD" | "CMD-SHELL" | "NONE")) {
        faults.push(
            Fault::at(
                first.at,
                seen.key(".healthcheck.test"),
                format!("`{}` cannot begin a test", first.print()),
            )
            .help("a list begins with CMD, CMD-SHELL or NONE; a text alone is run by a shell"),
        );
    }
}

fn dependencies(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let enabled = |name: &str| seen.defined("services", name);
    let known = || section(seen.root, "services").map(|(name, _)| name).collect::<Vec<_>>().into_iter();
    for (name, wish) in seen.get("depends_on").and_then(Node::map).into_iter().flat_map(Map::iter) {
        if enabled(name) {
            continue;
        }
        let needed = wish.get("required").and_then(Node::truth).unwrap_or(false);
        let off = seen.disabled.contains(name);
        if off && !needed {
            continue;
        }
        let at = seen.get("depends_on").and_then(Node::map).map(|map| map.key_at(name)).unwrap_or_default();
        let at = if at.line > 0 { at } else { wish.at };
        let key = seen.key(".depends_on");
        faults.push(if off {
            Fault::at(at, key, format!("the service `{name}` is off: none of its profiles is enabled"))
                .help(format!("enable one with `--profile`, or write `required: false` under `{name}`"))
        } else {
            unknown(at, key, "service", name, known())
        });
    }
    if let Some(mode) = seen.get("network_mode")
        && let Some(other) = mode.str().and_then(|mode| mode.strip_prefix("service:"))
        && !enabled(other)
    {
        faults.push(unknown(mode.at, seen.key(".network_mode"), "service", other, known()));
    }
}

fn resources(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let mut missing = |section_name: &str, what: &str, source: &Node, key: &str| {
        let Some(name) = source.str().filter(|name| !seen.defined(section_name, name)) else { return };
        let known: Vec<&str> = section(seen.root, section_name).map(|(name, _)| name).collect();
        faults.push(unknown(source.at, seen.key(key), what, name, known.into_iter()));
    };
    for volume in seen.list("volumes") {
        if let (Some("volume"), Some(source)) = (volume.get("type").and_then(Node::str), volume.get("source"))
            && source.str() != Some("")
        {
            missing("volumes", "volume", source, ".volumes");
        }
    }
    let build = seen.get("build").and_then(|build| build.get("secrets")).and_then(Node::list);
    for (list, section, what, key) in [
        (seen.list("secrets"), "secrets", "secret", ".secrets"),
        (build.unwrap_or_default(), "secrets", "secret", ".build.secrets"),
        (seen.list("configs"), "configs", "config", ".configs"),
    ] {
        for source in list.iter().filter_map(|mount| mount.get("source")) {
            missing(section, what, source, key);
        }
    }
    for (name, node) in seen.get("models").and_then(Node::map).into_iter().flat_map(Map::iter) {
        missing("models", "model", &Node::text(name, node.at), ".models");
    }
}

fn scale(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let scale = seen.get("scale");
    let replicas = seen.get("deploy").and_then(|deploy| deploy.get("replicas"));
    if let (Some(a), Some(b)) = (scale, replicas)
        && a.int() != b.int()
    {
        faults.push(
            Fault::at(a.at, seen.key(".scale"), "`scale` and `deploy.replicas` differ")
                .help("keep `deploy.replicas` alone"),
        );
    }
    for (node, key) in [(scale, ".scale"), (replicas, ".deploy.replicas")] {
        if let Some(node) = node
            && node.int().is_some_and(|count| count < 0)
        {
            faults.push(Fault::at(node.at, seen.key(key), "this cannot be less than 0"));
        }
    }
    let (count, key) = match (scale, replicas) {
        (Some(node), _) => (node.int(), "scale"),
        (None, Some(node)) => (node.int(), "deploy.replicas"),
        (None, None) => (None, ""),
    };
    if count.is_some_and(|count| count > 1)
        && let Some(name) = seen.get("container_name").filter(|name| name.str() != Some(""))
    {
        faults.push(
            Fault::at(
                name.at,
                seen.key(".container_name"),
                format!("`container_name` and `{key}` above 1 exclude each other"),
            )
            .help("a container's name is unique; remove `container_name`"),
        );
    }
}

/// An old key and its new place may not differ.
fn limits(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let resources = seen.get("deploy").and_then(|deploy| deploy.get("resources"));
    let size = |node: Option<&Node>| match node.and_then(Node::str) {
        Some(text) => go::bytes(text).unwrap_or(0),
        None => node.and_then(Node::int).unwrap_or(0) as i64,
    };
    let float = |node: Option<&Node>| node.and_then(Node::float).unwrap_or(0.0) as f32;
    for (old, side, new) in [
        ("cpus", "limits", "cpus"),
        ("mem_limit", "limits", "memory"),
        ("mem_reservation", "reservations", "memory"),
        ("pids_limit", "limits", "pids"),
    ] {
        let Some(side_node) = resources.and_then(|node| node.get(side)) else { continue };
        let Some(node) = seen.get(old) else { continue };
        let differ = if old == "cpus" {
            let value = float(Some(node));
            value != 0.0 && value != float(side_node.get(new))
        } else {
            let value = size(Some(node));
            value != 0 && value != size(side_node.get(new))
        };
        if differ {
            faults.push(
                Fault::at(
                    node.at,
                    seen.key(&format!(".{old}")),
                    format!("`{old}` and `deploy.resources.{side}.{new}` differ"),
                )
                .help("keep the second alone"),
            );
        }
    }
}

/// No two mounts at one place.
fn targets(seen: &Seen<'_>, faults: &mut Vec<Fault>) {
    let mut taken = BTreeMap::new();
    let tmpfs = seen.get("tmpfs");
    let tmpfs_list =
        tmpfs.and_then(Node::list).unwrap_or_else(|| tmpfs.map(std::slice::from_ref).unwrap_or_default());
    let tmpfs = tmpfs_list.iter().map(|node| {
        let text = node.str().unwrap_or_default();
        ("tmpfs", text.split_once(':').map_or(text, |(path, _)| path).to_owned(), node.at)
    });
    let volumes = seen.list("volumes").iter().map(|node| {
        ("volumes", node.get("target").and_then(Node::str).unwrap_or_default().to_owned(), node.at)
    });
    for (key, target, at) in tmpfs.chain(volumes) {
        if let Some(first) = taken.insert(target.clone(), key) {
            faults.push(Fault::at(
                at,
                seen.key(&format!(".{key}")),
                format!("`{target}` is mounted already, under `{first}`"),
            ));
        }
    }
}

/// Hosts have names and, in a list, addresses.
fn hosts(node: Option<&Node>, key: &str, faults: &mut Vec<Fault>) {
    let Some(node) = node else { return };
    let mut names: Vec<(Span, String)> = Vec::new();
    for item in node.list().unwrap_or_default() {
        let text = item.print();
        match text.split_once('=').or_else(|| text.split_once(':')) {
            Some((host, _)) => names.push((item.at, host.to_owned())),
            None => faults.push(
                Fault::at(item.at, key, format!("`{text}` has no address"))
                    .help("write `name=address`, as in `db=10.0.0.5`"),
            ),
        }
    }
    if let Some(map) = node.map() {
        names.extend(map.iter().map(|(host, node)| (node.at, host.to_owned())));
    }
    for (at, host) in names.into_iter().filter(|(_, host)| host.is_empty() || host.contains([':', '='])) {
        faults.push(
            Fault::at(at, key, format!("`{host}` is not the name of a host"))
                .help("write `name=address`, as in `db=10.0.0.5`"),
        );
    }
}
