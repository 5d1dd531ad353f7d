//! The form of netlink messages: a header, a fixed part, and attributes that may hold attributes.
//!
//! Unknown attributes are passed over, so a newer kernel that says more than ours is no reason to fail.

use std::io;

/// Every request carries it.
const REQUEST: u16 = 0x01;
/// The kernel confirms.
pub(crate) const ACK: u16 = 0x04;
/// All things of the kind.
pub(crate) const DUMP: u16 = 0x300;
/// Make it if it is not there.
pub(crate) const CREATE: u16 = 0x400;
/// Refuse if it is there.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// Take the place of what is there.
pub(crate) const REPLACE: u16 = 0x100;
/// At the end of what is there.
pub(crate) const APPEND: u16 = 0x800;

/// The attribute holds attributes.
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;

/// One message on its way to the kernel, without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    kind: u16,
    flags: u16,
    body: Body,
}

/// The bytes behind a message's header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// A body that begins with the fixed part of its message.
    pub(crate) fn of(fixed: &[u8]) -> Self {
        let mut body = Self(fixed.to_vec());
        body.pad();
        body
    }

    /// The same with one more attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).expect("no attribute of ours comes near 64 KiB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.pad();
        self
    }

    /// The same with a text, ended by a zero.
    pub(crate) fn with_text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.with(kind, &bytes)
    }

    /// The same with a number in this machine's order of bytes, as links, addresses and routes have them.
    pub(crate) fn with_number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_ne_bytes())
    }

    /// The same with a number in the network's order of bytes, as filters have them.
    pub(crate) fn with_big_number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_be_bytes())
    }

    /// The same with an attribute that holds these.
    pub(crate) fn with_nested(self, kind: u16, inner: Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }

    /// As a request; it is confirmed only if `flags` say so.
    pub(crate) fn request(self, kind: u16, flags: u16) -> Request {
        Request { kind, flags, body: self }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// The bytes of several requests, numbered from 1.
pub(crate) fn packet(requests: &[Request]) -> Vec<u8> {
    let mut packet = Vec::new();
    for (sequence, request) in (1u32..).zip(requests) {
        let length = u32::try_from(request.body.0.len() + HEADER).expect("a request is short");
        packet.extend(length.to_ne_bytes());
        packet.extend(request.kind.to_ne_bytes());
        packet.extend((request.flags | REQUEST).to_ne_bytes());
        packet.extend(sequence.to_ne_bytes());
        packet.extend([0; 4]); // The sender's port: the kernel knows it.
        packet.extend(&request.body.0);
    }
    packet
}

/// One message from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// How the request of this number went: 0, or the negative number of an error.
    Result { sequence: u32, code: i32 },
    /// The end of a list.
    Done,
    /// Something that we asked for.
    Thing { kind: u16, payload: Vec<u8> },
}

/// Takes a received packet apart.
pub(crate) fn answers(mut packet: &[u8], into: &mut Vec<Answer>) -> io::Result<()> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a message of the kernel is cut short");
    while !packet.is_empty() {
        let length = u32_at(packet, 0).ok_or_else(short)? as usize;
        if length < HEADER || length > packet.len() {
            return Err(short());
        }
        let kind = u16_at(packet, 4).ok_or_else(short)?;
        let sequence = u32_at(packet, 8).ok_or_else(short)?;
        let payload = &packet[HEADER..length];
        into.push(match kind {
            TYPE_ERROR => {
                let code = u32_at(payload, 0).ok_or_else(short)?.cast_signed();
                Answer::Result { sequence, code }
            }
            TYPE_DONE => Answer::Done,
            _ => Answer::Thing { kind, payload: payload.to_vec() },
        });
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// The attributes behind the fixed part of a payload.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & !NESTED & !0x4000;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A number in this machine's order of bytes.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// A text, without the zero that ends it.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests;
