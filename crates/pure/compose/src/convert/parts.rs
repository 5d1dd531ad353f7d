//! Small readings of nodes that several parts share.

use std::time::Duration;

use base::Bytes;
use indexmap::IndexMap;

use crate::render::{nanos, size};
use crate::tree::{Map, Node, Value};

/// `key=value` pairs of a list or a mapping; a key without a value has an empty one.
pub(super) fn pairs(node: &Node) -> IndexMap<String, String> {
    let mut all = IndexMap::new();
    match &node.value {
        Value::List(list) => {
            for item in list {
                let text = item.print();
                let (key, value) = text.split_once('=').unwrap_or((&text, ""));
                all.insert(key.to_owned(), value.to_owned());
            }
        }
        Value::Map(map) => {
            for (key, value) in map.iter() {
                let value = if value.is_null() { String::new() } else { value.print() };
                all.insert(key.to_owned(), value);
            }
        }
        _ => {}
    }
    all
}

/// The texts of a list, or of a text alone.
pub(super) fn list(map: &Map, key: &str) -> Vec<String> {
    match map.get(key).map(|node| &node.value) {
        Some(Value::List(list)) => list.iter().map(Node::print).collect(),
        Some(Value::Text(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// A text that is not empty.
pub(super) fn text(map: &Map, key: &str) -> Option<String> {
    map.get(key).filter(|node| !node.is_null()).map(Node::print).filter(|text| !text.is_empty())
}

/// A flag; false when it is not there.
pub(super) fn truth(map: &Map, key: &str) -> bool {
    map.get(key).and_then(Node::truth).unwrap_or(false)
}

/// A size; none when it is not there or 0.
pub(super) fn bytes(map: &Map, key: &str) -> Option<Bytes> {
    let size = map.get(key).map(size)?;
    u64::try_from(size).ok().filter(|size| *size > 0).map(Bytes)
}

/// A duration; none when it is not there.
pub(super) fn duration(map: &Map, key: &str) -> Option<Duration> {
    let node = map.get(key).filter(|node| !node.is_null())?;
    Some(Duration::from_nanos(u64::try_from(nanos(node)).unwrap_or(0)))
}

/// A whole number that fits; none when it is not there or does not.
pub(super) fn number<T: TryFrom<i128>>(map: &Map, key: &str) -> Option<T> {
    map.get(key).and_then(Node::int).and_then(|int| T::try_from(int).ok())
}

/// A mapping under a mapping.
pub(super) fn under<'a>(map: &'a Map, keys: &[&str]) -> Option<&'a Map> {
    keys.iter().try_fold(map, |map, key| map.get(key)?.map())
}
