//! All committed text: nothing of the machine it was written on, links that lead somewhere, changelog names.

use std::collections::BTreeSet;

use crate::tidy::Offence;
use crate::tree;

/// What is wrong with texts of any kind.
pub(crate) fn offences(texts: &[(&str, String)]) -> Vec<Offence> {
    let places = machine_places();
    let known: BTreeSet<&str> = texts.iter().map(|(path, _)| *path).collect();
    let mut found = Vec::new();
    for (path, text) in texts {
        let mut offend =
            |line, rule, advice| found.push(Offence { file: (*path).to_owned(), line, rule, advice });
        for (line, place) in mentions(text, &places) {
            offend(line, "machine", format!("`{place}` is of one machine; say it without"));
        }
        if let Some(name) = path.strip_prefix("changelog.d/").filter(|name| !changelog_name(name)) {
            offend(
                1,
                "changelog",
                format!("name `{name}` after what the user gets, as in `start-first-updates.md`"),
            );
        }
        if path.ends_with(".md") {
            for (line, link) in dead_links(path, text, &known) {
                offend(line, "links", format!("`{link}` leads nowhere; mend the link or add the page"));
            }
        }
    }
    found
}

/// Paths and names that only a machine of ours has: where this checkout lies, and what lies beside it.
fn machine_places() -> Vec<String> {
    let root = tree::root().display().to_string();
    let mut places: Vec<String> = ["main", "shared", "target", "notes", "images-cache", ".library"]
        .iter()
        .map(|it| format!("/{}/{it}", "work"))
        .collect();
    places.push(root);
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    // A short name may be an English word; a long one with a digit is a machine's.
    places.extend(
        Some(host.trim().to_owned()).filter(|h| h.len() > 7 && h.contains(|c: char| c.is_ascii_digit())),
    );
    places
}

fn mentions<'a>(text: &'a str, places: &'a [String]) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().flat_map(|(number, line)| {
        places
            .iter()
            .filter(|place| line.contains(place.as_str()))
            .map(move |place| (number + 1, place.as_str()))
    })
}

fn changelog_name(name: &str) -> bool {
    let stem = name.strip_suffix(".md").unwrap_or_default();
    name == "README.md"
        || (!stem.is_empty()
            && stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
}

/// The links of a page to files of ours that are not there, and to headings that its own page has not.
fn dead_links<'a>(path: &str, text: &'a str, known: &BTreeSet<&str>) -> Vec<(usize, &'a str)> {
    let mut dead = Vec::new();
    for (number, line) in prose(text) {
        for link in links(line) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let there = if file.is_empty() {
                headings(text).any(|known| known == heading)
            } else {
                leads_to(path, file, known)
            };
            if !link.contains("://") && !link.starts_with("mailto:") && !there {
                dead.push((number + 1, link));
            }
        }
    }
    dead
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

fn leads_to(page: &str, link: &str, known: &BTreeSet<&str>) -> bool {
    let mut at: Vec<&str> = page.split('/').collect();
    at.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." if at.pop().is_none() => return false,
            ".." => {}
            name => at.push(name),
        }
    }
    let path = at.join("/");
    known.contains(path.as_str()) || known.iter().any(|file| file.starts_with(&format!("{path}/")))
}

#[cfg(test)]
mod tests;
