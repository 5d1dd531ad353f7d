//! From a text to logical lines: directives, comments, continuations and heredocs.

use super::error::Fault;
use super::words::{self, Mark};
use super::{Directives, Heredoc, Span};

/// A line as instructions see it.
pub(super) struct Logical {
    /// Its lines in the file, with those of its heredocs.
    pub span: Span,
    /// Without comments and continuations.
    pub text: String,
    /// The texts that follow it.
    pub heredocs: Vec<Heredoc>,
    /// The comments above it, down from the last empty one.
    pub comments: Vec<String>,
}

/// A text cut into logical lines.
pub(super) struct Source {
    pub directives: Directives,
    pub lines: Vec<Logical>,
    /// The last lines of instructions that have an empty line inside.
    pub gaps: Vec<u32>,
}

/// Cuts a text into logical lines.
pub(super) fn read(text: &str) -> Result<Source, (Span, Fault)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (directives, top) = directives(text)?;
    let lines = text.split_inclusive('\n').collect();
    let mut cursor = Cursor { lines, at: 0, top, escape: directives.escape };
    let mut source = Source { directives, lines: Vec::new(), gaps: Vec::new() };
    while let Some((mut line, gap)) = cursor.logical() {
        if gap {
            source.gaps.push(cursor.number());
        }
        for mark in words::heredoc_marks(&line.text, cursor.escape) {
            let open = |name: &str| (line.span, Fault::OpenHeredoc { name: name.to_owned() });
            line.heredocs.push(cursor.heredoc(&mark).ok_or_else(|| open(&mark.name))?);
        }
        line.span.end = cursor.number();
        source.lines.push(line);
    }
    Ok(source)
}

/// Reads `# name=value` lines from the top until something else stands there, and counts them.
fn directives(text: &str) -> Result<(Directives, usize), (Span, Fault)> {
    let mut found = Directives { syntax: None, escape: '\\', check: None };
    let mut seen: Vec<String> = Vec::new();
    for (number, line) in (1u32..).zip(text.lines()) {
        let comment = line.trim().strip_prefix('#').map(str::trim);
        let Some((name, value)) = comment.and_then(|c| c.split_once('=')) else { break };
        let (name, value) = (name.trim().to_lowercase(), value.trim());
        if !matches!(name.as_str(), "syntax" | "escape" | "check") {
            break;
        }
        if seen.contains(&name) {
            return Err((Span::line(number), Fault::DirectiveTwice { name }));
        }
        match name.as_str() {
            "syntax" => found.syntax = Some(value.to_owned()),
            "check" => found.check = Some(value.to_owned()),
            _ => match value {
                "\\" => found.escape = '\\',
                "`" => found.escape = '`',
                _ => return Err((Span::line(number), Fault::Directive { name, value: value.to_owned() })),
            },
        }
        seen.push(name);
    }
    Ok((found, seen.len()))
}

/// A place in the file's lines.
struct Cursor<'a> {
    lines: Vec<&'a str>,
    at: usize,
    /// So many lines at the top are directives.
    top: usize,
    escape: char,
}

impl Cursor<'_> {
    /// The number of the line that was read last.
    fn number(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// The next logical line, without its heredocs, and whether there is an empty line inside it.
    fn logical(&mut self) -> Option<(Logical, bool)> {
        let mut comments: Vec<String> = Vec::new();
        let (mut text, mut more) = loop {
            let line = trim_end(self.lines.get(self.at)?);
            self.at += 1;
            if line.trim_start().starts_with('#') {
                match line[1..].trim() {
                    _ if self.at <= self.top => {}
                    "" => comments.clear(),
                    comment => comments.push(comment.to_owned()),
                }
                continue;
            }
            let (part, more) = self.continued(line.trim_start());
            if more || !part.is_empty() {
                break (part.to_owned(), more);
            }
        };
        let start = self.number();
        let mut gap = false;
        while more && self.at < self.lines.len() {
            let line = trim_end(self.lines[self.at]);
            self.at += 1;
            let bare = line.trim_start();
            if bare.starts_with('#') {
                continue;
            }
            if bare.is_empty() {
                gap = true;
                continue;
            }
            let (part, again) = self.continued(line);
            text.push_str(part);
            more = again;
        }
        if text.trim().is_empty() {
            // A continuation of nothing; whatever follows is the next line.
            return self.logical();
        }
        let span = Span { start, end: self.number() };
        Some((Logical { span, text: text.trim().to_owned(), heredocs: Vec::new(), comments }, gap))
    }

    /// The line without its continuation, and whether it had one. A doubled escape is a character, not a continuation.
    fn continued<'t>(&self, line: &'t str) -> (&'t str, bool) {
        let cut = line.trim_end_matches([' ', '\t']);
        match cut.strip_suffix(self.escape) {
            Some(part) if !part.ends_with(self.escape) => (part, true),
            _ => (line, false),
        }
    }

    /// The text up to the line that ends it; nothing if no line does.
    fn heredoc(&mut self, mark: &Mark) -> Option<Heredoc> {
        let mut text = String::new();
        loop {
            let line = self.lines.get(self.at)?;
            self.at += 1;
            let line = if mark.chomp { line.trim_start_matches('\t') } else { line };
            if trim_end(line) == mark.name {
                let (name, mark_text) = (mark.name.clone(), mark.text.clone());
                return Some(Heredoc { name, text, expand: mark.expand, mark: mark_text });
            }
            text.push_str(line);
        }
    }
}

/// The line without its end.
fn trim_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}
