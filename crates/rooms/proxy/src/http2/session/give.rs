//! What goes to the client: heads and bodies of answers, as far as it has room.

use std::io;
use std::task::{Context, Poll, ready};

use super::{HEAD_BYTES, Session};
use crate::http2::answer::{NoHead, Told, pack};
use crate::http2::frame::{self, DATA, END_STREAM, FRAME_BYTES};
use crate::http2::hpack;
use crate::limits::H2_OUT_BYTES;

/// Frames that are shorter than this, and not the last of an answer, wait for more room.
const LEAST_BYTES: usize = 4096;

impl Session {
    /// Whether answers may be written at all.
    pub(super) fn has_room(&self) -> bool {
        self.out.pending().len() < H2_OUT_BYTES
    }

    /// Waits until answers may be written.
    fn poll_room(&mut self, cx: &Context<'_>, place: usize) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_fate(cx, place) {
            return Poll::Ready(Err(error));
        }
        if self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.wait(place);
        Poll::Pending
    }

    /// Has a stream woken in its turn when there is room on the connection.
    pub(super) fn wait(&mut self, place: usize) {
        if !std::mem::replace(&mut self.slots[place].waits, true) {
            self.waiting.push_back(place);
        }
    }

    /// Sends the head in front of `text`; `ends` says whether it is the last word.
    pub(in crate::http2) fn poll_head(
        &mut self,
        cx: &Context<'_>,
        place: usize,
        text: &[u8],
        ends: impl FnOnce(&Told) -> bool,
    ) -> Poll<io::Result<Told>> {
        ready!(self.poll_room(cx, place))?;
        let out = &mut self.out.bytes;
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        if self.tell_table {
            hpack::push_table_size(out);
        }
        let told = match pack(text, out) {
            Ok(told) => told,
            Err(NoHead) => {
                out.truncate(start);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        };
        self.tell_table = false;
        let end = ends(&told);
        frame::seal(out, start, if end { END_STREAM } else { 0 }, self.ids[place]);
        if end {
            self.say_all(place);
        }
        Poll::Ready(Ok(told))
    }

    /// Sends what the client has room for; `end` ends the stream with the last byte.
    pub(in crate::http2) fn poll_give(
        &mut self,
        cx: &Context<'_>,
        place: usize,
        data: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx, place))?;
        let room = H2_OUT_BYTES - self.out.pending().len();
        let own = self.slots[place].window;
        let most = usize::try_from(own.min(self.window)).unwrap_or(0).min(data.len());
        if most == 0 || (room < LEAST_BYTES && room < most) {
            // A stream's own window wakes nobody but the stream.
            if own > 0 {
                self.wait(place);
            }
            return Poll::Pending;
        }
        // While others wait, each has one frame in its turn.
        let most = if self.waiting.is_empty() { most.min(room) } else { most.min(room).min(FRAME_BYTES) };
        let stream = self.ids[place];
        let end = end && most == data.len();
        let last = most.div_ceil(FRAME_BYTES) - 1;
        for (number, piece) in data[..most].chunks(FRAME_BYTES).enumerate() {
            let flags = if end && number == last { END_STREAM } else { 0 };
            frame::push_head(&mut self.out.bytes, piece.len(), DATA, flags, stream);
            self.out.bytes.extend_from_slice(piece);
        }
        self.slots[place].window -= most as i64;
        self.window -= most as i64;
        self.idle = 0;
        if end {
            self.say_all(place);
        }
        Poll::Ready(Ok(most))
    }

    /// Ends an answer, with the packed trailer fields if there are some.
    pub(in crate::http2) fn end(&mut self, place: usize, trailers: &[u8]) -> io::Result<()> {
        if self.has_failed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(fate) = self.slots[place].fate {
            return Err(fate.into());
        }
        let (out, stream) = (&mut self.out.bytes, self.ids[place]);
        if trailers.is_empty() {
            frame::push_head(out, 0, DATA, END_STREAM, stream);
        } else {
            let start = out.len();
            out.extend_from_slice(&[0; HEAD_BYTES]);
            out.extend_from_slice(trailers);
            frame::seal(out, start, END_STREAM, stream);
        }
        self.say_all(place);
        Ok(())
    }

    fn say_all(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        self.active -= usize::from(slot.is_active());
        slot.said = true;
        self.active += usize::from(slot.is_active());
    }
}
