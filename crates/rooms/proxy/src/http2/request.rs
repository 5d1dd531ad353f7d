//! The head of a stream, written as an HTTP/1.1 request that our own parser then reads.
//!
//! What only HTTP/2 can say is judged here: the authority against the Host field, the form of the path, and CONNECT.
//! All else is the parser's to judge, which has the same verdict for both.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_KEY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use super::pieces::push_field as push;
use crate::refusal::Refusal;

/// How the body of a request is given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Nothing,
    /// As it comes: the head says how long it is.
    Length,
    /// In chunks.
    Chunks,
    /// A tunnel, which opens with the answer.
    Tunnel,
}

/// Appends the head. `ended` says that no body follows.
pub(crate) fn write(out: &mut Vec<u8>, head: &Parts, ended: bool) -> Result<Framing, Refusal> {
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Refusal::TARGET_FORM);
    }
    let tunnel = head.method == Method::CONNECT;
    if tunnel {
        let protocol = head.extensions.get::<Protocol>().ok_or(Refusal::CONNECT)?;
        if !protocol.as_str().eq_ignore_ascii_case("websocket") {
            return Err(Refusal::CONNECT);
        }
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    // Another form would be read as one: `http://b/` as a whole URL.
    if !target.starts_with('/') && target != "*" {
        return Err(Refusal::TARGET_FORM);
    }
    out.extend_from_slice(if tunnel { b"GET" } else { head.method.as_str().as_bytes() });
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(host) = host(head)? {
        push(out, b"host", host);
    }
    let mut cookies = 0;
    for (name, value) in &head.headers {
        match *name {
            HOST => {}
            // Browsers send a field for each, which HTTP/1.1 does not know.
            COOKIE => cookies += 1,
            SEC_WEBSOCKET_KEY if tunnel => {}
            _ => push(out, name.as_str().as_bytes(), value.as_bytes()),
        }
    }
    if cookies > 0 {
        push_cookies(out, &head.headers);
    }
    let framing = if tunnel {
        push_upgrade(out);
        Framing::Tunnel
    } else if ended {
        Framing::Nothing
    } else if head.headers.contains_key(CONTENT_LENGTH) {
        Framing::Length
    } else {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        Framing::Chunks
    };
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// The host that is asked for, which is said once or twice alike.
fn host(head: &Parts) -> Result<Option<&[u8]>, Refusal> {
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut fields = head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Refusal::HOST_TWICE);
    }
    match (authority, field) {
        (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field) => {
            Err(Refusal::HOST_MISMATCH)
        }
        (Some(authority), _) => Ok(Some(authority)),
        (None, field) => Ok(field),
    }
}

fn push_cookies(out: &mut Vec<u8>, fields: &HeaderMap) {
    out.extend_from_slice(b"cookie: ");
    for (place, cookie) in fields.get_all(COOKIE).iter().enumerate() {
        if place > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(cookie.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A WebSocket opened by CONNECT (RFC 8441) has no key, which over HTTP/1.1 shows that the answer is no stored one.
/// Ours need not be guessed by anybody: nothing between us and the instance stores answers.
fn push_upgrade(out: &mut Vec<u8>) {
    let mut rng = base::Rng::from_kernel();
    let key = [rng.next_u64(), rng.next_u64()].map(u64::to_le_bytes).concat();
    let key = data_encoding::BASE64.encode(&key);
    push(out, b"connection", b"Upgrade");
    push(out, b"upgrade", b"websocket");
    push(out, b"sec-websocket-key", key.as_bytes());
}

#[cfg(test)]
mod tests;
