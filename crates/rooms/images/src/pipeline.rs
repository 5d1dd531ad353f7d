//! Two threads a layer: one unpacks and hashes, the other writes files. The pieces between them have a bound.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use oci::{Compression, Digest, Sha256Hasher};

use crate::apply::LayerError;
use crate::compression;
use crate::limits::Limits;

/// Pieces that wait.
const WAITING: usize = 4;

/// The bytes of a piece.
const PIECE: usize = 256 << 10;

/// What was unpacked.
pub(crate) struct Unpacked {
    pub(crate) compression: Compression,
    /// Digest and length of the tar; none where it was not packed, and so is the blob itself.
    pub(crate) hashed: Option<(Digest, u64)>,
}

/// Unpacks a stream on a thread of its own, while `consume` reads the tar here. What goes wrong in the stream counts
/// before what that makes of the tar.
pub(crate) fn unpacked<T>(
    packed: impl Read + Send,
    limits: &Limits,
    consume: impl FnOnce(&mut Pieces) -> Result<T, LayerError>,
) -> Result<(T, Unpacked), LayerError> {
    let (filled, waiting) = sync_channel::<io::Result<Vec<u8>>>(WAITING);
    let (empty, returned) = sync_channel::<Vec<u8>>(WAITING + 2);
    std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || unpack(packed, limits, &filled, &returned));
        let mut pieces = Pieces { waiting, empty, piece: Vec::new(), at: 0 };
        let consumed = consume(&mut pieces);
        // A consumer that stopped early takes no more.
        drop(pieces);
        let unpacked = unpacking.join().unwrap_or_else(|_| Err(io::Error::other("the unpacking broke off")));
        let consumed = consumed?;
        unpacked.map(|unpacked| (consumed, unpacked)).map_err(LayerError::from_read)
    })
}

fn unpack(
    packed: impl Read,
    limits: &Limits,
    filled: &SyncSender<io::Result<Vec<u8>>>,
    returned: &Receiver<Vec<u8>>,
) -> io::Result<Unpacked> {
    // An error goes to whoever reads, where it is told with the entry that it cut.
    let told = |error: io::Error| {
        let kind = error.kind();
        // A reader that is gone has its own reason.
        let _ = filled.send(Err(error));
        io::Error::from(kind)
    };
    let (compression, reader) = compression::unpacked(packed, limits).map_err(told)?;
    match compression {
        Compression::None => {
            hand_over(reader, filled, returned).map_err(told)?;
            Ok(Unpacked { compression, hashed: None })
        }
        Compression::Gzip | Compression::Zstd => {
            let mut hasher = Sha256Hasher::new(reader);
            hand_over(&mut hasher, filled, returned).map_err(told)?;
            let (_, digest, size) = hasher.finish();
            Ok(Unpacked { compression, hashed: Some((digest, size)) })
        }
    }
}

fn hand_over(
    mut reader: impl Read,
    filled: &SyncSender<io::Result<Vec<u8>>>,
    returned: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let mut piece = returned.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let mut length = 0;
        while length < PIECE {
            match reader.read(&mut piece[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        piece.truncate(length);
        if length == 0 || filled.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}

/// The tar, as it comes from the other thread.
pub(crate) struct Pieces {
    waiting: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let Ok(next) = self.waiting.recv() else { return Ok(0) };
            let used = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            // One too many is let go.
            let _ = self.empty.try_send(used);
        }
        let length = buf.len().min(self.piece.len() - self.at);
        buf[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
