//! `x-sea.edge.hedge`, `.priority` and `.sticky`: what is done when instances are slow, have too much to do, or hold the
//! state of their clients.

use spec::{Hedge, HedgeAfter, PathPrefix, Priority, PriorityMatch, Stick, Urgency};

use super::edge::{Reader, is_field_name};
use super::known;
use super::split::is_cookie_name;
use crate::go;
use crate::tree::{Map, Node, Value};

const HEDGE_KEYS: &[&str] = &["after", "share"];
const HEDGE_HELP: &str =
    "write `true`, a percentile from `p50` to `p99.9`, a time as in `50ms`, or `{after: p95, share: 5%}`";
const AFTER_HELP: &str = "write a percentile from `p50` to `p99.9`, or a time as in `50ms`";
const PRIORITY_KEYS: &[&str] = &["path", "method", "header", "value", "class"];
const PRIORITY_HELP: &str =
    "write `true`, or a list as in `[{path: /pay, class: critical}, {class: sheddable}]`";
const STICKY_KEYS: &[&str] = &["cookie", "max_age"];
const STICKY_HELP: &str = "write `true`, or `{cookie: NAME, max_age: 8h}`";
/// The cookie by which clients stay at a side of a split.
const SIDE_COOKIE: &str = "sea-side";
const SHARE_HELP: &str = "write a share of the requests from `0.01%` to `50%`";

impl Reader<'_, '_> {
    /// `true`, a percentile, a time, or a mapping.
    pub(super) fn hedge(&mut self, node: &Node) -> Option<Hedge> {
        match &node.value {
            Value::Bool(on) => on.then_some(Hedge::USUAL),
            Value::Map(map) => {
                let key = format!("{}.hedge", self.key);
                known(self.desk, map, HEDGE_KEYS, &key);
                let mut hedge = Hedge::USUAL;
                let mut inner = Reader { desk: self.desk, key: &key };
                if let Some(node) = map.get("after") {
                    match after(node) {
                        Some(after) => hedge.after = after,
                        None => inner.fault(node, "after", AFTER_HELP),
                    }
                }
                if let Some(node) = map.get("share") {
                    match share(node) {
                        Some(share) => hedge.share = share,
                        None => inner.fault(node, "share", SHARE_HELP),
                    }
                }
                Some(hedge)
            }
            _ => match after(node) {
                Some(after) => Some(Hedge { after, ..Hedge::USUAL }),
                None => {
                    self.fault(node, "hedge", HEDGE_HELP);
                    None
                }
            },
        }
    }
}

impl Reader<'_, '_> {
    /// `true`, or a list of matches.
    pub(super) fn priority(&mut self, node: &Node, edge: &Map) -> Option<Priority> {
        let mut priority = Priority::default();
        match &node.value {
            Value::Bool(false) => return None,
            Value::Bool(true) => {}
            Value::List(list) => {
                for (at, node) in list.iter().enumerate() {
                    let key = format!("{}.priority[{at}]", self.key);
                    let mut inner = Reader { desk: self.desk, key: &key };
                    priority.matches.extend(inner.priority_match(node));
                }
            }
            _ => {
                self.fault(node, "priority", PRIORITY_HELP);
                return None;
            }
        }
        if edge.get("limit").is_none() {
            let message = "this says who is refused first when the limit is reached, and there is no limit";
            self.desk.fault(
                node,
                format!("{}.priority", self.key),
                message,
                "write one beside it, as in `limit: auto`",
            );
        }
        Some(priority)
    }

    fn priority_match(&mut self, node: &Node) -> Option<PriorityMatch> {
        let Some(map) = node.map() else {
            let message = format!("this takes a mapping, not {}", node.kind());
            self.desk.fault(node, self.key, message, "write as in `{path: /pay, class: critical}`");
            return None;
        };
        known(self.desk, map, PRIORITY_KEYS, self.key);
        let path = map.get("path").and_then(|node| {
            let path =
                node.str().filter(|path| path.starts_with('/')).map(|path| PathPrefix(path.to_owned()));
            if path.is_none() {
                self.fault(node, "path", "write a path, as in `/pay`");
            }
            path
        });
        let methods = map.get("method").map(|node| self.methods(node)).unwrap_or_default();
        let header = map.get("header").and_then(|node| {
            let name = node.str().filter(|name| is_field_name(name)).map(str::to_ascii_lowercase);
            if name.is_none() {
                self.fault(node, "header", "write the name of a field, as in `X-Batch`");
            }
            name
        });
        if let Some(node) = map.get("value").filter(|_| map.get("header").is_none()) {
            self.fault(node, "value", "it is of a field: write `header: NAME` beside it");
        }
        let class = match map.get("class").map(|class| (class, class.str())) {
            Some((_, Some("critical"))) => Urgency::Critical,
            Some((_, Some("default"))) => Urgency::Default,
            Some((_, Some("sheddable"))) => Urgency::Sheddable,
            Some((class, _)) => {
                self.fault(class, "class", "allowed are critical, default and sheddable");
                return None;
            }
            None => {
                let message = "this says nothing of how urgent such requests are";
                self.desk.fault(node, self.key, message, "write `class: critical`, `default` or `sheddable`");
                return None;
            }
        };
        let value = map.get("value").map(Node::print);
        Some(PriorityMatch { path, methods, header, value, class })
    }

    /// A method, or a list of them.
    fn methods(&mut self, node: &Node) -> Vec<String> {
        let nodes = node.list().unwrap_or(std::slice::from_ref(node));
        let mut methods = Vec::new();
        for one in nodes {
            match one
                .str()
                .filter(|method| method.bytes().all(|c| c.is_ascii_uppercase()) && !method.is_empty())
            {
                Some(method) => methods.push(method.to_owned()),
                None => self.fault(one, "method", "write methods in capitals, as in `[GET, HEAD]`"),
            }
        }
        methods
    }
}

impl Reader<'_, '_> {
    /// `true`, or a mapping.
    pub(super) fn sticky(&mut self, node: &Node) -> Option<Stick> {
        match &node.value {
            Value::Bool(on) => on.then(Stick::default),
            Value::Map(map) => {
                let key = format!("{}.sticky", self.key);
                known(self.desk, map, STICKY_KEYS, &key);
                let mut inner = Reader { desk: self.desk, key: &key };
                let cookie = map.get("cookie").and_then(|node| {
                    let name = node.str().filter(|name| is_cookie_name(name)).map(str::to_owned);
                    match name.as_deref() {
                        None => inner.fault(node, "cookie", "write the name of a cookie, as in `at`"),
                        Some(SIDE_COOKIE) => {
                            inner.fault(node, "cookie", "that one is of splits: choose another")
                        }
                        Some(_) => {}
                    }
                    name
                });
                let max_age = inner.time(map, "max_age");
                if let (Some(node), Some(age)) = (map.get("max_age"), max_age)
                    && age.subsec_nanos() > 0
                {
                    inner.fault(node, "max_age", "cookies know whole seconds: write as in `90s` or `8h`");
                }
                Some(Stick { cookie, max_age })
            }
            _ => {
                self.fault(node, "sticky", STICKY_HELP);
                None
            }
        }
    }
}

/// `p95`, or a time.
fn after(node: &Node) -> Option<HedgeAfter> {
    let text = node.str()?;
    if let Some(percent) = text.strip_prefix('p') {
        let percent = percent.parse::<f64>().ok().filter(|percent| (50.0..=99.9).contains(percent))?;
        return Some(HedgeAfter::Quantile((percent * 100.0).round() as u32));
    }
    let nanos = go::duration(text).and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0)?;
    Some(HedgeAfter::Time(std::time::Duration::from_nanos(nanos)))
}

/// `5%`, of 10,000.
fn share(node: &Node) -> Option<u32> {
    let percent = node.str()?.strip_suffix('%')?.trim_end().parse::<f64>().ok()?;
    (0.01..=50.0).contains(&percent).then(|| (percent * 100.0).round() as u32)
}
