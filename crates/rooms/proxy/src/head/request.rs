//! The head of a request: request line, host, framing, and what it asks of the connection.

use std::time::Duration;

use resilience::deadline;

use super::{ConnectionSays, Field, Framing, Known, Span, fields, is_method, line, plain};
use crate::refusal::Refusal;

/// What a request's head says, by places in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// The length of the head with its empty line.
    pub(crate) bytes: usize,
    pub(crate) method: Span,
    pub(crate) kind: Method,
    /// Path and query, or `*`.
    pub(crate) target: Span,
    /// The path alone.
    pub(crate) path: Span,
    /// Host with its port.
    pub(crate) host: Option<Span>,
    /// The target was a whole URL with `https`, which is asked for over TLS alone (RFC 9110, section 7.4).
    pub(crate) https: bool,
    /// The version is 1.0.
    pub(crate) old: bool,
    pub(crate) framing: Framing,
    pub(crate) says: ConnectionSays,
    pub(crate) expects_continue: bool,
    pub(crate) takes_trailers: bool,
    /// An upgrade that may be passed on.
    pub(crate) upgrade: Option<Span>,
    /// A call of gRPC, whose answers say in fields how it went.
    pub(crate) grpc: bool,
    /// How long the client waits, if it says so.
    pub(crate) patience: Option<Duration>,
}

impl RequestHead {
    fn wait_at_most(&mut self, time: Option<Duration>) {
        self.patience = self.patience.into_iter().chain(time).min();
    }
}

/// The methods that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    /// Others that may be sent twice: OPTIONS, TRACE, PUT, DELETE.
    Idempotent,
    /// All that must be sent once.
    Once,
}

impl Method {
    fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Self::Idempotent,
            _ => Self::Once,
        }
    }
}

/// Reads a whole head; `buf` holds at least its `end` bytes.
pub(crate) fn parse(buf: &[u8], into: &mut Vec<Field>) -> Result<RequestHead, Refusal> {
    // One empty line before the request line is let pass: RFC 9112, section 2.2.
    let start = if buf.starts_with(b"\r\n") { 2 } else { 0 };
    let (method, target, old, at) = match plain::request_line(buf, start) {
        Some((method, target, next)) => (method, target, false, next),
        None => {
            let (first, next) = line(buf, start)?;
            let (method, target, old) = request_line(buf, first)?;
            (method, target, old, next)
        }
    };
    let bytes = fields(buf, at, into)?;
    let kind = Method::of(method.of(buf));
    let mut head = RequestHead {
        bytes,
        method,
        kind,
        target,
        path: target,
        host: None,
        https: false,
        old,
        framing: Framing::default(),
        says: ConnectionSays::default(),
        expects_continue: false,
        takes_trailers: false,
        upgrade: None,
        grpc: false,
        patience: None,
    };
    for field in into.iter() {
        note(&mut head, field, buf)?;
    }
    finish(&mut head, buf)?;
    Ok(head)
}

/// Splits the request line at its two spaces.
pub(super) fn request_line(buf: &[u8], span: Span) -> Result<(Span, Span, bool), Refusal> {
    let text = span.of(buf);
    if memchr::memchr(b'\r', text).is_some() {
        return Err(Refusal::BARE_CR);
    }
    let begin = span.from as usize;
    let first = memchr::memchr(b' ', text).ok_or(Refusal::REQUEST_LINE)?;
    let last = memchr::memrchr(b' ', text).ok_or(Refusal::REQUEST_LINE)?;
    if !is_method(&text[..first]) {
        return Err(Refusal::METHOD);
    }
    let old = match &text[last + 1..] {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::VERSION);
        }
        _ => return Err(Refusal::REQUEST_LINE),
    };
    if first >= last {
        return Err(Refusal::REQUEST_LINE);
    }
    let target = &text[first + 1..last];
    if target.is_empty() || target.contains(&b' ') {
        return Err(Refusal::REQUEST_LINE);
    }
    if !target.iter().all(|c| matches!(c, 0x21..=0x7e) && *c != b'#') {
        return Err(Refusal::TARGET);
    }
    Ok((Span::new(begin, begin + first), Span::new(begin + first + 1, begin + last), old))
}

/// Takes in one field.
fn note(head: &mut RequestHead, field: &Field, buf: &[u8]) -> Result<(), Refusal> {
    let value = field.value.of(buf);
    match field.known {
        Known::Host if head.host.is_some() => return Err(Refusal::HOST_TWICE),
        Known::Host if !is_host(value) => return Err(Refusal::HOST_SYNTAX),
        Known::Host => head.host = Some(field.value),
        Known::Connection => head.says.note(value)?,
        Known::ContentLength | Known::TransferEncoding => head.framing.note(field, buf)?,
        Known::Expect if value.eq_ignore_ascii_case(b"100-continue") => head.expects_continue = true,
        Known::Expect => return Err(Refusal::EXPECTATION),
        Known::Te => {
            head.takes_trailers |= super::elements(value).any(|e| e.eq_ignore_ascii_case(b"trailers"))
        }
        Known::Upgrade if head.upgrade.is_none() => head.upgrade = Some(field.value),
        Known::ContentType => head.grpc = is_grpc(value),
        // What is no time says nothing.
        Known::TimeoutMs => head.wait_at_most(deadline::parse_millis(value).ok()),
        Known::GrpcTimeout => head.wait_at_most(deadline::parse_grpc(value).ok()),
        Known::Other
        | Known::Date
        | Known::Upgrade
        | Known::Forwarded
        | Known::ForwardedClientCert
        | Known::ForwardedFor
        | Known::ForwardedHost
        | Known::ForwardedProto
        | Known::Http2Settings
        | Known::KeepAlive
        | Known::Mirror
        | Known::NotNow
        | Known::RetryAfter
        | Known::ShouldRetry
        | Known::ProxyConnection => {}
    }
    Ok(())
}

/// Whether a type of content is that of gRPC; its sister for browsers speaks plain HTTP.
fn is_grpc(value: &[u8]) -> bool {
    let name = b"application/grpc";
    value.len() >= name.len()
        && value[..name.len()].eq_ignore_ascii_case(name)
        && matches!(value.get(name.len()), None | Some(b'+' | b';' | b' '))
}

/// What can be judged only when all fields are known.
fn finish(head: &mut RequestHead, buf: &[u8]) -> Result<(), Refusal> {
    let method = head.method.of(buf);
    if method == b"CONNECT" {
        return Err(Refusal::CONNECT);
    }
    // Their case decides how the answer is framed, and some servers do not mind it.
    if head.kind == Method::Once
        && (method.eq_ignore_ascii_case(b"HEAD") || method.eq_ignore_ascii_case(b"CONNECT"))
    {
        return Err(Refusal::METHOD);
    }
    if head.old && head.framing.chunked {
        return Err(Refusal::CODING_OLD);
    }
    if head.host.is_none() && !head.old {
        return Err(Refusal::HOST_MISSING);
    }
    target_form(head, buf)?;
    head.expects_continue &= !head.old;
    let body = head.framing.chunked || head.framing.length.is_some_and(|length| length > 0);
    let offered = head.upgrade.filter(|span| may_upgrade_to(span.of(buf)));
    head.upgrade = offered.filter(|_| head.says.upgrade && !head.old && !body && head.kind == Method::Get);
    Ok(())
}

/// Whether a connection may become a tunnel of this protocol. One of HTTP/2 in clear text would carry requests past
/// every check.
fn may_upgrade_to(protocol: &[u8]) -> bool {
    super::is_token(protocol) && !protocol.eq_ignore_ascii_case(b"h2c")
}

/// Takes the path from the target, and checks that the target names no other host.
fn target_form(head: &mut RequestHead, buf: &[u8]) -> Result<(), Refusal> {
    let target = head.target.of(buf);
    let begin = head.target.from as usize;
    if target == b"*" {
        return if head.method.of(buf) == b"OPTIONS" { Ok(()) } else { Err(Refusal::TARGET_FORM) };
    }
    if target[0] != b'/' {
        let is = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme));
        head.https = is(b"https://");
        let scheme = if head.https { "https://".len() } else { "http://".len() };
        if target.len() <= scheme || !(head.https || is(b"http://")) {
            return Err(Refusal::TARGET_FORM);
        }
        let rest = &target[scheme..];
        let authority = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let host = head.host.ok_or(Refusal::HOST_MISSING)?;
        if !rest[..authority].eq_ignore_ascii_case(host.of(buf)) {
            return Err(Refusal::HOST_MISMATCH);
        }
        let path = match rest.get(authority) {
            Some(b'/') => Span { from: (begin + scheme + authority) as u32, ..head.target },
            // No path is the path `/`, as it stands in front of the host. Of OPTIONS it would be `*`, which stands nowhere.
            None if head.method.of(buf) != b"OPTIONS" => Span::new(begin + scheme - 1, begin + scheme),
            // `http://host?query` has no path to send on; nobody writes it.
            Some(_) | None => return Err(Refusal::TARGET_FORM),
        };
        head.target = path;
    }
    let target = head.target.of(buf);
    let plain = plain::path(target);
    let path = plain.unwrap_or_else(|| memchr::memchr(b'?', target).unwrap_or(target.len()));
    head.path = Span { from: head.target.from, to: head.target.from + path as u32 };
    if plain.is_some() { Ok(()) } else { check_path(&target[..path]) }
}

/// Refuses what servers read differently in paths: segments of dots, a backslash, which some take for a slash, and
/// `%00`, where some stop.
pub(super) fn check_path(path: &[u8]) -> Result<(), Refusal> {
    if path.contains(&b'\\') || memchr::memmem::find(path, b"%00").is_some() {
        return Err(Refusal::TARGET);
    }
    if has_dot_segment(path) { Err(Refusal::DOT_SEGMENTS) } else { Ok(()) }
}

/// Whether a segment is `.` or `..`, also when its dots are written as `%2e`, when the slashes around it are written
/// as `%2f` or `%5c`, or when a parameter follows it, as in `..;x`.
fn has_dot_segment(path: &[u8]) -> bool {
    // The number of dots in the present segment, unless there is anything else in it.
    let (mut rest, mut dots) = (path, Some(0));
    loop {
        let (ends, next, then) = match rest {
            [b'.', next @ ..] | [b'%', b'2', b'e' | b'E', next @ ..] => {
                (false, next, dots.map(|dots| dots + 1))
            }
            [b'/', next @ ..]
            | [b'%', b'2', b'f' | b'F', next @ ..]
            | [b'%', b'5', b'c' | b'C', next @ ..] => (true, next, Some(0)),
            [b';', next @ ..] => (true, next, None),
            [_, next @ ..] => (false, next, None),
            [] => return matches!(dots, Some(1 | 2)),
        };
        if ends && matches!(dots, Some(1 | 2)) {
            return true;
        }
        (rest, dots) = (next, then);
    }
}

/// The characters of host names and of addresses without brackets.
static HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = matches!(at as u8, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_');
        at += 1;
    }
    table
};

/// A host name, an IPv4 address or a bracketed IPv6 one, with or without a port.
pub(crate) fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text {
        [b'[', rest @ ..] => {
            let Some(close) = memchr::memchr(b']', rest) else { return false };
            let inside = std::str::from_utf8(&rest[..close]).unwrap_or_default();
            if inside.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (&b"v6"[..], &rest[close + 1..])
        }
        _ => text.split_at(text.iter().position(|c| !HOST[usize::from(*c)]).unwrap_or(text.len())),
    };
    let ported = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && super::length(digits).is_ok_and(|port| port <= 65535),
        _ => false,
    };
    ported && !name.is_empty() && name.len() <= 255
}
