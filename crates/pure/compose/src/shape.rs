//! The shape of a compose file: every key, what it takes, and in which order the canonical form shows it.
//!
//! One table serves the validation, the canonical output and the support table. A shape's fields stand in the order of
//! the output.

mod service;
mod top;

pub(crate) use service::{RATE, WEIGHT};
pub(crate) use top::PROJECT;

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What people call it.
    pub(crate) name: &'static str,
    /// In the order of the output.
    pub(crate) fields: &'static [Field],
    /// Keys that must be there.
    pub(crate) required: &'static [&'static str],
    /// Whether `x-` keys may stand here.
    pub(crate) extensions: bool,
    /// Whether any other key may stand here, and is passed over.
    pub(crate) open: bool,
}

/// A key.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) key: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Whether the canonical form has it: some are checked and then used up or dropped.
    pub(crate) shown: bool,
}

/// What a key takes, and how it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A text; shown when not empty.
    Text,
    /// A text, always shown (`path`, `action`).
    TextAlways,
    /// A text or nothing.
    TextOrNull,
    /// A text or a boolean, shown as text.
    TextOrBool,
    /// A text or an integer, shown as text.
    TextOrInt,
    /// One of these texts.
    Word(&'static [&'static str]),
    /// A container's name: a text that is at least partly one.
    ContainerName,
    /// A text for which this regular language is checked by hand: the pull policies.
    PullPolicy,
    /// A boolean or a word for one; shown when true.
    Bool,
    /// Likewise, shown when given.
    MaybeBool,
    /// A boolean, never a text; shown when true.
    StrictBool,
    /// A boolean, never a text; always shown (`required`).
    AlwaysBool,
    /// An integer or a text for one within bounds; shown when not 0.
    Int(i64, i64),
    /// An integer from 0 up or a text for one; shown when given.
    MaybeInt,
    /// A number or a text for one, cut to an integer; shown when not 0.
    Number,
    /// A number from 0 up or a text for one, cut to an integer; shown when given.
    MaybeNumber,
    /// A number, no text, cut to an integer; shown when not 0.
    BareNumber,
    /// An integer, no text; shown when not 0.
    BareInt,
    /// An integer or a text, always shown (`weight`, `value`).
    AlwaysInt,
    /// A number or a text, cut to an integer, always shown (`value`).
    AlwaysNumber,
    /// A number or a text for one, in single precision; shown when not 0.
    Float,
    /// An integer from 0 to 100 or a text for one; shown when not 0.
    Percent,
    /// A size as a number or a text.
    Bytes,
    /// A size as a whole number from this up, or a text.
    WholeBytes(i64),
    /// A size as a text only.
    BytesText,
    /// A size, always shown (`rate`).
    AlwaysBytes,
    /// A duration; shown when not 0.
    Duration,
    /// A duration; shown when given.
    MaybeDuration,
    /// A list of texts; the flag says that no two may be the same.
    Texts(bool),
    /// A text or a list of texts.
    TextOrTexts,
    /// A list of texts and numbers.
    Loose,
    /// `key=value` pairs as a list or a mapping, every value a text.
    Labels,
    /// Likewise, a key may lack a value.
    Env,
    /// A mapping of texts and numbers for a driver; the flag allows nothing as a value.
    Options(bool),
    /// A mapping of texts.
    Texted,
    /// A mapping of values or lists of values.
    MultiOptions,
    /// Host names and addresses.
    Hosts,
    /// Keys for a build.
    Ssh,
    /// A command: a text, which is split, or a list.
    Command,
    /// A health check's test.
    Test,
    /// Permission bits.
    Mode,
    /// A number of devices, or `all`.
    Count,
    /// An `external` flag, or its old form, a mapping with a name.
    External,
    /// A mapping of a shape.
    Object(&'static Shape, Form),
    /// A list of mappings of a shape.
    Objects(&'static Shape, Form),
    /// A mapping from names to a shape.
    Named(&'static Shape, Form),
}

/// The other ways to write an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// None.
    Long,
    /// None, and an empty one is not shown in YAML, but always in JSON.
    Solid,
    /// Nothing at all may stand for it.
    OrNull,
    /// A text may stand for it.
    OrText,
    /// A number or a text may stand for it.
    OrNumber,
    /// A list of names may stand for the whole; nothing may stand for one.
    OrNames,
    /// A list of names may stand for the whole; one must be a mapping.
    OrNamesStrict,
    /// The word `all` may stand for the whole.
    OrAll,
    /// A text may stand for the whole and for each.
    OrTexts,
    /// Resource names: must be names; nothing may stand for one.
    Resource,
    /// Resource names: must be names; each must be a mapping.
    ResourceStrict,
    /// Names, each with a number or a mapping; those that are no lower-case words are hardly looked at.
    Ulimit,
}

const fn shown(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, shown: true }
}

const fn hidden(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, shown: false }
}

const fn shape(name: &'static str, fields: &'static [Field]) -> Shape {
    Shape { name, fields, required: &[], extensions: true, open: false }
}

impl Shape {
    const fn requires(mut self, keys: &'static [&'static str]) -> Self {
        self.required = keys;
        self
    }

    const fn open(mut self) -> Self {
        self.open = true;
        self
    }

    const fn closed(mut self) -> Self {
        self.extensions = false;
        self
    }

    /// The field of a key.
    pub(crate) fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// The keys of a service.
#[cfg(test)]
pub(crate) fn service_keys() -> Vec<&'static str> {
    match PROJECT.field("services").map(|field| field.kind) {
        Some(Kind::Named(shape, _)) => shape.fields.iter().map(|field| field.key).collect(),
        _ => Vec::new(),
    }
}

/// Every key of the specification as a path, as in `services.*.build.context`, in the order of the output.
#[cfg(test)]
pub(crate) fn paths() -> Vec<String> {
    let mut all = Vec::new();
    walk(&PROJECT, "", &mut all);
    all
}

#[cfg(test)]
fn walk(shape: &'static Shape, prefix: &str, all: &mut Vec<String>) {
    for field in shape.fields {
        let path = if prefix.is_empty() { field.key.to_owned() } else { format!("{prefix}.{}", field.key) };
        all.push(path.clone());
        match field.kind {
            Kind::Object(inner, _) => walk(inner, &path, all),
            Kind::Objects(inner, _) => walk(inner, &format!("{path}[]"), all),
            Kind::Named(inner, _) => walk(inner, &format!("{path}.*"), all),
            Kind::External => all.push(format!("{path}.name")),
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
