//! The head of a response: status, framing, and what the instance wants with the connection.

use resilience::retry;

use super::{ConnectionSays, Field, Framing, Known, Span, fields, is_value, line, plain};
use crate::refusal::Refusal;

/// What a response's head says, by places in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The length of the head with its empty line.
    pub(crate) bytes: usize,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    /// The version is 1.0.
    pub(crate) old: bool,
    pub(crate) framing: Framing,
    pub(crate) says: ConnectionSays,
    pub(crate) upgrade: Option<Span>,
    /// A `text/event-stream`, which may be silent for long.
    pub(crate) events: bool,
    /// The instance asks to be spared.
    pub(crate) not_now: Option<NotNow>,
    /// A hop further in has repeated it already, or could not: it is to be repeated nowhere else.
    pub(crate) final_try: bool,
}

/// A wish to be spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotNow {
    /// For so many seconds, if it says so.
    pub(crate) secs: Option<u32>,
    /// It is the instance as a whole that says so (`x-sea-not-now`), and not just this answer (503 and `Retry-After`).
    pub(crate) plain: bool,
}

/// A number of seconds; dates say nothing to us.
fn secs(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Reads a whole head. Whatever is wrong with it, the client hears [`Refusal::BAD_ANSWER`].
pub(crate) fn parse(buf: &[u8], into: &mut Vec<Field>) -> Result<ResponseHead, Refusal> {
    read(buf, into).map_err(|_| Refusal::BAD_ANSWER)
}

/// The same with the exact flaw.
pub(crate) fn read(buf: &[u8], into: &mut Vec<Field>) -> Result<ResponseHead, Refusal> {
    let (old, status, reason, at) = match plain::status_line(buf) {
        Some((status, reason, next)) => (false, status, reason, next),
        None => {
            let (first, next) = line(buf, 0)?;
            let (old, status, reason) = status_line(first.of(buf), buf)?;
            (old, status, reason, next)
        }
    };
    let bytes = fields(buf, at, into)?;
    let mut head = ResponseHead {
        bytes,
        status,
        reason,
        old,
        framing: Framing::default(),
        says: ConnectionSays::default(),
        upgrade: None,
        events: false,
        not_now: None,
        final_try: false,
    };
    for field in into.iter() {
        let value = field.value.of(buf);
        match field.known {
            Known::Connection => head.says.note(value)?,
            Known::ContentLength | Known::TransferEncoding => head.framing.note(field, buf)?,
            Known::Upgrade => head.upgrade = Some(field.value),
            Known::ContentType => {
                head.events = value.get(..17).is_some_and(|t| t.eq_ignore_ascii_case(b"text/event-stream"));
            }
            Known::NotNow => head.not_now = Some(NotNow { secs: secs(value), plain: true }),
            Known::RetryAfter if status == 503 && head.not_now.is_none() => {
                head.not_now = Some(NotNow { secs: secs(value), plain: false });
            }
            Known::ShouldRetry => head.final_try |= retry::is_mark(value),
            Known::Other
            | Known::Date
            | Known::GrpcTimeout
            | Known::RetryAfter
            | Known::TimeoutMs
            | Known::Expect
            | Known::Forwarded
            | Known::ForwardedClientCert
            | Known::ForwardedFor
            | Known::ForwardedHost
            | Known::ForwardedProto
            | Known::Host
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::Mirror
            | Known::ProxyConnection
            | Known::Te => {}
        }
    }
    if old && head.framing.chunked {
        return Err(Refusal::CODING_OLD);
    }
    Ok(head)
}

/// Whether the version is 1.0, the status, and where its reason is.
pub(super) fn status_line(text: &[u8], buf: &[u8]) -> Result<(bool, u16, Span), Refusal> {
    let old = match text.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => return Err(Refusal::VERSION),
    };
    let status = match text.get(9..12) {
        Some([a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(Refusal::REQUEST_LINE),
    };
    // `HTTP/1.1 200` without the space behind it is common enough, and clear.
    let reason = match text.get(12) {
        None => Span::new(12, 12),
        Some(b' ') => Span::new(13, text.len()),
        Some(_) => return Err(Refusal::REQUEST_LINE),
    };
    if !is_value(reason.of(buf)) {
        return Err(Refusal::FIELD_VALUE);
    }
    Ok((old, status, reason))
}

impl ResponseHead {
    /// Whether it is followed by another head: 100, 102, 103 and the like.
    pub(crate) fn interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether the instance keeps the connection open after this answer.
    pub(crate) fn keeps(&self) -> bool {
        !self.says.close && (!self.old || self.says.keep_alive)
    }
}
