//! `x-sea.edge.split` and `.mirror`: other services that get requests of this one, or copies of them.

use std::collections::BTreeMap;

use base::ServiceName;
use spec::{
    HIGHEST_WEIGHT, MatchBy, Mirror, ReleaseMatch, ReleaseSplit, Side, SideMatch, Split, Sticky, Which,
};

use super::super::Desk;
use super::edge::is_field_name;
use super::{Sea, known, listed};
use crate::problem::nearest;
use crate::project::Project;
use crate::tree::{Map, Node, Value};

const SPLIT_KEYS: &[&str] = &["sides", "release", "match", "sticky"];
const RELEASE_KEYS: &[&str] = &["percent", "replicas"];
const SIDE_KEYS: &[&str] = &["weight", "port"];
const MATCH_KEYS: &[&str] = &["header", "cookie", "value", "to"];
const MIRROR_KEYS: &[&str] = &["to", "percent"];
const SIDES_HELP: &str =
    "write as in `sides: {web: 90, web-next: 10}`, with the names of services of this file";
const SPLIT_HELP: &str = "write as in `sides: {web: 90, web-next: 10}`, with the names of services of this file, or `release: 10` for a new release of this one";
const RELEASE_HELP: &str = "write as in `release: 10` or `release: {percent: 10, replicas: 1}`";
const MATCH_HELP: &str = "write as in `[{header: X-Canary, value: always, to: web-next}]`";
const MIRROR_HELP: &str =
    "write as in `mirror: web-shadow` or `mirror: {to: \"web-shadow:8080\", percent: 5}`";

/// Reads both into what a service wants of the edge; `node` is its `edge`.
pub(super) fn read(desk: &mut Desk<'_>, (name, service): (&str, &Map), node: &Node, sea: &mut Sea) {
    let Some(map) = node.map() else { return };
    let routed = sea.routes.iter().filter(|route| route.rules.redirect.is_none()).map(|route| route.port);
    let mut ways: Vec<u16> = routed.chain(published(service)).collect();
    ways.sort_unstable();
    ways.dedup();
    let key = format!("services.{name}.x-sea.edge");
    let mut reader = Reader { desk, name, key, ways };
    match map.get("split") {
        Some(node) if node.get("release").is_some() => sea.edge.release = reader.release(node),
        node => sea.edge.split = node.and_then(|node| reader.split(node)),
    }
    sea.edge.mirror = map.get("mirror").and_then(|node| reader.mirror(node));
}

/// The container's ports that are published for TCP.
fn published(service: &Map) -> impl Iterator<Item = u16> {
    let ports = service.get("ports").and_then(Node::list).unwrap_or_default();
    let tcp = |map: &&Map| map.get("protocol").and_then(Node::str) != Some("udp");
    let maps = ports.iter().filter_map(Node::map).filter(tcp);
    maps.filter_map(|map| u16::try_from(map.get("target")?.int()?).ok())
}

/// Whether another service sends requests, or copies of them, to this one.
pub(super) fn leads_to(project: &Project, name: &str) -> bool {
    project.section("services").filter(|(other, _)| *other != name).any(|(_, service)| {
        let Some(edge) = service.get("x-sea").and_then(|sea| sea.get("edge")) else { return false };
        let sides = edge.get("split").and_then(|split| split.get("sides"));
        let mirror = edge.get("mirror").map(|mirror| mirror.get("to").unwrap_or(mirror).print());
        let named = mirror.as_deref().map(|to| to.split_once(':').map_or(to, |(to, _)| to));
        sides.is_some_and(|sides| sides.get(name).is_some()) || named == Some(name)
    })
}

/// One entry of `match`: what requests say, and the text of where they go.
struct Match<'n> {
    node: &'n Node,
    field: String,
    by: MatchBy,
    value: Option<String>,
    to: String,
}

struct Reader<'a, 'b> {
    desk: &'a mut Desk<'b>,
    name: &'a str,
    /// Where `edge` stands.
    key: String,
    /// The ports at which requests come to this service.
    ways: Vec<u16>,
}

impl Reader<'_, '_> {
    fn fault(&mut self, node: &Node, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.desk.fault(node, format!("{}.{field}", self.key), message, help);
    }

    fn split(&mut self, node: &Node) -> Option<Split> {
        let Some(map) = node.map() else {
            self.fault(node, "split", format!("this takes a mapping, not {}", node.kind()), SPLIT_HELP);
            return None;
        };
        known(self.desk, map, SPLIT_KEYS, &format!("{}.split", self.key));
        let sides = self.sides(map.get("sides"), node)?;
        let matches =
            map.get("match").map(|node| self.matches(node, &sides, map.get("sides"))).unwrap_or_default();
        let sticky = map.get("sticky").map(|node| self.sticky(node)).unwrap_or_default();
        Some(Split { sides, matches, sticky })
    }

    fn sides(&mut self, given: Option<&Node>, node: &Node) -> Option<BTreeMap<ServiceName, Side>> {
        const FIELD: &str = "split.sides";
        let Some((given, map)) = given.and_then(|given| Some((given, given.map()?))) else {
            self.fault(given.unwrap_or(node), FIELD, "this takes services with their weights", SPLIT_HELP);
            return None;
        };
        let mut sides = BTreeMap::new();
        for (name, node) in map.iter() {
            let field = format!("{FIELD}.{name}");
            let (weight, port) = match &node.value {
                Value::Map(map) => {
                    known(self.desk, map, SIDE_KEYS, &format!("{}.{field}", self.key));
                    (map.get("weight").unwrap_or(node), map.get("port"))
                }
                _ => (node, None),
            };
            let count = weight.int().and_then(|weight| u32::try_from(weight).ok());
            let count = count.filter(|weight| *weight <= HIGHEST_WEIGHT);
            if count.is_none() {
                let message = format!("`{}` is no weight", weight.print());
                let help =
                    format!("write a whole number from 0 to {HIGHEST_WEIGHT}: how much beside the others");
                self.fault(weight, &field, message, help);
            }
            let port = match port {
                Some(node) => Some(self.port(&field, node)?),
                None => None,
            };
            if let (Some(weight), Some((service, port))) = (count, self.service(&field, name, port, node)) {
                sides.insert(service, Side { weight, port });
            }
        }
        if !map.iter().any(|(name, _)| name == self.name) {
            let message = format!("what `{}` itself gets is not said", self.name);
            self.fault(given, FIELD, message, format!("add `{}: 90`; 0 is nothing", self.name));
            return None;
        }
        if sides.len() == map.iter().count() && sides.values().all(|side| side.weight == 0) {
            self.fault(given, FIELD, "no side has any weight", SIDES_HELP);
        }
        Some(sides)
    }

    fn port(&mut self, field: &str, node: &Node) -> Option<u16> {
        let port = node.int().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if port.is_none() {
            self.fault(
                node,
                &format!("{field}.port"),
                format!("`{}` is no port", node.print()),
                "ports are 1 to 65535",
            );
        }
        port
    }

    /// Another service that takes what comes to this one, and its port if that is another.
    fn service(
        &mut self,
        field: &str,
        name: &str,
        port: Option<u16>,
        node: &Node,
    ) -> Option<(ServiceName, Option<u16>)> {
        let services = self.desk.project.root.get("services").and_then(Node::map);
        let map = |name: &str| services.and_then(|all| all.get(name)).and_then(Node::map);
        let (Some(other), Ok(service)) = (map(name), name.parse::<ServiceName>()) else {
            let names = services.into_iter().flat_map(Map::iter).map(|(name, _)| name);
            let near = nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            let help = near.unwrap_or_else(|| "write the name of a service of this file".into());
            self.fault(node, field, format!("there is no service `{name}` here"), help);
            return None;
        };
        let http2 = |map: &Map| {
            let edge = map.get("x-sea").and_then(|sea| sea.get("edge"));
            edge.and_then(|edge| edge.get("protocol")).and_then(Node::str) == Some("h2")
        };
        let own = map(self.name).is_some_and(http2);
        if http2(other) != own {
            let speaks = |http2: bool| if http2 { "HTTP/2" } else { "HTTP/1.1" };
            let message = format!("`{name}` speaks {}, and `{}` {}", speaks(!own), self.name, speaks(own));
            self.fault(node, field, message, "give both the same `x-sea.edge.protocol`");
        }
        if port.is_some() || name == self.name {
            return Some((service, port));
        }
        let has = listed(other);
        if has.is_empty() || self.ways.iter().all(|way| has.contains(way)) {
            return Some((service, None));
        }
        if let ([port], [_]) = (has.as_slice(), self.ways.as_slice()) {
            return Some((service, Some(*port)));
        }
        let shown = |ports: &[u16]| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "which port of `{name}`? it has {}, and requests come for {}",
            shown(&has),
            shown(&self.ways)
        );
        let help = if field == "mirror" {
            format!("add it, as in `{name}:{}`", has[0])
        } else {
            format!("add it, as in `{name}: {{weight: 10, port: {}}}`", has[0])
        };
        self.fault(node, field, message, help);
        None
    }

    fn matches(
        &mut self,
        node: &Node,
        sides: &BTreeMap<ServiceName, Side>,
        given: Option<&Node>,
    ) -> Vec<SideMatch> {
        let mut matches = Vec::new();
        for Match { node, field, by, value, to: side } in self.each_match(node) {
            match sides.keys().find(|name| name.as_str() == side) {
                Some(to) => matches.push(SideMatch { by, value, to: to.clone() }),
                // What is wrong with that side is said already.
                None if given.is_some_and(|given| given.get(&side).is_some()) => {}
                None => {
                    let names = sides.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    let message = format!("`{side}` is not one of the sides");
                    self.fault(node, &format!("{field}.to"), message, format!("write one of {names}"));
                }
            }
        }
        matches
    }

    /// What requests are to say, and where those that do go.
    fn each_match<'n>(&mut self, node: &'n Node) -> Vec<Match<'n>> {
        let Value::List(list) = &node.value else {
            self.fault(node, "split.match", format!("this takes a list, not {}", node.kind()), MATCH_HELP);
            return Vec::new();
        };
        let mut matches = Vec::new();
        for (index, node) in list.iter().enumerate() {
            let field = format!("split.match[{index}]");
            let Some(map) = node.map() else {
                self.fault(node, &field, format!("this takes a mapping, not {}", node.kind()), MATCH_HELP);
                continue;
            };
            known(self.desk, map, MATCH_KEYS, &format!("{}.{field}", self.key));
            let text = |key: &str| map.get(key).map(Node::print);
            let by = match (text("header"), text("cookie")) {
                (Some(name), None) if is_field_name(&name) => MatchBy::Header(name.to_ascii_lowercase()),
                (None, Some(name)) if is_cookie_name(&name) => MatchBy::Cookie(name),
                (Some(name), None) => {
                    self.fault(node, &field, format!("`{name}` is no name of a field"), MATCH_HELP);
                    continue;
                }
                (None, Some(name)) => {
                    self.fault(node, &field, format!("`{name}` is no name of a cookie"), MATCH_HELP);
                    continue;
                }
                (Some(_), Some(_)) | (None, None) => {
                    self.fault(node, &field, "this takes either `header` or `cookie`", MATCH_HELP);
                    continue;
                }
            };
            matches.push(Match { node, field, by, value: text("value"), to: text("to").unwrap_or_default() });
        }
        matches
    }

    /// A share for a new release of the service itself.
    fn release(&mut self, node: &Node) -> Option<ReleaseSplit> {
        const FIELD: &str = "split.release";
        let map = node.map()?;
        known(self.desk, map, SPLIT_KEYS, &format!("{}.split", self.key));
        if let Some(sides) = map.get("sides") {
            let message = "requests are split either between services or between releases of this one";
            self.fault(sides, "split", message, "leave out one of `sides` and `release`");
            return None;
        }
        let given = map.get("release")?;
        let (percent, replicas) = match &given.value {
            Value::Map(map) => {
                known(self.desk, map, RELEASE_KEYS, &format!("{}.{FIELD}", self.key));
                (map.get("percent"), map.get("replicas"))
            }
            _ => (Some(given), None),
        };
        let Some(percent) = percent else {
            self.fault(given, FIELD, "`percent` is missing", RELEASE_HELP);
            return None;
        };
        let exact = |of: &f64| (0.0..=10_000.0).contains(of) && (of - of.round()).abs() < 1e-6;
        let of_10_000 = percent_of(percent).filter(exact);
        if of_10_000.is_none() {
            let message = format!("`{}` is no share of the requests", percent.print());
            let help = "write how much the new release gets, from 0 to 100 percent in steps of 0.01";
            self.fault(percent, FIELD, message, help);
        }
        let replicas = replicas.and_then(|node| {
            let count = node.int().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
            if count.is_none() {
                let message = format!("`{}` is no number of instances", node.print());
                self.fault(node, &format!("{FIELD}.replicas"), message, "write a whole number from 1 up");
            }
            count
        });
        let matches = map.get("match").map(|node| self.release_matches(node)).unwrap_or_default();
        let sticky = map.get("sticky").map(|node| self.sticky(node)).unwrap_or_default();
        Some(ReleaseSplit { of_10_000: of_10_000?.round() as u32, replicas, matches, sticky })
    }

    /// Where requests go that say so: to one of two releases, also where a service of the file has such a name.
    fn release_matches(&mut self, node: &Node) -> Vec<ReleaseMatch> {
        let mut matches = Vec::new();
        for Match { node, field, by, value, to } in self.each_match(node) {
            let to = match to.as_str() {
                "new" => Which::New,
                "old" => Which::Old,
                other => {
                    let message = format!("`{other}` is neither of the two releases");
                    self.fault(node, &format!("{field}.to"), message, "write `new` or `old`");
                    continue;
                }
            };
            matches.push(ReleaseMatch { by, value, to });
        }
        matches
    }

    fn sticky(&mut self, node: &Node) -> Sticky {
        let text = node.str().unwrap_or_default();
        match (text, text.split_once(':')) {
            ("cookie", _) => Sticky::Edge,
            ("client", _) => Sticky::Client,
            (_, Some(("header", name))) if is_field_name(name) => Sticky::Header(name.to_ascii_lowercase()),
            (_, Some(("cookie", name))) if is_cookie_name(name) => Sticky::Cookie(name.to_owned()),
            _ if matches!(node.value, Value::Bool(false)) => Sticky::No,
            _ => {
                let message = format!("`{}` is not a value of this key", node.print());
                let help = "allowed are cookie, client, `header:NAME`, `cookie:NAME` and false";
                self.fault(node, "split.sticky", message, help);
                Sticky::No
            }
        }
    }

    /// A service, with its port or without, or a mapping.
    fn mirror(&mut self, node: &Node) -> Option<Mirror> {
        const FIELD: &str = "mirror";
        let mut of_10_000 = 10_000;
        let to = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Map(map) => {
                known(self.desk, map, MIRROR_KEYS, &format!("{}.mirror", self.key));
                if let Some(node) = map.get("percent") {
                    of_10_000 = self.percent(node)?;
                }
                map.get("to").map(Node::print).unwrap_or_default()
            }
            _ => String::new(),
        };
        let (name, port) = match to.split_once(':') {
            Some((name, port)) => (name, port.parse::<u16>().ok().filter(|port| *port > 0)),
            None => (to.as_str(), None),
        };
        if name.is_empty() || port.is_some() != to.contains(':') {
            self.fault(node, FIELD, format!("`{to}` is no service"), MIRROR_HELP);
            return None;
        }
        if name == self.name {
            self.fault(node, FIELD, "a service cannot get the copies of its own requests", MIRROR_HELP);
            return None;
        }
        let edge = self
            .desk
            .project
            .root
            .get("services")
            .and_then(|all| all.get(self.name)?.get("x-sea")?.get("edge"));
        if edge.and_then(|edge| edge.get("protocol")).and_then(Node::str) == Some("h2") {
            let message = format!("`{}` speaks HTTP/2, and copies are sent in HTTP/1.1 only", self.name);
            self.fault(node, FIELD, message, "leave `mirror` or `protocol: h2` out");
            return None;
        }
        let (to, port) = self.service(FIELD, name, port, node)?;
        Some(Mirror { to, port, of_10_000 })
    }

    fn percent(&mut self, node: &Node) -> Option<u32> {
        let of_10_000 = percent_of(node).map(f64::round).filter(|it| (1.0..=10_000.0).contains(it));
        if of_10_000.is_none() {
            let message = format!("`{}` is not a value of this key", node.print());
            self.fault(node, "mirror.percent", message, "write a number from 0.01 to 100");
        }
        of_10_000.map(|it| it as u32)
    }
}

/// Percent as parts of 10,000.
fn percent_of(node: &Node) -> Option<f64> {
    let percent = node.print().trim_end_matches('%').trim_end().parse::<f64>().ok()?;
    Some(percent * 100.0)
}

/// Whether this can be the name of a cookie: RFC 6265, section 4.1.1.
pub(super) fn is_cookie_name(name: &str) -> bool {
    is_field_name(&name.replace('_', "-"))
}
