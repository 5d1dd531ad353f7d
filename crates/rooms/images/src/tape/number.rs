//! Numbers in tar headers: octal text, or base 256 when the first bit is set.

/// A field as a number; none when it is empty or not one.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    match field.first()? {
        first if first & 0x80 != 0 => {
            // Two's complement, the marker bit taking the sign's place.
            let start = if first & 0x40 != 0 { -1i128 } else { 0 };
            let first = i128::from(first & 0x7f) | if start < 0 { !0x7f } else { 0 };
            let value = field[1..].iter().try_fold(first, |value, byte| {
                value.checked_mul(256).map(|value| value | i128::from(*byte))
            })?;
            i64::try_from(value).ok()
        }
        _ => {
            let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
            let text = text.split(['\0', ' ']).next()?;
            i64::from_str_radix(text, 8).ok()
        }
    }
}

/// A field as a number that is not negative.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    signed(field).and_then(|value| u64::try_from(value).ok())
}
