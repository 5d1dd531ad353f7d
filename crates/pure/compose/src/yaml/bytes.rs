//! Bytes that are no text (`!!binary`), within a tree of texts.
//!
//! The reference holds them in the same strings as texts. Here each byte that is no part of a letter is carried by a
//! letter of its own, from the end of the last private plane, which no font and no standard gives a meaning.

/// Carries the byte 0; that of 255 is the last letter there is.
const FIRST: u32 = 0x10_ff00;

/// What stands for a byte that is no letter.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// What base 64 says; none if it says nothing.
pub(super) fn decode(text: &str) -> Option<String> {
    let kept: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    if !kept.len().is_multiple_of(4) {
        return None;
    }
    let filled = kept.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let mut bytes = Vec::with_capacity(kept.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in &kept[..kept.len() - filled] {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(carry(&bytes))
}

/// In base 64, on lines of 70 letters when there are more; none for what is a text.
pub(super) fn encode(text: &str) -> Option<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const WIDTH: usize = 70;
    if !carries(text) {
        return None;
    }
    let mut out = String::new();
    for (index, three) in bytes(text).chunks(3).enumerate() {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            if index > 0 || place > 0 {
                let written = index * 4 + place;
                out.push_str(if written.is_multiple_of(WIDTH) { "\n" } else { "" });
            }
            let six = bits >> (18 - 6 * place) & 63;
            out.push(if place <= three.len() { char::from(LETTERS[six as usize]) } else { '=' });
        }
    }
    if out.len() > WIDTH {
        out.push('\n');
    }
    Some(out)
}

/// Whether it is more than a text.
pub(crate) fn carries(text: &str) -> bool {
    text.chars().any(|letter| byte(letter).is_some())
}

/// The text with a sign for each byte that is no letter.
pub(crate) fn readable(text: &str) -> String {
    text.chars().map(|letter| if byte(letter).is_some() { REPLACEMENT } else { letter }).collect()
}

fn carry(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let letter =
            |byte: &u8| char::from_u32(FIRST + u32::from(*byte)).expect("it is below the last letter");
        text.extend(chunk.invalid().iter().map(letter));
    }
    text
}

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match byte(letter) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The byte that a letter carries. Those below 128 are letters themselves.
pub(super) fn byte(letter: char) -> Option<u8> {
    (letter as u32).checked_sub(FIRST).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 128)
}
