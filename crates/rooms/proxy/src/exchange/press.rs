//! An answer that is compressed on its way: the body's pieces through the press, and out of it in chunks.

use super::{Body, End, Exchange, Stage, WAITING_BYTES};
use crate::chunk::{self, Step};
use crate::rules::Press;

impl Exchange<'_> {
    /// Compresses what came from the instance, as far as the client keeps up.
    pub(super) fn press(&mut self) -> Result<(), End> {
        let Stage::Body(mut body) = self.stage else { return Ok(()) };
        if body.is_done() {
            return Ok(());
        }
        let input = &mut self.up.as_mut().expect("an answer came over this connection").input;
        let press = self.client.care.as_mut().and_then(|care| care.press.as_mut());
        let press = press.expect("an answer is only compressed where there is a press");
        while !body.is_done() && self.client.output.pending().len() < WAITING_BYTES {
            let (data, used) = match &mut body {
                Body::Length(left) => {
                    let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                    *left -= here as u64;
                    (here, here)
                }
                Body::UntilClose => (input.len(), input.len()),
                Body::Chunked(decoder) => match decoder.step(input.filled()).map_err(|_| End::Torn)? {
                    Step::More | Step::Done => (0, 0),
                    // What a trailer says of the body is not true of this one.
                    Step::Framing(count) | Step::Trailer(_, count) => (0, count),
                    Step::Data(count) => (count, count),
                },
            };
            if used == 0 {
                break;
            }
            press.write(&input.filled()[..data]).map_err(|_| End::Abort)?;
            input.consume(used);
            self.client.answered += drain(press, &mut self.client.output.bytes);
        }
        self.stage = Stage::Body(body);
        if body.is_done() { self.end_press() } else { Ok(()) }
    }

    /// Writes the end of the body.
    pub(super) fn end_press(&mut self) -> Result<(), End> {
        let care = self.client.care.as_mut();
        if let Some(mut press) = care.and_then(|care| care.press.take()) {
            press.finish().map_err(|_| End::Abort)?;
            self.client.answered += drain(&mut press, &mut self.client.output.bytes);
        }
        self.client.output.bytes.extend_from_slice(b"0\r\n\r\n");
        Ok(())
    }

    /// Nothing more comes for now: what the press holds back goes to the client. False if it holds nothing.
    pub(super) fn flush_press(&mut self) -> Result<bool, End> {
        // The rest of what has a length comes soon, and would only be compressed worse.
        if !matches!(self.stage, Stage::Body(Body::Chunked(_) | Body::UntilClose)) {
            return Ok(false);
        }
        let Some(press) = self.client.care.as_mut().and_then(|care| care.press.as_mut()) else {
            return Ok(false);
        };
        let held = press.flush().map_err(|_| End::Abort)?;
        self.client.answered += drain(press, &mut self.client.output.bytes);
        Ok(held)
    }
}

/// Moves what has come out of the press to the client as a chunk; gives its length.
fn drain(press: &mut Press, output: &mut Vec<u8>) -> u64 {
    let out = press.out();
    let count = out.len();
    chunk::write_chunk(output, out);
    out.clear();
    count as u64
}
