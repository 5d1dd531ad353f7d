//! What this program does with every key of the specification.
//!
//! One table: the converter consults it for each key that a file has, and the guide shows it.

mod table;

pub(crate) use table::TABLE;

use crate::convert::Desk;
use crate::problem::Fault;
use crate::shape::{Kind, PROJECT, Shape};
use crate::tree::{Map, Node, Value};

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It does what the specification says.
    Honoured,
    /// It has no effect, and a warning with this code says so.
    Warned(&'static str),
    /// A file that has it is refused, with this code.
    Refused(&'static str),
}

/// A key and what happens to it; what is under a key that is not honoured shares its fate.
#[derive(Debug)]
pub(crate) struct Row {
    /// As in `services.*.ports[].target`.
    pub(crate) path: &'static str,
    pub(crate) support: Support,
    pub(crate) note: &'static str,
}

/// Warns of and refuses what a project has and we do not honour.
pub(crate) fn consult(desk: &mut Desk<'_>) {
    let project = desk.project;
    let mut walk = Walk { desk, pattern: String::new(), key: String::new() };
    walk.fields(&PROJECT, &project.root);
    crate::convert::check_top(desk);
}

/// The row of a path.
pub(crate) fn row(path: &str) -> Option<&'static Row> {
    TABLE.binary_search_by(|row| row.path.cmp(path)).ok().map(|index| &TABLE[index])
}

struct Walk<'a, 'b> {
    desk: &'a mut Desk<'b>,
    pattern: String,
    key: String,
}

impl Walk<'_, '_> {
    fn under(&mut self, pattern: &str, key: &str, then: impl FnOnce(&mut Self)) {
        let (pattern_len, key_len) = (self.pattern.len(), self.key.len());
        for (text, part) in [(&mut self.pattern, pattern), (&mut self.key, key)] {
            if !text.is_empty() && !part.starts_with('[') {
                text.push('.');
            }
            text.push_str(part);
        }
        then(self);
        self.pattern.truncate(pattern_len);
        self.key.truncate(key_len);
    }

    fn fields(&mut self, shape: &'static Shape, map: &Map) {
        for (key, node) in map.iter() {
            // What was filled in by us, and what is empty, says nothing.
            let empty = match &node.value {
                Value::Null => true,
                Value::List(list) => list.is_empty(),
                Value::Map(map) => map.is_empty(),
                Value::Bool(truth) => !truth,
                Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Time(_) => false,
            };
            let Some(field) = shape.field(key).filter(|_| !empty) else { continue };
            self.under(key, key, |walk| {
                if walk.honours(node) {
                    walk.inside(field.kind, node);
                }
            });
        }
    }

    /// Says what there is to say of a key; whether to look further inside.
    fn honours(&mut self, node: &Node) -> bool {
        match row(&self.pattern).map(|row| (row.support, row.note)) {
            None | Some((Support::Honoured, _)) => true,
            Some((Support::Warned(code), note)) => {
                self.desk.warned(code, node, &self.key, format!("this has no effect here: {}", lower(note)));
                false
            }
            Some((Support::Refused(code), note)) => {
                let fault = Fault::at(node.at, self.key.clone(), format!("this is not supported ({code})"));
                self.desk.faults.push(fault.help(note));
                false
            }
        }
    }

    fn inside(&mut self, kind: Kind, node: &Node) {
        match (kind, &node.value) {
            (Kind::Object(shape, _), Value::Map(map)) => self.fields(shape, map),
            (Kind::Objects(shape, _), Value::List(list)) => {
                for (index, item) in list.iter().enumerate() {
                    if let Some(map) = item.map() {
                        self.under("[]", &format!("[{index}]"), |walk| walk.fields(shape, map));
                    }
                }
            }
            (Kind::Named(shape, _), Value::Map(map)) => {
                for (key, item) in map.iter() {
                    if let Some(map) = item.map() {
                        self.under("*", key, |walk| walk.fields(shape, map));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The note as part of a sentence.
fn lower(note: &str) -> String {
    let mut chars = note.trim_end_matches('.').chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    // A name keeps its capital.
    if note.starts_with("SELinux") { note.trim_end_matches('.').to_owned() } else { first + chars.as_str() }
}

/// The table as the guide shows it.
#[cfg(test)]
pub(crate) fn markdown() -> String {
    let mut text = String::from("| key | here | note |\n| --- | --- | --- |\n");
    for path in crate::shape::paths() {
        let Some(row) = row(&path) else { continue };
        let support = match row.support {
            Support::Honoured => "yes".to_owned(),
            Support::Warned(code) => format!("warned, `{code}`"),
            Support::Refused(code) => format!("refused, `{code}`"),
        };
        text.push_str(&format!("| `{}` | {support} | {} |\n", row.path, row.note));
    }
    text
}

#[cfg(test)]
mod tests;
