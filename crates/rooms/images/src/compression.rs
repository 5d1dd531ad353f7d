//! Compressed streams: told by their first bytes, unpacked within bounds.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use base::Bytes;
use flate2::bufread::MultiGzDecoder;
use oci::Compression;

use crate::apply::LayerError;
use crate::limits::Limits;

const BUFFER: usize = 256 << 10;
/// The largest window that a zstd stream may ask for, as a power of two: 128 MiB, what `zstd` itself allows.
const ZSTD_WINDOW: u32 = 27;

/// A stream, unpacked if it was packed, and how it was. It ends in an error once it has grown beyond its bounds.
pub fn unpacked<'a>(
    reader: impl Read + 'a,
    limits: &Limits,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let packed = Rc::new(Cell::new(0));
    let mut reader = BufReader::with_capacity(BUFFER, Counted { inner: reader, bytes: packed.clone() });
    let head = peek(&mut reader)?;
    let (compression, inner): (_, Box<dyn Read + 'a>) = match head {
        [0x1f, 0x8b, ..] => (Compression::Gzip, Box::new(MultiGzDecoder::new(reader))),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            (Compression::Zstd, Box::new(decoder))
        }
        [b'B', b'Z', b'h', _] => return Err(unsupported("bzip2")),
        [0xfd, b'7', b'z', b'X'] => return Err(unsupported("xz")),
        _ => return Ok((Compression::None, Box::new(reader))),
    };
    let (free, ratio) = (limits.free_bytes, limits.ratio);
    // A decoder gives small pieces; the buffer makes large ones of them for whoever hashes and writes.
    Ok((
        compression,
        Box::new(BufReader::with_capacity(BUFFER, Bounded { inner, packed, bytes: 0, free, ratio })),
    ))
}

/// The first four bytes, zeros where the stream is shorter.
fn peek(reader: &mut impl BufRead) -> io::Result<[u8; 4]> {
    let buffered = reader.fill_buf()?;
    let mut head = [0; 4];
    let n = buffered.len().min(4);
    head[..n].copy_from_slice(&buffered[..n]);
    Ok(head)
}

fn unsupported(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("it is packed with {name}; gzip, zstd and plain tar are read"),
    )
}

/// Counts the packed bytes.
struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

/// Compares the unpacked bytes with the packed ones.
struct Bounded<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    bytes: u64,
    free: u64,
    ratio: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes += n as u64;
        let most = self.free.max(self.packed.get().saturating_mul(self.ratio));
        if self.bytes > most {
            return Err(io::Error::other(LayerError::Bomb { most: Bytes(most) }));
        }
        Ok(n)
    }
}
