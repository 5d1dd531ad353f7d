//! What a field is to the reader of heads, told once for each entry of a table and not each time that it is named.

use crate::head::TOKEN;

/// What the name of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http2) enum Kind {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Host,
    Cookie,
    Te,
    Length,
    /// The key of a WebSocket, which one that is opened by CONNECT does not have.
    Key,
    /// About one connection, of which HTTP/2 has no such fields.
    OneHop,
    /// An unknown pseudo-field, a capital, or what no name may have.
    Odd,
    Plain,
}

impl Kind {
    pub(super) const fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b"host" => Self::Host,
            b"cookie" => Self::Cookie,
            b"te" => Self::Te,
            b"content-length" => Self::Length,
            b"sec-websocket-key" => Self::Key,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                Self::OneHop
            }
            _ if is_name(name) => Self::Plain,
            _ => Self::Odd,
        }
    }
}

/// Whether a name is a token without capitals.
const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if !TOKEN[name[at] as usize] || name[at].is_ascii_uppercase() {
            return false;
        }
        at += 1;
    }
    at > 0
}

/// Whether a value may stand in a message at all: RFC 9113, section 8.2.1.
pub(super) fn is_sound(value: &[u8]) -> bool {
    let blank = |c: Option<&u8>| matches!(c, Some(b' ' | b'\t'));
    // Without an early exit, so that the compiler can look at many bytes at once.
    let cut = value.iter().fold(false, |cut, c| cut | (*c == 0) | (*c == b'\r') | (*c == b'\n'));
    !cut && !blank(value.first()) && !blank(value.last())
}

/// One field as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http2) struct Line<'a> {
    pub(in crate::http2) name: &'a [u8],
    pub(in crate::http2) value: &'a [u8],
    pub(in crate::http2) kind: Kind,
    /// The value may stand in a message.
    pub(in crate::http2) sound: bool,
}
