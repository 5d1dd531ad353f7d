//! Other readers of HTTP/1.1 beside ours, and all of them in the same words, for comparisons in tests and by the fuzzer.
//!
//! `safehttp` reads whole requests by the letter of RFC 7230. `http_parser` is node's of old, which many servers had:
//! it reads whole requests and minds little. `httparse` reads heads.

pub(crate) mod alike;
#[cfg(test)]
mod tests;

use std::io::{Cursor, Read};

use http_parser::{CallbackResult, HttpParser, HttpParserCallback, HttpParserType, ParseAction};

use crate::chunk::{Decoder, Step};
use crate::head::{self, Field, request, response};
use crate::limits::FIELDS;

/// A message as one of them reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Method and target, or nothing and the status.
    pub(crate) opening: (Vec<u8>, Vec<u8>),
    /// In lower case and sorted by name, those of a name in their order.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nothing if it does not look at bodies, or not at this one.
    pub(crate) body: Option<Vec<u8>>,
    /// Up to where the message goes, or its head if the body is not looked at.
    pub(crate) used: usize,
}

impl Message {
    fn new(opening: (&[u8], &[u8]), fields: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let tidy =
            |(name, value): (Vec<u8>, Vec<u8>)| (name.to_ascii_lowercase(), value.trim_ascii().to_vec());
        let mut fields: Vec<_> = fields.into_iter().map(tidy).collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        Self { opening: (opening.0.to_vec(), opening.1.to_vec()), fields, body: None, used: 0 }
    }
}

/// Our own reading of a request, with the parts that are needed to write it anew.
pub(crate) fn ours(text: &[u8], fields: &mut Vec<Field>) -> Option<(Message, request::RequestHead)> {
    head::head_end(text, &mut 0)?;
    let head = request::parse(text, fields).ok()?;
    let mut message = Message::new((head.method.of(text), head.target.of(text)), pairs(text, fields));
    let (body, used) = body(&text[head.bytes..], &head.framing)?;
    message.body = Some(body);
    message.used = head.bytes + used;
    Some((message, head))
}

/// Our own reading of an answer to GET that has a length or chunks.
pub(crate) fn our_answer(text: &[u8]) -> Option<Message> {
    let mut fields = Vec::new();
    head::head_end(text, &mut 0)?;
    let head = response::read(text, &mut fields).ok()?;
    let framed = head.framing.chunked || head.framing.length.is_some();
    if head.status < 200 || matches!(head.status, 204 | 304) || !framed {
        return None;
    }
    let mut message = Message::new((b"", head.status.to_string().as_bytes()), pairs(text, &fields));
    let (body, used) = body(&text[head.bytes..], &head.framing)?;
    message.body = Some(body);
    message.used = head.bytes + used;
    Some(message)
}

fn pairs(text: &[u8], fields: &[Field]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|f| (f.name.of(text).to_vec(), f.value.of(text).to_vec())).collect()
}

/// A whole body and how long it was, chunks and all.
fn body(text: &[u8], framing: &head::Framing) -> Option<(Vec<u8>, usize)> {
    if !framing.chunked {
        let length = usize::try_from(framing.length.unwrap_or(0)).ok()?;
        return text.get(..length).map(|body| (body.to_vec(), length));
    }
    let (mut decoder, mut body, mut at) = (Decoder::new(), Vec::new(), 0);
    loop {
        at += match decoder.step(&text[at..]).ok()? {
            Step::More => return None,
            Step::Done => return Some((body, at)),
            Step::Framing(count) | Step::Trailer(_, count) => count,
            Step::Data(count) => {
                body.extend_from_slice(&text[at..at + count]);
                count
            }
        };
    }
}

/// What `httparse` makes of a request's head.
pub(crate) fn httparse_request(text: &[u8]) -> Option<Message> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(used) = head.parse(text).ok()? else { return None };
    let target = path_of(head.path?);
    let fields = head.headers.iter().map(|f| (f.name.as_bytes().to_vec(), f.value.to_vec()));
    Some(Message { used, ..Message::new((head.method?.as_bytes(), target.as_bytes()), fields) })
}

/// What `httparse` makes of an answer's head.
pub(crate) fn httparse_answer(text: &[u8]) -> Option<Message> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = head.parse(text).ok()? else { return None };
    let fields = head.headers.iter().map(|f| (f.name.as_bytes().to_vec(), f.value.to_vec()));
    Some(Message { used, ..Message::new((b"", head.code?.to_string().as_bytes()), fields) })
}

/// The path and query of a target that may be a whole URL.
fn path_of(target: &str) -> &str {
    let rest = target.get(7..).filter(|_| target[..7].eq_ignore_ascii_case("http://"));
    rest.and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(target)
}

const GENEROUS: safehttp::Config = safehttp::Config {
    max_token_length: 40_000,
    max_header_count: FIELDS,
    max_header_value_length: 40_000,
    max_request_target_length: 40_000,
    max_chunk_length: usize::MAX,
    max_chunk_ext_length: 40_000,
};

/// What `safehttp` makes of a request.
pub(crate) fn safehttp_request(text: &[u8]) -> Option<Message> {
    let (head, body) = safehttp::parse_request(Cursor::new(text), &GENEROUS).ok()?.into_parts();
    let target = head.uri.path_and_query()?.as_str().to_owned();
    let fields = head.headers.iter().map(|(n, v)| (n.as_str().into(), v.as_bytes().into()));
    let message = Message::new((head.method.as_str().as_bytes(), target.as_bytes()), fields);
    safehttp_body(message, body)
}

/// What `safehttp` makes of an answer.
pub(crate) fn safehttp_answer(text: &[u8]) -> Option<Message> {
    let (head, body) = safehttp::parse_response(Cursor::new(text), &GENEROUS).ok()?.into_parts();
    let fields = head.headers.iter().map(|(n, v)| (n.as_str().into(), v.as_bytes().into()));
    let message = Message::new((b"", head.status.as_str().as_bytes()), fields);
    safehttp_body(message, body)
}

fn safehttp_body(mut message: Message, mut body: safehttp::Body<Cursor<&[u8]>>) -> Option<Message> {
    let mut content = Vec::new();
    body.read_to_end(&mut content).ok()?;
    if let safehttp::Body::Some(safehttp::BodyReader::Limited(rest)) = &body
        && rest.limit() > 0
    {
        return None;
    }
    message.body = Some(content);
    message.used = usize::try_from(body.into_inner().position()).ok()?;
    Some(message)
}

/// What `http_parser` calls back with.
#[derive(Default)]
struct Heard {
    target: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    head_done: bool,
    body: Vec<u8>,
    done: bool,
}

impl HttpParserCallback for Heard {
    fn on_url(&mut self, _: &mut HttpParser, data: &[u8]) -> CallbackResult {
        self.target.extend_from_slice(data);
        Ok(ParseAction::None)
    }

    fn on_header_field(&mut self, _: &mut HttpParser, data: &[u8]) -> CallbackResult {
        if !self.head_done {
            self.fields.push((data.to_vec(), Vec::new()));
        }
        Ok(ParseAction::None)
    }

    fn on_header_value(&mut self, _: &mut HttpParser, data: &[u8]) -> CallbackResult {
        if let Some(last) = self.fields.last_mut().filter(|_| !self.head_done) {
            last.1.extend_from_slice(data);
        }
        Ok(ParseAction::None)
    }

    fn on_headers_complete(&mut self, _: &mut HttpParser) -> CallbackResult {
        self.head_done = true;
        Ok(ParseAction::None)
    }

    fn on_body(&mut self, _: &mut HttpParser, data: &[u8]) -> CallbackResult {
        self.body.extend_from_slice(data);
        Ok(ParseAction::None)
    }

    fn on_message_complete(&mut self, _: &mut HttpParser) -> CallbackResult {
        self.done = true;
        Err("one message is enough".into())
    }
}

/// What `http_parser` makes of a request; it sees no body where there is an Upgrade field.
pub(crate) fn http_parser_request(text: &[u8]) -> Option<Message> {
    let (mut parser, mut heard) = (HttpParser::new(HttpParserType::Request), Heard::default());
    let used = parser.execute(&mut heard, text);
    if !heard.done {
        return None;
    }
    let method = parser.method?.to_string().to_ascii_uppercase();
    let target = path_of(std::str::from_utf8(&heard.target).ok()?).to_owned();
    let message = Message::new((method.as_bytes(), target.as_bytes()), heard.fields);
    Some(Message { body: (!parser.upgrade).then_some(heard.body), used, ..message })
}

/// What `http_parser` makes of an answer.
pub(crate) fn http_parser_answer(text: &[u8]) -> Option<Message> {
    let (mut parser, mut heard) = (HttpParser::new(HttpParserType::Response), Heard::default());
    let used = parser.execute(&mut heard, text);
    if !heard.done {
        return None;
    }
    let message = Message::new((b"", parser.status_code?.to_string().as_bytes()), heard.fields);
    Some(Message { body: (!parser.upgrade).then_some(heard.body), used, ..message })
}
