//! Short forms become long ones, and what is left out gets the specification's defaults.

use crate::merge::names;
use crate::problem::Fault;
use crate::session::Session;
use crate::short;
use crate::tree::{Map, Node, Span, Value};

/// Rewrites a whole tree into long forms. When it is `raw`, short forms that cannot be read stay, as their variables may
/// make them readable.
pub(crate) fn canonical(root: &mut Map, raw: bool, session: &mut Session<'_>) -> Result<(), Fault> {
    if let Some(services) = root.get_mut("services").and_then(Node::map_mut) {
        for (name, service) in services.iter_mut() {
            if let Some(map) = service.map_mut() {
                self::service(map, &format!("services.{name}"), raw)?;
            }
        }
    }
    for section in ["volumes", "networks", "secrets", "configs"] {
        let Some(map) = root.get_mut(section).and_then(Node::map_mut) else { continue };
        for (name, resource) in map.iter_mut() {
            if let Some(map) = resource.map_mut() {
                external(map, &format!("{section}.{name}"), session)?;
            }
        }
    }
    Ok(())
}

fn each(map: &mut Map, key: &str, change: impl Fn(&mut Node) -> Result<(), Fault>) -> Result<(), Fault> {
    match map.get_mut(key).map(|node| &mut node.value) {
        Some(Value::List(list)) => list.iter_mut().try_for_each(change),
        _ => Ok(()),
    }
}

fn service(map: &mut Map, key: &str, raw: bool) -> Result<(), Fault> {
    if let Some(build) = map.get_mut("build") {
        self::build(build, key, raw)?;
    }
    for (field, dependency) in [("depends_on", true), ("networks", false), ("models", false)] {
        if let Some(node) = map.get_mut(field) {
            let at = node.at;
            let map = names(std::mem::take(node), dependency).unwrap_or_default();
            *node = Node::new(Value::Map(map), at);
        }
    }
    if let Some(Value::Map(depends)) = map.get_mut("depends_on").map(|node| &mut node.value) {
        for (_, node) in depends.iter_mut() {
            let at = node.at;
            if let Some(map) = node.map_mut() {
                map.set_default("condition", || Node::text("service_started", at));
                map.set_default("required", || Node::bool(true, at));
            }
        }
    }
    for field in ["env_file", "label_file", "dns"] {
        listed(map, field);
    }
    each(map, "env_file", |node| {
        env_file(node);
        Ok(())
    })?;
    if let Some(dns) = map.get_mut("dns")
        && let Value::List(list) = &mut dns.value
    {
        list.retain(|server| server.str() != Some("") && !server.is_null());
    }
    extends_and_gpus(map);
    each(map, "volumes", |node| volume(node, key, raw))?;
    each(map, "devices", |node| device(node, key))?;
    for field in ["secrets", "configs"] {
        each(map, field, |node| {
            file_mount(node);
            Ok(())
        })?;
    }
    if let Some(ports) = map.get_mut("ports")
        && let Value::List(list) = &mut ports.value
    {
        match self::ports(list, key) {
            Ok(long) => *list = long,
            Err(_) if raw => {}
            Err(fault) => return Err(fault),
        }
    }
    if let Some(Value::Map(develop)) = map.get_mut("develop").map(|node| &mut node.value) {
        each(develop, "watch", |rule| {
            if let Some(rule) = rule.map_mut() {
                listed(rule, "ignore");
                listed(rule, "include");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A text alone becomes a list of it.
fn listed(map: &mut Map, key: &str) {
    if let Some(node) = map.get_mut(key)
        && node.str().is_some()
    {
        let at = node.at;
        *node = Node::new(Value::List(vec![std::mem::take(node)]), at);
    }
}

fn env_file(node: &mut Node) {
    let at = node.at;
    if node.str().is_some() {
        let mut map = Map::default();
        map.set("path", std::mem::take(node));
        *node = Node::new(Value::Map(map), at);
    }
    if let Some(map) = node.map_mut() {
        map.set_default("required", || Node::bool(true, at));
    }
}

fn extends_and_gpus(map: &mut Map) {
    if let Some(node) = map.get_mut("extends")
        && node.str().is_some()
    {
        let at = node.at;
        let mut long = Map::default();
        long.set("service", std::mem::take(node));
        *node = Node::new(Value::Map(long), at);
    }
    if let Some(node) = map.get_mut("gpus")
        && node.str().is_some()
    {
        let at = node.at;
        let mut all = Map::default();
        all.set("count", Node::text("all", at));
        *node = Node::new(Value::List(vec![Node::new(Value::Map(all), at)]), at);
    }
}

fn build(node: &mut Node, key: &str, raw: bool) -> Result<(), Fault> {
    let at = node.at;
    if node.str().is_some() {
        let mut map = Map::default();
        map.set("context", std::mem::take(node));
        *node = Node::new(Value::Map(map), at);
    }
    let Some(map) = node.map_mut() else { return Ok(()) };
    each(map, "secrets", |node| {
        file_mount(node);
        Ok(())
    })?;
    for field in ["provenance", "sbom"] {
        if let Some(node) = map.get_mut(field) {
            *node = Node::text(node.print(), node.at);
        }
    }
    if let Some(node) = map.get_mut("additional_contexts")
        && let Value::List(list) = &node.value
    {
        let mut contexts = Map::default();
        for item in list {
            let Some((name, context)) = item.str().and_then(|text| text.split_once('=')) else {
                if raw {
                    return Ok(());
                }
                return Err(Fault::at(
                    item.at,
                    format!("{key}.build.additional_contexts"),
                    "a context needs a name",
                )
                .help("write `name=context`"));
            };
            contexts.set(name, Node::text(context, item.at));
        }
        *node = Node::new(Value::Map(contexts), node.at);
    }
    match map.get_mut("ssh") {
        Some(ssh) => self::ssh(ssh, key),
        None => Ok(()),
    }
}

fn ssh(node: &mut Node, key: &str) -> Result<(), Fault> {
    let Value::List(list) = &node.value else { return Ok(()) };
    let mut keys = Map::default();
    for item in list {
        let text = item.str().unwrap_or_default();
        match text.split_once('=') {
            Some((id, path)) => keys.set(id, Node::text(path, item.at)),
            None if text == "default" => keys.set(text, Node::new(Value::Null, item.at)),
            None => {
                return Err(Fault::at(item.at, format!("{key}.build.ssh"), format!("`{text}` names no key"))
                    .help("write `id=path`, or `default` for the agent"));
            }
        }
    }
    *node = Node::new(Value::Map(keys), node.at);
    Ok(())
}

fn file_mount(node: &mut Node) {
    if node.str().is_some() {
        let at = node.at;
        let mut map = Map::default();
        map.set("source", std::mem::take(node));
        *node = Node::new(Value::Map(map), at);
    }
}

fn volume(node: &mut Node, key: &str, raw: bool) -> Result<(), Fault> {
    let Some(spec) = node.str() else { return Ok(()) };
    match short::volume(spec) {
        Ok(volume) => *node = volume.long(node.at),
        Err(_) if raw => {}
        Err(what) => {
            return Err(
                Fault::at(node.at, format!("{key}.volumes"), what).help("write `source:target:options`")
            );
        }
    }
    Ok(())
}

fn device(node: &mut Node, key: &str) -> Result<(), Fault> {
    let Some(spec) = node.str() else { return Ok(()) };
    let at = node.at;
    let parts: Vec<&str> = spec.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, target] => (*source, *target, "rwm"),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => {
            return Err(Fault::at(at, format!("{key}.devices"), format!("`{spec}` has too many colons"))
                .help("write `source:target:permissions`, or a mapping with these keys"));
        }
    };
    let target = if target.is_empty() { source } else { target };
    let mut map = Map::default();
    map.set("source", Node::text(source, at));
    map.set("target", Node::text(target, at));
    map.set("permissions", Node::text(permissions, at));
    *node = Node::new(Value::Map(map), at);
    Ok(())
}

fn ports(list: &[Node], key: &str) -> Result<Vec<Node>, Fault> {
    let mut out = Vec::with_capacity(list.len());
    for node in list {
        match &node.value {
            Value::Int(_) | Value::Text(_) => {
                let ports = short::ports(&node.print()).map_err(|what| {
                    Fault::at(node.at, format!("{key}.ports"), what)
                        .help("write `[address:][host port:]container port[/protocol]`; ports are 0 to 65535")
                })?;
                out.extend(ports.into_iter().map(|port| port.long(node.at)));
            }
            Value::Map(_) => out.push(node.clone()),
            _ => {
                return Err(Fault::at(
                    node.at,
                    format!("{key}.ports"),
                    format!("a port cannot be {}", node.kind()),
                ));
            }
        }
    }
    Ok(out)
}

fn external(map: &mut Map, key: &str, session: &mut Session<'_>) -> Result<(), Fault> {
    let Some(external) = map.get("external") else { return Ok(()) };
    let at = external.at;
    let Some(old) = external.map() else { return Ok(()) };
    let old_name = old.get("name").cloned();
    map.set("external", Node::bool(true, at));
    let Some(old_name) = old_name else { return Ok(()) };
    session.warn("C0004", Some(at), key, "`external.name` is an old form; write `name` and `external: true`");
    match map.get("name") {
        Some(name) if *name != old_name => {
            Err(Fault::at(at, key, "`name` and `external.name` differ").help("keep `name` alone"))
        }
        Some(_) => Ok(()),
        None => {
            map.set("name", old_name);
            Ok(())
        }
    }
}

/// Fills in what the specification gives to those who say nothing.
pub(crate) fn defaults(root: &mut Map) {
    let Some(services) = root.get_mut("services").and_then(Node::map_mut) else { return };
    for (_, service) in services.iter_mut() {
        let Some(map) = service.map_mut() else { continue };
        if let Some(Value::Map(build)) = map.get_mut("build").map(|node| &mut node.value) {
            build.set_default("context", || Node::text(".", Span::default()));
        }
        for_each(map, "secrets", |secret| {
            let source = secret.get("source").map(Node::print).unwrap_or_default();
            secret.set_default("target", || Node::text(format!("/run/secrets/{source}"), Span::default()));
        });
        for_each(map, "ports", |port| {
            port.set_default("protocol", || Node::text("tcp", Span::default()));
            port.set_default("mode", || Node::text("ingress", Span::default()));
        });
        let all = |request: &mut Map| {
            if !request.has("count") && !request.has("device_ids") {
                request.set("count", Node::text("all", Span::default()));
            }
        };
        for_each(map, "gpus", all);
        let mut deep = map.get_mut("deploy");
        for key in ["resources", "reservations"] {
            deep = deep.and_then(Node::map_mut).and_then(|map| map.get_mut(key));
        }
        if let Some(reservations) = deep.and_then(Node::map_mut) {
            for_each(reservations, "devices", all);
        }
    }
}

fn for_each(map: &mut Map, key: &str, change: impl Fn(&mut Map)) {
    if let Some(Value::List(list)) = map.get_mut(key).map(|node| &mut node.value) {
        list.iter_mut().filter_map(Node::map_mut).for_each(change);
    }
}
