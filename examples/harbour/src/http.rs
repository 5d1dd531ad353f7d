//! Requests and answers, and their heads on the wire.

use std::io::{self, BufRead, Write};

use serde_json::Value;

/// Longer heads are refused.
const HEAD_LIMIT: usize = 16 << 10;

/// A request, whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// As in `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Pairs of the query, decoded.
    pub query: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
    /// Whether the connection may serve another request.
    pub(crate) keep_alive: bool,
}

impl Request {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The first value of this name in the query.
    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as pairs, as a browser's form sends them.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// As in 200.
    pub status: u16,
    /// Which route it was, for metrics: few values, no ids in it.
    pub route: &'static str,
    /// Without length and connection.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer in JSON.
    pub fn json(route: &'static str, status: u16, body: &Value) -> Self {
        Self::new(route, status, "application/json", body.to_string())
    }

    /// A page.
    pub fn page(route: &'static str, status: u16, body: String) -> Self {
        Self::new(route, status, "text/html; charset=utf-8", body)
    }

    /// Plain text.
    pub fn text(route: &'static str, status: u16, body: impl Into<String>) -> Self {
        Self::new(route, status, "text/plain; charset=utf-8", body.into())
    }

    /// An error in JSON, with what is wrong.
    pub fn error(route: &'static str, status: u16, message: &str) -> Self {
        Self::json(route, status, &serde_json::json!({ "error": message }))
    }

    /// Look there instead, with `GET`.
    pub fn see_other(route: &'static str, to: &str) -> Self {
        let mut response = Self::text(route, 303, "");
        response.headers.push(("location", to.to_owned()));
        response
    }

    fn new(route: &'static str, status: u16, media: &str, body: String) -> Self {
        let headers = vec![("content-type", media.to_owned())];
        Self { status, route, headers, body: body.into_bytes() }
    }

    /// Puts it on the wire in one write.
    pub(crate) fn write(&self, to: &mut impl Write, keep_alive: bool, head_only: bool) -> io::Result<()> {
        let mut wire = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        for (name, value) in &self.headers {
            wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let ending = format!("content-length: {}\r\nconnection: {connection}\r\n\r\n", self.body.len());
        wire.extend_from_slice(ending.as_bytes());
        if !head_only {
            wire.extend_from_slice(&self.body);
        }
        to.write_all(&wire)
    }
}

/// The first line of a message and its headers.
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Reads a head; none when the stream ended before its first byte.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut left = HEAD_LIMIT;
    let Some(first) = line(from, &mut left)? else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let text = line(from, &mut left)?.ok_or_else(|| invalid("the head breaks off"))?;
        if text.is_empty() {
            return Ok(Some(Head { first, headers }));
        }
        let (name, value) = text.split_once(':').ok_or_else(|| invalid("a header has no colon"))?;
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(&b))
        {
            return Err(invalid("a header's name is no name"));
        }
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The first header of this name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A line without its end; none at the end of the stream.
pub(crate) fn line(from: &mut impl BufRead, left: &mut usize) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let taken = io::Read::take(&mut *from, *left as u64).read_until(b'\n', &mut bytes)?;
    *left -= taken;
    if bytes.pop() != Some(b'\n') {
        return if taken == 0 && *left > 0 {
            Ok(None)
        } else {
            Err(invalid("a line breaks off or is too long"))
        };
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Some).map_err(|_| invalid("a head is not UTF-8"))
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// `a=1&b=two+words`, decoded.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(k, v)| (decoded(k), decoded(v)))
        .collect()
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code =
            after.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(first),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text for a query or a form.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests;
