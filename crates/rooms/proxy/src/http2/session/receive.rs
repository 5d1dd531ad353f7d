//! What a client sends: each frame, and what RFC 9113 has a server do with it.

use super::{Begun, Block, FAREWELL, Fate, Leaving, PREFACE, Session, Slot, Stage, Step};
use crate::http2::frame::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEAD_BYTES, HEADERS, PING,
    PRIORITY, PUSH_PROMISE, RST_STREAM, Reason, SETTINGS, WINDOW_MOST, WINDOW_UPDATE, WITH_PRIORITY,
};
use crate::http2::hpack::BadBlock;
use crate::http2::request::{Malformed, Writer, trailer};
use crate::limits::{H2_BLOCK_BYTES, H2_BLOCK_FRAMES, H2_STREAM_WINDOW, H2_STREAMS};

impl From<BadBlock> for Reason {
    fn from(_: BadBlock) -> Self {
        Self::COMPRESSION_ERROR
    }
}

/// A block that is whole.
struct Fields<'a> {
    stream: u32,
    end: bool,
    odd: bool,
    block: &'a [u8],
}

impl Session {
    /// Takes what stands in front of `buf`: at most one frame. The head of a request is written to `page`, which is
    /// empty.
    pub(in crate::http2) fn step(&mut self, buf: &[u8], page: &mut Vec<u8>) -> Step {
        match self.try_step(buf, page) {
            Ok(step) => step,
            Err(reason) => {
                page.clear();
                self.fail(reason);
                Step::Failed
            }
        }
    }

    fn try_step(&mut self, buf: &[u8], page: &mut Vec<u8>) -> Result<Step, Reason> {
        match self.stage {
            Stage::Preface => {
                let count = buf.len().min(PREFACE.len());
                if buf[..count] != PREFACE[..count] {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                if count < PREFACE.len() {
                    return Ok(Step::More);
                }
                self.stage = Stage::Settings;
                Ok(Step::Used(count))
            }
            Stage::Settings | Stage::Frames => {
                let Some(frame) = Frame::read(buf)? else { return Ok(Step::More) };
                let used = HEAD_BYTES + frame.payload.len();
                let begun = self.take(&frame, page)?;
                Ok(begun.map_or(Step::Used(used), |begun| Step::Begun(used, begun)))
            }
            Stage::Failed => Ok(Step::Failed),
        }
    }

    fn take(&mut self, frame: &Frame<'_>, page: &mut Vec<u8>) -> Result<Option<Begun>, Reason> {
        if self.block.is_some() && frame.kind != CONTINUATION {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if self.stage == Stage::Settings {
            if frame.kind != SETTINGS || frame.has(ACK) {
                return Err(Reason::PROTOCOL_ERROR);
            }
            self.stage = Stage::Frames;
        }
        match frame.kind {
            DATA => self.data(frame)?,
            HEADERS => return self.headers(frame, page),
            PRIORITY => self.priority(frame)?,
            RST_STREAM => self.reset(frame)?,
            SETTINGS => self.settings(frame)?,
            PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR),
            PING => self.ping(frame)?,
            GOAWAY => {
                if frame.stream != 0 {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                if frame.payload.len() < 8 {
                    return Err(Reason::FRAME_SIZE_ERROR);
                }
                self.client_leaves = true;
                self.note_idle()?;
            }
            WINDOW_UPDATE => self.window_update(frame)?,
            CONTINUATION => return self.continuation(frame, page),
            // Frames that we do not know are passed over.
            _ => self.note_idle()?,
        }
        Ok(None)
    }

    fn data(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        if frame.stream == 0 || self.is_unused(frame.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let content = frame.content()?;
        let end = frame.has(END_STREAM);
        let length = frame.payload.len() as i64;
        self.room -= length;
        if self.room < 0 {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        if content.is_empty() && !end {
            self.note_idle()?;
        } else {
            self.idle = 0;
        }
        let Some(place) = self.find(frame.stream) else {
            self.give_back(length);
            return self.stray(frame.stream);
        };
        let slot = &mut self.slots[place];
        slot.room -= length;
        slot.came += content.len() as u64;
        let beyond = slot.length.is_some_and(|want| slot.came > want || (end && slot.came < want));
        let flaw = match slot.fate {
            // Nobody reads it, and it was said why.
            Some(Fate::Failed) => None,
            Some(Fate::GivenUp) => Some(Reason::STREAM_CLOSED),
            None if slot.over => Some(Reason::STREAM_CLOSED),
            None if slot.room < 0 => Some(Reason::FLOW_CONTROL_ERROR),
            None if beyond => Some(Reason::PROTOCOL_ERROR),
            None => {
                let padding = length - content.len() as i64;
                if slot.at > slot.body.len() / 2 {
                    slot.body.drain(..slot.at);
                    slot.at = 0;
                }
                slot.body.extend_from_slice(content);
                slot.owed += padding;
                self.give_back(padding);
                if end {
                    self.end_request(place);
                }
                self.slots[place].wake();
                return Ok(());
            }
        };
        self.give_back(length);
        flaw.map_or(Ok(()), |flaw| self.spoil(frame.stream, flaw))
    }

    /// Data for a stream that is no more. A client that has not heard so yet is in the right.
    fn stray(&mut self, stream: u32) -> Result<(), Reason> {
        if self.ended.contains(&stream) || self.is_beyond(stream) {
            return self.note_idle();
        }
        self.spoil(stream, Reason::STREAM_CLOSED)
    }

    /// Whether a stream began after our goodbye, and was not looked at.
    fn is_beyond(&self, stream: u32) -> bool {
        matches!(self.leaving, Leaving::Beyond(last) if stream > last)
    }

    /// Notes that a request is whole.
    fn end_request(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        self.active -= usize::from(slot.is_active());
        slot.over = true;
        self.active += usize::from(slot.is_active());
    }

    /// Ends a stream with an error that is the client's.
    fn spoil(&mut self, stream: u32, reason: Reason) -> Result<(), Reason> {
        let before = self.out.bytes.len();
        frame::push_reset(&mut self.out.bytes, stream, reason);
        self.control += self.out.bytes.len() - before;
        self.note_own_end(stream);
        self.give_up(stream, Fate::Failed);
        self.note_reset()
    }

    fn give_up(&mut self, stream: u32, fate: Fate) {
        let Some(place) = self.find(stream) else { return };
        let slot = &mut self.slots[place];
        self.active -= usize::from(slot.is_active());
        slot.fate = slot.fate.or(Some(fate));
        slot.wake();
    }

    fn headers(&mut self, frame: &Frame<'_>, page: &mut Vec<u8>) -> Result<Option<Begun>, Reason> {
        let stream = frame.stream;
        if stream.is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let mut block = frame.content()?;
        let mut odd = false;
        if frame.has(WITH_PRIORITY) {
            let (on, rest) = block.split_first_chunk::<5>().ok_or(Reason::FRAME_SIZE_ERROR)?;
            odd = depends_on(on) == stream;
            block = rest;
        }
        let end = frame.has(END_STREAM);
        if frame.has(END_HEADERS) {
            return self.fields(&Fields { stream, end, odd, block }, page);
        }
        self.block = Some(Box::new(Block { stream, end, odd, bytes: block.to_vec(), frames: 0 }));
        Ok(None)
    }

    /// Takes in the next part of a block, of which there may be so much and no more (CVE-2024-27316).
    fn continuation(&mut self, frame: &Frame<'_>, page: &mut Vec<u8>) -> Result<Option<Begun>, Reason> {
        let Some(mut block) = self.block.take().filter(|block| block.stream == frame.stream) else {
            return Err(Reason::PROTOCOL_ERROR);
        };
        block.frames += 1;
        if block.frames > H2_BLOCK_FRAMES || block.bytes.len() + frame.payload.len() > H2_BLOCK_BYTES {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        block.bytes.extend_from_slice(frame.payload);
        if !frame.has(END_HEADERS) {
            self.block = Some(block);
            return Ok(None);
        }
        let Block { stream, end, odd, ref bytes, .. } = *block;
        self.fields(&Fields { stream, end, odd, block: bytes }, page)
    }

    /// Takes in a whole block. It is read in any case, as those after it build on it.
    fn fields(&mut self, fields: &Fields<'_>, page: &mut Vec<u8>) -> Result<Option<Begun>, Reason> {
        let stream = fields.stream;
        if let Some(place) = self.find(stream) {
            self.trailers(place, fields)?;
            return Ok(None);
        }
        if stream <= self.last || self.is_beyond(stream) {
            self.last = self.last.max(stream);
            self.decoder.decode(fields.block, |_| {})?;
            if self.ended.contains(&stream) || self.is_beyond(stream) {
                self.note_idle()?;
                return Ok(None);
            }
            return Err(Reason::STREAM_CLOSED);
        }
        self.last = stream;
        if self.active >= H2_STREAMS as usize {
            self.decoder.decode(fields.block, |_| {})?;
            self.spoil(stream, Reason::REFUSED_STREAM)?;
            return Ok(None);
        }
        let mut writer = Writer::new(page, &mut self.scratch);
        self.decoder.decode(fields.block, |line| writer.field(line))?;
        match writer.finish(fields.end) {
            Ok(head) if !fields.odd => {
                self.idle = 0;
                let slot = Slot {
                    window: self.first_window,
                    room: i64::from(H2_STREAM_WINDOW),
                    length: head.length,
                    over: fields.end,
                    ..Slot::default()
                };
                Ok(Some(Begun { place: self.take_place(stream, slot), head }))
            }
            Ok(_) | Err(Malformed) => {
                page.clear();
                self.spoil(stream, Reason::PROTOCOL_ERROR)?;
                Ok(None)
            }
        }
    }

    fn trailers(&mut self, place: usize, fields: &Fields<'_>) -> Result<(), Reason> {
        let slot = &mut self.slots[place];
        let (lines, mut sound) = (&mut slot.trailers, true);
        let over = slot.over;
        self.decoder.decode(fields.block, |line| {
            // Those of a stream that has ended are not kept.
            sound = sound && (over || trailer(lines, line).is_ok());
        })?;
        let whole = slot.length.is_none_or(|want| slot.came == want);
        match slot.fate {
            Some(Fate::Failed) => return self.note_idle(),
            Some(Fate::GivenUp) => return self.spoil(fields.stream, Reason::STREAM_CLOSED),
            None if over => return self.spoil(fields.stream, Reason::STREAM_CLOSED),
            None if !sound || !whole || !fields.end || fields.odd => {
                return self.spoil(fields.stream, Reason::PROTOCOL_ERROR);
            }
            None => {}
        }
        self.end_request(place);
        self.slots[place].wake();
        Ok(())
    }

    /// What comes first is no matter of ours (RFC 9113, section 5.3.2), but it has its form.
    fn priority(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        if frame.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let flaw = match frame.exactly::<5>() {
            Err(size) => Some(size),
            Ok(on) => (depends_on(&on) == frame.stream).then_some(Reason::PROTOCOL_ERROR),
        };
        match flaw {
            None => self.note_idle(),
            Some(flaw) if self.is_unused(frame.stream) => Err(flaw),
            Some(flaw) => self.spoil(frame.stream, flaw),
        }
    }

    fn reset(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        frame.exactly::<4>()?;
        if self.is_unused(frame.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let live = self.find(frame.stream).is_some_and(|place| self.slots[place].fate.is_none());
        if !live {
            return self.note_idle();
        }
        self.give_up(frame.stream, Fate::GivenUp);
        self.note_reset()
    }

    fn settings(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        if frame.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let (settings, []) = frame.payload.as_chunks::<6>() else { return Err(Reason::FRAME_SIZE_ERROR) };
        self.note_idle()?;
        if frame.has(ACK) {
            return if settings.is_empty() { Ok(()) } else { Err(Reason::FRAME_SIZE_ERROR) };
        }
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match (u16::from_be_bytes([*a, *b]), value) {
                // We keep no table, which is as small as any; it has to be said once.
                (1, 0..4096) => self.tell_table = true,
                (2 | 8, 2..) => return Err(Reason::PROTOCOL_ERROR),
                (4, _) => self.resize(i64::from(value))?,
                (5, 0..16_384 | 16_777_216..) => return Err(Reason::PROTOCOL_ERROR),
                _ => {}
            }
        }
        frame::push_head(&mut self.out.bytes, 0, SETTINGS, ACK, 0);
        self.control += HEAD_BYTES;
        Ok(())
    }

    /// Changes the window that streams begin with, and as much in those that have.
    fn resize(&mut self, window: i64) -> Result<(), Reason> {
        if window > WINDOW_MOST {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        let more = window - self.first_window;
        self.first_window = window;
        for slot in &mut self.slots {
            slot.window += more;
            if slot.window > WINDOW_MOST {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            if more > 0 {
                slot.wake();
            }
        }
        Ok(())
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        if frame.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let content = frame.exactly::<8>()?;
        self.note_idle()?;
        if !frame.has(ACK) {
            frame::push_ping(&mut self.out.bytes, ACK, content);
            self.control += HEAD_BYTES + content.len();
        } else if content == FAREWELL && self.leaving == Leaving::Announced {
            // It has heard our goodbye, so what it has sent by now is all that it sends.
            self.leaving = Leaving::Beyond(self.last);
            frame::push_goodbye(&mut self.out.bytes, self.last, Reason::NO_ERROR);
        }
        Ok(())
    }

    fn window_update(&mut self, frame: &Frame<'_>) -> Result<(), Reason> {
        let more = i64::from(u32::from_be_bytes(frame.exactly()?) & (u32::MAX >> 1));
        self.note_idle()?;
        if frame.stream == 0 {
            if more == 0 {
                return Err(Reason::PROTOCOL_ERROR);
            }
            self.window += more;
            if self.window > WINDOW_MOST {
                return Err(Reason::FLOW_CONTROL_ERROR);
            }
            self.wake_waiting();
            return Ok(());
        }
        if self.is_unused(frame.stream) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let Some(place) = self.find(frame.stream).filter(|place| self.slots[*place].fate.is_none()) else {
            return Ok(());
        };
        let slot = &mut self.slots[place];
        slot.window += more;
        if more == 0 {
            return self.spoil(frame.stream, Reason::PROTOCOL_ERROR);
        }
        if slot.window > WINDOW_MOST {
            return self.spoil(frame.stream, Reason::FLOW_CONTROL_ERROR);
        }
        slot.wake();
        Ok(())
    }
}

/// The stream that another is said to depend on.
fn depends_on(priority: &[u8; 5]) -> u32 {
    let [a, b, c, d, _] = *priority;
    u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1)
}
