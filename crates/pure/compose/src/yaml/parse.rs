//! From text to trees: anchors are put in place, merge keys merged, `!reset` and `!override` taken note of.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

use indexmap::map::Entry as Slot;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as Mark0, Tag};

use super::bytes;
use super::loosen::{letters, loosen};
use super::scalar::resolve;
use crate::problem::Fault;
use crate::tree::{Entry, Map, Mark, Node, Span, Value};

/// One document of a file.
pub(crate) struct Document {
    /// Its root.
    pub(crate) root: Node,
    /// Paths that `!reset` and `!override` name: what earlier documents gave there is dropped.
    pub(crate) resets: Vec<Vec<String>>,
}

/// So deep may a file nest.
const DEEPEST: usize = 200;
/// So many nodes may the aliases of a file stand for, all together: more is a bomb.
const MOST_ALIASED: usize = 200_000;

/// Parses all documents of a file; `file` is its number among the sources.
pub(crate) fn parse(text: &str, file: u32) -> Result<Vec<Document>, Fault> {
    match loosen(text) {
        Some(mut wide) => {
            let values = std::mem::take(&mut wide.values);
            documents(Builder::new(&wide.text, file, Some(&wide.added), values))
        }
        None => documents(Builder::new(text, file, None, Vec::new())),
    }
}

fn documents(mut builder: Builder<'_>) -> Result<Vec<Document>, Fault> {
    let mut documents = Vec::new();
    let mut parser = Parser::new_from_str(builder.text);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let mark = *error.marker();
                let at = builder.span(Mark0::new(mark, mark));
                return Err(Fault::at(at, "", format!("this is not YAML: {}", error.info())));
            }
        };
        if let Some(root) = builder.take(event, span)? {
            documents.push(finish(root)?);
        }
    }
    Ok(documents)
}

fn finish(mut root: Node) -> Result<Document, Fault> {
    let mut resets = Vec::new();
    settle(&mut root, &mut Vec::new(), Some(&mut resets))?;
    Ok(Document { root, resets })
}

/// What is being built: a list, or a mapping with perhaps a key that waits for its value.
enum Frame {
    List(Vec<Node>),
    Map { map: Map, key: Option<(String, Span)> },
}

struct Open {
    frame: Frame,
    at: Span,
    mark: Mark,
    anchor: usize,
}

struct Builder<'a> {
    text: &'a str,
    file: u32,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    aliased: usize,
    /// Byte offset of a character offset, kept where we last were: marks only move on.
    cursor: (usize, usize),
    /// The bytes that the file does not have, when the text is a loosened one.
    added: Option<&'a [usize]>,
    /// What the file says at these bytes, whatever the parser takes it for.
    values: VecDeque<(RangeInclusive<usize>, String)>,
}

impl<'a> Builder<'a> {
    fn new(
        text: &'a str,
        file: u32,
        added: Option<&'a [usize]>,
        values: Vec<(RangeInclusive<usize>, String)>,
    ) -> Self {
        let (stack, anchors) = (Vec::new(), HashMap::new());
        Self { text, file, stack, anchors, aliased: 0, cursor: (0, 0), added, values: values.into() }
    }

    /// What the file says here, if the parser cannot know.
    fn known(&mut self, at: Span) -> Option<String> {
        let start = at.start as usize;
        while self.values.front().is_some_and(|(range, _)| *range.end() < start) {
            self.values.pop_front();
        }
        self.values.pop_front_if(|(range, _)| *range.start() <= start).map(|(_, value)| value)
    }

    fn span(&mut self, span: Mark0) -> Span {
        let start = self.offset(span.start.index());
        let end = self.offset(span.end.index()).max(start);
        let added = self.added.unwrap_or_default();
        let (mut above, mut before, mut within) = (0, 0, 0);
        if !added.is_empty() {
            let line = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
            [above, before, within] = [line, start, end].map(|end| added.partition_point(|byte| *byte < end));
        }
        Span {
            file: self.file,
            line: span.start.line() as u32,
            column: span.start.col().saturating_sub(before - above) as u32 + 1,
            start: (start - before) as u32,
            len: ((end - within) - (start - before)) as u32,
        }
    }

    /// The byte at which the character of this number begins.
    fn offset(&mut self, index: usize) -> usize {
        let (mut seen, mut byte) = self.cursor;
        if index < seen {
            (seen, byte) = (0, 0);
        }
        for c in self.text[byte..].chars().take(index - seen) {
            byte += c.len_utf8();
            seen += 1;
        }
        self.cursor = (seen, byte);
        byte
    }

    /// Whether this is a block of text whose last line ends with the file instead of a line break.
    fn is_cut_off(&mut self, style: ScalarStyle, span: Mark0) -> bool {
        matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
            && !self.text.rsplit('\n').next().unwrap_or_default().trim().is_empty()
            && self.offset(span.end.index()) >= self.text.len()
    }

    /// A block of text that has no lines but blank ones up to the file's end: only `+` keeps those.
    fn without_lines<'t>(&mut self, style: ScalarStyle, span: Mark0, text: Cow<'t, str>) -> Cow<'t, str> {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) || text != "\n" {
            return text;
        }
        // Without lines, the parser's mark may be behind the header or on it.
        let start = self.offset(span.start.index());
        let from = if self.text[start..].starts_with(['|', '>']) {
            start
        } else {
            self.text[..start].trim_end().len()
        };
        let end = self.text[from..].find('\n').map_or(self.text.len(), |at| from + at + 1);
        let (header, lines) = self.text.split_at(end);
        let header = header.trim_end().rsplit('\n').next().unwrap_or_default();
        let indicators = header.rsplit(['|', '>']).next().unwrap_or_default();
        let indicators = indicators.split('#').next().unwrap_or_default();
        if !lines.trim().is_empty() {
            return text;
        }
        let kept = if indicators.contains('+') { lines.matches('\n').count() } else { 0 };
        Cow::Owned("\n".repeat(kept))
    }

    /// Takes an event; gives the root when a document is complete.
    fn take(&mut self, event: Event<'_>, span: Mark0) -> Result<Option<Node>, Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let at = self.span(span);
                let plain = matches!(style, ScalarStyle::Plain);
                let text = match self.known(at) {
                    Some(value) => Cow::Owned(value),
                    None if self.is_cut_off(style, span) => {
                        self.without_lines(style, span, without_end(text))
                    }
                    None => self.without_lines(style, span, text),
                };
                let text = if plain && self.added.is_some() { letters(text) } else { text };
                let node = scalar(text, style, tag.as_deref(), at)?;
                self.put(node, anchor, 1, merges(plain, tag.as_deref()))
            }
            Event::Alias(anchor) => {
                let at = self.span(span);
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault::at(at, "", "this alias stands inside of what it names"));
                };
                self.aliased += size;
                if self.aliased > MOST_ALIASED {
                    return Err(Fault::at(at, "", "the aliases of this file stand for too much")
                        .help(format!("all aliases together may stand for {MOST_ALIASED} values")));
                }
                self.put(node, 0, size, false)
            }
            Event::SequenceStart(anchor, tag) => self.open(Frame::List(Vec::new()), anchor, tag, span),
            Event::MappingStart(anchor, tag) => {
                self.open(Frame::Map { map: Map::default(), key: None }, anchor, tag, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            // What an earlier document gave a name keeps it.
            Event::DocumentStart(_)
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd => Ok(None),
        }
    }

    fn open(
        &mut self,
        frame: Frame,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        span: Mark0,
    ) -> Result<Option<Node>, Fault> {
        let at = self.span(span);
        if self.stack.len() >= DEEPEST {
            return Err(Fault::at(at, "", "this nests too deep").help(format!("at most {DEEPEST} levels")));
        }
        self.stack.push(Open { frame, at, mark: mark(tag.as_deref()), anchor });
        Ok(None)
    }

    fn close(&mut self) -> Result<Option<Node>, Fault> {
        let Some(open) = self.stack.pop() else { return Ok(None) };
        let value = match open.frame {
            Frame::List(list) => Value::List(list),
            Frame::Map { map, .. } => Value::Map(map),
        };
        let node = Node { value, at: open.at, mark: open.mark };
        let size = if open.anchor > 0 { size(&node) } else { 0 };
        self.put(node, open.anchor, size, false)
    }

    /// Puts a finished node into what is open; it is the root when nothing is. As a key, it may be one that merges.
    fn put(&mut self, node: Node, anchor: usize, size: usize, merges: bool) -> Result<Option<Node>, Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        // What is dropped is not looked at.
        let dropped = self.stack.iter().any(|open| open.mark == Mark::Reset);
        let Some(open) = self.stack.last_mut() else { return Ok(Some(node)) };
        match &mut open.frame {
            Frame::List(list) => list.push(node),
            Frame::Map { map, key } => match key.take() {
                None => *key = Some(key_of(node, merges)?),
                Some((key, key_at)) => match map.0.entry(key) {
                    Slot::Vacant(slot) => {
                        slot.insert(Entry { key_at, node });
                    }
                    Slot::Occupied(_) if dropped => {}
                    Slot::Occupied(slot) => {
                        let first = slot.get().key_at.line;
                        let text =
                            format!("the key `{}` is here twice", slot.key().trim_start_matches(MERGE));
                        return Err(
                            Fault::at(key_at, "", text).help(format!("it is already on line {first}"))
                        );
                    }
                },
            },
        }
        Ok(None)
    }
}

/// Whether a `<<` that stands so merges: one in quotes or with a tag of its own is an ordinary key.
fn merges(plain: bool, tag: Option<&Tag>) -> bool {
    match tag {
        None => plain,
        Some(tag) => tag.suffix == "!" || (tag.is_yaml_core_schema() && tag.suffix == "merge"),
    }
}

/// Marks a `<<` that merges.
const MERGE: char = '\u{0}';

fn key_of(node: Node, merges: bool) -> Result<(String, Span), Fault> {
    match node.value {
        Value::Text(text) if text == "<<" && merges => Ok((format!("{MERGE}{text}"), node.at)),
        Value::Text(text) => Ok((text, node.at)),
        _ => Err(Fault::at(node.at, "", format!("a key must be a text, and this is {}", node.kind()))
            .help("put it into quotes")),
    }
}

/// The text without the line break that the parser adds at its end.
fn without_end(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.strip_suffix('\n') {
        Some(rest) => Cow::Owned(rest.to_owned()),
        None => text,
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Map(map) => 1 + map.iter().map(|(_, node)| size(node)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Time(_) => 1,
    }
}

fn mark(tag: Option<&Tag>) -> Mark {
    match tag {
        Some(tag) if tag.handle == "!" && tag.suffix == "reset" => Mark::Reset,
        Some(tag) if tag.handle == "!" && tag.suffix == "override" => Mark::Override,
        _ => Mark::None,
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: Span) -> Result<Node, Fault> {
    let plain = matches!(style, ScalarStyle::Plain);
    let value = match tag {
        None if plain => resolve(&text),
        None => Value::Text(text.into_owned()),
        Some(tag) if plain && (tag.suffix.is_empty() || tag.suffix == "!") => resolve(&text),
        Some(tag) if tag.is_yaml_core_schema() => core(&text, &tag.suffix, at)?,
        Some(_) => Value::Text(text.into_owned()),
    };
    Ok(Node { value, at, mark: mark(tag) })
}

/// A scalar with a tag such as `!!int`.
fn core(text: &str, tag: &str, at: Span) -> Result<Value, Fault> {
    let value = resolve(text);
    let fits = match (tag, &value) {
        ("str", _) => return Ok(Value::Text(text.to_owned())),
        ("binary", _) => return binary(text, at),
        ("int", Value::Int(_)) | ("bool", Value::Bool(_)) | ("null", Value::Null) => true,
        ("float", Value::Int(int)) if *int <= i128::from(i64::MAX) => {
            return Ok(Value::Float(*int as f64));
        }
        ("float", Value::Float(_)) | ("timestamp", Value::Time(_)) => true,
        ("int" | "bool" | "null" | "float" | "timestamp", _) => false,
        _ => return Ok(Value::Text(text.to_owned())),
    };
    if fits { Ok(value) } else { Err(Fault::at(at, "", format!("`{text}` is not what `!!{tag}` says"))) }
}

/// A text, or bytes, in base 64.
fn binary(text: &str, at: Span) -> Result<Value, Fault> {
    let wrong = || Fault::at(at, "", "this is not what `!!binary` says").help("write it in base 64");
    bytes::decode(text).map(Value::Text).ok_or_else(wrong)
}

/// The paths that `!reset` and `!override` name. None below an `!override`, which is taken as it stands.
type Resets<'a> = Option<&'a mut Vec<Vec<String>>>;

/// Takes marked nodes out or notes them, and merges what `<<` names.
fn settle(node: &mut Node, path: &mut Vec<String>, mut resets: Resets<'_>) -> Result<(), Fault> {
    match &mut node.value {
        Value::List(list) => {
            if resets.is_some() {
                list.retain(|item| item.mark != Mark::Reset);
            }
            list.iter_mut().try_for_each(|item| {
                path.push("[]".into());
                let settled = settle(item, path, resets.as_deref_mut());
                path.pop();
                settled
            })
        }
        Value::Map(map) => settle_map(map, path, resets),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Time(_) => {
            Ok(())
        }
    }
}

fn settle_map(map: &mut Map, path: &mut Vec<String>, mut resets: Resets<'_>) -> Result<(), Fault> {
    let merge = map.remove(&format!("{MERGE}<<"));
    let mut gone = Vec::new();
    for (key, node) in map.iter_mut() {
        path.push(key.to_owned());
        match (node.mark, resets.as_deref_mut()) {
            (Mark::None, resets) => settle(node, path, resets)?,
            (Mark::Override | Mark::Reset, None) => settle(node, path, None)?,
            (Mark::Override, Some(resets)) => {
                resets.push(path.clone());
                settle(node, path, None)?;
            }
            (Mark::Reset, Some(resets)) => {
                resets.push(path.clone());
                gone.push(key.to_owned());
            }
        }
        path.pop();
    }
    for key in gone {
        map.remove(&key);
    }
    let Some(mut merge) = merge else { return Ok(()) };
    settle(&mut merge, path, resets)?;
    merge_into(map, merge)
}

fn merge_into(map: &mut Map, merge: Node) -> Result<(), Fault> {
    let at = merge.at;
    let sources = match merge.value {
        Value::List(list) => list,
        value => vec![Node { value, ..merge }],
    };
    for source in sources {
        let Value::Map(source) = source.value else {
            return Err(Fault::at(at, "", "`<<` merges mappings, and this is none")
                .help("name one alias, or a list of aliases"));
        };
        for (key, entry) in source.0 {
            map.0.entry(key).or_insert(entry);
        }
    }
    Ok(())
}
