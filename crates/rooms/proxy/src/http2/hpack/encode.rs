//! Fields as we pack them: names that everybody knows by their number, all else as it is.

/// Appends the answer's status.
pub(in crate::http2) fn push_status(out: &mut Vec<u8>, status: u16) {
    let known = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |of: u16| b'0' + (status / of % 10) as u8;
            // A literal with the name of number 8.
            return out.extend_from_slice(&[8, 3, digit(100), digit(10), digit(1)]);
        }
    };
    out.push(0x80 | known);
}

/// Appends a field; its name may have capitals, which HTTP/2 has none of.
pub(in crate::http2) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let start = begin_field(out, name);
    end_field(out, start, value);
}

/// Appends the name of a field, without capitals; gives where the field begins.
pub(in crate::http2) fn begin_field(out: &mut Vec<u8>, name: &[u8]) -> usize {
    let start = out.len();
    out.push(0);
    push_number(out, 7, name.len());
    let text = out.len();
    out.extend_from_slice(name);
    out[text..].make_ascii_lowercase();
    start
}

/// Puts a number in the place of the name that everybody knows, if it is one, and appends the value.
pub(in crate::http2) fn end_field(out: &mut Vec<u8>, start: usize, value: &[u8]) {
    // The number of a short name has one byte, and no long one is known.
    if let Some(number) = out.get(start + 2..).and_then(known) {
        out.truncate(start);
        push_number(out, 4, number);
    }
    push_number(out, 7, value.len());
    out.extend_from_slice(value);
}

/// Appends that our table is empty from here on, as a client may want it smaller than what it begins with.
pub(in crate::http2) fn push_table_size(out: &mut Vec<u8>) {
    out.push(0x20);
}

/// Appends a number whose first byte has so many bits of it, and none beside them that are set.
fn push_number(out: &mut Vec<u8>, bits: u32, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return out.push(number as u8);
    }
    out.push(most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The number of a name that everybody knows and answers have.
fn known(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"accept-ranges" => 18,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"date" => 33,
        b"etag" => 34,
        b"expires" => 36,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"proxy-authenticate" => 48,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => return None,
    })
}
