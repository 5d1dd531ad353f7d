//! `x-sea.edge.hedge`: what is done when instances are slow.

use spec::{Hedge, HedgeAfter};

use super::edge::Reader;
use super::known;
use crate::go;
use crate::tree::{Node, Value};

const HEDGE_KEYS: &[&str] = &["after", "share"];
const HEDGE_HELP: &str =
    "write `true`, a percentile from `p50` to `p99.9`, a time as in `50ms`, or `{after: p95, share: 5%}`";
const AFTER_HELP: &str = "write a percentile from `p50` to `p99.9`, or a time as in `50ms`";
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
