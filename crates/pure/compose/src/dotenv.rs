//! `.env` files, as compose reads them: quotes, `export`, comments, values over several lines, variables in values.

use std::collections::BTreeMap;

use crate::template::{Broken, Variables, substitute};

/// Why an env file could not be read; lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// What the values of a file may refer to.
pub(crate) struct Scope<'a> {
    /// Asked first; none when it has no such variable.
    pub(crate) outer: &'a dyn Fn(&str) -> Option<String>,
    /// Told of variables that nobody has.
    pub(crate) missing: &'a mut dyn FnMut(&str),
}

struct Known<'a, 'b> {
    scope: &'a mut Scope<'b>,
    own: &'a BTreeMap<String, String>,
}

impl Variables for Known<'_, '_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.scope.outer)(name).or_else(|| self.own.get(name).cloned())
    }

    fn missing(&mut self, name: &str) {
        (self.scope.missing)(name);
    }
}

/// Reads a file's variables into `vars`, later ones winning.
pub(crate) fn parse(
    text: &str,
    vars: &mut BTreeMap<String, String>,
    scope: &mut Scope<'_>,
) -> Result<(), Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = text;
    loop {
        rest = statement(rest);
        if rest.is_empty() {
            return Ok(());
        }
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let wrong = |what: String| Wrong { line, what };
        let (key, tail, inherited) = key(rest).map_err(wrong)?;
        if key.contains(' ') {
            return Err(wrong(format!("the name `{key}` has a space in it")));
        }
        rest = tail;
        if inherited {
            if let Some(value) = (scope.outer)(key) {
                vars.insert(key.to_owned(), value);
            }
            continue;
        }
        let (value, tail) = value(rest, vars, scope).map_err(wrong)?;
        vars.insert(key.to_owned(), value);
        rest = tail;
    }
}

/// From here to the next thing that is neither space nor comment.
fn statement(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if !text.starts_with('#') {
            return text;
        }
        text = text.find('\n').map_or("", |end| &text[end..]);
    }
}

/// Space, but no end of a line.
fn blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// The name at the start, what follows its sign, and whether it has no sign and so no value of its own.
fn key(text: &str) -> Result<(&str, &str, bool), String> {
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start_matches(blank),
        _ => text,
    };
    for (at, c) in text.char_indices() {
        match c {
            '=' | ':' | '\n' => {
                let key = text[..at].trim_end();
                return Ok((key, text[at + 1..].trim_start_matches(blank), c == '\n'));
            }
            '_' | '.' | '-' | '[' | ']' => {}
            _ if blank(c) || c.is_alphanumeric() => {}
            _ => {
                let line = text.lines().next().unwrap_or_default();
                return Err(format!("the character `{c}` cannot be in a variable's name: `{line}`"));
            }
        }
    }
    // A name that ends the file without a sign or a newline names nothing.
    Ok(("", "", true))
}

fn value<'a>(
    text: &'a str,
    vars: &BTreeMap<String, String>,
    scope: &mut Scope<'_>,
) -> Result<(String, &'a str), String> {
    let quote = match text.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => *quote as char,
        _ => {
            let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
            let line = line.split_once(" #").map_or(line, |(before, _)| before).trim_end();
            return Ok((expand(line, vars, scope)?, rest));
        }
    };
    let mut chars = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            let rest = &text[at + 1..];
            if quote == '"' {
                chars = expand(&escapes(&chars), vars, scope)?;
            }
            return Ok((chars, rest));
        }
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if escaped && c != quote {
            chars.push('\\');
        }
        escaped = false;
        chars.push(c);
    }
    let line = text.lines().next().unwrap_or_default();
    Err(format!("the quote of this value has no end: `{line}`"))
}

fn expand(text: &str, vars: &BTreeMap<String, String>, scope: &mut Scope<'_>) -> Result<String, String> {
    substitute(text, &mut Known { scope, own: vars }).map_err(|broken| match broken {
        Broken::Form => format!("`{text}` has a `$` that begins no variable"),
        Broken::Required { name, reason } => required(&name, &reason),
    })
}

/// What to say when a variable must be set and is not.
pub(crate) fn required(name: &str, reason: &str) -> String {
    match reason {
        "" => format!("the variable `{name}` must be set"),
        reason => format!("the variable `{name}` must be set: {reason}"),
    }
}

/// The escapes of a value in double quotes; `\$` becomes `$$`, which stands for a `$` afterwards.
fn escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let one = after.chars().next();
        let plain = match one {
            Some('a') => Some("\u{7}"),
            Some('b') => Some("\u{8}"),
            Some('f') => Some("\u{c}"),
            Some('n') => Some("\n"),
            Some('r') => Some("\r"),
            Some('t') => Some("\t"),
            Some('v') => Some("\u{b}"),
            Some('$') => Some("$$"),
            Some('"') => Some("\""),
            Some('\\') => Some("\\"),
            _ => None,
        };
        if let Some(plain) = plain {
            out.push_str(plain);
            rest = &after[1..];
            continue;
        }
        let digits = after.bytes().skip(1).take(3).take_while(u8::is_ascii_digit).count();
        let octal = after.get(1..1 + digits).filter(|d| after.starts_with('0') && d.len() == 3);
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[4..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
