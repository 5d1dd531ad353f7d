//! What a route does with requests and answers: fields, redirects, rewriting, and who may come.

use std::collections::BTreeMap;

use base::{Cidr, ServiceName};
use spec::{BasicAuth, ForwardAuth, HeaderRules, HeaderSide, PathPrefix, Redirect, RouteRules};

use super::super::Desk;
use super::known;
use crate::tree::{Map, Node, Value};

/// What means nothing where requests go to no instance.
const ONWARD: &[&str] = &["port", "strip_prefix", "replace_prefix", "rewrite_host", "request_headers"];
const HEADER_KEYS: &[&str] = &["set", "add", "remove"];
const BASIC_AUTH_KEYS: &[&str] = &["users", "realm", "keep_authorization"];
const FORWARD_AUTH_KEYS: &[&str] = &["to", "copy"];
const REDIRECT_KEYS: &[&str] = &["to", "status", "keep_path", "keep_query"];
const HEADERS_HELP: &str = "write as in `{set: {X-Env: prod}, add: {Vary: Origin}, remove: [X-Debug]}`";
const REDIRECT_HELP: &str =
    "write a URL or a path, as in `https://www.shop.example` or `/new`, or `{to: /new, status: 308}`";
const RANGES_HELP: &str = "write a list of addresses and ranges, as in `[10.0.0.0/8, 192.0.2.7, fd00::/8]`";

/// Where a route stands, as far as its rules go by it.
pub(super) struct Place<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) path: &'a PathPrefix,
}

/// Reads the rules of a route; `key` is where it stands.
pub(super) fn read(desk: &mut Desk<'_>, map: &Map, key: &str, place: &Place<'_>) -> RouteRules {
    let mut reader = Reader { desk, key };
    let rules = RouteRules {
        request_headers: reader.headers(map, "request_headers", HeaderSide::Request),
        response_headers: reader.headers(map, "response_headers", HeaderSide::Response),
        redirect: map.get("redirect").and_then(|node| reader.redirect(node, place)),
        replace_prefix: map.get("replace_prefix").and_then(|node| reader.prefix(node)),
        rewrite_host: map.get("rewrite_host").and_then(|node| reader.host(node)),
        allow: reader.ranges(map, "allow"),
        deny: reader.ranges(map, "deny"),
        basic_auth: map.get("basic_auth").and_then(|node| reader.basic_auth(node)),
        forward_auth: map.get("forward_auth").and_then(|node| reader.forward_auth(node)),
    };
    reader.contradictions(map);
    rules
}

/// A list of addresses and ranges.
pub(super) fn ranges(desk: &mut Desk<'_>, node: &Node, key: &str) -> Vec<Cidr> {
    let one = std::slice::from_ref(node);
    let list = match &node.value {
        Value::List(list) => &list[..],
        Value::Text(_) => one,
        _ => &[],
    };
    if list.is_empty() {
        desk.fault(node, key, format!("this takes a list, not {}", node.kind()), RANGES_HELP);
    }
    let mut ranges = Vec::new();
    for node in list {
        match range(&node.print()) {
            Ok(range) => ranges.push(range),
            Err(help) => {
                desk.fault(node, key, format!("`{}` is no address and no range", node.print()), help);
            }
        }
    }
    ranges
}

/// An address, or a range in which nothing stands behind the prefix.
fn range(text: &str) -> Result<Cidr, String> {
    let address = text.split('/').next().unwrap_or_default();
    let bits = if address.contains(':') { 128 } else { 32 };
    let whole = if text.contains('/') { text.to_owned() } else { format!("{text}/{bits}") };
    let range: Cidr = whole.parse().map_err(|_| RANGES_HELP.to_owned())?;
    if range.is_mapped() {
        return Err("write the IPv4 range itself: clients are known by it, however they came".into());
    }
    if address.parse() != Ok(range.address()) {
        return Err(format!("did you mean `{range}`?"));
    }
    Ok(range)
}

struct Reader<'a, 'b> {
    desk: &'a mut Desk<'b>,
    key: &'a str,
}

impl Reader<'_, '_> {
    fn fault(&mut self, node: &Node, field: &str, message: impl Into<String>, help: &str) {
        self.desk.fault(node, format!("{}.{field}", self.key), message, help);
    }

    fn ranges(&mut self, map: &Map, field: &str) -> Vec<Cidr> {
        let key = format!("{}.{field}", self.key);
        map.get(field).map(|node| ranges(self.desk, node, &key)).unwrap_or_default()
    }

    fn headers(&mut self, map: &Map, field: &str, side: HeaderSide) -> HeaderRules {
        let mut rules = HeaderRules::default();
        let Some(node) = map.get(field) else { return rules };
        let key = format!("{}.{field}", self.key);
        let Some(map) = node.map() else {
            self.fault(node, field, format!("this takes a mapping, not {}", node.kind()), HEADERS_HELP);
            return rules;
        };
        known(self.desk, map, HEADER_KEYS, &key);
        for (kind, into) in [("set", &mut rules.set), ("add", &mut rules.add)] {
            let Some(node) = map.get(kind) else { continue };
            let place = format!("{field}.{kind}");
            match node.map() {
                Some(map) => map.iter().for_each(|(name, node)| self.line(&place, (name, node), side, into)),
                None => {
                    self.fault(
                        node,
                        &place,
                        format!("this takes a mapping, not {}", node.kind()),
                        HEADERS_HELP,
                    );
                }
            }
        }
        for node in map.get("remove").map(|node| self.names(node, field)).unwrap_or_default() {
            let (name, place) = (node.print(), format!("{field}.remove"));
            let lower = name.to_ascii_lowercase();
            if let Some(flaw) = HeaderRules::name_flaw(&lower, side) {
                self.fault(&node, &place, format!("`{name}` {flaw}"), "choose another field");
            } else if rules.set.contains_key(&lower) || rules.add.contains_key(&lower) {
                let help = "`set` replaces what is there; leave it out of `remove`";
                self.fault(&node, &place, format!("`{name}` is removed and given a value"), help);
            } else {
                rules.remove.push(lower);
            }
        }
        for name in rules.add.keys().filter(|name| rules.set.contains_key(*name)) {
            let message = format!("`{name}` is set and added");
            self.desk.fault(node, key.clone(), message, "one of the two is enough");
        }
        rules
    }

    /// One field with its value.
    fn line(
        &mut self,
        place: &str,
        (name, node): (&str, &Node),
        side: HeaderSide,
        into: &mut BTreeMap<String, String>,
    ) {
        let place = format!("{place}.{name}");
        let (lower, value) = (name.to_ascii_lowercase(), node.print());
        let plain = !matches!(&node.value, Value::Null | Value::List(_) | Value::Map(_));
        if let Some(flaw) = HeaderRules::name_flaw(&lower, side) {
            self.fault(node, &place, format!("`{name}` {flaw}"), "choose another field");
        } else if !plain || !HeaderRules::is_value(&value) {
            let help = "write one line of visible ASCII, of at most 8 KiB, without spaces around it";
            self.fault(node, &place, format!("`{}` is no value of a field", value.escape_debug()), help);
        } else if into.insert(lower, value).is_some() {
            self.fault(node, &place, format!("`{name}` is here twice"), "case does not count in names");
        }
    }

    /// The elements of a list of names.
    fn names(&mut self, node: &Node, field: &str) -> Vec<Node> {
        match &node.value {
            Value::List(list) => list.clone(),
            Value::Text(_) => vec![node.clone()],
            _ => {
                let message = format!("this takes a list of names, not {}", node.kind());
                self.fault(node, field, message, "write as in `[X-Debug, Server]`");
                Vec::new()
            }
        }
    }

    fn prefix(&mut self, node: &Node) -> Option<PathPrefix> {
        let prefix = PathPrefix(node.print());
        match prefix.flaw() {
            None => Some(prefix),
            Some(flaw) => {
                self.fault(node, "replace_prefix", format!("`{prefix}` is no path"), flaw);
                None
            }
        }
    }

    fn host(&mut self, node: &Node) -> Option<String> {
        let host = node.print();
        if is_authority(&host) {
            return Some(host.to_ascii_lowercase());
        }
        let help = "write as in `shop.example` or `shop.example:8080`, without scheme";
        self.fault(node, "rewrite_host", format!("`{host}` is no host"), help);
        None
    }

    /// A URL or a path, or a mapping.
    fn redirect(&mut self, node: &Node, place: &Place<'_>) -> Option<Redirect> {
        let redirect = match &node.value {
            Value::Text(text) => self.to(text, node)?,
            Value::Map(map) => self.long_redirect(map, node)?,
            _ => {
                self.fault(node, "redirect", format!("this cannot be {}", node.kind()), REDIRECT_HELP);
                return None;
            }
        };
        let trimmed = |path: &PathPrefix| path.0.trim_end_matches('/').to_owned();
        let same_host = redirect.host.is_none() || redirect.host.as_deref() == place.host;
        let same_path = redirect.path.as_ref().is_none_or(|path| trimmed(path) == trimmed(place.path));
        if same_host && same_path && redirect.keep_path {
            let help = "name another host or path; for plain requests to HTTPS write `https: only`";
            self.fault(node, "redirect", "this leads to the same place again", help);
            return None;
        }
        Some(redirect)
    }

    fn long_redirect(&mut self, map: &Map, node: &Node) -> Option<Redirect> {
        known(self.desk, map, REDIRECT_KEYS, &format!("{}.redirect", self.key));
        let Some(to) = map.get("to") else {
            self.fault(node, "redirect", "`to` is missing", REDIRECT_HELP);
            return None;
        };
        let mut redirect = self.to(&to.print(), to)?;
        if let Some(node) = map.get("status") {
            let status = node.int().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
            if !Redirect::STATUSES.contains(&status) {
                let help =
                    "allowed are 302 and 307 for a time, 301 and 308 for good; 307 and 308 keep the method";
                let message = format!("`{}` is not a value of this key", node.print());
                self.fault(node, "redirect.status", message, help);
            }
            redirect.status = status;
        }
        redirect.keep_path = self.truth(map, "keep_path")?;
        redirect.keep_query = self.truth(map, "keep_query")?;
        Some(redirect)
    }

    /// A redirect to this URL or path, with all that may be left out as it is by itself.
    fn to(&mut self, text: &str, node: &Node) -> Option<Redirect> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_owned()), rest),
            None => (None, text),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = match (scheme.as_deref(), host) {
            (None, "") if !path.is_empty() => None,
            (Some("http" | "https"), host) if is_authority(host) => Some(host.to_ascii_lowercase()),
            _ => {
                self.fault(node, "redirect", format!("`{text}` is neither a URL nor a path"), REDIRECT_HELP);
                return None;
            }
        };
        let path = (!path.is_empty()).then(|| PathPrefix(path.to_owned()));
        if let Some(flaw) = path.as_ref().and_then(PathPrefix::flaw) {
            self.fault(node, "redirect", format!("`{text}` is no place to be sent to"), flaw);
            return None;
        }
        Some(Redirect { status: 307, scheme, host, path, keep_path: true, keep_query: true })
    }

    /// `true` if it is not there.
    fn truth(&mut self, map: &Map, field: &str) -> Option<bool> {
        match map.get(field).map(|node| (node, &node.value)) {
            None => Some(true),
            Some((_, Value::Bool(value))) => Some(*value),
            Some((node, _)) => {
                let message = format!("this takes `true` or `false`, not {}", node.kind());
                self.fault(node, &format!("redirect.{field}"), message, "write it without quotes");
                None
            }
        }
    }

    /// The name of a secret, or a mapping.
    fn basic_auth(&mut self, node: &Node) -> Option<BasicAuth> {
        const HELP: &str = "write the NAME of a secret of this file, or `{users: NAME, realm: The shop}`";
        let (users, map) = match &node.value {
            Value::Text(name) => (name.clone(), None),
            Value::Map(map) => {
                known(self.desk, map, BASIC_AUTH_KEYS, &format!("{}.basic_auth", self.key));
                let Some(users) = map.get("users") else {
                    self.fault(node, "basic_auth", "`users` is missing", HELP);
                    return None;
                };
                (users.print(), Some(map))
            }
            _ => {
                self.fault(node, "basic_auth", format!("this cannot be {}", node.kind()), HELP);
                return None;
            }
        };
        let list = super::content(self.desk, "secrets", &users).map_err(|why| (why, HELP.to_owned()));
        let flaw = list.and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned());
            text.and_then(|text| spec::users(&text).map(drop)).map_err(|why| {
                (
                    format!("the secret `{users}` is no list of users"),
                    format!("{why}; `htpasswd -nB NAME` writes one"),
                )
            })
        });
        if let Err((message, help)) = flaw {
            self.fault(node, "basic_auth", message, &help);
        }
        let realm = map.and_then(|map| map.get("realm"));
        let shown = realm.map_or("restricted".to_owned(), Node::print);
        if let Some(realm) = realm.filter(|_| !BasicAuth::is_realm(&shown)) {
            let message = format!("`{}` is not a value of this key", realm.print().escape_debug());
            self.fault(
                realm,
                "basic_auth.realm",
                message,
                "write visible ASCII without quotes and backslashes",
            );
        }
        let keep = map.and_then(|map| map.get("keep_authorization"));
        let keep_authorization = match keep.map(|node| (node, &node.value)) {
            None => false,
            Some((_, Value::Bool(keep))) => *keep,
            Some((node, _)) => {
                let message = format!("this takes `true` or `false`, not {}", node.kind());
                self.fault(node, "basic_auth.keep_authorization", message, "write it without quotes");
                false
            }
        };
        Some(BasicAuth { users, realm: shown, keep_authorization })
    }

    /// `service:port/path`, or a mapping.
    fn forward_auth(&mut self, node: &Node) -> Option<ForwardAuth> {
        const HELP: &str = "write as in `auth:4180/verify` or `{to: auth:4180/verify, copy: [X-User]}`";
        let mut copy = Vec::new();
        let to = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Map(map) => {
                known(self.desk, map, FORWARD_AUTH_KEYS, &format!("{}.forward_auth", self.key));
                for node in map.get("copy").map(|node| self.names(node, "forward_auth")).unwrap_or_default() {
                    let lower = node.print().to_ascii_lowercase();
                    match HeaderRules::name_flaw(&lower, HeaderSide::Request) {
                        None => copy.push(lower),
                        Some(flaw) => {
                            let message = format!("`{}` {flaw}", node.print());
                            self.fault(&node, "forward_auth.copy", message, "choose another field");
                        }
                    }
                }
                map.get("to").map(Node::print).unwrap_or_default()
            }
            _ => String::new(),
        };
        let (place, path) = to.split_at(to.find('/').unwrap_or(to.len()));
        let parts = place.split_once(':').and_then(|(service, port)| {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
            Some((service.parse::<ServiceName>().ok()?, port))
        });
        let Some((service, port)) = parts else {
            self.fault(node, "forward_auth", format!("`{to}` is no service with a port"), HELP);
            return None;
        };
        let services = self.desk.project.root.get("services");
        if services.and_then(|all| all.get(service.as_str())).is_none() {
            self.fault(node, "forward_auth", format!("there is no service `{service}` here"), HELP);
            return None;
        }
        let path = PathPrefix(if path.is_empty() { "/".to_owned() } else { path.to_owned() });
        if let Some(flaw) = path.flaw() {
            self.fault(node, "forward_auth", format!("`{path}` is no path"), flaw);
        }
        Some(ForwardAuth { service, port, path, copy })
    }

    /// Keys that leave each other nothing to do.
    fn contradictions(&mut self, map: &Map) {
        if map.get("redirect").is_some() {
            for field in ONWARD {
                if let Some(node) = map.get(field) {
                    let message = "a route with `redirect` leads to no instance";
                    self.fault(node, field, message, "leave one of the two out");
                }
            }
        }
        if let (Some(node), Some(Node { value: Value::Bool(true), .. })) =
            (map.get("replace_prefix"), map.get("strip_prefix"))
        {
            let help = "`replace_prefix: /` cuts it off too";
            self.fault(node, "replace_prefix", "the prefix is cut off by `strip_prefix` already", help);
        }
        let hsts = |name: &str| name.eq_ignore_ascii_case("strict-transport-security");
        let set = map.get("response_headers").and_then(|node| node.get("set")).and_then(Node::map);
        if let (Some(node), true) =
            (map.get("hsts"), set.is_some_and(|set| set.iter().any(|(name, _)| hsts(name))))
        {
            let message = "`response_headers` sets `Strict-Transport-Security` already";
            self.fault(node, "hsts", message, "leave one of the two out");
        }
    }
}

/// A host name, an IPv4 address or a bracketed IPv6 one, with or without a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, port)) if inside.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
        }
    };
    host.len() <= 253 && host.split('.').all(label) && port
}
