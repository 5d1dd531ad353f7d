//! Heads written anew from their parts: what goes on to the instance, and what goes back to the client.
//!
//! Hop-by-hop fields end here, in both directions, and so do those that a Connection field lists. The edge sets
//! `X-Forwarded-For`, `-Proto` and `-Host` and drops what the client said in them, in any other `X-Forwarded-*`, in
//! `X-Real-IP` and in `Forwarded`, unless the client is trusted. It adds no `Via`: nothing reads it, and it tells
//! outsiders what stands here.

use std::net::SocketAddr;
use std::time::Duration;

use resilience::{deadline, retry};

use crate::head::request::RequestHead;
use crate::head::response::ResponseHead;
use crate::head::{Field, Known, listed};
use crate::refusal::push_number;
use crate::rules::Rewrite;

/// What a request's head needs beside its own parts.
#[derive(Clone, Copy)]
pub(crate) struct Onward<'a> {
    /// The prepared `X-Forwarded-For` and `-Proto` lines of the connection.
    pub(crate) forwarded: &'a [u8],
    /// The client's address as text, to append to a trusted `X-Forwarded-For`.
    pub(crate) peer: &'a [u8],
    pub(crate) trusted: bool,
    /// The client came over TLS.
    pub(crate) secure: bool,
    /// The line of the client's certificate, which `forwarded` holds too.
    pub(crate) presented: &'a [u8],
    /// How many bytes of the path are cut off.
    pub(crate) strip: usize,
    /// What the route has in the place of that and of some fields.
    pub(crate) rewrite: Option<&'a Rewrite>,
    /// How long the answer is waited for, which takes the place of what the client said.
    pub(crate) left: Option<Duration>,
    /// The address that the client came to, for requests without a host.
    pub(crate) local: SocketAddr,
}

/// Appends the line as it stands in the canonical form `name: value`.
pub(crate) fn push_field(out: &mut Vec<u8>, buf: &[u8], field: &Field) {
    let (from, to) = (field.name.from as usize, field.value.to as usize);
    let canonical = field.value.from == field.name.to + 2 && buf[field.value.from as usize - 1] == b' ';
    if canonical && buf.get(to..to + 2) == Some(b"\r\n") {
        // It is in canonical form already: the same bytes as below, in one copy.
        out.extend_from_slice(&buf[from..to + 2]);
        return;
    }
    out.extend_from_slice(field.name.of(buf));
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value.of(buf));
    out.extend_from_slice(b"\r\n");
}

/// Appends path and query as the instance sees them: without the first `strip` bytes, or with others in their place.
pub(crate) fn push_target(out: &mut Vec<u8>, target: &[u8], strip: usize, rewrite: Option<&Rewrite>) {
    let mut target = &target[strip..];
    match rewrite.map(|rewrite| &*rewrite.prefix) {
        Some(prefix) if !prefix.is_empty() && target != b"*" => out.extend_from_slice(prefix),
        Some(_) | None => {
            // Behind a prefix of its own `//x` is a path, and at the front some would take `x` for a host.
            while strip > 0 && target.starts_with(b"//") {
                target = &target[1..];
            }
            if target.first().is_none_or(|c| *c == b'?') {
                out.push(b'/');
            }
        }
    }
    out.extend_from_slice(target);
}

/// Appends the head that the instance gets.
pub(crate) fn request(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead, fields: &[Field], on: &Onward<'_>) {
    out.extend_from_slice(head.method.of(buf));
    out.push(b' ');
    push_target(out, head.target.of(buf), on.strip, on.rewrite);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    self::fields(out, buf, head, fields, on);
}

/// Appends the rest of that head behind its first line.
pub(crate) fn fields(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead, fields: &[Field], on: &Onward<'_>) {
    for field in fields {
        match field.known {
            Known::TimeoutMs | Known::GrpcTimeout if on.left.is_some() => {}
            Known::Other
            | Known::Date
            | Known::RetryAfter
            | Known::ShouldRetry
            | Known::TimeoutMs
            | Known::GrpcTimeout
                if !head.says.names || !listed(fields, buf, field.name.of(buf)) =>
            {
                push_field(out, buf, field);
            }
            Known::Host | Known::ContentType | Known::ContentLength => push_field(out, buf, field),
            Known::Expect if head.expects_continue => push_field(out, buf, field),
            Known::Forwarded | Known::ForwardedHost | Known::ForwardedProto | Known::Mirror if on.trusted => {
                push_field(out, buf, field);
            }
            Known::ForwardedClientCert if on.trusted && on.presented.is_empty() => {
                push_field(out, buf, field);
            }
            Known::Other
            | Known::Connection
            | Known::Date
            | Known::Expect
            | Known::Forwarded
            | Known::ForwardedClientCert
            | Known::ForwardedFor
            | Known::ForwardedHost
            | Known::ForwardedProto
            | Known::GrpcTimeout
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::Mirror
            | Known::NotNow
            | Known::ProxyConnection
            | Known::RetryAfter
            | Known::ShouldRetry
            | Known::Te
            | Known::TimeoutMs
            | Known::TransferEncoding
            | Known::Upgrade => {}
        }
    }
    if let Some(left) = on.left {
        tell_time(out, left, head.grpc);
    }
    if let Some(rewrite) = on.rewrite {
        out.extend_from_slice(rewrite.lines());
    }
    if head.host.is_none() && !on.rewrite.is_some_and(|rewrite| rewrite.names_host) {
        out.extend_from_slice(format!("host: {}\r\n", on.local).as_bytes());
    }
    if head.framing.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if head.takes_trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    forwarded(out, buf, head, fields, on);
    end_request(out, buf, head);
}

/// Appends what is asked of the connection, and the empty line.
fn end_request(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead) {
    if let Some(upgrade) = head.upgrade {
        out.extend_from_slice(b"connection: Upgrade\r\nupgrade: ");
        out.extend_from_slice(upgrade.of(buf));
        out.extend_from_slice(b"\r\n\r\n");
    } else if head.takes_trailers {
        out.extend_from_slice(b"connection: te\r\n\r\n");
    } else {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends how long the answer is waited for.
fn tell_time(out: &mut Vec<u8>, left: Duration, grpc: bool) {
    let (name, write): (_, fn(Duration, &mut Vec<u8>)) = match grpc {
        true => (deadline::GRPC_HEADER, deadline::write_grpc),
        false => (deadline::MILLIS_HEADER, deadline::write_millis),
    };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    write(left, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends who asked, by which scheme and for which host.
fn forwarded(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead, fields: &[Field], on: &Onward<'_>) {
    let has = |known: Known| fields.iter().any(|f| f.known == known);
    if !on.trusted {
        out.extend_from_slice(on.forwarded);
    } else {
        out.extend_from_slice(b"x-forwarded-for: ");
        for field in fields.iter().filter(|f| f.known == Known::ForwardedFor) {
            out.extend_from_slice(field.value.of(buf));
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(on.peer);
        out.extend_from_slice(b"\r\n");
        if !has(Known::ForwardedProto) {
            out.extend_from_slice(proto(on.secure));
        }
        out.extend_from_slice(on.presented);
    }
    if let Some(host) = head.host
        && !(on.trusted && has(Known::ForwardedHost))
    {
        out.extend_from_slice(b"x-forwarded-host: ");
        out.extend_from_slice(host.of(buf));
        out.extend_from_slice(b"\r\n");
    }
}

/// The line that tells the instance of the scheme.
pub(crate) fn proto(secure: bool) -> &'static [u8] {
    if secure { b"x-forwarded-proto: https\r\n" } else { b"x-forwarded-proto: http\r\n" }
}

/// How the body goes to the client, and what becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backward<'a> {
    /// The line that has browsers come over HTTPS only; it takes the place of the instance's own.
    pub(crate) strict: Option<&'a [u8]>,
    /// The line with the date, for an answer that says none.
    pub(crate) date: &'a [u8],
    /// The lines that the route adds.
    pub(crate) lines: &'a [u8],
    /// The line that has the client come to the same side of a split again.
    pub(crate) side: &'a [u8],
    /// The line that has the client come to the same instance again.
    pub(crate) bound: &'a [u8],
    /// The line that tells what the cache did.
    pub(crate) cache: &'a [u8],
    /// The request was repeated, or would have been: hops further out are told not to.
    pub(crate) marked: bool,
    /// The body is written in chunks.
    pub(crate) chunked: bool,
    /// The connection ends with this answer.
    pub(crate) close: bool,
    /// The client speaks HTTP/1.0 and must be told that the connection stays.
    pub(crate) old_keep: bool,
}

/// Appends the head that the client gets.
pub(crate) fn response(
    out: &mut Vec<u8>,
    buf: &[u8],
    head: &ResponseHead,
    fields: &[Field],
    back: Backward<'_>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(head.status));
    out.push(b' ');
    out.extend_from_slice(head.reason.of(buf));
    out.extend_from_slice(b"\r\n");
    if !fields.iter().any(|field| field.known == Known::Date) {
        out.extend_from_slice(back.date);
    }
    for field in fields {
        match field.known {
            Known::Other if back.strict.is_some() && is_strict(field.name.of(buf)) => {}
            Known::ShouldRetry if back.marked => {}
            Known::Other | Known::Date | Known::RetryAfter | Known::ShouldRetry
                if !head.says.names || !listed(fields, buf, field.name.of(buf)) =>
            {
                push_field(out, buf, field);
            }
            // A length where no body can be would have the next answer read as one.
            Known::ContentLength if head.status < 200 || head.status == 204 => {}
            Known::ContentType
            | Known::ContentLength
            | Known::Expect
            | Known::Forwarded
            | Known::ForwardedClientCert
            | Known::ForwardedFor
            | Known::ForwardedHost
            | Known::ForwardedProto
            | Known::GrpcTimeout
            | Known::Host
            | Known::TimeoutMs => push_field(out, buf, field),
            Known::Other
            | Known::Connection
            | Known::Date
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::Mirror
            | Known::NotNow
            | Known::ProxyConnection
            | Known::RetryAfter
            | Known::ShouldRetry
            | Known::Te
            | Known::TransferEncoding
            | Known::Upgrade => {}
        }
    }
    if back.marked {
        push_mark(out);
    }
    out.extend_from_slice(back.strict.unwrap_or_default());
    out.extend_from_slice(back.lines);
    out.extend_from_slice(back.side);
    out.extend_from_slice(back.bound);
    out.extend_from_slice(back.cache);
    if back.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    end_response(out, buf, head, back);
}

/// Appends what becomes of the connection, and the empty line.
fn end_response(out: &mut Vec<u8>, buf: &[u8], head: &ResponseHead, back: Backward<'_>) {
    if head.status == 101 {
        out.extend_from_slice(b"connection: Upgrade\r\nupgrade: ");
        out.extend_from_slice(head.upgrade.map_or(&b""[..], |span| span.of(buf)));
        out.extend_from_slice(b"\r\n");
    } else if back.close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if back.old_keep {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line by which hops further out learn not to repeat a request.
pub(crate) fn push_mark(out: &mut Vec<u8>) {
    out.extend_from_slice(retry::NO_RETRY.as_bytes());
    out.extend_from_slice(b": false\r\n");
}

fn is_strict(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"strict-transport-security")
}
