//! Heads of HTTP/1.1 messages, read in place: lines, fields, and what the known ones mean.
//!
//! Strict by intent: what two servers could read in two ways is refused, and nothing is mended. The parser keeps
//! places in the buffer and copies nothing; what goes on is written anew from the parts (see `forward`).

mod plain;
pub(crate) mod request;
pub(crate) mod response;

use crate::limits::{FIELDS, METHOD_BYTES};
use crate::refusal::Refusal;

/// A place in the buffer: from, up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Span {
    pub(crate) fn new(from: usize, to: usize) -> Self {
        // Heads are at most 64 KiB, so both fit.
        Self { from: from as u32, to: to as u32 }
    }

    pub(crate) fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.from as usize..self.to as usize]
    }
}

/// One field line by its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) known: Known,
}

/// The fields that mean something to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Other,
    Connection,
    ContentLength,
    ContentType,
    Date,
    Expect,
    Forwarded,
    ForwardedClientCert,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    GrpcTimeout,
    Host,
    Http2Settings,
    KeepAlive,
    Mirror,
    NotNow,
    ProxyConnection,
    RetryAfter,
    ShouldRetry,
    Te,
    TimeoutMs,
    TransferEncoding,
    Upgrade,
}

/// Which field this name is, which is a token; an underscore counts as a dash, so that imitations are seen.
fn known(name: &[u8]) -> Known {
    if !name.contains(&b'_') {
        return known_plain(name);
    }
    known_plain(&name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect::<Vec<_>>())
}

/// The same of a name without underscores.
fn known_plain(name: &[u8]) -> Known {
    /// Whether it begins so, in any case. Of the characters of tokens one bit is that of small letters, and the others
    /// that it makes alike are `^` and `~`.
    fn is<const N: usize>(name: &[u8], want: &[u8; N]) -> bool {
        let differ = |name: &[u8; N]| name.iter().zip(want).fold(0, |bits, (a, b)| bits | ((a | 0x20) ^ b));
        name.first_chunk().is_some_and(|name| differ(name) == 0)
    }
    match name.len() {
        2 if is(name, b"te") => Known::Te,
        4 if is(name, b"host") => Known::Host,
        4 if is(name, b"date") => Known::Date,
        6 if is(name, b"expect") => Known::Expect,
        7 if is(name, b"upgrade") => Known::Upgrade,
        9 if is(name, b"forwarded") || is(name, b"x-real-ip") => Known::Forwarded,
        10 if is(name, b"connection") => Known::Connection,
        10 if is(name, b"keep-alive") => Known::KeepAlive,
        11 if is(name, b"retry-after") => Known::RetryAfter,
        12 if is(name, b"content-type") => Known::ContentType,
        12 if is(name, b"grpc-timeout") => Known::GrpcTimeout,
        12 if is(name, b"x-sea-mirror") => Known::Mirror,
        12 if is(name, b"x-timeout-ms") => Known::TimeoutMs,
        13 if is(name, b"x-sea-not-now") => Known::NotNow,
        14 if is(name, b"content-length") => Known::ContentLength,
        14 if is(name, b"http2-settings") => Known::Http2Settings,
        14 if is(name, b"x-should-retry") => Known::ShouldRetry,
        15 if is(name, b"x-forwarded-for") => Known::ForwardedFor,
        16 if is(name, b"proxy-connection") => Known::ProxyConnection,
        16 if is(name, b"x-forwarded-host") => Known::ForwardedHost,
        17 if is(name, b"transfer-encoding") => Known::TransferEncoding,
        17 if is(name, b"x-forwarded-proto") => Known::ForwardedProto,
        23 if is(name, b"x-forwarded-client-cert") => Known::ForwardedClientCert,
        // `X-Forwarded-Port`, `-Prefix`, `-Ssl` and so on: applications believe what they say of the client.
        13.. if is(name, b"x-forwarded-") => Known::Forwarded,
        _ => Known::Other,
    }
}

/// The characters of tokens: methods and names of fields.
pub(crate) static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        let c = at as u8;
        table[at] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        at += 1;
    }
    table
};

pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|c| TOKEN[usize::from(*c)])
}

/// Whether a value holds nothing but visible characters, spaces, tabs and bytes beyond ASCII.
pub(crate) fn is_value(text: &[u8]) -> bool {
    // Without an early exit, so that the compiler can look at many bytes at once.
    !text.iter().fold(false, |bad, c| bad | ((*c < 0x20) & (*c != b'\t')) | (*c == 0x7f))
}

/// Where the head ends: just behind its empty line. `scanned` remembers what was looked at before.
///
/// An empty line that ends with LF alone ends the head too, so that the parser can refuse it at once.
pub(crate) fn head_end(buf: &[u8], scanned: &mut usize) -> Option<usize> {
    let decides = |found: usize| match &buf[found + 1..] {
        [b'\n', ..] => Some(Some(found + 2)),
        [b'\r', b'\n', ..] => Some(Some(found + 3)),
        // The next read decides; look at this LF again then.
        [] | [b'\r'] => Some(None),
        _ => None,
    };
    match plain::find_among_line_ends(buf, *scanned, |found| decides(found).is_some()) {
        Some(found) => {
            *scanned = found;
            decides(found).flatten()
        }
        None => {
            *scanned = buf.len();
            None
        }
    }
}

/// The line from `from`, without its CRLF, and where the next one begins.
pub(crate) fn line(buf: &[u8], from: usize) -> Result<(Span, usize), Refusal> {
    let Some(found) = memchr::memchr(b'\n', &buf[from..]) else {
        return Err(Refusal::REQUEST_LINE);
    };
    let end = from + found;
    if found == 0 || buf[end - 1] != b'\r' {
        return Err(Refusal::BARE_LF);
    }
    Ok((Span::new(from, end - 1), end + 1))
}

/// Reads one field line.
pub(crate) fn field(buf: &[u8], line: Span) -> Result<Field, Refusal> {
    let text = line.of(buf);
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::FOLDED);
    }
    let Some(colon) = memchr::memchr(b':', text) else {
        return Err(if memchr::memchr(b'\r', text).is_some() {
            Refusal::BARE_CR
        } else {
            Refusal::FIELD_NAME
        });
    };
    let (name, value) = (&text[..colon], &text[colon + 1..]);
    if !is_token(name) {
        return Err(Refusal::FIELD_NAME);
    }
    if !is_value(value) {
        return Err(if memchr::memchr(b'\r', value).is_some() {
            Refusal::BARE_CR
        } else {
            Refusal::FIELD_VALUE
        });
    }
    let known = known(name);
    let harmless = matches!(known, Known::Other | Known::NotNow | Known::RetryAfter | Known::ShouldRetry);
    if !harmless && memchr::memchr(b'_', name).is_some() {
        return Err(Refusal::UNDERSCORE);
    }
    let begin = line.from as usize;
    let lead = value.iter().take_while(|c| matches!(c, b' ' | b'\t')).count();
    let tail = value[lead..].iter().rev().take_while(|c| matches!(c, b' ' | b'\t')).count();
    Ok(Field {
        name: Span::new(begin, begin + colon),
        value: Span::new(begin + colon + 1 + lead, line.to as usize - tail),
        known,
    })
}

/// Reads field lines up to the empty one; returns where the head ends.
pub(crate) fn fields(buf: &[u8], mut at: usize, into: &mut Vec<Field>) -> Result<usize, Refusal> {
    into.clear();
    loop {
        if buf[at..].starts_with(b"\r\n") {
            return Ok(at + 2);
        }
        if into.len() < FIELDS
            && let Some((field, next)) = plain::field(buf, at)
        {
            into.push(field);
            at = next;
            continue;
        }
        let (span, next) = line(buf, at)?;
        if into.len() == FIELDS {
            return Err(Refusal::HEAD_SIZE);
        }
        into.push(field(buf, span)?);
        at = next;
    }
}

/// A Content-Length: digits and nothing else, below 10^18.
pub(crate) fn length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::LENGTH_SYNTAX);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// What the framing fields of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Framing {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
}

impl Framing {
    /// Takes in one field; refuses repetition and every coding but `chunked`.
    pub(crate) fn note(&mut self, field: &Field, buf: &[u8]) -> Result<(), Refusal> {
        let tabbed = has_tab(field, buf);
        match field.known {
            Known::ContentLength if tabbed => return Err(Refusal::LENGTH_SYNTAX),
            Known::TransferEncoding if tabbed => return Err(Refusal::CODING),
            Known::ContentLength if self.length.is_some() => return Err(Refusal::LENGTH_TWICE),
            Known::ContentLength => self.length = Some(length(field.value.of(buf))?),
            Known::TransferEncoding if self.chunked => return Err(Refusal::CODING),
            Known::TransferEncoding if field.value.of(buf).eq_ignore_ascii_case(b"chunked") => {
                self.chunked = true;
            }
            Known::TransferEncoding => return Err(Refusal::CODING),
            _ => {}
        }
        if self.chunked && self.length.is_some() {
            return Err(Refusal::LENGTH_AND_CHUNKED);
        }
        Ok(())
    }
}

/// Whether a tab stands beside the value. It may, but some servers read `chunked` with one as another coding.
fn has_tab(field: &Field, buf: &[u8]) -> bool {
    let before = &buf[field.name.to as usize..field.value.from as usize];
    let behind = buf[field.value.to as usize..].iter().take_while(|c| matches!(c, b' ' | b'\t'));
    before.contains(&b'\t') || behind.into_iter().any(|c| *c == b'\t')
}

/// What the Connection fields of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ConnectionSays {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// It lists names of other fields, which must not go on.
    pub(crate) names: bool,
}

/// The elements of a comma list, without spaces around them; empty ones are left out.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|c| *c == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty())
}

impl ConnectionSays {
    /// Takes in one Connection field.
    pub(crate) fn note(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for element in elements(value) {
            if !is_token(element) {
                return Err(Refusal::FIELD_VALUE);
            }
            if element.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if element.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if element.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                match known(element) {
                    Known::Host | Known::ContentLength | Known::TransferEncoding | Known::ContentType => {
                        return Err(Refusal::CONNECTION_NAMES);
                    }
                    // These never go on as they came.
                    Known::Te | Known::KeepAlive | Known::ProxyConnection | Known::Http2Settings => {}
                    _ => self.names = true,
                }
            }
        }
        Ok(())
    }
}

/// Whether a Connection field lists this name.
pub(crate) fn listed(fields: &[Field], buf: &[u8], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|f| f.known == Known::Connection)
        .any(|f| elements(f.value.of(buf)).any(|e| e.eq_ignore_ascii_case(name)))
}

/// Whether a connection that opens so speaks something else than HTTP: a first line without the word, whose second
/// word is no target either.
pub(crate) fn is_foreign(opens: &[u8]) -> bool {
    let line = opens.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).and_then(<[u8]>::first);
    // Whoever sends the line of a proxy to an address that wants none is to find out why nothing works.
    let is_http = memchr::memmem::find(line, b"HTTP/").is_some() || line.starts_with(b"PROXY ");
    !is_http && !matches!(target, None | Some(b'/' | b'*'))
}

/// Whether a method is one.
pub(crate) fn is_method(text: &[u8]) -> bool {
    text.len() <= METHOD_BYTES && is_token(text)
}

#[cfg(test)]
mod tests;
