//! Tables for people: columns as wide as their widest cell.

use std::time::Duration;

use base::Timestamp;

use crate::output::say;

/// Prints rows under a heading. Nothing is cut: people pipe this into other programs.
pub(crate) fn print<const N: usize>(heading: [&str; N], rows: &[[String; N]]) {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    say(line(&heading.map(str::to_owned), &widths));
    for row in rows {
        say(line(row, &widths));
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        let pad = width - cell.chars().count() + 3;
        text.extend(std::iter::repeat_n(' ', pad));
    }
    text.trim_end().to_owned()
}

/// A duration as people say it: its two largest units.
pub(crate) fn age(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{secs} s"),
        60..=3599 => format!("{} min {} s", secs / 60, secs % 60),
        3600..=86_399 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// How long ago, as people say it.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", age(now.since(then)))
}

/// The first 12 digits of an id or digest.
pub(crate) fn short(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// `NAME=VALUE` texts as pairs; a text without `=` is refused.
pub(crate) fn pairs(texts: &[String], flag: &str) -> Result<Vec<(String, String)>, base::Report> {
    let pair = |text: &String| {
        text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| {
            base::Report::new(base::Kind::Invalid, format!("`{text}` is not of the form NAME=VALUE"))
                .hint(format!("write `{flag} NAME=VALUE`"))
        })
    };
    texts.iter().map(pair).collect()
}

#[cfg(test)]
mod tests;
