//! The tree that files become: nodes with spans, and trails that say where in the tree one is.

use indexmap::IndexMap;

/// A place in a source, by number; offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// Index into the sources of the load.
    pub(crate) file: u32,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
    /// Where it begins.
    pub(crate) start: u32,
    /// How long it is.
    pub(crate) len: u32,
}

/// A tag that speaks to the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mark {
    /// No such tag.
    #[default]
    None,
    /// `!reset`: the key and what earlier files gave it are gone.
    Reset,
    /// `!override`: this value replaces what earlier files gave.
    Override,
}

/// A value with its place. Two nodes are equal when their values are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Span,
    pub(crate) mark: Mark,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// What YAML can say, as the reference implementation's reader tells it apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// A date that stood without quotes, in its canonical form.
    Time(String),
    List(Vec<Node>),
    Map(Map),
}

/// A key's value, with the key's own place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) key_at: Span,
    pub(crate) node: Node,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

/// A mapping, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Map(pub(crate) IndexMap<String, Entry>);

impl Node {
    pub(crate) fn new(value: Value, at: Span) -> Self {
        Self { value, at, mark: Mark::None }
    }

    pub(crate) fn text(text: impl Into<String>, at: Span) -> Self {
        Self::new(Value::Text(text.into()), at)
    }

    pub(crate) fn bool(value: bool, at: Span) -> Self {
        Self::new(Value::Bool(value), at)
    }

    pub(crate) fn map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    pub(crate) fn map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(map) = &mut self.value { Some(map) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Node]> {
        if let Value::List(list) = &self.value { Some(list) } else { None }
    }

    pub(crate) fn str(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub(crate) fn int(&self) -> Option<i128> {
        match &self.value {
            Value::Int(int) => Some(*int),
            Value::Float(float) => Some(*float as i128),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Time(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match &self.value {
            Value::Int(int) => Some(*int as f64),
            Value::Float(float) => Some(*float),
            Value::Text(text) => crate::go::parse_float(text.trim()),
            Value::Null | Value::Bool(_) | Value::Time(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The truth of a bool or of a word for one.
    pub(crate) fn truth(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(truth) => Some(*truth),
            Value::Text(word) => match word.to_lowercase().as_str() {
                "true" | "y" | "yes" | "on" => Some(true),
                "false" | "n" | "no" | "off" => Some(false),
                _ => None,
            },
            Value::Null
            | Value::Int(_)
            | Value::Float(_)
            | Value::Time(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// A child by key, when this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key)
    }

    /// What kind of value it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::Time(_) => "a date",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The scalar as text, as the reference implementation prints any value into a text.
    pub(crate) fn print(&self) -> String {
        match &self.value {
            Value::Null => "<nil>".into(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => crate::go::float(*float),
            Value::Text(text) | Value::Time(text) => text.clone(),
            Value::List(list) => {
                format!("[{}]", list.iter().map(Self::print).collect::<Vec<_>>().join(" "))
            }
            Value::Map(map) => {
                let mut pairs: Vec<_> = map.iter().map(|(k, n)| format!("{k}:{}", n.print())).collect();
                pairs.sort();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }
}

impl Map {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key).map(|entry| &entry.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.get_mut(key).map(|entry| &mut entry.node)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn set(&mut self, key: impl Into<String>, node: Node) {
        let entry = self.0.entry(key.into()).or_default();
        if entry.key_at == Span::default() {
            entry.key_at = node.at;
        }
        entry.node = node;
    }

    /// Sets it when nothing is there.
    pub(crate) fn set_default(&mut self, key: &str, node: impl FnOnce() -> Node) {
        if !self.has(key) {
            self.set(key, node());
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        self.0.shift_remove(key).map(|entry| entry.node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(key, entry)| (key.as_str(), &entry.node))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.0.iter_mut().map(|(key, entry)| (key.as_str(), &mut entry.node))
    }

    pub(crate) fn key_at(&self, key: &str) -> Span {
        self.0.get(key).map(|entry| entry.key_at).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const DEEP: usize = 10;

/// Where in a tree one is, as far as rules by path need to know.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'a> {
    parts: [&'a str; DEEP],
    len: usize,
}

impl<'a> Trail<'a> {
    pub(crate) fn root() -> Self {
        Self { parts: [""; DEEP], len: 0 }
    }

    pub(crate) fn of(parts: &[&'a str]) -> Self {
        parts.iter().fold(Self::root(), |trail, part| trail.down(part))
    }

    #[must_use]
    pub(crate) fn down(mut self, part: &'a str) -> Self {
        if let Some(slot) = self.parts.get_mut(self.len) {
            *slot = part;
        }
        self.len += 1;
        self
    }

    /// The parts; none when the trail is longer than any rule.
    pub(crate) fn parts(&self) -> &[&'a str] {
        self.parts.get(..self.len).unwrap_or(&[])
    }
}

/// The part of a trail that stands for an element of a list.
pub(crate) const ITEM: &str = "[]";
