//! Percent-encoding: any text as a part of a URL (RFC 3986, section 2.1) or of a header, and back.

use std::fmt::Write as _;

/// A text as a part of a path or of a query.
pub fn encode(text: &str) -> String {
    encode_but(text, |_| false)
}

/// The same, where more bytes stay as they are.
pub fn encode_but(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || stays(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The other way; what is no escape stays as it is.
pub fn decode(text: impl AsRef<[u8]>) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::new();
    let mut rest = text.as_ref();
    while let [first, behind @ ..] = rest {
        let pair = if *first == b'%' { behind.split_at_checked(2) } else { None };
        let byte = pair.and_then(|(pair, behind)| Some((digit(&pair[0])? << 4 | digit(&pair[1])?, behind)));
        let (byte, behind) = byte.unwrap_or((*first, behind));
        out.push(byte);
        rest = behind;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The same for a part of a query, in which a `+` is a space.
pub fn decode_query(text: &str) -> String {
    decode(text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_query, encode, encode_but};

    #[test]
    fn what_was_encoded_comes_back() {
        for (text, encoded) in [("", ""), ("a-b_c.d~9", "a-b_c.d~9"), ("ä/b c%+", "%C3%A4%2Fb%20c%25%2B")] {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded), text);
            assert_eq!(decode_query(encoded), text);
        }
        assert_eq!(encode_but("a/b:c", |byte| byte == b'/'), "a/b%3Ac");
    }

    #[test]
    fn what_is_no_escape_stays_as_it_is() {
        for text in ["%", "%4", "%4g", "%+f", "a%", "100%, or less", "+"] {
            assert_eq!(decode(text), text);
        }
        assert_eq!(decode_query("a+b%2bc"), "a b+c");
        assert_eq!(decode("%e2%82"), "\u{fffd}");
    }
}
