//! `x-sea`: what the specification has no word for. Read strictly; its JSON Schema is in the guide.

mod check;
mod edge;
mod files;
mod patterns;
mod rules;
mod split;

use std::collections::BTreeSet;
use std::time::Duration;

use spec::{
    CertificateFiles, EdgePolicy, HealthCheck, Issuer, PathPrefix, Route, RouteHttps, RouteRules,
    ServiceCertificate,
};

use super::Desk;
use super::parts::truth;
use crate::problem::nearest;
use crate::tree::{Map, Node, Value};

/// What a service's `x-sea` says.
#[derive(Debug, Default)]
pub(super) struct Sea {
    pub(super) routes: Vec<Route>,
    pub(super) edge: EdgePolicy,
    pub(super) check: Option<HealthCheck>,
    pub(super) certificate: Option<ServiceCertificate>,
    pub(super) writer: Option<Writer>,
}

/// Who may write to a service's volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// One instance at a time.
    Single,
    /// Several at once.
    Many,
}

const KEYS: &[&str] = &["route", "routes", "edge", "certificate", "writer"];
const ROUTE_KEYS: &[&str] = &[
    "host",
    "path",
    "port",
    "strip_prefix",
    "https",
    "hsts",
    "request_headers",
    "response_headers",
    "redirect",
    "replace_prefix",
    "rewrite_host",
    "allow",
    "deny",
    "basic_auth",
    "forward_auth",
];

/// Reads a service's `x-sea`, and adds what it means when it says nothing. Nobody calls jobs.
pub(super) fn of(desk: &mut Desk<'_>, name: &str, service: &Map, jobs: &BTreeSet<String>) -> Sea {
    let mut sea = read(desk, name, service);
    if !jobs.contains(name) {
        answer_named(desk, (name, service), &mut sea);
    }
    sea
}

fn read(desk: &mut Desk<'_>, name: &str, service: &Map) -> Sea {
    let mut sea = Sea::default();
    let Some(node) = service.get("x-sea") else { return sea };
    let key = format!("services.{name}.x-sea");
    let Some(map) = node.map() else {
        desk.fault(
            node,
            key,
            format!("this takes a mapping, not {}", node.kind()),
            "write `x-sea: {route: shop.example}`",
        );
        return sea;
    };
    known(desk, map, KEYS, &key);
    let mut reader = Reader { desk, port: inferred(service), key: String::new() };
    for field in ["route", "routes"] {
        let Some(node) = map.get(field) else { continue };
        reader.key = format!("{key}.{field}");
        match (&node.value, field) {
            (Value::List(list), "routes") => {
                for (index, node) in list.iter().enumerate() {
                    reader.key = format!("{key}.{field}[{index}]");
                    sea.routes.extend(reader.route(node));
                }
            }
            (_, "routes") => reader.fault(
                node,
                format!("this takes a list, not {}", node.kind()),
                "for one route write `route:`",
            ),
            _ => sea.routes.extend(reader.route(node)),
        }
    }
    if let Some(node) = map.get("edge") {
        sea.edge = edge::read(desk, node, &format!("{key}.edge"));
        split::read(desk, (name, service), node, &mut sea);
        check_ways(desk, (name, service), (node, &key), &sea);
        if let Some(node) = node.map().and_then(|map| map.get("check")) {
            let routed = sea.routes.iter().map(|route| route.port).find(|port| *port > 0);
            let port = routed.map_or_else(|| inferred(service), Ok);
            let key = format!("{key}.edge.check");
            let place = check::Place { key: &key, port, http2: sea.edge.http2 };
            sea.check = check::read(desk, node, &place);
        }
    }
    if let Some(node) = map.get("certificate") {
        sea.certificate = certificate(desk, node, &format!("{key}.certificate"));
        if sea.certificate.is_some() && sea.routes.iter().all(|route| route.host.is_none()) {
            let help = "give a route a `host`";
            desk.fault(node, format!("{key}.certificate"), "no route here has a host to show it for", help);
        }
        check_issued(desk, node, &key, &sea);
    }
    if let Some(node) = map.get("writer") {
        sea.writer = match node.str() {
            Some("single") => Some(Writer::Single),
            Some("many") => Some(Writer::Many),
            _ => {
                desk.fault(
                    node,
                    format!("{key}.writer"),
                    format!("`{}` is not a value of this key", node.print()),
                    "allowed are single and many",
                );
                None
            }
        };
    }
    sea
}

/// More ports than these are a range rather than a service's names for itself.
const MOST_PORTS: usize = 16;

/// The edge listens at one of so many ports of a service's address, by the lower bits of the one that is called.
const PLACES: u16 = 4096;

/// The ports at which the edge answers for a service that does not say: those of TCP that its file names for it.
fn answer_named(desk: &mut Desk<'_>, (name, service): (&str, &Map), sea: &mut Sea) {
    let edge = service.get("x-sea").and_then(|node| node.get("edge"));
    if edge.is_some_and(|edge| edge.get("between").is_some()) {
        return;
    }
    let ports = named(service, &sea.routes);
    if ports.is_empty() || ports.len() > MOST_PORTS {
        return;
    }
    let list: Vec<_> = ports.iter().map(u16::to_string).collect();
    let why = "other services that call its name there have the edge balance, hold and repeat for them";
    desk.choose(name, "x-sea.edge.between", format!("[{}]", list.join(", ")), why);
    sea.edge.between = ports;
}

/// The ports of TCP that a file names for a service which has networks of its own.
fn named(service: &Map, routes: &[Route]) -> Vec<u16> {
    if service.get("network_mode").and_then(Node::str).is_some_and(|mode| mode != "bridge") {
        return Vec::new();
    }
    let mut ports = listed(service);
    ports.extend(routes.iter().map(|route| route.port));
    ports.retain(|port| *port > 0);
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Warns of wishes to an edge that has no way to the service.
fn check_ways(desk: &mut Desk<'_>, (name, service): (&str, &Map), (node, key): (&Node, &str), sea: &Sea) {
    let published = service.get("ports").and_then(Node::list).is_some_and(|ports| !ports.is_empty());
    let silent = node.get("between").is_none() && !named(service, &sea.routes).is_empty();
    let called = split::leads_to(desk.project, name) || !sea.edge.between.is_empty() || silent;
    // Who only says that nobody comes through the edge means it.
    let asks = node.map().is_some_and(|map| map.iter().any(|(key, _)| key != "between"));
    if sea.routes.is_empty() && !published && !called && asks {
        let message = "no request comes here through the edge, for want of a route or a published port";
        desk.warn("C0209", node, format!("{key}.edge"), message);
    }
    let mode = service.get("network_mode").and_then(Node::str).unwrap_or("bridge");
    if !sea.edge.between.is_empty() && mode != "bridge" {
        let message =
            format!("nobody comes through here, as `network_mode: {mode}` has no network of its own");
        desk.warn("C0209", node, format!("{key}.edge.between"), message);
    }
    let ports = &sea.edge.between;
    let alike =
        |port: &u16| ports.iter().find(|lower| *lower < port && (port - **lower).is_multiple_of(PLACES));
    for (port, lower) in ports.iter().filter_map(|port| Some((port, alike(port)?))) {
        let message = format!(
            "calls of port {port} go straight to instances, as the edge has one place for it and {lower}: they are a multiple of {PLACES} apart"
        );
        desk.warn("C0209", node, format!("{key}.edge.between"), message);
    }
}

/// Whether an authority can be shown that all hosts are ours.
fn check_issued(desk: &mut Desk<'_>, node: &Node, key: &str, sea: &Sea) {
    let wild = sea.routes.iter().filter_map(|route| route.host.as_deref()).find(|host| host.starts_with('*'));
    if let (Some(ServiceCertificate::By(Issuer::Acme)), Some(host)) = (&sea.certificate, wild) {
        let message = format!("nobody can prove over HTTP or TLS that all of `{host}` is theirs");
        let help = "give the certificate as files, or list the hosts one by one";
        desk.fault(node, format!("{key}.certificate"), message, help);
    }
}

/// The certificate that the hosts of the routes show: by the names of secrets and configs of this file.
fn certificate(desk: &mut Desk<'_>, node: &Node, key: &str) -> Option<ServiceCertificate> {
    const HELP: &str = "write `certificate: acme`, or `{chain: NAME, key: NAME}` with NAMEs of secrets or configs of this file";
    if node.str() == Some("acme") {
        return Some(ServiceCertificate::By(Issuer::Acme));
    }
    let Some(map) = node.map() else {
        desk.fault(node, key, format!("this takes a mapping, not {}", node.kind()), HELP);
        return None;
    };
    known(desk, map, &["chain", "key"], key);
    let mut named = |field: &str, places: &[&str]| {
        let Some(given) = map.get(field) else {
            desk.fault(node, key, format!("`{field}` is missing"), HELP);
            return None;
        };
        let name = given.str().unwrap_or_default();
        let root = &desk.project.root;
        let source = places.iter().find_map(|place| root.get(place)?.map()?.get(name));
        let external = source.and_then(Node::map).is_some_and(|map| truth(map, "external"));
        let message = match source {
            None => format!("there is no secret or config `{}` here", given.print()),
            Some(_) if external => format!("`{name}` is external, so the edge cannot read it"),
            Some(_) => return Some(name.to_owned()),
        };
        desk.fault(given, format!("{key}.{field}"), message, HELP);
        None
    };
    let (chain, secret) = (named("chain", &["secrets", "configs"]), named("key", &["secrets"]));
    Some(ServiceCertificate::Files(CertificateFiles { chain: chain?, key: secret? }))
}

/// The bytes of a secret or config of this file that the edge reads, or why it cannot.
fn content(desk: &Desk<'_>, section: &str, name: &str) -> Result<Vec<u8>, String> {
    let root = &desk.project.root;
    let Some(map) = root.get(section).and_then(|all| all.get(name)).and_then(Node::map) else {
        let what = section.trim_end_matches('s');
        return Err(format!("there is no {what} `{name}` here"));
    };
    if truth(map, "external") {
        return Err(format!("`{name}` is external, so the edge cannot read it"));
    }
    if let Some(content) = map.get("content") {
        return Ok(content.print().into_bytes());
    }
    let named = |key: &str| map.get(key).map(Node::print);
    let of_file = named("file").and_then(|file| desk.project.contents.get(&file).cloned());
    let of_variable = named("environment").and_then(|name| desk.project.environment().get(&name).cloned());
    of_file.or(of_variable.map(String::into_bytes)).ok_or_else(|| format!("`{name}` cannot be read"))
}

/// Checks the top level's `x-sea`, which has no keys yet.
pub(crate) fn top(desk: &mut Desk<'_>) {
    let project = desk.project;
    let Some(node) = project.root.get("x-sea") else { return };
    match node.map() {
        Some(map) => known(desk, map, &[], "x-sea"),
        None => desk.fault(
            node,
            "x-sea",
            "this takes a mapping",
            "remove it: it has no keys yet at the top level",
        ),
    }
}

fn known(desk: &mut Desk<'_>, map: &Map, keys: &'static [&'static str], path: &str) {
    for (key, _) in map.iter() {
        if keys.contains(&key) {
            continue;
        }
        let help = match (nearest(key, keys.iter().copied()), keys) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => "it has no keys yet at the top level; routes go under a service".into(),
            (None, keys) => format!("the keys here are {}", keys.join(", ")),
        };
        let at = Node { at: map.key_at(key), ..Node::default() };
        desk.fault(&at, format!("{path}.{key}"), "there is no such key", help);
    }
}

/// The port that routes lead to when they do not say: the only one that the service exposes or publishes.
fn inferred(service: &Map) -> Result<u16, &'static str> {
    match listed(service).as_slice() {
        [port] => Ok(*port),
        [] => Err("the service exposes and publishes none"),
        _ => Err("the service has several"),
    }
}

/// The ports that a service exposes or publishes, without those of UDP.
fn listed(service: &Map) -> Vec<u16> {
    let list = |key: &str| service.get(key).and_then(Node::list).unwrap_or_default();
    let exposed = list("expose").iter().filter_map(|node| {
        let text = node.print();
        let (port, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        if protocol == "tcp" { port.parse::<u16>().ok() } else { None }
    });
    let published = list("ports").iter().filter_map(Node::map).filter_map(|map| {
        let tcp = map.get("protocol").and_then(Node::str) != Some("udp");
        if tcp {
            map.get("target").and_then(Node::int).and_then(|port| u16::try_from(port).ok())
        } else {
            None
        }
    });
    let mut all: Vec<u16> = exposed.chain(published).collect();
    all.sort_unstable();
    all.dedup();
    all
}

struct Reader<'a, 'b> {
    desk: &'a mut Desk<'b>,
    port: Result<u16, &'static str>,
    key: String,
}

impl Reader<'_, '_> {
    fn fault(&mut self, node: &Node, message: impl Into<String>, help: impl Into<String>) {
        self.desk.fault(node, self.key.clone(), message, help);
    }

    fn route(&mut self, node: &Node) -> Option<Route> {
        match &node.value {
            Value::Text(text) => self.short(text.clone(), node),
            Value::Map(map) => self.long(map, node),
            _ => {
                self.fault(
                    node,
                    format!("a route cannot be {}", node.kind()),
                    "write as in `shop.example/api -> 8080`",
                );
                None
            }
        }
    }

    /// `host/path -> port`; each part may be left out, but not all.
    fn short(&mut self, text: String, node: &Node) -> Option<Route> {
        let (from, port) = match text.split_once("->") {
            Some((from, port)) => (from.trim(), Some(port.trim())),
            None => (text.trim(), None),
        };
        if from.is_empty() {
            self.fault(
                node,
                "this route has neither host nor path",
                "write as in `shop.example/api -> 8080`; `/` is every request",
            );
            return None;
        }
        let (host, path) = match from.find('/') {
            Some(at) => (&from[..at], &from[at..]),
            None => (from, "/"),
        };
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>().ok().filter(|port| *port > 0) {
                Some(port) => Some(port),
                None => {
                    self.fault(node, format!("`{port}` is no port"), "ports are 1 to 65535");
                    return None;
                }
            },
        };
        let host = if host.is_empty() { None } else { Some(self.host(host, node)?) };
        let (path, port, https) = (self.path(path, node)?, self.port(port, node)?, RouteHttps::default());
        Some(Route { host, path, port, strip_prefix: false, https, rules: RouteRules::default() })
    }

    fn long(&mut self, map: &Map, node: &Node) -> Option<Route> {
        let key = self.key.clone();
        known(self.desk, map, ROUTE_KEYS, &key);
        let mut text = |field: &str| match map.get(field).map(|node| (node, node.str())) {
            None => Ok(None),
            Some((_, Some(text))) => Ok(Some(text.to_owned())),
            Some((node, None)) => {
                let message = format!("this takes a text, not {}", node.kind());
                self.desk.fault(node, format!("{key}.{field}"), message, "put the value into quotes");
                Err(())
            }
        };
        let (host, path) = (text("host").ok()?, text("path").ok()?);
        if host.is_none() && path.is_none() {
            self.fault(
                node,
                "this route has neither `host` nor `path`",
                "add one of them; `path: /` is every request",
            );
            return None;
        }
        let port = match map.get("port") {
            None => None,
            Some(given) => {
                match given.int().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
                    Some(port) => Some(port),
                    None => {
                        self.desk.fault(
                            given,
                            format!("{key}.port"),
                            format!("`{}` is no port", given.print()),
                            "ports are 1 to 65535",
                        );
                        return None;
                    }
                }
            }
        };
        let strip_prefix = match map.get("strip_prefix").map(|node| (node, &node.value)) {
            None => false,
            Some((_, Value::Bool(strip))) => *strip,
            Some((given, _)) => {
                self.desk.fault(
                    given,
                    format!("{key}.strip_prefix"),
                    format!("this takes `true` or `false`, not {}", given.kind()),
                    "write it without quotes",
                );
                return None;
            }
        };
        let host = match host {
            Some(host) => Some(self.host(&host, node)?),
            None => None,
        };
        let path = self.path(path.as_deref().unwrap_or("/"), node)?;
        let https = self.https(map)?;
        let place = rules::Place { host: host.as_deref(), path: &path };
        let rules = rules::read(self.desk, map, &key, &place);
        // Who is sent elsewhere comes to no container.
        let port = if map.get("redirect").is_some() { 0 } else { self.port(port, node)? };
        Some(Route { host, path, port, strip_prefix, https, rules })
    }

    /// `https: only`, and `hsts` with the time for which browsers remember it.
    fn https(&mut self, map: &Map) -> Option<RouteHttps> {
        let only = match map.get("https").map(|node| (node, node.str())) {
            None | Some((_, Some("allowed"))) => false,
            Some((_, Some("only"))) => true,
            Some((given, _)) => {
                let message = format!("`{}` is not a value of this key", given.print());
                self.desk.fault(
                    given,
                    format!("{}.https", self.key),
                    message,
                    "allowed are only and allowed",
                );
                return None;
            }
        };
        let Some(given) = map.get("hsts") else { return Some(RouteHttps { only, remembered: None }) };
        let nanos = given.str().and_then(crate::go::duration).and_then(|nanos| u64::try_from(nanos).ok());
        if nanos.is_none() {
            let message = format!("`{}` is no time", given.print());
            self.desk.fault(given, format!("{}.hsts", self.key), message, "write a time, as in `365d`");
        }
        Some(RouteHttps { only, remembered: Some(Duration::from_nanos(nanos?)) })
    }

    fn host(&mut self, host: &str, node: &Node) -> Option<String> {
        let lower = host.to_ascii_lowercase();
        let bare = lower.strip_prefix("*.").unwrap_or(&lower);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if bare.len() <= 253 && bare.split('.').all(label) {
            return Some(lower);
        }
        self.fault(
            node,
            format!("`{host}` is no host name"),
            "write as in `shop.example` or `*.shop.example`, without scheme and port",
        );
        None
    }

    fn path(&mut self, path: &str, node: &Node) -> Option<PathPrefix> {
        let good =
            path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
        if good {
            return Some(PathPrefix(path.to_owned()));
        }
        self.fault(
            node,
            format!("`{path}` is no path prefix"),
            "write as in `/api`: visible ASCII from a `/` on, without query",
        );
        None
    }

    fn port(&mut self, given: Option<u16>, node: &Node) -> Option<u16> {
        match (given, self.port) {
            (Some(port), _) | (None, Ok(port)) => Some(port),
            (None, Err(why)) => {
                self.fault(
                    node,
                    format!("which port of the container? {why}"),
                    "add it, as in `shop.example -> 8080`",
                );
                None
            }
        }
    }
}
