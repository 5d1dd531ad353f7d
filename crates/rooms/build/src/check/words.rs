//! Words: which variables they use, what a mistyped name was meant to be, and machines by name.

use std::cell::RefCell;
use std::collections::BTreeSet;

use oci::Platform;

use crate::dockerfile::expand::{self, Substitution, Variables};

/// The variables that a word uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) set: BTreeSet<String>,
    pub(super) unset: BTreeSet<String>,
}

/// Remembers what was asked for.
struct Looking<'a> {
    variables: &'a dyn Variables,
    seen: RefCell<Seen>,
}

impl Variables for Looking<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let value = self.variables.value(name);
        let mut seen = self.seen.borrow_mut();
        let names = if value.is_some() { &mut seen.set } else { &mut seen.unset };
        names.insert(name.to_owned());
        value
    }
}

/// A word expanded, and the variables that it uses.
pub(super) fn looked(
    text: &str,
    escape: char,
    variables: &dyn Variables,
) -> (Result<String, Substitution>, Seen) {
    let looking = Looking { variables, seen: RefCell::default() };
    let expanded = expand::word(text, escape, &looking);
    (expanded, looking.seen.into_inner())
}

/// The variables of the text of a heredoc, where quotes are ordinary characters.
pub(super) fn looked_in_text(text: &str, variables: &dyn Variables) -> Seen {
    let looking = Looking { variables, seen: RefCell::default() };
    // What cannot be expanded is an error of the build.
    let _ = expand::heredoc(text, '\\', &looking);
    looking.seen.into_inner()
}

/// The first of the names that are nearest to this one: two slips away at most, and not itself.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    let mut least = 3;
    for one in names {
        match distance(name, one) {
            0 => return None,
            slips if slips < least => (best, least) = (Some(one), slips),
            _ => {}
        }
    }
    best
}

/// How many letters must be put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut last[0], row + 1);
        for (column, other) in b.iter().enumerate() {
            let changed = corner + usize::from(letter != *other);
            corner = last[column + 1];
            last[column + 1] = changed.min(corner + 1).min(last[column] + 1);
        }
    }
    last[b.len()]
}

/// The system and the processor that a platform names.
pub(super) fn machine(text: &str) -> Option<(String, String)> {
    let platform: Platform = match text.split_once('/') {
        Some(_) => text.parse().ok()?,
        None if text.is_empty() => return None,
        None if ["linux", "windows", "darwin", "freebsd"].contains(&text) => {
            Platform::new(text, &Platform::ours().architecture)
        }
        None => Platform::new("linux", text),
    };
    let architecture = match platform.architecture.as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    Some((platform.os, architecture))
}

#[cfg(test)]
mod tests {
    //! Tests of distances.

    use super::*;

    #[test]
    fn the_first_of_the_nearest_names_is_meant() {
        let names = || ["VERSION", "VERSIO", "NAME"].into_iter();
        assert_eq!(nearest("VERSIN", names()), Some("VERSION"));
        assert_eq!(nearest("VERS", names()), Some("VERSIO"));
        assert_eq!(nearest("NAME", names()), None, "it is itself");
        assert_eq!(nearest("OTHER", names()), None);
        assert_eq!(nearest("version", names()), None, "small letters are others");
    }
}
