//! An archive as a context: unpacked while it comes.

use std::io::{self, Read};
use std::sync::Arc;

use build::context::{self, ContextError};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::contexts::Tree;
use crate::engine::Engine;
use crate::grpc::{ClientStream, Code, Status};
use crate::proto::Chunk;

/// So many pieces wait to be unpacked.
const QUEUE: usize = 16;

/// Takes the archive in as it comes from the client.
pub(crate) async fn take(engine: &Engine, mut stream: ClientStream) -> Result<Arc<Tree>, Status> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    // The client waits for a word before it sends, and for the end before it ends.
    stream.close();
    let pump = async {
        while let Some(Chunk { data }) = stream.next::<Chunk>().await? {
            if sender.send(Ok(data)).await.is_err() {
                break;
            }
        }
        drop(sender);
        Ok::<_, Status>(())
    };
    let (pumped, tree) = tokio::join!(pump, unpack(engine, Pieces::new(receiver)));
    pumped?;
    tree
}

/// Unpacks what is read into a tree of its own.
pub(crate) async fn unpack(engine: &Engine, pieces: Pieces) -> Result<Arc<Tree>, Status> {
    let fail = |error: io::Error| Status::failed(format!("the context cannot be kept: {error}"));
    // Nobody asks for the same archive again: each has a key of its own.
    let key = format!("archive\0{}", u64::from_le_bytes(base::kernel_bytes()));
    let incoming = engine.contexts.begin(&key).map_err(fail)?;
    let unpacking = tokio::task::spawn_blocking(move || {
        let taken = unpacked(pieces, incoming.path());
        taken.map(|bytes| (incoming, bytes))
    });
    let taken = unpacking.await.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    let (incoming, bytes) = taken?;
    engine.contexts.keep_once(incoming, bytes).map_err(fail)
}

fn unpacked(mut pieces: Pieces, target: &std::path::Path) -> Result<u64, Status> {
    let fail =
        |error: &dyn std::fmt::Display| Status::failed(format!("failed to unpack the context: {error}"));
    let mut head = Vec::new();
    (&mut pieces).take(6).read_to_end(&mut head).map_err(|error| fail(&error))?;
    let whole = io::Cursor::new(head.clone()).chain(pieces);
    let done = match head.as_slice() {
        [0x1f, 0x8b, ..] => unpack_plain(flate2::read::MultiGzDecoder::new(whole), target),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let plain = zstd::stream::read::Decoder::new(whole).map_err(|error| fail(&error))?;
            unpack_plain(plain, target)
        }
        [b'B', b'Z', b'h', ..] => return Err(packed("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return Err(packed("xz")),
        _ => unpack_plain(whole, target),
    };
    done.map_err(|error| match &error {
        ContextError::Archive { source } => fail(&source),
        other => fail(other),
    })
}

fn packed(how: &str) -> Status {
    Status::failed(format!("a context packed with {how} is not supported here; pack it with gzip or zstd"))
}

fn unpack_plain(reader: impl Read, target: &std::path::Path) -> Result<u64, ContextError> {
    context::unpack(reader, target, context::Limits::default()).map(|packed| packed.bytes)
}

/// Pieces that come in, for code that waits.
pub(crate) struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Pieces {
    pub(crate) fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, rest: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let take = buffer.len().min(self.rest.len());
        buffer[..take].copy_from_slice(&self.rest.split_to(take));
        Ok(take)
    }
}
