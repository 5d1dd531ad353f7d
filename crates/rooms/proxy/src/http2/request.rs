//! The head of a stream, written as an HTTP/1.1 request that our own parser then reads.
//!
//! What only HTTP/2 can say is judged here: pseudo-fields, the authority against the Host field, the form of the path,
//! CONNECT, and what makes a message malformed, which ends its stream. All else is the parser's to judge, which has the
//! same verdict for both.

use std::ops::Range;

use super::hpack::{Kind, Line};
use super::pieces::push_field as push;
use crate::head::{is_token, length};
use crate::limits::REQUEST_HEAD_BYTES;
use crate::refusal::Refusal;

/// What a field counts beyond its bytes: RFC 9113, section 6.5.2.
const FIELD_BYTES: usize = 32;

/// Memory that a connection keeps for each of the two.
const SCRATCH_BYTES: usize = 4096;

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

/// The message is malformed, and its stream ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A head that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) framing: Framing,
    /// The answer has no body whatever its head says.
    pub(super) head_only: bool,
    /// How long the body is to be.
    pub(super) length: Option<u64>,
    /// What it deserves, if it can be read and not be served; nothing is written then.
    pub(super) refusal: Option<Refusal>,
}

/// Memory that heads are read with, one after the other.
#[derive(Default)]
pub(super) struct Scratch {
    /// The values of pseudo-fields.
    pseudo: Vec<u8>,
    cookies: Vec<u8>,
}

/// Writes one head.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    scratch: &'a mut Scratch,
    method: Option<Range<usize>>,
    scheme: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    path: Option<Range<usize>>,
    protocol: Option<Range<usize>>,
    /// The first line is there: what follows are fields.
    begun: bool,
    tunnel: bool,
    hosted: bool,
    /// There is a Content-Length, and what it says.
    counted: bool,
    length: Option<u64>,
    size: usize,
    refusal: Option<Refusal>,
    malformed: bool,
}

impl<'a> Writer<'a> {
    /// Appends to `out`, which is empty.
    pub(super) fn new(out: &'a mut Vec<u8>, scratch: &'a mut Scratch) -> Self {
        for part in [&mut scratch.pseudo, &mut scratch.cookies] {
            part.clear();
            if part.capacity() > SCRATCH_BYTES {
                *part = Vec::new();
            }
        }
        Self {
            out,
            scratch,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            begun: false,
            tunnel: false,
            hosted: false,
            counted: false,
            length: None,
            size: 0,
            refusal: None,
            malformed: false,
        }
    }

    /// Takes in one field.
    pub(super) fn field(&mut self, line: &Line<'_>) {
        self.size += line.name.len() + line.value.len() + FIELD_BYTES;
        if self.size > REQUEST_HEAD_BYTES {
            return self.refuse(Refusal::HEAD_SIZE);
        }
        if !line.sound || self.malformed {
            self.malformed = true;
            return;
        }
        match line.kind {
            Kind::Method | Kind::Scheme | Kind::Authority | Kind::Path | Kind::Protocol => self.pseudo(line),
            Kind::OneHop | Kind::Odd => self.malformed = true,
            Kind::Te if !line.value.eq_ignore_ascii_case(b"trailers") => self.malformed = true,
            Kind::Host | Kind::Cookie | Kind::Te | Kind::Length | Kind::Key | Kind::Plain => {
                self.begin();
                self.plain(line);
            }
        }
    }

    fn pseudo(&mut self, line: &Line<'_>) {
        let part = match line.kind {
            Kind::Method => &mut self.method,
            Kind::Scheme => &mut self.scheme,
            Kind::Authority => &mut self.authority,
            Kind::Path => &mut self.path,
            _ => &mut self.protocol,
        };
        if part.is_some() || self.begun {
            self.malformed = true;
            return;
        }
        let from = self.scratch.pseudo.len();
        self.scratch.pseudo.extend_from_slice(line.value);
        *part = Some(from..self.scratch.pseudo.len());
    }

    fn plain(&mut self, line: &Line<'_>) {
        match line.kind {
            Kind::Host => return self.host(line.value),
            // Browsers send a field for each, which HTTP/1.1 does not know.
            Kind::Cookie => {
                if !self.scratch.cookies.is_empty() {
                    self.scratch.cookies.extend_from_slice(b"; ");
                }
                return self.scratch.cookies.extend_from_slice(line.value);
            }
            Kind::Key if self.tunnel => return,
            Kind::Length => {
                // What is no length, or is said twice, the parser refuses.
                let told = length(line.value).ok();
                self.malformed |= self.counted && told != self.length;
                self.counted = true;
                self.length = told;
            }
            _ => {}
        }
        push(self.out, line.name, line.value);
    }

    /// The host in a field beside that of the pseudo-field.
    fn host(&mut self, value: &[u8]) {
        if self.hosted {
            return self.refuse(Refusal::HOST_TWICE);
        }
        self.hosted = true;
        match self.authority.clone() {
            None => push(self.out, b"host", value),
            Some(part) if self.scratch.pseudo[part.clone()].eq_ignore_ascii_case(value) => {}
            Some(_) => self.refuse(Refusal::HOST_MISMATCH),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal = self.refusal.or(Some(refusal));
    }

    /// Writes the first line and the host, once all pseudo-fields are there.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let text = &self.scratch.pseudo[..];
        let of = |part: &Option<Range<usize>>| part.clone().map(|part| &text[part]);
        let Some(method) = of(&self.method).filter(|method| is_token(method)) else {
            self.malformed = true;
            return;
        };
        let (protocol, scheme, path) = (of(&self.protocol), of(&self.scheme), of(&self.path));
        let connect = method == b"CONNECT";
        if connect && protocol.is_none() {
            // A tunnel to anywhere, which has neither scheme nor path.
            self.malformed = scheme.is_some() || path.is_some();
            return self.refuse(Refusal::CONNECT);
        }
        let (Some(scheme), Some(path)) = (scheme, path.filter(|path| !path.is_empty())) else {
            self.malformed = true;
            return;
        };
        if protocol.is_some() && !connect {
            self.malformed = true;
            return;
        }
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return self.refuse(Refusal::TARGET_FORM);
        }
        if protocol.is_some_and(|protocol| !protocol.eq_ignore_ascii_case(b"websocket")) {
            return self.refuse(Refusal::CONNECT);
        }
        // Another form would be read as one: `http://b/` as a whole URL.
        if path[0] != b'/' && path != b"*" {
            return self.refuse(Refusal::TARGET_FORM);
        }
        self.tunnel = connect;
        self.out.extend_from_slice(if connect { b"GET" } else { method });
        self.out.push(b' ');
        self.out.extend_from_slice(path);
        self.out.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(authority) = of(&self.authority) {
            push(self.out, b"host", authority);
        }
    }

    /// Ends the head. `ended` says that no body follows.
    pub(super) fn finish(mut self, ended: bool) -> Result<Head, Malformed> {
        self.begin();
        let size = self.refusal == Some(Refusal::HEAD_SIZE);
        let short = ended && self.length.is_some_and(|length| length > 0);
        if !size && (self.malformed || short) {
            return Err(Malformed);
        }
        let method = self.method.clone().map(|part| &self.scratch.pseudo[part]);
        let mut head = Head {
            framing: Framing::Nothing,
            head_only: method == Some(b"HEAD"),
            length: self.length,
            refusal: self.refusal,
        };
        if self.refusal.is_some() {
            self.out.clear();
            return Ok(head);
        }
        if !self.scratch.cookies.is_empty() {
            push(self.out, b"cookie", &self.scratch.cookies);
        }
        head.framing = if self.tunnel {
            push_upgrade(self.out);
            Framing::Tunnel
        } else if ended {
            Framing::Nothing
        } else if self.counted {
            Framing::Length
        } else {
            self.out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Framing::Chunks
        };
        self.out.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

/// Appends a trailer field as a line.
pub(super) fn trailer(out: &mut Vec<u8>, line: &Line<'_>) -> Result<(), Malformed> {
    match line.kind {
        _ if !line.sound || out.len() > REQUEST_HEAD_BYTES => Err(Malformed),
        Kind::Method
        | Kind::Scheme
        | Kind::Authority
        | Kind::Path
        | Kind::Protocol
        | Kind::OneHop
        | Kind::Odd => Err(Malformed),
        Kind::Host | Kind::Cookie | Kind::Te | Kind::Length | Kind::Key | Kind::Plain => {
            push(out, line.name, line.value);
            Ok(())
        }
    }
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
