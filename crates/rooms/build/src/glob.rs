//! Patterns for paths: Go's `filepath.Match` for sources, and docker's dialect with `**` for `.dockerignore`.
//!
//! Matching walks the pattern once and keeps the set of places reached, so no pattern takes exponential time.

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    One(char),
    /// `?`: anything but a slash.
    Any,
    /// `*`: any run without a slash.
    Star,
    /// `**` at the end: any run.
    Everything,
    /// `**/` or `**` before something: nothing, or any run that ends in a slash.
    Folders,
    /// `[a-z]`, or with `^` all but these.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Token>);

/// The pattern makes no sense: a bracket does not end, or nothing follows an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPattern;

/// Whether `**` spans folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Go's `filepath.Match`: it does not.
    Go,
    /// Docker's ignore files: it does.
    Ignore,
}

impl Glob {
    /// Reads a pattern.
    pub(crate) fn new(text: &str, dialect: Dialect) -> Result<Self, BadPattern> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' if dialect == Dialect::Ignore && chars.peek() == Some(&'*') => {
                    while chars.peek() == Some(&'*') {
                        chars.next();
                    }
                    if chars.peek() == Some(&'/') {
                        chars.next();
                    }
                    if chars.peek().is_none() { Token::Everything } else { Token::Folders }
                }
                '*' => Token::Star,
                '?' => Token::Any,
                '[' => class(&mut chars)?,
                '\\' => Token::One(chars.next().ok_or(BadPattern)?),
                _ => Token::One(c),
            };
            tokens.push(token);
        }
        Ok(Self(tokens))
    }

    /// Whether the text has signs that mean more than themselves.
    pub(crate) fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// Whether the whole path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        // `reached[i]`: the pattern so far can end before the character `i`.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for token in &self.0 {
            reached = step(token, &path, &reached);
        }
        reached[path.len()]
    }
}

fn step(token: &Token, path: &[char], reached: &[bool]) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    match token {
        Token::Star | Token::Everything => {
            let mut open = false;
            for at in 0..reached.len() {
                let crosses = at > 0 && path[at - 1] == '/' && *token == Token::Star;
                open = reached[at] || (open && !crosses);
                next[at] = open;
            }
        }
        Token::Folders => {
            let mut open = false;
            for at in 0..reached.len() {
                next[at] = reached[at] || (open && at > 0 && path[at - 1] == '/');
                open |= reached[at];
            }
        }
        Token::One(_) | Token::Any | Token::Class { .. } => {
            for at in (0..path.len()).filter(|at| reached[*at]) {
                next[at + 1] = one(token, path[at]);
            }
        }
    }
    next
}

/// Whether a token that takes one character takes this one.
fn one(token: &Token, c: char) -> bool {
    match token {
        Token::One(want) => *want == c,
        Token::Any => c != '/',
        Token::Class { not, ranges } => {
            let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
            c != '/' && inside != *not
        }
        Token::Star | Token::Everything | Token::Folders => false,
    }
}

/// Behind `[`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, BadPattern> {
    let not = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        // An empty class is an error in Go, so `]` as the first sign is one too.
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Ok(Token::Class { not, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    match chars.next() {
        Some('\\') => chars.next().ok_or(BadPattern),
        Some('-' | ']') | None => Err(BadPattern),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests;
