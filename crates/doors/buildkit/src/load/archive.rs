//! An archive as a context: unpacked while it comes.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use build::Cancel;
use build::context::{self, ContextError};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::contexts::Tree;
use crate::engine::Engine;
use crate::grpc::{ClientStream, Code, Status};
use crate::proto::Chunk;

/// So many pieces wait to be unpacked.
const QUEUE: usize = 16;

/// The name of what is no archive, in its folder.
pub(crate) const ALONE: &str = "context";
/// The most bytes that are fetched from the web.
const FETCHED_BYTES: u64 = 4 << 30;
/// The first block of a tar archive.
const BLOCK: usize = 512;

/// A context that came whole.
pub(crate) struct Unpacked {
    /// Its files.
    pub tree: Arc<Tree>,
    /// It was no archive: the tree holds it alone, as [`ALONE`].
    pub alone: bool,
}

/// Takes the archive in as it comes from the client.
pub(crate) async fn take(engine: &Engine, mut stream: ClientStream) -> Result<Unpacked, Status> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    // The client waits for the end of what is said to it.
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

/// Takes in what is behind a URL.
pub(crate) async fn fetch(engine: &Engine, url: &str, cancel: Cancel) -> Result<Unpacked, Status> {
    let Some(fetcher) = engine.fetcher.clone() else {
        let message =
            format!("the context `{url}` cannot be fetched here: this builder has no way to the web");
        return Err(Status::failed(message));
    };
    let (sender, receiver) = mpsc::channel(QUEUE);
    let url = url.to_owned();
    let fetching = tokio::task::spawn_blocking(move || {
        let mut pieces = Sent(sender);
        fetcher.fetch(&url, FETCHED_BYTES, &mut pieces, &mut |_| {}, &cancel)
    });
    let (fetched, tree) = tokio::join!(fetching, unpack(engine, Pieces::new(receiver)));
    let fetched = fetched.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    // Why it did not come says more than where the archive was cut.
    fetched.map_err(|report| {
        Status::failed(report.because.iter().fold(report.message, |sum, next| format!("{sum}: {next}")))
    })?;
    tree
}

/// Unpacks what is read into a tree of its own.
pub(crate) async fn unpack(engine: &Engine, pieces: Pieces) -> Result<Unpacked, Status> {
    let fail = |error: io::Error| Status::failed(format!("the context cannot be kept: {error}"));
    // Nobody asks for the same archive again: each has a key of its own.
    let key = format!("archive\0{}", u64::from_le_bytes(base::kernel_bytes()));
    let incoming = engine.contexts.begin(&key).map_err(fail)?;
    let unpacking = tokio::task::spawn_blocking(move || {
        let taken = unpacked(pieces, incoming.path());
        taken.map(|taken| (incoming, taken))
    });
    let taken = unpacking.await.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    let (incoming, (bytes, alone)) = taken?;
    let tree = engine.contexts.keep_once(incoming, bytes).map_err(fail)?;
    Ok(Unpacked { tree, alone })
}

/// The bytes of all files, and whether it was no archive.
fn unpacked(mut pieces: Pieces, target: &Path) -> Result<(u64, bool), Status> {
    let fail =
        |error: &dyn std::fmt::Display| Status::failed(format!("failed to unpack the context: {error}"));
    let mut head = Vec::new();
    (&mut pieces).take(BLOCK as u64).read_to_end(&mut head).map_err(|error| fail(&error))?;
    let whole = io::Cursor::new(head.clone()).chain(pieces);
    let done = match head.as_slice() {
        [0x1f, 0x8b, ..] => unpack_plain(flate2::read::MultiGzDecoder::new(whole), target),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let plain = zstd::stream::read::Decoder::new(whole).map_err(|error| fail(&error))?;
            unpack_plain(plain, target)
        }
        [b'B', b'Z', b'h', ..] => return Err(packed("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return Err(packed("xz")),
        block if is_tar(block) => unpack_plain(whole, target),
        _ => return alone(whole, target).map_err(|error| fail(&error)),
    };
    let bytes = done.map_err(|error| match &error {
        ContextError::Archive { source } => fail(&source),
        other => fail(other),
    })?;
    Ok((bytes, false))
}

/// Keeps what is no archive; it is a Dockerfile, or nothing that makes sense.
fn alone(reader: impl Read, target: &Path) -> io::Result<(u64, bool)> {
    let most = build::dockerfile::MAX_SIZE_BYTES as u64;
    let mut file = std::fs::File::create(target.join(ALONE))?;
    let bytes = io::copy(&mut reader.take(most + 1), &mut file)?;
    if bytes > most {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no archive, and too large for a Dockerfile",
        ));
    }
    Ok((bytes, true))
}

/// Whether this is the first block of a tar archive: the sum of its bytes stands in it, and was made with blanks there.
fn is_tar(block: &[u8]) -> bool {
    let Some(field) = block.get(148..156).filter(|_| block.len() == BLOCK) else { return false };
    let text: String = field.iter().map(|byte| char::from(*byte)).collect();
    let said = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok();
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    said == Some(sum - own + 8 * u32::from(b' '))
}

fn packed(how: &str) -> Status {
    Status::failed(format!("a context packed with {how} is not supported here; pack it with gzip or zstd"))
}

fn unpack_plain(reader: impl Read, target: &Path) -> Result<u64, ContextError> {
    context::unpack(reader, target, context::Limits::default()).map(|packed| packed.bytes)
}

/// Pieces that go out, from code that waits.
struct Sent(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

#[cfg(test)]
mod tests;
