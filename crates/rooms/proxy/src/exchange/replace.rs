//! An instance's own error in the dress of the service's page: its status and fields, and another body.
//!
//! What the instance still sends of its own is read and thrown away, within bounds, so that its connection can be kept.

use std::sync::Arc;
use std::time::Duration;

use super::{Body, End, Exchange, Stage, answer};
use crate::chunk::Step;
use crate::forward::{self, Backward};
use crate::head::request::Method;
use crate::head::response::ResponseHead;
use crate::refusal::push_number;

/// A body that is longer costs less by a new connection.
const DROPPED_BYTES: u64 = 64 * 1024;
/// How long the rest of a body is waited for when the page is with the client: longer than a round within a machine room.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// What is said of the body that is not sent.
const OF_BODY: &[&[u8]] = &[
    b"accept-ranges",
    b"content-digest",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-location",
    b"content-md5",
    b"content-range",
    b"content-type",
    b"digest",
    b"etag",
    b"last-modified",
    b"repr-digest",
    b"trailer",
];

fn is_of_body(name: &[u8]) -> bool {
    OF_BODY.iter().any(|known| name.eq_ignore_ascii_case(known))
}

impl Exchange<'_> {
    /// Writes the head of an answer with this page in the place of its body, and the line that binds the client.
    pub(super) fn replace(&mut self, head: &ResponseHead, page: &Arc<[u8]>, bound: &[u8]) {
        let up = self.up.as_ref().expect("an answer came over this connection");
        let mut fields = self.worker.fields.borrow_mut();
        let buf = up.input.filled();
        fields.retain(|field| !is_of_body(field.name.of(buf)));
        let care = self.client.care.as_mut().expect("it has the page");
        care.dress_page(page.len(), &mut fields, buf);
        let asked = self.question.body.is_done();
        self.close = !self.question.keep || !asked || self.worker.draining.get();
        self.up_keeps = head.keeps();
        let date = self.worker.today.line();
        let back = Backward {
            date: &date,
            marked: self.marked.get(),
            chunked: false,
            close: self.close,
            old_keep: self.question.old && !self.close,
            strict: self.client.strict.as_deref(),
            lines: care.answer_lines(),
            side: self.client.forked.as_ref().map_or(&[], |forked| forked.line()),
            bound,
            cache: self.client.wanted.as_ref().map_or(&[], |wanted| wanted.line()),
        };
        forward::response(&mut self.client.output.bytes, buf, head, &fields, back);
        drop(fields);
        if self.question.method != Method::Head {
            self.client.output.bytes.extend_from_slice(page);
            self.client.answered += page.len() as u64;
        }
        self.worker.gauges.decided.replaced(&self.pool.key);
        self.replaced = true;
        self.dropping = Some(DROPPED_BYTES);
        self.stage = Stage::Body(answer::body_of(head, self.question.method));
        if self.stage == Stage::Body(Body::UntilClose) {
            self.give_up();
        }
        self.touch();
    }

    /// Throws away what has come of the body.
    pub(super) fn discard(&mut self) -> Result<(), End> {
        let Some(mut left) = self.dropping else { return Ok(()) };
        let input = &mut self.up.as_mut().expect("an answer came over this connection").input;
        let mut fits = true;
        match &mut self.stage {
            Stage::Body(Body::Length(length)) => {
                let count = usize::try_from(*length).map_or(input.len(), |length| length.min(input.len()));
                fits = *length <= left;
                *length -= count as u64;
                left = left.saturating_sub(count as u64);
                input.consume(count);
            }
            Stage::Body(Body::Chunked(decoder)) => {
                while fits && !decoder.done() {
                    let used = match decoder.step(input.filled()) {
                        Ok(Step::More | Step::Done) => break,
                        Ok(Step::Framing(count) | Step::Data(count) | Step::Trailer(_, count)) => count,
                        Err(_) => {
                            fits = false;
                            break;
                        }
                    };
                    input.consume(used);
                    fits = used as u64 <= left;
                    left = left.saturating_sub(used as u64);
                }
            }
            Stage::Body(Body::UntilClose) | Stage::Head | Stage::Switched => {}
        }
        self.dropping = Some(left);
        if !fits {
            self.give_up();
        }
        Ok(())
    }

    /// Wants nothing more of the instance: its connection ends, and that of the client does not.
    pub(super) fn give_up(&mut self) {
        self.dropping = None;
        self.up_keeps = false;
        self.stage = Stage::Body(Body::NONE);
    }

    /// The deadline has passed: whether it was only the rest of a body that nobody wants.
    pub(super) fn has_waited(&mut self) -> bool {
        let only_rest = self.dropping.is_some() && self.client.output.is_flushed();
        if only_rest {
            self.give_up();
            self.touch();
        }
        only_rest
    }
}

/// The lines of an answer with a page of this length: what is said of the page, and the others of a route's.
pub(crate) fn push_lines(lines: &mut Vec<u8>, length: usize, of_route: &[u8]) {
    lines.extend_from_slice(b"content-type: text/html; charset=utf-8\r\ncontent-length: ");
    push_number(lines, length as u64);
    lines.extend_from_slice(b"\r\n");
    for line in of_route.split_inclusive(|b| *b == b'\n') {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        if !is_of_body(name) {
            lines.extend_from_slice(line);
        }
    }
}
