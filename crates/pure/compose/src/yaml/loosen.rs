//! What the reference's reader takes and the parser below us refuses, written so that it takes it too.
//!
//! Lines inside of brackets and quotes may stand further to the left than what they belong to: they get spaces at their
//! beginning, which mean nothing there. And `[-, a:]` has two words: signs that are letters there get the place of
//! others that no file may have, until the words are read ([`letters`]). It reads no more of YAML than it needs to know
//! where brackets and quotes are, and is asked only about texts that were refused as they stand.

use std::borrow::Cow;

/// Stands for a dash and for a colon that are letters. No file may have them, so nothing else is taken for them.
const DASH: char = '\u{1}';
const COLON: char = '\u{2}';

/// A word with its own letters again.
pub(super) fn letters(word: Cow<'_, str>) -> Cow<'_, str> {
    if word.contains([DASH, COLON]) {
        return Cow::Owned(word.replace(DASH, "-").replace(COLON, ":"));
    }
    word
}

/// A text that the parser takes.
pub(super) struct Loosened {
    /// The text.
    pub(super) text: String,
    /// How many spaces each line got.
    pub(super) spaces: Vec<usize>,
}

/// Loosens a text; none when nothing of it needs that.
pub(super) fn loosen(text: &str) -> Option<Loosened> {
    if text.contains([DASH, COLON]) {
        return None;
    }
    let mut reader = Reader::default();
    let mut changed = false;
    let mut out = Loosened { text: String::with_capacity(text.len()), spaces: Vec::new() };
    for line in text.split_inclusive('\n') {
        let width = line.len() - line.trim_start_matches(' ').len();
        let marker = line.starts_with("---") || line.starts_with("...");
        let spaces = match reader.inside {
            Some(column) if width <= column && !line.trim().is_empty() && !marker => column + 1 - width,
            _ => 0,
        };
        out.text.extend(std::iter::repeat_n(' ', spaces));
        out.spaces.push(spaces);
        let swaps = reader.line(line, width);
        let swapped =
            |(at, letter)| swaps.iter().find(|(place, _)| *place == at).map_or(letter, |(_, sign)| *sign);
        out.text.extend(line.chars().enumerate().map(swapped));
        changed |= spaces > 0 || !swaps.is_empty();
    }
    changed.then_some(out)
}

#[derive(Default)]
struct Reader {
    /// Brackets that are open.
    depth: usize,
    /// The quote that is open.
    quote: Option<char>,
    /// The column at which the outermost open bracket or quote stands.
    inside: Option<usize>,
    /// The column of the entry whose value is a block of text; its lines stand further right.
    block: Option<usize>,
    /// Whether a value may begin here: in the middle of a word, brackets and quotes are letters.
    fresh: bool,
    /// Whether a word without quotes is being read.
    word: bool,
    /// Signs of this line that are letters, and what stands for them.
    swaps: Vec<(usize, char)>,
    /// The column of the last key or dash.
    entry: usize,
}

impl Reader {
    /// Reads a line; answers with its signs that are letters.
    fn line(&mut self, line: &str, width: usize) -> Vec<(usize, char)> {
        if let Some(parent) = self.block {
            if line.trim().is_empty() || width > parent {
                return Vec::new();
            }
            self.block = None;
        }
        if self.inside.is_none() {
            self.fresh = true;
            self.word = false;
        }
        let letters: Vec<char> = line.chars().collect();
        let mut at = 0;
        while at < letters.len() {
            let (before, next) = (at.checked_sub(1).map(|i| letters[i]), letters.get(at + 1).copied());
            if self.quote.is_none() && letters[at] == '#' && before.is_none_or(char::is_whitespace) {
                break;
            }
            at += match self.quote {
                Some(quote) => self.quoted(quote, letters[at], next),
                None => self.bare(at, letters[at], next, &letters[at..]),
            };
        }
        std::mem::take(&mut self.swaps)
    }

    /// One letter or two within quotes.
    fn quoted(&mut self, quote: char, letter: char, next: Option<char>) -> usize {
        if (quote == '"' && letter == '\\') || (quote == '\'' && letter == '\'' && next == Some('\'')) {
            return 2;
        }
        if letter == quote {
            self.quote = None;
            self.leave();
        }
        1
    }

    /// One letter outside of quotes, or a whole word that says something about the value after it.
    fn bare(&mut self, at: usize, letter: char, next: Option<char>, rest: &[char]) -> usize {
        let ends = next.is_none_or(char::is_whitespace);
        let flow = self.depth > 0;
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            // A sign before a comma or a bracket's end, which the reference takes for a letter.
            '-' if self.fresh && flow && matches!(next, Some(',' | ']' | '}')) => {
                self.swaps.push((at, DASH));
                (self.fresh, self.word) = (false, true);
            }
            ':' if self.word && flow && !ends => {
                if matches!(next, Some(',' | ']' | '}')) {
                    self.swaps.push((at, COLON));
                }
            }
            // Only at the beginning of a line does it end a document.
            '-' if self.fresh && at > 0 && rest.starts_with(&['-', '-', '-']) => {
                self.note(at);
                self.swaps.push((at, DASH));
                (self.fresh, self.word) = (false, true);
            }
            '"' | '\'' if self.fresh => {
                self.note(at);
                self.quote = Some(letter);
                self.inside.get_or_insert(at);
                self.fresh = false;
            }
            '[' | '{' if self.fresh => {
                self.depth += 1;
                self.inside.get_or_insert(at);
            }
            ']' | '}' if flow => {
                self.depth -= 1;
                (self.fresh, self.word) = (false, false);
                self.leave();
            }
            ',' if flow => (self.fresh, self.word) = (true, false),
            ':' if ends || flow => (self.fresh, self.word) = (true, false),
            '-' | '?' if self.fresh && ends => self.entry = at,
            '&' | '*' | '!' if self.fresh => {
                return rest.iter().take_while(|c| !c.is_whitespace() && !"[]{},".contains(**c)).count();
            }
            '|' | '>' if self.fresh && !flow => {
                self.block = Some(self.entry);
                return rest.len();
            }
            _ => {
                self.note(at);
                self.word |= self.fresh;
                self.fresh = false;
            }
        }
        1
    }

    /// Notes where a key begins.
    fn note(&mut self, at: usize) {
        if self.fresh && self.inside.is_none() {
            self.entry = at;
        }
    }

    fn leave(&mut self) {
        if self.depth == 0 && self.quote.is_none() {
            self.inside = None;
        }
    }
}
