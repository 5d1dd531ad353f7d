//! The way back: the answer's head, judged and written anew, then its body.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use base::{Clock, SystemClock};
use resilience::limit::Outcome;
use spec::HeaderSide;
use tokio::io::AsyncWrite;

use super::question::push_trailer;
use super::{Body, End, Exchange, Stage, WAITING_BYTES};
use crate::balance::Verdict;
use crate::chunk::{self, Decoder, Step};
use crate::forward::{self, Backward};
use crate::gate::Turn;
use crate::head::request::Method;
use crate::head::response::{self, ResponseHead};
use crate::head::{self, Span};
use crate::limits::{BUFFER_BYTES, RESPONSE_HEAD_BYTES};
use crate::refusal::Refusal;
use crate::stick;

/// A body that is no longer is copied behind its head.
const COPIED_BYTES: usize = 2048;

/// Who says more often that an answer will come has none: once a second this is nearly three hours.
const INTERIMS: u32 = 10_000;

impl Exchange<'_> {
    /// Reads from the instance and writes to the client; true if another round may move more.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        loop {
            // Mostly the instance has yet to say its first word.
            if self.heard {
                self.digest()?;
                let blocked = !self.deliver(cx)?;
                self.finished()?;
                if blocked || self.is_whole() {
                    return Ok(false);
                }
            }
            let most = if self.stage == Stage::Head { RESPONSE_HEAD_BYTES } else { BUFFER_BYTES };
            let up = self.up.as_mut().expect("bytes move only while there is a connection to an instance");
            if up.input.is_full(most) {
                // The client was slow, and now that it has taken all, this can be digested.
                continue;
            }
            match up.input.poll_fill(cx, &mut up.stream, &self.worker.buffers, most) {
                Poll::Pending if self.pressing && self.flush_press()? => {}
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => self.ended(false)?,
                Poll::Ready(Err(error)) => {
                    self.untouched = error.kind() == io::ErrorKind::ConnectionRefused;
                    self.ended(true)?;
                }
                Poll::Ready(Ok(_)) => {
                    self.heard = true;
                    // A head has one time for all of it, however it comes.
                    if self.dropping.is_none() && self.stage != Stage::Head {
                        self.touch();
                    }
                }
            }
        }
    }

    /// Nothing more is wanted of the instance.
    fn is_whole(&self) -> bool {
        match self.stage {
            Stage::Head => false,
            Stage::Body(body) => body.is_done(),
            Stage::Switched => true,
        }
    }

    /// The instance's side has ended, cleanly or not.
    fn ended(&mut self, broken: bool) -> Result<(), End> {
        match self.stage {
            Stage::Head if !self.heard => Err(End::Cut),
            Stage::Head => Err(End::Refuse(Refusal::GONE)),
            Stage::Body(Body::UntilClose) if !broken => {
                self.stage = Stage::Body(Body::NONE);
                self.up_keeps = false;
                if self.pressing {
                    self.end_press()?;
                } else if self.rechunk {
                    self.client.output.bytes.extend_from_slice(b"0\r\n\r\n");
                }
                Ok(())
            }
            Stage::Body(_) if self.dropping.is_some() => {
                self.give_up();
                Ok(())
            }
            // Who gave up its request within the body has no claim to an answer.
            Stage::Body(_) | Stage::Switched if self.cut => Err(End::Abort),
            Stage::Body(_) | Stage::Switched => Err(End::Torn),
        }
    }

    /// Turns what came from the instance into what goes to the client, unless it can go as it is.
    fn digest(&mut self) -> Result<(), End> {
        while self.stage == Stage::Head {
            let up = self.up.as_mut().expect("bytes move only while there is a connection to an instance");
            let input = up.input.filled();
            match head::head_end(input, &mut self.scanned) {
                Some(end) if end <= RESPONSE_HEAD_BYTES => self.head()?,
                None if input.len() < RESPONSE_HEAD_BYTES => return Ok(()),
                Some(_) | None => return Err(End::Refuse(Refusal::BAD_ANSWER)),
            }
        }
        if self.dropping.is_some() {
            self.discard()?;
        } else if self.pressing {
            self.press()?;
        } else if let Stage::Body(Body::Chunked(decoder)) = self.stage {
            self.unchunk(decoder)?;
        } else if self.stage == Stage::Body(Body::UntilClose) && self.rechunk {
            let input = &mut self.up.as_mut().expect("an answer came over this connection").input;
            if self.client.output.pending().len() < WAITING_BYTES {
                self.client.answered += input.len() as u64;
                chunk::write_chunk(&mut self.client.output.bytes, input.filled());
                input.consume(input.len());
            }
        }
        Ok(())
    }

    /// Judges a whole head and writes it anew.
    fn head(&mut self) -> Result<(), End> {
        self.scanned = 0;
        let worker = self.worker;
        let mut fields = worker.fields.borrow_mut();
        let buf = self.up.as_ref().expect("an answer came over this connection").input.filled();
        let head = response::parse(buf, &mut fields).map_err(End::Refuse)?;
        self.status = head.status;
        if head.interim() {
            // HTTP/1.0 knows no interim answers.
            if !self.question.old {
                let back = Backward::default();
                forward::response(&mut self.client.output.bytes, buf, &head, &fields, back);
            }
            drop(fields);
            return self.passed_interim(head.bytes);
        }
        self.weigh(&head)?;
        let up = self.up.as_ref().expect("an answer came over this connection");
        let buf = up.input.filled();
        // Answers for all bind nobody.
        let shared = self.client.stream.is_shared() || up.stream.is_shared();
        let bound = if self.pool.stick.is_some() && !shared { self.bind() } else { Vec::new() };
        // To what was not offered nobody may switch: RFC 9110, section 7.8.
        let offered = self.client.offered.as_deref();
        let agreed = |taken: Span| offered.is_some_and(|offered| taken.of(buf).eq_ignore_ascii_case(offered));
        if head.status == 101 && !head.upgrade.is_some_and(agreed) {
            return Err(End::Refuse(Refusal::BAD_ANSWER));
        }
        if let Some(page) = self.client.care.as_ref().and_then(|care| care.replacement(head.status)) {
            drop(fields);
            self.replace(&head, &page, &bound);
            self.consume(head.bytes);
            return Ok(());
        }
        let body = body_of(&head, self.question.method);
        let asked = self.question.body.is_done();
        let bare = self.question.method == Method::Head;
        let pressed = match &mut self.client.care {
            Some(care) => care.dress_answer(&head, &mut fields, buf, bare),
            None => false,
        };
        self.pressing = pressed && !bare;
        self.rechunk = !self.question.old && matches!(body, Body::Chunked(_) | Body::UntilClose);
        let unbounded = self.question.old && matches!(body, Body::Chunked(_) | Body::UntilClose);
        self.close = !self.question.keep || unbounded || !asked || self.worker.draining.get();
        self.up_keeps = head.keeps();
        self.events = head.events;
        let date = self.worker.today.line();
        let back = Backward {
            date: &date,
            marked: self.marked.get() && head.status >= 500,
            // The answer to HEAD shows the framing that GET would have; these two have none for any method.
            chunked: self.rechunk
                || pressed
                || (head.framing.chunked && !self.question.old && !matches!(head.status, 101 | 204)),
            close: self.close,
            old_keep: self.question.old && !self.close,
            strict: self.client.strict.as_deref(),
            lines: self.client.care.as_ref().map_or(&[], |care| care.answer_lines()),
            side: self.client.forked.as_ref().map_or(&[], |forked| forked.line()),
            bound: &bound,
            cache: self.client.wanted.as_ref().map_or(&[], |wanted| wanted.line()),
        };
        let bytes = head.bytes;
        let switched = head.status == 101;
        forward::response(&mut self.client.output.bytes, buf, &head, &fields, back);
        drop(fields);
        self.consume(bytes);
        self.stage = if switched { Stage::Switched } else { Stage::Body(body) };
        self.touch();
        Ok(())
    }

    /// An interim answer of so many bytes is on its way.
    fn passed_interim(&mut self, bytes: usize) -> Result<(), End> {
        self.interims += 1;
        if self.interims > INTERIMS {
            return Err(End::Refuse(Refusal::BAD_ANSWER));
        }
        self.consume(bytes);
        self.touch();
        Ok(())
    }

    /// What the answer says of its instance, and whether another is to answer in its place.
    fn weigh(&mut self, head: &ResponseHead) -> Result<(), End> {
        // What a hop further in could not do with another try says nothing about this instance.
        let not_now = head.not_now.filter(|wish| wish.plain || !head.final_try);
        self.judge(not_now.map_or(Verdict::Answered(head.status), Verdict::NotNow));
        // The other may do better.
        if self.hedge.is_some() && head.status >= 500 && self.awaits_another() {
            return Err(End::Elsewhere);
        }
        if let Some(hedge) = self.hedge.take() {
            self.client.note_hedge(hedge.end(self.worker, &self.pool, head.status, self.asked_at));
        }
        // What it refused for now another may do; nothing of its answer has gone out.
        let another = not_now.is_some() && head.status == 503 && self.pool.endpoints.len() > 1;
        if another && !head.final_try && self.could_repeat() && self.may_spend() {
            return Err(End::Elsewhere);
        }
        end_turn(self.turn.take(), head);
        if let Some(wanted) = &self.client.wanted {
            wanted.answered(head.status);
        }
        Ok(())
    }

    /// The line that binds the client to the instance that answers, where that is another than his.
    fn bind(&self) -> Vec<u8> {
        let Some(up) = &self.up else { return Vec::new() };
        let brought = (&self.question.brought, self.client.is_secure());
        stick::bind(self.worker, &self.pool, brought, &up.flight.0, SystemClock.now()).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        self.up.as_mut().expect("an answer came over this connection").input.consume(bytes);
    }

    /// Takes chunks apart and writes them anew, or their content alone for an old client.
    fn unchunk(&mut self, mut decoder: Decoder) -> Result<(), End> {
        let input = &mut self.up.as_mut().expect("an answer came over this connection").input;
        let output = &mut self.client.output;
        while !decoder.done() && output.pending().len() < WAITING_BYTES {
            let used = match decoder.step(input.filled()).map_err(|_| End::Torn)? {
                Step::More | Step::Done => break,
                Step::Framing(count) => count,
                Step::Data(count) => {
                    let data = &input.filled()[..count];
                    self.client.answered += count as u64;
                    if self.rechunk {
                        chunk::write_chunk(&mut output.bytes, data);
                    } else {
                        output.bytes.extend_from_slice(data);
                    }
                    count
                }
                Step::Trailer(field, count) => {
                    let line = &input.filled()[..count];
                    let care = self.client.care.as_ref();
                    let name = field.name.of(line);
                    let passes = care.is_none_or(|care| care.lets_trail(HeaderSide::Response, name));
                    if self.rechunk && self.question.takes_trailers && passes && chunk::may_pass(&field, line)
                    {
                        if !self.answer_trailing {
                            self.answer_trailing = true;
                            output.bytes.extend_from_slice(b"0\r\n");
                        }
                        push_trailer(&mut output.bytes, &field, line);
                    }
                    count
                }
            };
            input.consume(used);
            if decoder.done() && self.rechunk {
                output.bytes.extend_from_slice(if self.answer_trailing { b"\r\n" } else { b"0\r\n\r\n" });
            }
        }
        self.stage = Stage::Body(Body::Chunked(decoder));
        Ok(())
    }

    /// Writes to the client; false if it takes no more now.
    fn deliver(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        loop {
            let up = self.up.as_mut().expect("an answer comes over this connection");
            let direct = match self.stage {
                Stage::Body(_) if self.pressing || self.dropping.is_some() => 0,
                Stage::Body(Body::Length(left)) => {
                    usize::try_from(left).map_or(up.input.len(), |left| left.min(up.input.len()))
                }
                Stage::Body(Body::UntilClose) if !self.rechunk => up.input.len(),
                Stage::Head | Stage::Body(_) | Stage::Switched => 0,
            };
            let pending = self.client.output.pending();
            if pending.is_empty() && direct == 0 {
                return Ok(true);
            }
            if direct > 0 && direct <= COPIED_BYTES && !pending.is_empty() {
                // One buffer is cheaper to hand to the kernel than two.
                self.client.output.bytes.extend_from_slice(&up.input.filled()[..direct]);
                up.input.consume(direct);
                self.count_body(direct);
                continue;
            }
            if self.close && self.parts(direct) {
                self.client.stream.part();
            }
            let up = self.up.as_mut().expect("an answer comes over this connection");
            let body = &up.input.filled()[..direct];
            let stream = Pin::new(&mut self.client.stream);
            let wrote = match (pending, body) {
                (head, []) => stream.poll_write(cx, head),
                ([], body) => stream.poll_write(cx, body),
                (head, body) => stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]),
            };
            let count = match wrote {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(_)) => return Err(End::Abort),
            };
            let of_head = count.min(self.client.output.pending().len());
            self.client.output.wrote(of_head);
            let of_body = count - of_head;
            up.input.consume(of_body);
            self.count_body(of_body);
            self.touch();
        }
    }

    /// Whether the next write is the last on this connection: with it the answer is whole, and nothing is waited for.
    fn parts(&self, direct: usize) -> bool {
        let all = match self.stage {
            Stage::Body(Body::Length(left)) => left == direct as u64,
            Stage::Body(body) => body.is_done(),
            Stage::Head | Stage::Switched => false,
        };
        all && self.is_through() && self.leaves()
    }

    /// Notes that so many bytes of the body have left the instance's buffer as they are.
    fn count_body(&mut self, count: usize) {
        self.client.answered += count as u64;
        if let Stage::Body(Body::Length(left)) = &mut self.stage {
            *left -= count as u64;
        }
    }
}

/// Gives the turn on, if there is one, with how the request went.
fn end_turn(turn: Option<Turn>, head: &ResponseHead) {
    let Some(mut turn) = turn else { return };
    let dropped = head.not_now.is_some() || matches!(head.status, 429 | 503 | 504);
    turn.note(if dropped { Outcome::Dropped } else { Outcome::Done });
}

/// How the body of an answer is framed: RFC 9112, section 6.3.
pub(super) fn body_of(head: &ResponseHead, method: Method) -> Body {
    if method == Method::Head || matches!(head.status, 101 | 204 | 304) {
        Body::NONE
    } else if head.framing.chunked {
        Body::Chunked(Decoder::new())
    } else {
        head.framing.length.map_or(Body::UntilClose, Body::Length)
    }
}
