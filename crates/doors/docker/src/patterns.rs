//! How docker compares names with what a filter says: some as regular expressions, some as globs.

use regex_automata::meta::Regex;

use crate::params::Filters;

/// Whether any value of this filter is the text or, read as a regular expression, fits somewhere in it; also when
/// nobody asks.
pub(crate) fn fits(filters: &Filters, name: &str, text: &str) -> bool {
    filters.any(name, |value| value == text || Regex::new(value).is_ok_and(|regex| regex.is_match(text)))
}

/// A glob as Go's `path.Match` reads it: `*` and `?` stop at `/`, `[a-z]` and `[^a]` are classes, `\` takes the next
/// character as it is. None when the pattern is malformed.
pub(crate) fn glob(pattern: &str, text: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let parts = parse(&pattern)?;
    Some(matches(&parts, &text))
}

enum Part {
    Any,
    One,
    Char(char),
    Class { not: bool, ranges: Vec<(char, char)> },
}

fn parse(pattern: &[char]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let (part, next) = match pattern[at] {
            '*' => (Part::Any, at + 1),
            '?' => (Part::One, at + 1),
            '\\' => (Part::Char(*pattern.get(at + 1)?), at + 2),
            '[' => class(pattern, at + 1)?,
            other => (Part::Char(other), at + 1),
        };
        parts.push(part);
        at = next;
    }
    Some(parts)
}

/// What stands between brackets, and where it goes on behind them.
fn class(pattern: &[char], mut at: usize) -> Option<(Part, usize)> {
    let not = pattern.get(at) == Some(&'^');
    at += usize::from(not);
    let mut ranges = Vec::new();
    loop {
        if *pattern.get(at)? == ']' && !ranges.is_empty() {
            return Some((Part::Class { not, ranges }, at + 1));
        }
        let (low, next) = member(pattern, at)?;
        let (high, next) = match pattern.get(next) {
            Some('-') => member(pattern, next + 1)?,
            _ => (low, next),
        };
        ranges.push((low, high));
        at = next;
    }
}

fn member(pattern: &[char], at: usize) -> Option<(char, usize)> {
    match *pattern.get(at)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(at + 1)?, at + 2)),
        other => Some((other, at + 1)),
    }
}

/// Goes back to the last `*` only, which is enough: an earlier one could take no more than it.
fn matches(parts: &[Part], text: &[char]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (parts.get(part), text.get(at)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                retry = Some((part + 1, at));
                part += 1;
                continue;
            }
            (Some(Part::One), Some(&c)) => c != '/',
            (Some(Part::Char(want)), Some(c)) => want == c,
            (Some(Part::Class { not, ranges }), Some(&c)) => {
                c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *not
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if fits {
            (part, at) = (part + 1, at + 1);
            continue;
        }
        match retry {
            Some((after, from)) if text.get(from).is_some_and(|&c| c != '/') => {
                retry = Some((after, from + 1));
                (part, at) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
