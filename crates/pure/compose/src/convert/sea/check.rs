//! `x-sea.edge.check`: what an instance must answer from outside to be sent requests.

use std::collections::BTreeMap;
use std::time::Duration;

use spec::{HeaderRules, HeaderSide, HealthCheck, HttpProbe, PathPrefix, Probe, StatusRange};

use super::super::Desk;
use super::known;
use crate::go;
use crate::tree::{Map, Node, Value};

const KEYS: &[&str] = &[
    "tcp",
    "http",
    "grpc",
    "port",
    "host",
    "headers",
    "status",
    "interval",
    "timeout",
    "retries",
    "start_period",
    "start_interval",
];
/// What a connection and gRPC know nothing of.
const HTTP_ONLY: &[&str] = &["host", "headers", "status"];
const HELP: &str = "write `tcp`, `grpc`, a path as in `/healthz`, or as in `{http: /healthz, port: 8080}`";
const STATUS_HELP: &str = "write as in `200`, `200-299` or `[200, 404]`, from 100 to 599";

/// Where the check stands, and what is known of its service.
pub(super) struct Place<'a> {
    pub(super) key: &'a str,
    /// The port that requests come to, or why there is no such port.
    pub(super) port: Result<u16, &'static str>,
    /// Instances speak HTTP/2.
    pub(super) http2: bool,
}

/// Reads the check.
pub(super) fn read(desk: &mut Desk<'_>, node: &Node, place: &Place<'_>) -> Option<HealthCheck> {
    let none = Map::default();
    let mut reader = Reader { desk, place };
    let (probe, map) = match &node.value {
        Value::Text(text) => {
            let port = |reader: &mut Reader<'_, '_>| reader.port(&none, node);
            let probe = match text.as_str() {
                "tcp" => Probe::Tcp { port: port(&mut reader)? },
                "grpc" => Probe::Grpc { port: port(&mut reader)?, service: String::new() },
                path if path.starts_with('/') => reader.http(&none, node, (node, path))?,
                _ => {
                    reader.fault(node, "", format!("`{text}` is no check"), HELP);
                    return None;
                }
            };
            (probe, &none)
        }
        Value::Map(map) => {
            known(reader.desk, map, KEYS, place.key);
            (reader.probe(map, node)?, map)
        }
        _ => {
            reader.fault(node, "", format!("a check cannot be {}", node.kind()), HELP);
            return None;
        }
    };
    let mut time = |field, usual| reader.time(map, field, usual);
    Some(HealthCheck {
        probe,
        // Often enough that a sick instance is noticed before people do, rarely enough to cost nothing.
        interval: time("interval", Duration::from_secs(5)),
        timeout: time("timeout", Duration::from_secs(2)),
        start_period: time("start_period", Duration::from_secs(60)),
        start_interval: time("start_interval", Duration::from_millis(200)),
        retries: reader.retries(map),
    })
}

struct Reader<'a, 'b> {
    desk: &'a mut Desk<'b>,
    place: &'a Place<'a>,
}

impl Reader<'_, '_> {
    fn fault(&mut self, node: &Node, field: &str, message: impl Into<String>, help: impl Into<String>) {
        let key = self.place.key;
        let key = if field.is_empty() { key.to_owned() } else { format!("{key}.{field}") };
        self.desk.fault(node, key, message, help);
    }

    fn wrong(&mut self, node: &Node, field: &str, help: &str) {
        self.fault(node, field, format!("`{}` is not a value of this key", node.print()), help);
    }

    /// What is asked: one of three.
    fn probe(&mut self, map: &Map, node: &Node) -> Option<Probe> {
        let given: Vec<&str> = ["tcp", "http", "grpc"].into_iter().filter(|key| map.has(key)).collect();
        let [kind] = given.as_slice() else {
            let message = match given.as_slice() {
                [] => "this does not say what is asked".to_owned(),
                several => format!("`{}` exclude each other", several.join("` and `")),
            };
            self.fault(node, "", message, "keep one of `tcp: true`, `http: PATH` and `grpc: SERVICE`");
            return None;
        };
        if *kind != "http"
            && let Some((field, given)) = HTTP_ONLY.iter().find_map(|key| Some((*key, map.get(key)?)))
        {
            let message = format!("a check by `{kind}` has no `{field}`");
            self.fault(given, field, message, "leave it out, or ask by `http: PATH`");
        }
        let given = map.get(kind)?;
        match (*kind, &given.value) {
            ("http", Value::Text(path)) => self.http(map, node, (given, path)),
            ("grpc", Value::Text(service)) if is_service(service) => {
                Some(Probe::Grpc { port: self.port(map, node)?, service: service.clone() })
            }
            ("grpc", Value::Bool(true)) => {
                Some(Probe::Grpc { port: self.port(map, node)?, service: String::new() })
            }
            ("tcp", Value::Bool(true)) => Some(Probe::Tcp { port: self.port(map, node)? }),
            _ => {
                self.wrong(
                    given,
                    kind,
                    match *kind {
                        "http" => "write a path, as in `/healthz`",
                        "grpc" => {
                            "write a service's name, as in `shop.Cart`, or `true` for the server as a whole"
                        }
                        _ => "write `tcp: true`; the port stands under `port`",
                    },
                );
                None
            }
        }
    }

    fn http(&mut self, map: &Map, node: &Node, (given, path): (&Node, &str)) -> Option<Probe> {
        if let Some(flaw) = path_flaw(path) {
            let message = format!("`{path}` is no path: {flaw}");
            self.fault(
                given,
                if map.has("http") { "http" } else { "" },
                message,
                "write as in `/healthz?full=1`",
            );
            return None;
        }
        Some(Probe::Http(HttpProbe {
            port: self.port(map, node)?,
            path: path.to_owned(),
            host: map.get("host").and_then(|node| self.host(node)),
            headers: map.get("headers").map(|node| self.headers(node)).unwrap_or_default(),
            statuses: map.get("status").map(|node| self.statuses(node)).unwrap_or_default(),
            http2: self.place.http2,
        }))
    }

    fn port(&mut self, map: &Map, node: &Node) -> Option<u16> {
        let Some(given) = map.get("port") else {
            return match self.place.port {
                Ok(port) => Some(port),
                Err(why) => {
                    let message = format!("which port of the container? {why}");
                    self.fault(node, "port", message, "add it, as in `{http: /healthz, port: 8080}`");
                    None
                }
            };
        };
        let port = given.int().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if port.is_none() {
            self.fault(given, "port", format!("`{}` is no port", given.print()), "ports are 1 to 65535");
        }
        port
    }

    fn host(&mut self, node: &Node) -> Option<String> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let host = node.str().filter(|host| (1..=255).contains(&host.len()) && host.bytes().all(good));
        if host.is_none() {
            self.wrong(node, "host", "write a host, as in `shop.example` or `shop.example:8080`");
        }
        host.map(str::to_owned)
    }

    fn headers(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        let Some(map) = node.map() else {
            self.wrong(node, "headers", "write as in `{X-Check: edge}`");
            return headers;
        };
        for (name, node) in map.iter() {
            let (lower, value) = (name.to_ascii_lowercase(), node.print());
            let field = format!("headers.{name}");
            if lower == "host" {
                self.fault(
                    node,
                    &field,
                    "the host has a key of its own",
                    "write `host: NAME` beside `headers`",
                );
            } else if let Some(flaw) = HeaderRules::name_flaw(&lower, HeaderSide::Request) {
                self.fault(node, &field, format!("`{name}` {flaw}"), "leave it out");
            } else if !HeaderRules::is_value(&value) {
                let help = "a value is visible ASCII with spaces between, at most 8 KiB";
                self.fault(node, &field, "no field can have this value", help);
            } else {
                headers.insert(lower, value);
            }
        }
        headers
    }

    /// A status, a range, or a list of both.
    fn statuses(&mut self, node: &Node) -> Vec<StatusRange> {
        let nodes = node.list().unwrap_or(std::slice::from_ref(node));
        let mut ranges = Vec::new();
        for node in nodes {
            let text = node.print();
            let (from, to) = text.split_once('-').unwrap_or((&text, &text));
            let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..600).contains(code));
            match (code(from), code(to)) {
                (Some(from), Some(to)) if from <= to => ranges.push(StatusRange { from, to }),
                _ => self.wrong(node, "status", STATUS_HELP),
            }
        }
        if nodes.is_empty() {
            self.wrong(node, "status", STATUS_HELP);
        }
        ranges
    }

    fn time(&mut self, map: &Map, field: &str, usual: Duration) -> Duration {
        let Some(node) = map.get(field) else { return usual };
        let nanos = node.str().and_then(go::duration).and_then(|nanos| u64::try_from(nanos).ok());
        let may_be_none = field == "start_period";
        match nanos.filter(|nanos| *nanos > 0 || may_be_none) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => {
                self.wrong(node, field, "write a time, as in `500ms`, `5s` or `2m`");
                usual
            }
        }
    }

    fn retries(&mut self, map: &Map) -> u32 {
        const USUAL: u32 = 3;
        let Some(node) = map.get("retries") else { return USUAL };
        let count = node.int().and_then(|count| u32::try_from(count).ok());
        count.filter(|count| (1..=100).contains(count)).unwrap_or_else(|| {
            self.wrong(node, "retries", "write a whole number from 1 to 100");
            USUAL
        })
    }
}

/// What is wrong with a path that may have a query.
fn path_flaw(text: &str) -> Option<&'static str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if text.len() > 2048 {
        return Some("it is longer than 2 KiB");
    }
    let good = |b: u8| b.is_ascii_graphic() && !b"#\"<>".contains(&b);
    let query = (!query.bytes().all(good)).then_some("its query holds what a query cannot hold");
    PathPrefix(path.to_owned()).flaw().or(query)
}

fn is_service(name: &str) -> bool {
    name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
}

#[cfg(test)]
mod tests;
