//! One connection of HTTP/2 (RFC 9113) as a machine without a socket or a clock: frames in, requests and frames out.
//!
//! It is given bytes and says which requests begin; what it has to say stands in [`Session::out`]. Streams are known by
//! their place, which a [`Lane`](super::Lane) holds until it is dropped. Whoever waits for something of a stream leaves a
//! waker there.
//!
//! Invariant: everything that a client can have us keep or say has a bound, and with it each kind of frame that costs the
//! client less than us: see [`Session::is_clogged`], `note_reset` and `note_idle`.

mod give;
mod receive;

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use super::frame::{self, FRAME_BYTES, HEAD_BYTES, Reason, WINDOW};
use super::hpack::Decoder;
use super::request::{Head, Scratch};
use crate::buffer::Output;
use crate::limits::{
    H2_CONNECTION_WINDOW, H2_CONTROL_BYTES, H2_IDLE_FRAMES, H2_OUT_BYTES, H2_OWN_ENDS, H2_RESETS,
    H2_STREAM_WINDOW, H2_STREAMS, REQUEST_HEAD_BYTES,
};

/// What a client of HTTP/2 says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Places that a connection without streams keeps.
const PLACES_KEPT: usize = 16;
/// What the ping says whose answer shows that the client has heard our goodbye.
const FAREWELL: [u8; 8] = *b"farewell";

/// What became of the bytes in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// More must come first.
    More,
    /// So many were used.
    Used(usize),
    /// So many were used, and a request begins, whose head was written to the page.
    Begun(usize, Begun),
    /// The client does not speak HTTP/2, and was told so; nothing that it sends means anything.
    Failed,
}

/// A request that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) place: usize,
    pub(super) head: Head,
}

/// What the next bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The preface.
    Preface,
    /// The client's first settings.
    Settings,
    Frames,
    /// The connection has failed.
    Failed,
}

/// How far our goodbye is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client is told to ask for nothing more; what it has sent by then is still served.
    Announced,
    /// Streams beyond this one are not looked at.
    Beyond(u32),
}

/// Why a stream has ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The client gave it up.
    GivenUp,
    /// It was against the rules.
    Failed,
}

impl From<Fate> for io::Error {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::GivenUp => io::ErrorKind::ConnectionReset.into(),
            Fate::Failed => io::ErrorKind::InvalidData.into(),
        }
    }
}

/// A block of fields that is not whole yet.
struct Block {
    stream: u32,
    end: bool,
    /// It says that it depends on itself.
    odd: bool,
    bytes: Vec<u8>,
    frames: u32,
}

/// One stream.
#[derive(Default)]
struct Slot {
    /// What we may send, and what the client may.
    window: i64,
    room: i64,
    /// What was read and not yet given back to the client.
    owed: i64,
    /// What has come of the body, and how far it was read.
    body: Vec<u8>,
    at: usize,
    /// Trailer fields as lines.
    trailers: Vec<u8>,
    /// How much has come, and how much is to.
    came: u64,
    length: Option<u64>,
    /// The client has said all, and we have.
    over: bool,
    said: bool,
    fate: Option<Fate>,
    waker: Option<Waker>,
    /// It is among those that wait for room.
    waits: bool,
}

impl Slot {
    fn is_active(&self) -> bool {
        self.fate.is_none() && !(self.over && self.said)
    }

    fn wake(&mut self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn enrol(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// One connection.
pub(super) struct Session {
    stage: Stage,
    decoder: Decoder,
    scratch: Scratch,
    block: Option<Box<Block>>,
    /// The streams by their places, and their numbers, of which 0 is nobody's.
    slots: Vec<Slot>,
    ids: Vec<u32>,
    /// The highest number that the client has used.
    last: u32,
    /// Streams that both sides have not ended, and places that are taken.
    active: usize,
    lanes: usize,
    /// Streams that we ended before the client did, the oldest first: it may not have heard.
    ended: VecDeque<u32>,
    /// Streams that were given up or failed, less those that came to their end.
    resets: u32,
    /// Frames since something last moved.
    idle: u32,
    /// The window that streams begin with, and that of the connection.
    first_window: i64,
    window: i64,
    /// What the client may send, and what of it was read and not yet given back.
    room: i64,
    owed: i64,
    /// What goes to the client, and how much of that are answers to frames.
    pub(super) out: Output,
    control: usize,
    /// Places that wait for room, in turn.
    waiting: VecDeque<usize>,
    /// The client must hear that our table is empty.
    tell_table: bool,
    leaving: Leaving,
    /// The client asks for nothing more.
    client_leaves: bool,
}

impl Session {
    pub(super) fn new() -> Self {
        let mut out = Output::default();
        let settings = [
            (3, H2_STREAMS),
            (4, H2_STREAM_WINDOW),
            (6, REQUEST_HEAD_BYTES as u32),
            // Extended CONNECT: RFC 8441.
            (8, 1),
        ];
        frame::push_settings(&mut out.bytes, &settings);
        frame::push_window(&mut out.bytes, 0, H2_CONNECTION_WINDOW - WINDOW as u32);
        Self {
            stage: Stage::Preface,
            decoder: Decoder::new(),
            scratch: Scratch::default(),
            block: None,
            slots: Vec::new(),
            ids: Vec::new(),
            last: 0,
            active: 0,
            lanes: 0,
            ended: VecDeque::new(),
            resets: 0,
            idle: 0,
            first_window: WINDOW,
            window: WINDOW,
            room: i64::from(H2_CONNECTION_WINDOW),
            owed: 0,
            out,
            control: 0,
            waiting: VecDeque::new(),
            tell_table: false,
            leaving: Leaving::No,
            client_leaves: false,
        }
    }

    /// Whether the client has said hello.
    pub(super) fn has_met(&self) -> bool {
        self.stage == Stage::Frames
    }

    pub(super) fn has_failed(&self) -> bool {
        self.stage == Stage::Failed
    }

    /// Whether no stream is served.
    pub(super) fn rests(&self) -> bool {
        self.lanes == 0
    }

    /// Whether nothing more is to come of it but what stands in `out`.
    pub(super) fn is_over(&self) -> bool {
        let leaves = self.client_leaves || matches!(self.leaving, Leaving::Beyond(_));
        self.has_failed() || (leaves && self.lanes == 0 && self.active == 0)
    }

    /// Whether a goodbye was said.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    /// Whether nothing is to be read until the client has taken what it made us say.
    pub(super) fn is_clogged(&self) -> bool {
        self.control > H2_CONTROL_BYTES
    }

    /// Tells the client to ask for nothing more here. It may be asking just now, which is served too.
    pub(super) fn leave(&mut self) {
        if self.leaving == Leaving::No && !self.has_failed() {
            self.leaving = Leaving::Announced;
            frame::push_goodbye(&mut self.out.bytes, u32::MAX >> 1, Reason::NO_ERROR);
            frame::push_ping(&mut self.out.bytes, 0, FAREWELL);
        }
    }

    /// Forgets what a client has sent without any use in a while.
    pub(super) fn calm(&mut self) {
        self.idle = 0;
    }

    /// Ends the connection for this reason.
    fn fail(&mut self, reason: Reason) {
        let last = if let Leaving::Beyond(last) = self.leaving { last } else { self.last };
        frame::push_goodbye(&mut self.out.bytes, last, reason);
        self.abandon();
    }

    /// Has all streams hear that the connection is gone.
    pub(super) fn abandon(&mut self) {
        self.stage = Stage::Failed;
        self.block = None;
        self.slots.iter_mut().for_each(Slot::wake);
    }

    /// Notes that so many bytes went out, and lets those go on that waited for room.
    pub(super) fn wrote(&mut self, count: usize) {
        self.out.wrote(count);
        self.control = if self.out.is_flushed() { 0 } else { self.control.saturating_sub(count) };
        if self.out.at >= FRAME_BYTES {
            // A slow client may never have taken all, and what it has taken must not pile up.
            self.out.bytes.drain(..self.out.at);
            self.out.at = 0;
        }
        if self.out.pending().len() <= H2_OUT_BYTES / 2 {
            self.wake_waiting();
        }
    }

    fn wake_waiting(&mut self) {
        for place in std::mem::take(&mut self.waiting) {
            self.slots[place].waits = false;
            self.slots[place].wake();
        }
    }

    /// The place of a stream.
    fn find(&self, stream: u32) -> Option<usize> {
        self.ids.iter().position(|id| *id == stream)
    }

    /// Whether a client has not used this number yet.
    fn is_unused(&self, stream: u32) -> bool {
        stream > self.last || stream.is_multiple_of(2)
    }

    /// A place for a stream that begins.
    fn take_place(&mut self, stream: u32, slot: Slot) -> usize {
        self.active += usize::from(slot.is_active());
        self.lanes += 1;
        match self.find(0) {
            Some(place) => {
                self.ids[place] = stream;
                self.slots[place] = slot;
                place
            }
            None => {
                self.ids.push(stream);
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    /// Gives a place back. A stream that has not come to its end does so for this reason; one whose answer is whole while
    /// its request is not ends without an error.
    pub(super) fn leave_place(&mut self, place: usize, flaw: Option<Reason>) -> (Vec<u8>, Vec<u8>) {
        let slot = std::mem::take(&mut self.slots[place]);
        let stream = std::mem::take(&mut self.ids[place]);
        self.lanes -= 1;
        self.active -= usize::from(slot.is_active());
        if slot.waits {
            self.waiting.retain(|other| *other != place);
        }
        // The client may send as much again, on other streams.
        self.give_back((slot.body.len() - slot.at) as i64);
        if slot.fate.is_none() && !self.has_failed() {
            if slot.is_active() {
                frame::push_reset(&mut self.out.bytes, stream, flaw.unwrap_or(Reason::NO_ERROR));
                self.note_own_end(stream);
            }
            self.resets = self.resets.saturating_sub(u32::from(flaw.is_none()));
        }
        if self.lanes == 0 && self.slots.len() > PLACES_KEPT {
            // A connection at rest holds no more than it needs.
            self.slots = Vec::new();
            self.ids = Vec::new();
        }
        (slot.body, slot.trailers)
    }

    /// Remembers a stream of which the client may not know that it has ended.
    fn note_own_end(&mut self, stream: u32) {
        if self.ended.len() == H2_OWN_ENDS {
            self.ended.pop_front();
        }
        self.ended.push_back(stream);
    }

    /// Counts a stream that was given up or failed by the client's doing. One that opens streams only for that has us
    /// work for nothing (CVE-2023-44487, CVE-2025-8671); one that changes its mind now and then does not.
    fn note_reset(&mut self) -> Result<(), Reason> {
        self.resets += 1;
        if self.resets > H2_RESETS { Err(Reason::ENHANCE_YOUR_CALM) } else { Ok(()) }
    }

    /// Counts a frame that moves nothing.
    fn note_idle(&mut self) -> Result<(), Reason> {
        self.idle += 1;
        if self.idle > H2_IDLE_FRAMES { Err(Reason::ENHANCE_YOUR_CALM) } else { Ok(()) }
    }

    /// The client may send so much more on the connection; it hears that by halves of the window.
    fn give_back(&mut self, count: i64) {
        self.owed += count;
        if self.owed >= i64::from(H2_CONNECTION_WINDOW / 2) && !self.has_failed() {
            frame::push_window(&mut self.out.bytes, 0, self.owed as u32);
            self.room += std::mem::take(&mut self.owed);
        }
    }

    /// What became of a stream that has ended before its time.
    pub(super) fn fate(&self, place: usize) -> Option<Fate> {
        self.slots[place].fate
    }

    /// What of a stream's body waits to be read.
    pub(super) fn body(&self, place: usize) -> &[u8] {
        let slot = &self.slots[place];
        &slot.body[slot.at..]
    }

    /// Notes that so many bytes of it were read.
    pub(super) fn consume(&mut self, place: usize, count: usize) {
        let stream = self.ids[place];
        let slot = &mut self.slots[place];
        slot.at += count;
        if slot.at == slot.body.len() {
            slot.body.clear();
            slot.at = 0;
        }
        slot.owed += count as i64;
        if slot.owed >= i64::from(H2_STREAM_WINDOW / 2) && !slot.over && slot.fate.is_none() {
            frame::push_window(&mut self.out.bytes, stream, slot.owed as u32);
            slot.room += std::mem::take(&mut slot.owed);
        }
        self.give_back(count as i64);
    }

    /// Waits until there is a body to read, or all of it has come: then the lines of trailer fields.
    pub(super) fn poll_body(&mut self, cx: &Context<'_>, place: usize) -> Poll<io::Result<Option<&[u8]>>> {
        if let Poll::Ready(error) = self.poll_fate(cx, place) {
            return Poll::Ready(Err(error));
        }
        let slot = &self.slots[place];
        if slot.at < slot.body.len() {
            return Poll::Ready(Ok(None));
        }
        if slot.over { Poll::Ready(Ok(Some(&slot.trailers))) } else { Poll::Pending }
    }

    /// Ready when a stream has ended before its time; otherwise the task is woken when anything happens to it.
    pub(super) fn poll_fate(&mut self, cx: &Context<'_>, place: usize) -> Poll<io::Error> {
        if self.has_failed() {
            return Poll::Ready(io::ErrorKind::BrokenPipe.into());
        }
        let slot = &mut self.slots[place];
        if let Some(fate) = slot.fate {
            return Poll::Ready(fate.into());
        }
        slot.enrol(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
