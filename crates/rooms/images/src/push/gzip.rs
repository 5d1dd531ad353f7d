//! Packing on all processors: one gzip stream whose blocks know nothing of each other, as `pigz --independent` makes it.
//!
//! Blocks have one size whatever the number of processors, so equal bytes are packed alike everywhere. Each but the last
//! ends at a byte with an empty block of no compression (RFC 1951, 3.2.4), and checksums of the parts are combined.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// The bytes of a block before it is packed; a larger one would be packed by two parts in a hundred better.
const BLOCK: usize = 512 << 10;
/// Blocks that each processor has under way.
const AHEAD: usize = 2;
/// Pieces of a block that are tried, and their bytes.
const SAMPLES: usize = 4;
const SAMPLE: usize = 4 << 10;
/// Gzip's mark, deflate, no flags, no time, no extra flags, an unknown system (RFC 1952, 2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A block to pack: its place, its bytes, and whether none follows.
type Block = (usize, Vec<u8>, bool);
/// A block that was packed, with the checksum of what it was.
type Packed = (usize, io::Result<(Vec<u8>, Crc)>);

/// Packs all that `from` gives; `read` is told the bytes of each block.
pub(super) fn pack(
    from: &mut (dyn Read + Send),
    out: &mut dyn Write,
    level: u32,
    read: &(dyn Fn(usize) + Sync),
) -> io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (give, take) = sync_channel::<Block>(workers * AHEAD);
    let (done, packed) = sync_channel::<Packed>(workers * AHEAD);
    // It goes with the last worker, so that nobody gives to none.
    let take = Arc::new(Mutex::new(take));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (take, done) = (take.clone(), done.clone());
            scope.spawn(move || work(&take, &done, level));
        }
        drop((take, done));
        let reading = scope.spawn(move || blocks(from, &give, read));
        let written = assemble(packed, out);
        // What could not be read counts before what was made of it.
        let read =
            reading.join().unwrap_or_else(|_| Err(io::Error::other("the reading of a layer broke off")));
        read.and(written)
    })
}

/// Cuts a stream into blocks.
fn blocks(
    from: &mut (dyn Read + Send),
    give: &SyncSender<Block>,
    read: &(dyn Fn(usize) + Sync),
) -> io::Result<()> {
    let block = |from: &mut (dyn Read + Send)| {
        let mut bytes = Vec::with_capacity(BLOCK);
        from.take(BLOCK as u64).read_to_end(&mut bytes).map(|_| bytes)
    };
    let (mut number, mut next) = (0, block(from)?);
    loop {
        let now = std::mem::replace(&mut next, block(from)?);
        read(now.len());
        // Nobody takes any more when the writing failed, which tells why.
        if give.send((number, now, next.is_empty())).is_err() || next.is_empty() {
            return Ok(());
        }
        number += 1;
    }
}

fn work(take: &Mutex<Receiver<Block>>, done: &SyncSender<Packed>, level: u32) {
    let mut packer = Compress::new(Compression::new(level), false);
    let mut storer = Compress::new(Compression::none(), false);
    loop {
        let block = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, bytes, last)) = block else { return };
        let with = if packs(&mut packer, &bytes) { &mut packer } else { &mut storer };
        with.reset();
        let packed = deflate(with, &bytes, last).map(|packed| {
            let mut sum = Crc::new();
            sum.update(&bytes);
            (packed, sum)
        });
        if done.send((number, packed)).is_err() {
            return;
        }
    }
}

/// Whether packing a block is worth the time, by a few samples of it: what is packed already, as pictures and archives
/// are, comes out no smaller, and is stored as it is.
fn packs(packer: &mut Compress, bytes: &[u8]) -> bool {
    if bytes.len() < SAMPLES * SAMPLE * 4 {
        return true;
    }
    let mut out = Vec::with_capacity(2 * SAMPLE);
    (0..SAMPLES).any(|number| {
        let at = (bytes.len() - SAMPLE) / (SAMPLES - 1) * number;
        packer.reset();
        out.clear();
        // What does not fit into twice the room was no smaller.
        let done = packer.compress_vec(&bytes[at..at + SAMPLE], &mut out, FlushCompress::Finish);
        done.is_ok_and(|status| status == Status::StreamEnd) && out.len() < SAMPLE - SAMPLE / 32
    })
}

fn deflate(packer: &mut Compress, bytes: &[u8], last: bool) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + (bytes.len() >> 8) + 64);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let at = packer.total_in() as usize;
        let before = out.len();
        let status = packer.compress_vec(&bytes[at..], &mut out, flush).map_err(io::Error::other)?;
        let room = out.len() < out.capacity();
        match status {
            Status::StreamEnd => return Ok(out),
            // A flush is over when all went in and there was room to spare for what came out.
            Status::Ok | Status::BufError if !last && room && packer.total_in() as usize == bytes.len() => {
                return Ok(out);
            }
            Status::Ok | Status::BufError => {
                if out.len() == before && room {
                    return Err(io::Error::other("the packing of a layer does not go on"));
                }
                out.reserve(64 << 10);
            }
        }
    }
}

/// Writes blocks in their order.
fn assemble(packed: Receiver<Packed>, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&HEAD)?;
    let (mut next, mut sum) = (0, Crc::new());
    let mut early = BTreeMap::new();
    for (number, block) in packed {
        early.insert(number, block?);
        while let Some((bytes, of)) = early.remove(&next) {
            out.write_all(&bytes)?;
            sum.combine(&of);
            next += 1;
        }
    }
    out.write_all(&sum.sum().to_le_bytes())?;
    out.write_all(&sum.amount().to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{BLOCK, pack};

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let (mut from, mut out) = (bytes, Vec::new());
        pack(&mut from, &mut out, 3, &|_| {}).unwrap();
        out
    }

    #[test]
    fn what_was_packed_is_one_stream_and_unpacks_to_the_same() {
        let mut rng = 7u32;
        let noise = std::iter::repeat_with(|| {
            rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (rng >> 24) as u8
        });
        let noise: Vec<u8> = noise.take(3 * BLOCK + 17).collect();
        let text = b"a line of text like many others\n".repeat(60_000);
        for bytes in [&[][..], b"x", &noise[..BLOCK - 1], &noise[..BLOCK], &noise[..BLOCK + 1], &noise, &text]
        {
            let packed = packed(bytes);
            let mut unpacked = Vec::new();
            let mut decoder = flate2::bufread::GzDecoder::new(&packed[..]);
            decoder.read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == bytes, "{} bytes", bytes.len());
            assert!(decoder.into_inner().is_empty(), "nothing follows the stream");
            assert_eq!(packed, self::packed(bytes), "it is packed alike");
        }
        assert!(packed(&text).len() < text.len() / 20);
        // Noise with text behind it, in one block: the text counts.
        let both = [&noise[..BLOCK / 2], &text[..BLOCK / 2]].concat();
        assert!(packed(&both).len() < BLOCK * 6 / 10);
        assert!(packed(&noise).len() < noise.len() + noise.len() / 1000 + 64);
    }

    #[test]
    fn what_cannot_be_read_or_written_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        impl io::Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("full"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(pack(&mut Broken, &mut Vec::new(), 3, &|_| {}).unwrap_err().to_string(), "broken");
        let bytes = vec![7; 30 * BLOCK];
        assert_eq!(pack(&mut &bytes[..], &mut Broken, 3, &|_| {}).unwrap_err().to_string(), "full");
    }
}
