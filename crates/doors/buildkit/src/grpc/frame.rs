//! A message on the wire: a byte that says whether it is compressed, its length in four, itself.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::MESSAGE_BYTES;
use super::status::{Code, Status};

const HEAD: usize = 5;

/// The message with its head.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(HEAD + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // It has room for all of it, which is the only thing that could fail.
    let _ = message.encode(&mut out);
    out.freeze()
}

/// Takes messages out of pieces as they come.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// More came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(crate) fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some(head) = self.buffer.get(..HEAD) else { return Ok(None) };
        if head[0] != 0 {
            return Err(Status::new(Code::Unimplemented, "compressed messages are not supported"));
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > MESSAGE_BYTES {
            let message = format!("a message of {length} bytes is larger than the bound of {MESSAGE_BYTES}");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let body = self.buffer.split_to(length).freeze();
        M::decode(body)
            .map(Some)
            .map_err(|error| Status::new(Code::Internal, format!("a message cannot be read: {error}")))
    }

    /// No piece of a message is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}
