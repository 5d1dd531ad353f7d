//! Checks a tree against the shapes: unknown keys, wrong kinds of values, wrong words. All faults are gathered.

use crate::problem::{Fault, nearest};
use crate::shape::{Form, Kind, PROJECT, Shape};
use crate::tree::{Map, Node, Span, Value};

/// Checks a whole tree; when it is `raw`, its texts may be anything, as their variables are not filled in.
pub(crate) fn validate(root: &Map, raw: bool) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new(), key: String::new(), raw };
    check.fields(&PROJECT, root, Span::default());
    check.faults
}

struct Check {
    faults: Vec<Fault>,
    key: String,
    raw: bool,
}

impl Check {
    fn fault(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::at(at, self.key.clone(), message).help(help));
    }

    fn wants(&mut self, node: &Node, what: &str) {
        let found = match &node.value {
            Value::Text(text) if text.len() < 40 => format!("the text `{text}`"),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => format!("{} ({})", node.kind(), node.print()),
            _ => node.kind().to_owned(),
        };
        let quotes = what.contains("text")
            && !what.contains("number")
            && matches!(node.value, Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_));
        let help =
            if quotes { format!("write {what}: put the value into quotes") } else { format!("write {what}") };
        self.fault(node.at, format!("this takes {what}, not {found}"), help);
    }

    fn under(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        let len = self.key.len();
        if !self.key.is_empty() {
            self.key.push('.');
        }
        self.key.push_str(key);
        check(self);
        self.key.truncate(len);
    }

    fn at_index(&mut self, index: usize, check: impl FnOnce(&mut Self)) {
        let len = self.key.len();
        self.key.push_str(&format!("[{index}]"));
        check(self);
        self.key.truncate(len);
    }

    fn fields(&mut self, shape: &'static Shape, map: &Map, at: Span) {
        for (key, node) in map.iter() {
            match shape.field(key) {
                Some(field) => self.under(key, |check| check.kind(field.kind, node)),
                None if shape.open || (shape.extensions && key.starts_with("x-")) => {}
                None => self.unknown(shape, key, map.key_at(key)),
            }
        }
        for required in shape.required {
            if !map.has(required) {
                self.fault(
                    at,
                    format!("{} needs the key `{required}`", shape.name),
                    format!("add `{required}`"),
                );
            }
        }
    }

    fn unknown(&mut self, shape: &'static Shape, key: &str, at: Span) {
        let known = || shape.fields.iter().map(|field| field.key);
        let help = match nearest(key, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if shape.fields.len() > 30 => {
                "see the table in the guide for the keys; a key of your own begins with `x-`".into()
            }
            None => format!("the keys here are {}", known().collect::<Vec<_>>().join(", ")),
        };
        self.under(key, |check| check.fault(at, format!("{} has no such key", shape.name), help));
    }

    fn kind(&mut self, kind: Kind, node: &Node) {
        use Value::{Bool, Float, Int, List, Null, Text};
        let fits = |good: bool, what: &'static str| if good { None } else { Some(what) };
        let wrong = match (kind, &node.value) {
            (Kind::TextOrNull, Null | Text(_)) => None,
            (Kind::Text | Kind::TextAlways, value) => fits(matches!(value, Text(_)), "a text"),
            (Kind::TextOrNull, _) => Some("a text"),
            (Kind::TextOrBool | Kind::Bool | Kind::MaybeBool, value) => {
                fits(matches!(value, Text(_) | Bool(_)), "`true` or `false`")
            }
            (Kind::StrictBool | Kind::AlwaysBool, value) => {
                fits(matches!(value, Bool(_)), "`true` or `false` without quotes")
            }
            (Kind::Duration | Kind::MaybeDuration, _) => return self.duration(node),
            (Kind::Word(words), _) => return self.word(node, words),
            (Kind::PullPolicy, _) => return self.pull_policy(node),
            (Kind::ContainerName, _) => return self.container_name(node),
            (Kind::Int(least, most), value) if whole(value) => return self.bounds(node, least, most),
            (Kind::MaybeInt, value) if whole(value) => return self.bounds(node, 0, i64::MAX),
            (Kind::MaybeNumber, Int(_) | Float(_)) => return self.bounds(node, 0, i64::MAX),
            (Kind::Percent, value) if whole(value) => return self.bounds(node, 0, 100),
            (Kind::WholeBytes(least), value) if whole(value) => return self.bounds(node, least, i64::MAX),
            (Kind::TextOrInt | Kind::Count | Kind::Mode, value) => {
                fits(matches!(value, Int(_) | Text(_)), "an integer or a text")
            }
            (
                Kind::Int(..)
                | Kind::MaybeInt
                | Kind::Percent
                | Kind::WholeBytes(_)
                | Kind::AlwaysInt
                | Kind::AlwaysBytes,
                value,
            ) => fits(whole(value) || matches!(value, Text(_)), "an integer or a text"),
            (Kind::Number | Kind::MaybeNumber | Kind::AlwaysNumber | Kind::Float | Kind::Bytes, value) => {
                fits(matches!(value, Text(_) | Int(_) | Float(_)), "a number or a text")
            }
            (Kind::BareNumber, value) => fits(matches!(value, Int(_) | Float(_)), "a number"),
            (Kind::BareInt, value) => fits(whole(value), "an integer"),
            (Kind::BytesText, value) => fits(matches!(value, Text(_)), "a text such as `50M`"),
            (Kind::Texts(_) | Kind::Loose, value) => match value {
                List(list) => return self.list(list, kind),
                _ => Some("a list of texts"),
            },
            (Kind::TextOrTexts | Kind::Test, Text(_)) | (Kind::Command, Null | Text(_)) => None,
            (Kind::TextOrTexts | Kind::Command | Kind::Test, value) => match value {
                List(list) => return self.list(list, kind),
                _ => Some("a text or a list of texts"),
            },
            (Kind::Labels | Kind::Env | Kind::Ssh, _) => return self.pairs(node),
            (Kind::Options(_) | Kind::Texted | Kind::MultiOptions | Kind::Hosts, _) => {
                return self.options(kind, node);
            }
            (Kind::External, _) => return self.external(node),
            (Kind::Object(shape, form), _) => return self.object(shape, form, node),
            (Kind::Objects(shape, form), _) => return self.objects(shape, form, node),
            (Kind::Named(shape, form), _) => return self.named(shape, form, node),
        };
        let text = node.str().filter(|_| !self.raw);
        let wrong = wrong.or_else(|| text.and_then(|text| unreadable(kind, node, text)));
        if let Some(what) = wrong {
            self.wants(node, what);
        }
    }

    fn bounds(&mut self, node: &Node, least: i64, most: i64) {
        let number = node.float().unwrap_or(0.0);
        let endless = most == i64::MAX;
        if number < least as f64 || (number > most as f64 && !endless) {
            let help = if endless { format!("from {least} up") } else { format!("from {least} to {most}") };
            self.fault(node.at, format!("{} is out of bounds", node.print()), help);
        }
    }

    fn duration(&mut self, node: &Node) {
        match node.str() {
            None => self.wants(node, "a text such as `1m30s`"),
            Some(text) if !self.raw && crate::go::duration(text).is_none() => {
                self.fault(
                    node.at,
                    format!("`{text}` is not a duration"),
                    "write numbers with units, as in `1m30s`; units are us, ms, s, m, h, d, w",
                );
            }
            Some(_) => {}
        }
    }

    fn word(&mut self, node: &Node, words: &'static [&'static str]) {
        match node.str() {
            None => self.wants(node, "a text"),
            Some(text) if !words.contains(&text) => {
                let near = nearest(text, words.iter().copied());
                let allowed = format!("allowed are {}", words.join(", "));
                let help = near.map_or(allowed.clone(), |near| format!("did you mean `{near}`? {allowed}"));
                self.fault(node.at, format!("`{text}` is not a value of this key"), help);
            }
            Some(_) => {}
        }
    }

    fn container_name(&mut self, node: &Node) {
        let Some(text) = node.str() else { return self.wants(node, "a text") };
        // The specification asks only that two such letters in a row are in the text.
        let first = |byte: u8| byte.is_ascii_alphanumeric();
        let next = |byte: u8| first(byte) || matches!(byte, b'_' | b'.' | b'-');
        if !text.as_bytes().windows(2).any(|pair| first(pair[0]) && next(pair[1])) {
            self.fault(
                node.at,
                format!("`{text}` is not a name for a container"),
                "write two or more letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
            );
        }
    }

    fn pull_policy(&mut self, node: &Node) {
        const WORDS: &[&str] =
            &["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
        let Some(text) = node.str() else { return self.wants(node, "a text") };
        // The specification asks only that one of these words is in the text.
        let every = text.split("every_").skip(1).any(|rest| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            digits > 0 && rest[digits..].starts_with(['w', 'd', 'h', 'm', 's'])
        });
        if !every && !WORDS.iter().any(|word| text.contains(word)) {
            let allowed = format!("allowed are {} and `every_` with a duration", WORDS.join(", "));
            let near = nearest(text, WORDS.iter().copied());
            let help = near.map_or(allowed.clone(), |near| format!("did you mean `{near}`? {allowed}"));
            self.fault(node.at, format!("`{text}` is not a pull policy"), help);
        }
    }

    fn list(&mut self, list: &[Node], kind: Kind) {
        for (index, item) in list.iter().enumerate() {
            let good = match item.value {
                Value::Text(_) => true,
                Value::Int(_) | Value::Float(_) => matches!(kind, Kind::Loose),
                _ => false,
            };
            if !good {
                self.at_index(index, |check| check.wants(item, "a text"));
            }
        }
        if matches!(kind, Kind::Texts(true) | Kind::Loose | Kind::TextOrTexts) {
            self.distinct(list);
        }
    }

    fn distinct(&mut self, list: &[Node]) {
        for (index, item) in list.iter().enumerate() {
            if let Some(first) = list[..index].iter().position(|other| other == item) {
                self.at_index(index, |check| {
                    check.fault(
                        item.at,
                        format!("`{}` is in this list already", item.print()),
                        format!("remove it; it is element {first}"),
                    );
                });
            }
        }
    }

    fn pairs(&mut self, node: &Node) {
        match &node.value {
            Value::List(list) => self.list(list, Kind::Texts(true)),
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    let good = !matches!(value.value, Value::List(_) | Value::Map(_) | Value::Time(_));
                    if key.is_empty() {
                        self.fault(map.key_at(key), "a name cannot be empty", "write a name");
                    } else if !good {
                        self.under(key, |check| check.wants(value, "a text, a number, a boolean or nothing"));
                    }
                }
            }
            _ => self.wants(node, "a mapping, or a list of `key=value`"),
        }
    }

    fn options(&mut self, kind: Kind, node: &Node) {
        if let (Kind::Hosts, Value::List(list)) = (kind, &node.value) {
            return self.list(list, Kind::Texts(true));
        }
        let Value::Map(map) = &node.value else { return self.wants(node, "a mapping") };
        for (key, value) in map.iter() {
            let scalar = |node: &Node| {
                matches!(node.value, Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_))
            };
            let good = match (kind, &value.value) {
                (Kind::Options(null), Value::Null) => null,
                (Kind::Options(_), Value::Int(_) | Value::Float(_)) | (_, Value::Text(_)) => true,
                (Kind::MultiOptions, Value::List(list)) => list.iter().all(scalar),
                (Kind::MultiOptions, _) => scalar(value),
                (Kind::Hosts, Value::List(list)) => list.iter().all(|node| node.str().is_some()),
                (Kind::Texted, Value::Int(_) | Value::Null | Value::Bool(_)) => {
                    self.key.ends_with("storage_opt")
                }
                _ => false,
            };
            if !good {
                self.under(key, |check| check.wants(value, "a text"));
            }
        }
    }

    fn external(&mut self, node: &Node) {
        match &node.value {
            Value::Bool(_) | Value::Text(_) => self.kind(Kind::Bool, node),
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    self.under(key, |check| match key {
                        "name" => check.kind(Kind::Text, value),
                        key if key.starts_with("x-") => {}
                        _ => check.fault(
                            map.key_at(key),
                            "an external resource has no such key",
                            "the key here is name",
                        ),
                    });
                }
            }
            _ => self.wants(node, "`true` or `false`"),
        }
    }

    fn object(&mut self, shape: &'static Shape, form: Form, node: &Node) {
        match (&node.value, form) {
            (Value::Map(map), _) => self.fields(shape, map, node.at),
            (Value::Null, Form::OrNull) | (Value::Text(_), Form::OrText) => {}
            (_, Form::OrText) => self.wants(node, "a text or a mapping"),
            _ => self.wants(node, "a mapping"),
        }
    }

    fn objects(&mut self, shape: &'static Shape, form: Form, node: &Node) {
        let list = match (&node.value, form) {
            (Value::List(list), _) => list,
            (Value::Text(_), Form::OrTexts) => return,
            (Value::Text(text), Form::OrAll) if text == "all" => return,
            (_, Form::OrAll) => return self.wants(node, "`all` or a list of mappings"),
            _ => return self.wants(node, "a list"),
        };
        for (index, item) in list.iter().enumerate() {
            self.at_index(index, |check| match (&item.value, form) {
                (Value::Map(map), _) => check.fields(shape, map, item.at),
                (Value::Text(_), Form::OrText | Form::OrTexts | Form::OrNumber)
                | (Value::Int(_) | Value::Float(_), Form::OrNumber) => {}
                (_, Form::OrText | Form::OrTexts) => check.wants(item, "a text or a mapping"),
                (_, Form::OrNumber) => check.wants(item, "a number, a text or a mapping"),
                _ => check.wants(item, "a mapping"),
            });
        }
        if matches!(self.key.rsplit('.').next(), Some("ports" | "volumes")) {
            self.distinct(list);
        }
    }

    /// A limit of a name that no system has.
    fn odd_limit(&mut self, shape: &'static Shape, node: &Node) {
        match &node.value {
            Value::Map(map) => {
                for field in shape.fields {
                    if let Some(value) = map.get(field.key) {
                        self.under(field.key, |check| check.whole_number(value));
                    }
                }
            }
            _ => self.whole_number(node),
        }
    }

    /// An integer or a text for one; not one that is written as 3.0.
    fn whole_number(&mut self, node: &Node) {
        match &node.value {
            Value::Int(_) => {}
            Value::Text(_) => self.kind(Kind::AlwaysInt, node),
            _ => self.wants(node, "an integer or a text"),
        }
    }

    fn named(&mut self, shape: &'static Shape, form: Form, node: &Node) {
        let names = matches!(form, Form::OrNames | Form::OrNamesStrict);
        let map = match &node.value {
            Value::Map(map) => map,
            Value::List(list) if names => return self.list(list, Kind::Texts(true)),
            _ if names => return self.wants(node, "a list of names or a mapping"),
            _ => return self.wants(node, "a mapping"),
        };
        for (key, value) in map.iter() {
            let ulimit = form == Form::Ulimit;
            if ulimit && !is_word(key) {
                self.under(key, |check| check.odd_limit(shape, value));
                continue;
            }
            let good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            if key.is_empty() || !key.chars().all(good) {
                self.under(key, |check| {
                    check.fault(
                        map.key_at(key),
                        format!("`{key}` is not a name"),
                        "a name has letters, digits, `.`, `_` and `-`",
                    );
                });
                continue;
            }
            self.under(key, |check| match (&value.value, form) {
                (Value::Map(map), _) => check.fields(shape, map, value.at),
                (Value::Null, Form::Resource | Form::OrNames) => {}
                (Value::Int(_), _) if ulimit => {}
                (Value::Text(_), _) if ulimit => check.kind(Kind::AlwaysInt, value),
                _ if ulimit => check.wants(value, "an integer, or a mapping with `soft` and `hard`"),
                _ => check.wants(value, "a mapping"),
            });
        }
    }
}

/// A word in lower case: the specification says nothing about limits with other names.
fn is_word(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// What a text should have been that stands for something else and cannot be read as it.
fn unreadable(kind: Kind, node: &Node, text: &str) -> Option<&'static str> {
    match kind {
        Kind::Command if crate::short::words(text).is_none() => {
            Some("a command whose quotes and brackets close, or a list of words")
        }
        Kind::Bool | Kind::MaybeBool if node.truth().is_none() => Some("`true` or `false`"),
        Kind::Int(..)
        | Kind::MaybeInt
        | Kind::AlwaysInt
        | Kind::Number
        | Kind::MaybeNumber
        | Kind::AlwaysNumber
            if text.parse::<i64>().is_err() =>
        {
            Some("an integer")
        }
        Kind::Float | Kind::Percent if crate::go::parse_float::<f64>(text).is_none() => Some("a number"),
        Kind::Mode if i64::from_str_radix(text, 8).is_err() => Some("octal digits"),
        Kind::Count if !text.eq_ignore_ascii_case("all") && text.parse::<i64>().is_err() => {
            Some("`all` or an integer")
        }
        // No limit is printed as a text, and what was printed must read again.
        Kind::Bytes | Kind::WholeBytes(_) | Kind::BytesText | Kind::AlwaysBytes
            if crate::go::bytes(text).is_none() && text != "-1" =>
        {
            Some("a size such as `64m`")
        }
        _ => None,
    }
}

/// An integer, also one that is written as 3.0.
fn whole(value: &Value) -> bool {
    match value {
        Value::Int(_) => true,
        Value::Float(float) => float.fract() == 0.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
