//! A text as the reference's reader takes it, written so that the parser below us takes it likewise.
//!
//! The two differ where YAML's own rules are rarely needed: lines inside of brackets and quotes may stand further to the
//! left than what they belong to, `[-, a:]` has two words, `[?a]` a mapping, and a comment may follow a quote at once.
//! [`mod@scan`] walks over a text by the reference's rules and says what to change: spaces go in where they mean nothing,
//! and signs that are letters get the place of others that no file may have, until the words are read ([`letters`]).

mod scan;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use scan::{Change, Scanned, scan};

/// Stand for a dash, a colon and a dot that are letters. No file may have them, so nothing else is taken for them.
const DASH: char = '\u{1}';
const COLON: char = '\u{2}';
const DOT: char = '\u{3}';
const SIGNS: [char; 3] = [DASH, COLON, DOT];

/// A word of a loosened text with its own letters again.
pub(super) fn letters(word: Cow<'_, str>) -> Cow<'_, str> {
    if word.contains(SIGNS) {
        return Cow::Owned(word.replace(DASH, "-").replace(COLON, ":").replace(DOT, "."));
    }
    word
}

/// A text that the parser takes.
pub(super) struct Loosened {
    /// The text.
    pub(super) text: String,
    /// The bytes of it that the file does not have, in order.
    pub(super) added: Vec<usize>,
    /// What the parser would not read as the reference does, by the bytes of the file where it stands, in order.
    pub(super) values: Vec<(RangeInclusive<usize>, String)>,
}

/// Loosens a text; none when nothing of it needs that.
pub(super) fn loosen(text: &str) -> Option<Loosened> {
    if text.contains(SIGNS) {
        return None;
    }
    let Scanned { changes, values } = scan(text);
    if changes.is_empty() {
        return None;
    }
    let mut changes = changes.into_iter().peekable();
    let mut out = Loosened {
        text: String::with_capacity(text.len() + 64),
        added: Vec::new(),
        values: in_bytes(text, values),
    };
    for (at, letter) in text.chars().enumerate() {
        let (mut letter, mut ends) = (letter, None);
        while let Some((_, change)) = changes.next_if(|(place, _)| *place == at) {
            let before = out.text.len();
            match change {
                Change::Spaces(count) => out.text.extend(std::iter::repeat_n(' ', count)),
                Change::Before(more) => out.text.push_str(more),
                Change::Sign(sign) => letter = sign,
                Change::Line => ends = Some(letter.len_utf8()),
            }
            out.added.extend(before..out.text.len());
        }
        match ends {
            None => out.text.push(letter),
            // As many bytes as what it stands for.
            Some(2) => out.text.push_str("\r\n"),
            Some(_) => out.text.push_str(" \r\n"),
        }
    }
    Some(out)
}

/// Values by bytes that were found by letters.
fn in_bytes(
    text: &str,
    values: Vec<(RangeInclusive<usize>, String)>,
) -> Vec<(RangeInclusive<usize>, String)> {
    if values.is_empty() {
        return Vec::new();
    }
    let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let found = values.into_iter().map(|(at, value)| (bytes[*at.start()]..=bytes[*at.end()], value));
    found.collect()
}
