//! The way to the instance: the head that stands ready, then the body as the client sends it.

use std::pin::Pin;
use std::task::{Context, Poll};

use spec::HeaderSide;
use tokio::io::AsyncWrite;

use super::{Body, End, Exchange, Stage, drop_sent};
use crate::chunk::{self, Step};
use crate::limits::{BUFFER_BYTES, REPLAY_BYTES};
use crate::refusal::Refusal;

/// What may wait to be written to an instance that reads slowly.
const WAITING_BYTES: usize = 64 * 1024;

impl Exchange<'_> {
    /// Writes to the instance what is ready.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while !self.up_deaf && !self.client.sent.pending().is_empty() {
            let up = self.up.as_mut().expect("bytes move only while there is a connection to an instance");
            match Pin::new(&mut up.stream).poll_write(cx, self.client.sent.pending()) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(count)) => {
                    self.client.sent.at += count;
                    self.touch();
                }
                // An answer may have been sent before the connection was closed: the reader decides.
                Poll::Ready(Err(_)) => self.up_deaf = true,
            }
        }
        if self.replayable && self.client.sent.bytes.len() > REPLAY_BYTES {
            self.replayable = false;
        }
        drop_sent(&mut self.client.sent, self.replayable);
        Ok(())
    }

    /// Takes in what the client sends of the body; true if there is more for the instance now.
    pub(super) fn listen(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.cut {
            return Ok(false);
        }
        let mut took = false;
        while !self.question.body.is_done() && self.client.sent.pending().len() < WAITING_BYTES {
            if self.take_body()? {
                took = true;
                continue;
            }
            match self.client.poll_fill(cx, self.worker, BUFFER_BYTES) {
                Poll::Pending => {
                    self.client.stream.acknowledge();
                    break;
                }
                Poll::Ready(Ok(0)) => return self.body_cut(cx),
                Poll::Ready(Ok(_)) => self.touch(),
                Poll::Ready(Err(_)) => return Err(End::Abort),
            }
        }
        Ok(took && !self.up_deaf)
    }

    /// The client's side has ended within the body. An answer that came before may still be read to its end, and the
    /// instance sees that the request has none.
    fn body_cut(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        match self.stage {
            Stage::Head => return Err(End::Refuse(Refusal::BODY_CUT)),
            Stage::Switched => return Err(End::Abort),
            Stage::Body(_) => {}
        }
        self.client.ended = true;
        self.cut = true;
        self.up_deaf = true;
        let up = self.up.as_mut().expect("an answer came over this connection");
        // A connection that is broken already shows when it is read.
        let _ = Pin::new(&mut up.stream).poll_shutdown(cx);
        Ok(false)
    }

    /// Nothing is wanted of the client: reads ahead a little, and sees it go.
    pub(super) fn look_at_client(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if !self.watching || self.client.ended || !self.client.input.is_empty() {
            return Ok(());
        }
        if self.client.stream.poll_read_ready(cx).is_pending() {
            return Ok(());
        }
        match self.client.poll_fill(cx, self.worker, BUFFER_BYTES) {
            // Half-closed: it may still read its answer.
            Poll::Ready(Ok(0)) => self.client.ended = true,
            Poll::Pending | Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Err(End::Abort),
        }
        Ok(())
    }

    /// Moves body bytes that were read to what goes to the instance; false if there are none.
    fn take_body(&mut self) -> Result<bool, End> {
        let (input, sent) = (&mut self.client.input, &mut self.client.sent);
        let chunked = match &mut self.question.body {
            Body::Length(left) => {
                let count = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= count as u64;
                self.client.received += count as u64;
                if !self.up_deaf {
                    sent.bytes.extend_from_slice(&input.filled()[..count]);
                }
                input.consume(count);
                return Ok(count > 0);
            }
            Body::Chunked(decoder) => decoder,
            Body::UntilClose => unreachable!("a request's body has a length or chunks"),
        };
        let step = chunked.step(input.filled()).map_err(|refusal| match self.stage {
            Stage::Head => End::Refuse(refusal),
            Stage::Body(_) | Stage::Switched => End::Abort,
        })?;
        let used = match step {
            Step::More | Step::Done => return Ok(false),
            Step::Framing(count) => count,
            Step::Data(count) => {
                self.client.received += count as u64;
                if self.pool.policy.max_body.is_some_and(|most| self.client.received > most.0) {
                    return Err(match self.stage {
                        Stage::Head => End::Refuse(Refusal::BODY_SIZE),
                        Stage::Body(_) | Stage::Switched => End::Abort,
                    });
                }
                chunk::write_chunk(&mut sent.bytes, &input.filled()[..count]);
                count
            }
            Step::Trailer(field, count) => {
                if !self.trailing {
                    self.trailing = true;
                    sent.bytes.extend_from_slice(b"0\r\n");
                }
                let line = &input.filled()[..count];
                let care = self.client.care.as_ref();
                let passes =
                    care.is_none_or(|care| care.lets_trail(HeaderSide::Request, field.name.of(line)));
                if passes && chunk::may_pass(&field, line) {
                    push_trailer(&mut sent.bytes, &field, line);
                }
                count
            }
        };
        input.consume(used);
        if chunked.done() {
            sent.bytes.extend_from_slice(if self.trailing { b"\r\n" } else { b"0\r\n\r\n" });
        }
        Ok(true)
    }
}

/// Appends a trailer field in canonical form.
pub(super) fn push_trailer(out: &mut Vec<u8>, field: &crate::head::Field, line: &[u8]) {
    out.extend_from_slice(field.name.of(line));
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value.of(line));
    out.extend_from_slice(b"\r\n");
}
