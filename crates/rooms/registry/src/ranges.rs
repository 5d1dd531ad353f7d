//! Ranges of bytes, in the three forms that the protocol has.

use std::ops::RangeInclusive;

/// What a `Range` header asks of content of a length (RFC 9110, section 14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: there is no header, or one that need not be honoured.
    Whole,
    /// These bytes.
    Part(RangeInclusive<u64>),
    /// Nothing that is there.
    Beyond,
}

/// Reads a `Range` header. Several ranges, and units other than bytes, are answered with the whole.
pub(crate) fn asked(header: Option<&str>, length: u64) -> Asked {
    let Some(range) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let Some((first, last)) = range.split_once('-') else { return Asked::Whole };
    let number = |text: &str| digits(text.trim());
    match (first.trim().is_empty(), last.trim().is_empty()) {
        (true, true) => Asked::Whole,
        (true, false) => match number(last) {
            None => Asked::Whole,
            Some(0) => Asked::Beyond,
            Some(_) if length == 0 => Asked::Beyond,
            Some(most) => Asked::Part(length.saturating_sub(most)..=length - 1),
        },
        (false, open) => {
            let last = if open { Some(u64::MAX) } else { number(last) };
            match (number(first), last) {
                (Some(first), Some(last)) if first > last => Asked::Whole,
                (Some(first), Some(_)) if first >= length => Asked::Beyond,
                (Some(first), Some(last)) => Asked::Part(first..=last.min(length - 1)),
                (None, _) | (_, None) => Asked::Whole,
            }
        }
    }
}

/// The `Content-Range` of a chunk that is uploaded: `first-last`, both counted from 0. Some clients put the unit before
/// it and the length behind it.
pub(crate) fn chunk(text: &str) -> Option<RangeInclusive<u64>> {
    let text = text.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (first, last) = text.split_once('-')?;
    let (first, last) = (digits(first.trim())?, digits(last.trim())?);
    (first <= last).then_some(first..=last)
}

/// The `Content-Range` of a part that is sent: where it begins, and the length of the whole where that is known.
pub(crate) fn part(text: &str) -> Option<(u64, Option<u64>)> {
    let text = text.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']);
    let (range, total) = text.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((digits(first.trim())?, digits(total.trim())))
}

/// How much of an upload a registry has, by the `Range` header of its answer: `0-99` is 100 bytes.
pub(crate) fn received(text: &str) -> Option<u64> {
    let text = text.trim();
    let (first, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let (first, last) = (digits(first.trim())?, digits(last.trim())?);
    // `0-0` is one byte by the letter, and what registries say of none.
    if first == 0 { Some(if last == 0 { 0 } else { last.checked_add(1)? }) } else { None }
}

fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests;
