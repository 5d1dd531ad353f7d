//! The part of an answer that a client asks for (RFC 9110, section 14).

/// What the field `Range` asks for of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of them, as if nothing were said.
    Whole,
    /// From one byte to another, both included.
    Bytes(u64, u64),
    /// There are no such bytes.
    Beyond,
}

impl Part {
    /// The one range of bytes that is asked for. What cannot be read, and more than one, is as if nothing were said.
    pub(crate) fn of(range: &[u8], size: u64) -> Self {
        let Some((unit, set)) = std::str::from_utf8(range).ok().and_then(|range| range.split_once('='))
        else {
            return Self::Whole;
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return Self::Whole;
        }
        let Some((from, to)) = set.trim().split_once('-') else { return Self::Whole };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // More digits than fit stand for more bytes than there are.
            digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        match (number(from), number(to)) {
            (None, Some(last)) if from.is_empty() => match last.min(size) {
                0 => Self::Beyond,
                last => Self::Bytes(size - last, size - 1),
            },
            (Some(from), to_given) if to.is_empty() || to_given.is_some() => {
                let to = to_given.unwrap_or(u64::MAX);
                match (from <= to, from < size) {
                    (false, _) => Self::Whole,
                    (true, false) => Self::Beyond,
                    (true, true) => Self::Bytes(from, to.min(size - 1)),
                }
            }
            _ => Self::Whole,
        }
    }
}
