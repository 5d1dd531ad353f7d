//! From an ordered tree to text: YAML and JSON exactly as the reference implementation writes them.

use std::fmt::Write;

use super::bytes;
use super::scalar::resolve;
use crate::go;
use crate::tree::Value;

/// What is written: like a tree, but in its final order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Single(f32),
    Text(String),
    /// A text that is written without quotes although it looks like something else.
    Bare(String),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

/// What ends a line to YAML.
const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// The tree as a YAML document.
pub(crate) fn to_yaml(out: &Out) -> String {
    let mut text = String::new();
    match out {
        Out::Map(map) if !map.is_empty() => block_map(&mut text, map, 0, false),
        Out::List(list) if !list.is_empty() => block_list(&mut text, list, 0),
        _ => line(&mut text, out, 0),
    }
    text
}

fn indent(text: &mut String, depth: usize) {
    text.extend(std::iter::repeat_n(' ', depth));
}

fn block_map(text: &mut String, map: &[(String, Out)], depth: usize, inline: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline {
            indent(text, depth);
        }
        let binary = bytes::encode(key);
        if let Some(binary) = binary.as_ref().filter(|binary| !binary.contains('\n')) {
            text.push_str("!!binary ");
            text.push_str(binary);
            text.push(':');
            child(text, value, depth);
        } else if key.len() > 128 || key.contains(BREAKS) || binary.is_some() {
            text.push_str("? ");
            line(text, &Out::Text(key.clone()), depth + 2);
            indent(text, depth);
            text.push_str(": ");
            item(text, value, depth);
        } else {
            text.push_str(&quote(key, depth, true));
            text.push(':');
            child(text, value, depth);
        }
    }
}

/// What follows a key and its colon.
fn child(text: &mut String, value: &Out, depth: usize) {
    match value {
        Out::Map(map) if !map.is_empty() => {
            text.push('\n');
            block_map(text, map, depth + 2, false);
        }
        Out::List(list) if !list.is_empty() => {
            text.push('\n');
            block_list(text, list, depth + 2);
        }
        _ => {
            text.push(' ');
            line(text, value, depth + 2);
        }
    }
}

fn block_list(text: &mut String, list: &[Out], depth: usize) {
    for value in list {
        indent(text, depth);
        text.push_str("- ");
        item(text, value, depth);
    }
}

/// What begins on the line of a mark.
fn item(text: &mut String, value: &Out, depth: usize) {
    match value {
        Out::Map(map) if !map.is_empty() => block_map(text, map, depth + 2, true),
        Out::List(list) if !list.is_empty() => {
            let mut inner = String::new();
            block_list(&mut inner, list, depth + 2);
            text.push_str(inner.trim_start_matches(' '));
        }
        _ => line(text, value, depth + 2),
    }
}

/// A leaf up to the end of its line.
fn line(text: &mut String, value: &Out, depth: usize) {
    leaf(text, value, depth);
    // A block of text may have brought a line break of its own.
    let ended = |value: &str| is_literal(value) && value.ends_with(['\u{2028}', '\u{2029}']);
    if !matches!(value, Out::Text(value) if ended(value)) {
        text.push('\n');
    }
}

fn leaf(text: &mut String, value: &Out, depth: usize) {
    match value {
        Out::Null => text.push_str("null"),
        Out::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Out::Int(int) => {
            let _ = write!(text, "{int}");
        }
        Out::Float(float) => text.push_str(&special(go::float(*float))),
        Out::Single(float) => text.push_str(&special(go::float32(*float))),
        Out::Bare(bare) => text.push_str(bare),
        Out::List(_) => text.push_str("[]"),
        Out::Map(_) => text.push_str("{}"),
        Out::Text(value) if is_literal(value) => literal(text, value, depth),
        Out::Text(value) if bytes::carries(value) => binary(text, value, depth),
        Out::Text(value) => text.push_str(&quote(value, depth, false)),
    }
}

/// What is no text, in base 64.
fn binary(text: &mut String, value: &str, depth: usize) {
    text.push_str("!!binary ");
    let value = bytes::encode(value).unwrap_or_default();
    if value.contains('\n') { literal(text, &value, depth) } else { text.push_str(&value) }
}

fn special(float: String) -> String {
    match float.as_str() {
        "+Inf" => ".inf".into(),
        "-Inf" => "-.inf".into(),
        "NaN" => ".nan".into(),
        _ => float,
    }
}

/// A text on one line, in the plainest style that reads back as the same text.
fn quote(value: &str, depth: usize, key: bool) -> String {
    let looks = Looks::of(value);
    let multiline = value.contains('\n');
    let plain = !multiline && matches!(resolve(value), Value::Text(_)) && !old(value);
    if !plain {
        return double(value);
    }
    if looks.plain && !(value.is_empty() && key) {
        return value.to_owned();
    }
    if looks.single { single(value, depth) } else { double(value) }
}

fn single(value: &str, depth: usize) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('\'');
    let mut begins = false;
    for c in value.chars() {
        if begins && !BREAKS.contains(&c) {
            indent(&mut text, depth);
        }
        begins = BREAKS.contains(&c);
        text.push_str(if c == '\'' { "'" } else { "" });
        text.push(c);
    }
    text.push('\'');
    text
}

/// Words and numbers that YAML 1.1 read otherwise are quoted to this day.
fn old(value: &str) -> bool {
    const WORDS: &[&str] =
        &["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    WORDS.contains(&value) || base_60(value)
}

/// As in `1:30`: once a number of minutes.
fn base_60(value: &str) -> bool {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(a, b)| (a, Some(b)));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let good_first = first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut count = 0;
    let good = parts.all(|part| {
        count += 1;
        match part.as_bytes() {
            [d] => d.is_ascii_digit(),
            [a, b] => (b'0'..=b'5').contains(a) && b.is_ascii_digit(),
            _ => false,
        }
    });
    let good_fraction = fraction.is_none_or(|f| f.bytes().all(|b| b.is_ascii_digit() || b == b'_'));
    good_first && good && count > 0 && good_fraction
}

/// Which styles a one-line text allows.
struct Looks {
    plain: bool,
    single: bool,
}

impl Looks {
    fn of(value: &str) -> Self {
        if value.is_empty() {
            return Self { plain: true, single: true };
        }
        let indicators = value.starts_with("---") || value.starts_with("...") || indicators(value);
        let special = value.chars().any(|c| c == '\t' || !printable(c));
        let edges = value.starts_with(' ') || value.ends_with(' ');
        let break_space = value.split(BREAKS).skip(1).any(|line| line.starts_with(' '));
        let odd = special || break_space || space_break(value);
        Self { plain: !indicators && !edges && !odd && !value.contains(BREAKS), single: !odd }
    }
}

/// Whether characters that mean something to YAML stand where they would.
fn indicators(value: &str) -> bool {
    let mut before_blank = true;
    let mut chars = value.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let after_blank = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let means = if first {
            matches!(
                c,
                '#' | ','
                    | '['
                    | ']'
                    | '{'
                    | '}'
                    | '&'
                    | '*'
                    | '!'
                    | '|'
                    | '>'
                    | '\''
                    | '"'
                    | '%'
                    | '@'
                    | '`'
            ) || (matches!(c, '?' | ':' | '-') && after_blank)
        } else {
            (c == ':' && after_blank) || (c == '#' && before_blank)
        };
        if means {
            return true;
        }
        first = false;
        before_blank = matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    }
    false
}

fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn double(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    // The reference looks for a mark of byte order at the text's beginning when it asks about any of its letters.
    let marked = value.starts_with('\u{feff}');
    for c in value.chars() {
        let short = match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{a0}' if marked => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ if printable(c) && !marked => {
                text.push(c);
                continue;
            }
            _ => {
                let code = c as u32;
                let _ = match code {
                    0..=0xff => write!(text, "\\x{code:02X}"),
                    0x100..=0xffff => write!(text, "\\u{code:04X}"),
                    _ => write!(text, "\\U{code:08X}"),
                };
                continue;
            }
        };
        text.push('\\');
        text.push(short);
    }
    text.push('"');
    text
}

fn is_literal(value: &str) -> bool {
    let special = value.chars().any(|c| c != '\t' && !printable(c));
    value.contains('\n') && !special && !value.ends_with(' ') && !space_break(value)
}

/// Whether a line ends with a space.
fn space_break(value: &str) -> bool {
    value
        .split_inclusive(BREAKS)
        .any(|line| line.strip_suffix(BREAKS).is_some_and(|line| line.ends_with(' ')))
}

fn literal(text: &mut String, value: &str, depth: usize) {
    text.push('|');
    if value.starts_with(' ') || value.starts_with(BREAKS) {
        text.push('2');
    }
    let mut last = value.chars().rev();
    if last.next().is_some_and(|c| !BREAKS.contains(&c)) {
        text.push('-');
    } else if last.next().is_none_or(|c| BREAKS.contains(&c)) {
        text.push('+');
    }
    text.push('\n');
    let mut begins = true;
    for c in value.strip_suffix('\n').unwrap_or(value).chars() {
        if begins && !BREAKS.contains(&c) {
            indent(text, depth);
        }
        begins = BREAKS.contains(&c);
        text.push(c);
    }
}

/// The tree as JSON, with two spaces a level and no newline at the end.
pub(crate) fn to_json(out: &Out) -> String {
    let mut text = String::new();
    json(&mut text, out, 0);
    text
}

fn json(text: &mut String, out: &Out, depth: usize) {
    match out {
        Out::Null => text.push_str("null"),
        Out::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Out::Int(int) => {
            let _ = write!(text, "{int}");
        }
        Out::Float(float) => text.push_str(&go::json_float(*float)),
        Out::Single(float) => text.push_str(&go::json_float32(*float)),
        Out::Text(value) | Out::Bare(value) => json_text(text, value),
        Out::List(list) if list.is_empty() => text.push_str("[]"),
        Out::Map(map) if map.is_empty() => text.push_str("{}"),
        Out::List(list) => {
            text.push('[');
            for (index, item) in list.iter().enumerate() {
                text.push_str(if index > 0 { ",\n" } else { "\n" });
                indent(text, depth + 2);
                json(text, item, depth + 2);
            }
            text.push('\n');
            indent(text, depth);
            text.push(']');
        }
        Out::Map(map) => {
            text.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                text.push_str(if index > 0 { ",\n" } else { "\n" });
                indent(text, depth + 2);
                json_text(text, key);
                text.push_str(": ");
                json(text, value, depth + 2);
            }
            text.push('\n');
            indent(text, depth);
            text.push('}');
        }
    }
}

fn json_text(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            _ if bytes::byte(c).is_some() => text.push_str("\\ufffd"),
            _ => text.push(c),
        }
    }
    text.push('"');
}

/// What JSON has no word for, as the reference prints it: a number that is none, or a zone a day or more away.
pub(crate) fn unspeakable(out: &Out) -> Option<String> {
    match out {
        Out::Float(float) if !float.is_finite() => Some(go::float(*float)),
        Out::Single(float) if !float.is_finite() => Some(go::float32(*float)),
        Out::Bare(time) if time.rfind(['+', '-']).is_some_and(|at| time[at + 1..].starts_with("24:")) => {
            Some(time.clone())
        }
        Out::Null
        | Out::Bool(_)
        | Out::Int(_)
        | Out::Float(_)
        | Out::Single(_)
        | Out::Text(_)
        | Out::Bare(_) => None,
        Out::List(list) => list.iter().find_map(unspeakable),
        Out::Map(map) => map.iter().find_map(|(_, value)| unspeakable(value)),
    }
}
