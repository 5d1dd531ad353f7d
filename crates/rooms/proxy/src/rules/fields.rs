//! Fields that a route sets, adds and removes.

use spec::{HeaderRules, HeaderSide};

use crate::head::Field;

/// What becomes of the fields of a head.
#[derive(Default)]
pub(crate) struct Edits {
    /// Names of fields that do not pass, in lower case.
    dropped: Vec<Box<[u8]>>,
    /// Whole lines that are written beside the others.
    pub(crate) lines: Vec<u8>,
    /// Those of them that also stand in the edge's own answers.
    pub(crate) own: Vec<u8>,
}

/// What the edge's own answers say themselves, or what is not true of them.
const OWN: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "vary",
    "www-authenticate",
];

impl Edits {
    /// The edits of these rules, or what is wrong with them.
    pub(crate) fn of(rules: &HeaderRules, side: HeaderSide) -> Result<Option<Self>, String> {
        if rules.is_empty() {
            return Ok(None);
        }
        if let Some((name, flaw)) =
            rules.names().find_map(|name| Some((name, HeaderRules::name_flaw(name, side)?)))
        {
            return Err(format!("the field `{}` {flaw}", name.escape_debug()));
        }
        if let Some(name) = rules.names().find(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
            return Err(format!("the field `{name}` is not in lower case"));
        }
        let mut edits = Self::default();
        for (name, value) in rules.set.iter().chain(&rules.add) {
            if !HeaderRules::is_value(value) {
                return Err(format!("the value of the field `{name}` holds what values cannot hold"));
            }
            edits.write(name, value);
        }
        edits.dropped.extend(rules.set.keys().chain(&rules.remove).map(|name| name.as_bytes().into()));
        Ok(Some(edits))
    }

    /// Has this field in the place of all of its name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.dropped.push(name.as_bytes().into());
        self.write(name, value);
    }

    fn write(&mut self, name: &str, value: &str) {
        let line = format!("{name}: {value}\r\n");
        if !OWN.contains(&name) {
            self.own.extend_from_slice(line.as_bytes());
        }
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Whether fields of this name do not pass. Many servers read an underscore as a dash, so it counts as one.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        let same = |have: u8, want: u8| have.to_ascii_lowercase() == want || (have == b'_' && want == b'-');
        self.dropped.iter().any(|want| {
            want.len() == name.len() && name.iter().zip(want).all(|(have, want)| same(*have, *want))
        })
    }

    pub(crate) fn prune(&self, fields: &mut Vec<Field>, buf: &[u8]) {
        fields.retain(|field| !self.drops(field.name.of(buf)));
    }
}
