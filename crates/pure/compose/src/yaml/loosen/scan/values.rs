//! What a value over several lines says, by the reference's rules for line breaks.
//!
//! Owns the reading of values with a line break that is kept as it is (U+2028, U+2029): the first of a row of line breaks
//! is dropped, or becomes a space, only if it is an ordinary one. The parser below us knows only those.

use super::{NEXT_LINE, blank, line_break};

/// A line break as it counts in a value.
fn counted(letter: char) -> char {
    if matches!(letter, '\r' | NEXT_LINE) { '\n' } else { letter }
}

/// The line break at `at`, if there is one, and how many letters it has.
fn line_end(letters: &[char], at: usize) -> Option<(char, usize)> {
    let letter = *letters.get(at).filter(|letter| line_break(**letter))?;
    let pair = letter == '\r' && letters.get(at + 1) == Some(&'\n');
    Some((counted(letter), if pair { 2 } else { 1 }))
}

/// What stands between two words.
#[derive(Default)]
struct Gap {
    blanks: String,
    /// The first line break, and those after it.
    first: Option<char>,
    more: String,
    /// A line break was met, or a `\` before one.
    broken: bool,
}

impl Gap {
    fn end(self, value: &mut String) {
        match self.first {
            _ if !self.broken => value.push_str(&self.blanks),
            Some('\n') if self.more.is_empty() => value.push(' '),
            Some('\n') | None => value.push_str(&self.more),
            Some(kept) => {
                value.push(kept);
                value.push_str(&self.more);
            }
        }
    }
}

/// What is between two quotes, or words without them.
pub(super) fn joined(letters: &[char], quote: Option<char>) -> String {
    let (mut value, mut at) = (String::new(), 0);
    while at < letters.len() {
        let mut gap = Gap::default();
        if quote == Some('"') && letters[at] == '\\' {
            match line_end(letters, at + 1) {
                Some((_, count)) => {
                    gap.broken = true;
                    at += 1 + count;
                }
                None => {
                    at += escaped(&letters[at + 1..], &mut value);
                    continue;
                }
            }
        }
        let from = at;
        while let Some(letter) = letters.get(at) {
            if let Some((end, count)) = line_end(letters, at) {
                if gap.broken {
                    gap.more.push(end)
                } else {
                    gap.first = Some(end)
                }
                gap.broken = true;
                at += count;
            } else if blank(*letter) {
                gap.blanks.push(*letter);
                at += 1;
            } else {
                break;
            }
        }
        if gap.broken || at > from {
            gap.end(&mut value);
            continue;
        }
        value.push(letters[at]);
        let doubled = quote == Some('\'') && letters[at] == '\'';
        at += if doubled { 2 } else { 1 };
    }
    value
}

/// What a `\` and these letters after it mean; gives how many letters that were, the `\` too.
fn escaped(letters: &[char], value: &mut String) -> usize {
    let Some(letter) = letters.first() else { return 1 };
    let digits = match letter {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let number: String = letters.iter().skip(1).take(digits).collect();
        value.extend(u32::from_str_radix(&number, 16).ok().and_then(char::from_u32));
        return 2 + digits;
    }
    value.push(match letter {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'N' => NEXT_LINE,
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        other => *other,
    });
    2
}

/// A block of text as its lines are walked over.
#[derive(Default)]
pub(super) struct Block {
    folded: bool,
    /// All line breaks at the end are kept.
    keeps: bool,
    /// None is.
    strips: bool,
    value: String,
    /// What ended the last line, and the empty ones after it.
    first: Option<char>,
    more: String,
    /// The last line began with a blank, so it is not joined with another.
    apart: bool,
}

impl Block {
    /// One that begins with these signs.
    pub(super) fn new(signs: &[char]) -> Self {
        let has = |sign| signs.contains(&sign);
        Self { folded: has('>'), keeps: has('+'), strips: has('-'), ..Self::default() }
    }

    /// An empty line that ends so.
    pub(super) fn empty_line(&mut self, end: char) {
        self.more.push(counted(end));
    }

    /// A line, and the letter that ends it.
    pub(super) fn line(&mut self, letters: &[char], end: char) {
        let apart = letters.first().is_some_and(|letter| blank(*letter));
        match self.first {
            Some('\n') if self.folded && !self.apart && !apart => {
                if self.more.is_empty() {
                    self.value.push(' ');
                }
            }
            first => self.value.extend(first),
        }
        self.value.push_str(&std::mem::take(&mut self.more));
        self.value.extend(letters);
        self.first = Some(counted(end)).filter(|end| line_break(*end));
        self.apart = apart;
    }

    /// What it says.
    pub(super) fn end(mut self) -> String {
        if !self.strips {
            self.value.extend(self.first);
        }
        if self.keeps {
            self.value.push_str(&self.more);
        }
        self.value
    }
}
