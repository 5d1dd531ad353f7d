//! `x-sea.edge`: what a service wants of the edge beyond its defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Bytes;
use spec::{
    BalanceBy, Breaking, Caching, EdgePolicy, Limit, Maintenance, PAGE_BYTES, ProxyProtocol, Rate, RateKey,
};

use super::super::Desk;
use super::rules::ranges;
use super::{content, known};
use crate::go;
use crate::tree::{Map, Node, Value};

const KEYS: &[&str] = &[
    "first_byte",
    "idle",
    "request",
    "retries",
    "max_body",
    "protocol",
    "limit",
    "rate",
    "balance",
    "breaker",
    "check",
    "maintenance",
    "error_pages",
    "files",
    "replace_errors",
    "compress",
    "trace",
    "split",
    "mirror",
    "proxy_protocol",
    "between",
    "connections",
    "hedge",
    "priority",
    "sticky",
    "cache",
];
const CACHE_KEYS: &[&str] =
    &["ttl", "stale_while_revalidate", "stale_if_error", "join", "wait", "size", "max_answer"];
const MAINTENANCE_KEYS: &[&str] = &["allow", "retry_after"];
const LIMIT_KEYS: &[&str] = &["requests", "queue", "wait"];
const RATE_KEYS: &[&str] = &["requests", "per", "burst", "by"];
const RATE_HELP: &str = "write as in `100/s`, `600/m` or `{requests: 100, per: 1s, burst: 200, by: client}`";

/// Requests that wait for their turn unless the file says otherwise, and for how long: longer than a burst, shorter
/// than people's patience.
const QUEUE: u32 = 100;
const WAIT: Duration = Duration::from_secs(1);
/// When clients may come again to a service that is being worked on: soon enough for who waits for it.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Reads the policy; `key` is where it stands.
pub(super) fn read(desk: &mut Desk<'_>, node: &Node, key: &str) -> EdgePolicy {
    let Some(map) = node.map() else {
        let message = format!("this takes a mapping, not {}", node.kind());
        desk.fault(node, key, message, "write as in `edge: {request: 30s}`");
        return EdgePolicy::default();
    };
    known(desk, map, KEYS, key);
    let mut reader = Reader { desk, key };
    EdgePolicy {
        first_byte: reader.time(map, "first_byte"),
        idle: reader.time(map, "idle"),
        request: reader.time(map, "request"),
        retries: reader.count(map, "retries", 0, 10),
        max_body: reader.size(map, "max_body"),
        http2: map.get("protocol").is_some_and(|node| reader.http2(node)),
        limit: map.get("limit").and_then(|node| reader.limit(node)),
        rate: map.get("rate").and_then(|node| reader.rate(node)),
        balance: map.get("balance").map(|node| reader.balance(node)).unwrap_or_default(),
        breaker: map.get("breaker").map(|node| reader.breaker(node)).unwrap_or_default(),
        maintenance: map.get("maintenance").and_then(|node| reader.maintenance(node)),
        error_pages: map.get("error_pages").map(|node| reader.pages(node)).unwrap_or_default(),
        replace_errors: map.get("replace_errors").map(|node| reader.replaced(node, map)).unwrap_or_default(),
        files: map.get("files").map_or_else(Vec::new, |node| reader.files(node)),
        trace: map.get("trace").and_then(|node| reader.trace(node)),
        between: map.get("between").map(|node| reader.ports(node)).unwrap_or_default(),
        connections: reader.count(map, "connections", 1, 1_000_000),
        compress: map.get("compress").is_some_and(|node| reader.truth(node, "compress")),
        // These name other services, which are looked at by whoever knows the ways to this one.
        split: None,
        release: None,
        mirror: None,
        cache: map.get("cache").and_then(|node| reader.cache(node)),
        proxy_protocol: map.get("proxy_protocol").and_then(|node| reader.proxy_protocol(node, map)),
        hedge: map.get("hedge").and_then(|node| reader.hedge(node)),
        stick: map.get("sticky").and_then(|node| reader.sticky(node)),
        priority: map.get("priority").and_then(|node| reader.priority(node, map)),
    }
}

pub(super) struct Reader<'a, 'b> {
    pub(super) desk: &'a mut Desk<'b>,
    pub(super) key: &'a str,
}

impl Reader<'_, '_> {
    pub(super) fn fault(&mut self, node: &Node, field: &str, help: &str) {
        let message = format!("`{}` is not a value of this key", node.print());
        self.desk.fault(node, format!("{}.{field}", self.key), message, help);
    }

    /// A time above nothing.
    pub(super) fn time(&mut self, map: &Map, field: &str) -> Option<Duration> {
        let node = map.get(field)?;
        let nanos = node.str().and_then(go::duration).and_then(|nanos| u64::try_from(nanos).ok());
        let time = nanos.filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        if time.is_none() {
            self.fault(node, field, "write a time, as in `500ms`, `30s` or `2m`");
        }
        time
    }

    fn count(&mut self, map: &Map, field: &str, least: u32, most: u32) -> Option<u32> {
        let node = map.get(field)?;
        let count = node.int().and_then(|count| u32::try_from(count).ok());
        let count = count.filter(|count| (least..=most).contains(count));
        if count.is_none() {
            self.fault(node, field, &format!("write a whole number from {least} to {most}"));
        }
        count
    }

    fn size(&mut self, map: &Map, field: &str) -> Option<Bytes> {
        let node = map.get(field)?;
        let size = node.print().parse::<Bytes>().ok();
        if size.is_none() {
            self.fault(node, field, "write a size, as in `512k` or `10m`");
        }
        size
    }

    fn http2(&mut self, node: &Node) -> bool {
        match node.str() {
            Some("h2") => true,
            Some("http1") => false,
            _ => {
                self.fault(node, "protocol", "allowed are http1 and h2");
                false
            }
        }
    }

    fn proxy_protocol(&mut self, node: &Node, map: &Map) -> Option<ProxyProtocol> {
        if map.get("protocol").and_then(Node::str) == Some("h2") {
            let message = "connections of HTTP/2 carry requests of many clients, and cannot open with the address of one";
            self.desk.fault(
                node,
                format!("{}.proxy_protocol", self.key),
                message,
                "leave out one of the two",
            );
            return None;
        }
        match node.str() {
            Some("v1") => Some(ProxyProtocol::V1),
            Some("v2") => Some(ProxyProtocol::V2),
            _ => {
                self.fault(node, "proxy_protocol", "allowed are v1 and v2");
                None
            }
        }
    }

    fn truth(&mut self, node: &Node, field: &str) -> bool {
        if let Value::Bool(value) = node.value {
            return value;
        }
        self.fault(node, field, "write `true` or `false`, without quotes");
        false
    }

    fn breaker(&mut self, node: &Node) -> Breaking {
        if self.truth(node, "breaker") { Breaking::On } else { Breaking::Off }
    }

    /// A share, as parts of a million; `false` leaves requests as they are.
    fn trace(&mut self, node: &Node) -> Option<u32> {
        match &node.value {
            Value::Bool(false) => return None,
            Value::Bool(true) => return Some(1_000_000),
            _ => {}
        }
        let percent = node.str().and_then(|text| text.strip_suffix('%')?.trim_end().parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        if percent.is_none() {
            self.fault(node, "trace", "write the share that is recorded, as in `10%`, or `true` or `false`");
        }
        percent.map(|percent| (percent * 10_000.0).round() as u32)
    }

    /// A port or a list of ports, each once, in order; none for `false`.
    fn ports(&mut self, node: &Node) -> Vec<u16> {
        const HELP: &str = "write the ports of TCP at which other services call it, as in `[8080, 9090]`, or `false` for none";
        if matches!(node.value, Value::Bool(false)) {
            return Vec::new();
        }
        let nodes = node.list().unwrap_or(std::slice::from_ref(node));
        let mut ports = Vec::new();
        for one in nodes {
            match one.int().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
                Some(port) => ports.push(port),
                None => self.fault(one, "between", HELP),
            }
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// `true`, or a mapping.
    fn maintenance(&mut self, node: &Node) -> Option<Maintenance> {
        let mut maintenance = Maintenance { allow: Vec::new(), retry_after: RETRY_AFTER };
        match &node.value {
            Value::Bool(on) => on.then_some(maintenance),
            Value::Map(map) => {
                let key = format!("{}.maintenance", self.key);
                known(self.desk, map, MAINTENANCE_KEYS, &key);
                if let Some(node) = map.get("allow") {
                    maintenance.allow = ranges(self.desk, node, &format!("{key}.allow"));
                }
                let mut inner = Reader { desk: self.desk, key: &key };
                maintenance.retry_after = inner.time(map, "retry_after").unwrap_or(RETRY_AFTER);
                Some(maintenance)
            }
            _ => {
                let help = "write `true`, `false` or `{allow: [10.0.0.0/8], retry_after: 10m}`";
                self.fault(node, "maintenance", help);
                None
            }
        }
    }

    /// Names of configs by statuses and classes.
    fn pages(&mut self, node: &Node) -> BTreeMap<String, String> {
        const HELP: &str = "write as in `{'404': NAME, 5xx: NAME}`, with NAMEs of configs of this file";
        let mut pages = BTreeMap::new();
        let Some(map) = node.map() else {
            self.fault(node, "error_pages", HELP);
            return pages;
        };
        for (key, node) in map.iter() {
            let (place, name) = (format!("{}.error_pages.{key}", self.key), node.print());
            if !spec::is_page(key) {
                let message = format!("`{key}` is no status and no class of errors");
                self.desk.fault(node, place, message, "write 400 to 599, `4xx` or `5xx`");
                continue;
            }
            let flaw = match content(self.desk, "configs", &name) {
                Err(why) => Some(why),
                Ok(page) if page.len() > PAGE_BYTES => Some(format!("`{name}` is longer than 64 KiB")),
                Ok(page) if std::str::from_utf8(&page).is_err() => Some(format!("`{name}` is not UTF-8")),
                Ok(_) => None,
            };
            match flaw {
                Some(message) => self.desk.fault(node, place, message, HELP),
                None => drop(pages.insert(key.to_owned(), name)),
            }
        }
        pages
    }

    fn files(&mut self, node: &Node) -> Vec<spec::Files> {
        super::files::read(self.desk, node, &format!("{}.files", self.key))
    }

    /// Statuses and classes that have a page; `true` are those from 500 up.
    fn replaced(&mut self, node: &Node, map: &Map) -> Vec<String> {
        const HELP: &str = "write `true`, or statuses that have a page, as in `[5xx, 404]`";
        let pages = map.get("error_pages").and_then(Node::map);
        // A class has a page where one of its statuses has; a status by itself or by its class.
        let shown = |key: &str| {
            let fits = |page: &str| match (key.ends_with("xx"), page.ends_with("xx")) {
                (true, _) | (_, true) => page.starts_with(&key[..1]),
                (false, false) => page == key,
            };
            pages.is_some_and(|pages| pages.iter().any(|(page, _)| fits(page)))
        };
        let nodes = match &node.value {
            Value::Bool(false) => return Vec::new(),
            Value::Bool(true) if shown("5xx") => return vec!["5xx".into()],
            Value::Bool(true) => {
                let message = "there is no page for statuses from 500 up";
                self.missing(node, message);
                return Vec::new();
            }
            _ => node.list().unwrap_or(std::slice::from_ref(node)),
        };
        let mut keys = Vec::new();
        for node in nodes {
            let key = node.print();
            if !spec::is_page(&key) {
                self.fault(node, "replace_errors", HELP);
            } else if shown(&key) {
                keys.push(key);
            } else {
                self.missing(node, &format!("there is no page for `{key}`"));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn missing(&mut self, node: &Node, message: &str) {
        let help = "add it, as in `error_pages: {5xx: NAME}`";
        self.desk.fault(node, format!("{}.replace_errors", self.key), message, help);
    }

    /// `auto`, a number, or a mapping.
    fn limit(&mut self, node: &Node) -> Option<Limit> {
        let usual = Limit { requests: None, queue: QUEUE, wait: WAIT };
        match &node.value {
            Value::Text(text) if text == "auto" => Some(usual),
            Value::Map(map) => {
                let key = format!("{}.limit", self.key);
                known(self.desk, map, LIMIT_KEYS, &key);
                let mut inner = Reader { desk: self.desk, key: &key };
                let automatic = map.get("requests").and_then(Node::str) == Some("auto");
                let requests = if automatic { None } else { inner.count(map, "requests", 1, u32::MAX) };
                Some(Limit {
                    requests,
                    queue: inner.count(map, "queue", 0, 100_000).unwrap_or(QUEUE),
                    wait: inner.time(map, "wait").unwrap_or(WAIT),
                })
            }
            _ => match node.int().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0) {
                Some(requests) => Some(Limit { requests: Some(requests), ..usual }),
                None => {
                    let help = "write `auto`, a number, or `{requests: 100, queue: 100, wait: 1s}`";
                    self.fault(node, "limit", help);
                    None
                }
            },
        }
    }

    /// `true`, or a mapping.
    fn cache(&mut self, node: &Node) -> Option<Caching> {
        let usual = Caching::default();
        let map = match &node.value {
            Value::Bool(on) => return on.then_some(usual),
            Value::Map(map) => map,
            _ => {
                self.fault(node, "cache", "write `true`, `false` or `{ttl: 5s, stale_while_revalidate: 1m}`");
                return None;
            }
        };
        let key = format!("{}.cache", self.key);
        known(self.desk, map, CACHE_KEYS, &key);
        let mut inner = Reader { desk: self.desk, key: &key };
        let size = inner.size_within(map, "size", Caching::SIZES).unwrap_or(usual.size);
        let most = Bytes(size.0 / Caching::LARGEST_PART);
        let answer = inner.size_within(map, "max_answer", (Bytes(1 << 10), most));
        Some(Caching {
            ttl: inner.time(map, "ttl"),
            stale_while_revalidate: inner.time(map, "stale_while_revalidate"),
            stale_if_error: inner.time(map, "stale_if_error"),
            join: map.get("join").is_some_and(|node| inner.truth(node, "join")),
            wait: inner.time(map, "wait").unwrap_or(usual.wait),
            size,
            answer: answer.unwrap_or(Bytes(usual.answer.0.min(most.0))),
        })
    }

    fn size_within(&mut self, map: &Map, field: &str, (least, most): (Bytes, Bytes)) -> Option<Bytes> {
        let size = self.size(map, field)?;
        if (least..=most).contains(&size) {
            return Some(size);
        }
        let node = map.get(field)?;
        self.fault(node, field, &format!("write a size from {least} to {most}"));
        None
    }

    /// `100/s`, or a mapping.
    fn rate(&mut self, node: &Node) -> Option<Rate> {
        if let Value::Map(map) = &node.value {
            let key = format!("{}.rate", self.key);
            known(self.desk, map, RATE_KEYS, &key);
            let mut inner = Reader { desk: self.desk, key: &key };
            let requests = inner.count(map, "requests", 1, u32::MAX);
            if map.get("requests").is_none() {
                self.fault(node, "rate", RATE_HELP);
                return None;
            }
            let mut inner = Reader { desk: self.desk, key: &key };
            let (per, burst) = (inner.time(map, "per"), inner.count(map, "burst", 1, u32::MAX));
            let by = map.get("by").map_or(Some(RateKey::Client), |node| inner.rate_key(node));
            let (requests, per) = (requests?, per.unwrap_or(Duration::from_secs(1)));
            return Some(Rate { requests, per, burst: burst.unwrap_or(requests), by: by? });
        }
        let text = node.print();
        let parts = text.split_once('/').and_then(|(count, unit)| {
            let per = match unit.trim() {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            let requests = count.trim().parse::<u32>().ok().filter(|count| *count > 0)?;
            Some((requests, Duration::from_secs(per)))
        });
        let Some((requests, per)) = parts else {
            self.fault(node, "rate", RATE_HELP);
            return None;
        };
        Some(Rate { requests, per, burst: requests, by: RateKey::Client })
    }

    fn balance(&mut self, node: &Node) -> BalanceBy {
        match node.str().map(|text| (text, text.split_once(':'))) {
            Some(("latency", _)) => BalanceBy::Latency,
            Some(("round_robin", _)) => BalanceBy::RoundRobin,
            Some(("least_requests", _)) => BalanceBy::LeastRequests,
            Some(("client", _)) => BalanceBy::Client,
            Some((_, Some(("header", name)))) if is_field_name(name) => {
                BalanceBy::Header(name.to_ascii_lowercase())
            }
            _ => {
                const HELP: &str =
                    "allowed are latency, round_robin, least_requests, client and `header:NAME`";
                self.fault(node, "balance", HELP);
                BalanceBy::default()
            }
        }
    }

    fn rate_key(&mut self, node: &Node) -> Option<RateKey> {
        match node.str().map(|text| (text, text.split_once(':'))) {
            Some(("client", _)) => Some(RateKey::Client),
            Some(("service", _)) => Some(RateKey::Service),
            Some((_, Some(("header", name)))) if is_field_name(name) => {
                Some(RateKey::Header(name.to_ascii_lowercase()))
            }
            _ => {
                self.fault(node, "by", "write `client`, `service` or `header:NAME`");
                None
            }
        }
    }
}

pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&b))
}
