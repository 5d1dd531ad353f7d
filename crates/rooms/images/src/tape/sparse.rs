//! Files with holes: which of their bytes are stored, in the four ways in which tar says so.

use std::io::Read;

use tar::Header;

use super::{BLOCK, Tape, TapeError, number, pax};

/// A run of stored bytes at its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub len: u64,
}

/// The most runs that one file may have.
const MAX_EXTENTS: usize = 1 << 20;
const DAMAGED: &str = "its map of holes is damaged";

/// Whether the runs follow each other, lie within the file and are what is stored.
pub(super) fn fits(extents: &[Extent], stored: u64, size: u64) -> bool {
    let mut end = 0u64;
    let mut sum = 0u64;
    for extent in extents {
        let Some(next) = extent.offset.checked_add(extent.len) else { return false };
        if extent.offset < end || next > size {
            return false;
        }
        end = next;
        sum += extent.len;
    }
    sum == stored
}

/// `offset,length,offset,length,…`
pub(super) fn parse_list(text: &[u8]) -> Option<Vec<Extent>> {
    let numbers = text.split(|byte| *byte == b',').map(pax::decimal).collect::<Option<Vec<u64>>>()?;
    let pairs = numbers.chunks_exact(2);
    if !pairs.remainder().is_empty() || numbers.len() / 2 > MAX_EXTENTS {
        return None;
    }
    Some(pairs.map(|pair| Extent { offset: pair[0], len: pair[1] }).collect())
}

impl<R: Read> Tape<R> {
    /// GNU's old form: four runs in the header, 21 in each block that follows.
    pub(super) fn old_gnu_map(&mut self, header: &Header) -> Result<(Vec<Extent>, u64), TapeError> {
        let damaged = |tape: &Self| tape.damaged(DAMAGED);
        let bytes = header.as_bytes();
        let size = number::unsigned(&bytes[483..495]).ok_or_else(|| damaged(self))?;
        let mut extents = Vec::new();
        take_runs(&bytes[386..482], &mut extents).ok_or_else(|| damaged(self))?;
        let mut more = bytes[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            if !self.block(&mut block)? || extents.len() > MAX_EXTENTS {
                return Err(damaged(self));
            }
            take_runs(&block[..504], &mut extents).ok_or_else(|| damaged(self))?;
            more = block[504] != 0;
        }
        Ok((extents, size))
    }

    /// PAX 1.0: decimal lines at the front of the content, padded to a block.
    pub(super) fn pax_map(&mut self) -> Result<Vec<Extent>, TapeError> {
        let mut lines = Lines { block: [0; BLOCK], at: BLOCK };
        let count = lines.next(self)?;
        if count > MAX_EXTENTS as u64 {
            return Err(self.damaged(DAMAGED));
        }
        let mut extents = Vec::new();
        for _ in 0..count {
            extents.push(Extent { offset: lines.next(self)?, len: lines.next(self)? });
        }
        Ok(extents)
    }
}

/// Pairs of 12-byte fields until an empty one.
fn take_runs(fields: &[u8], extents: &mut Vec<Extent>) -> Option<()> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        extents.push(Extent { offset: number::unsigned(&pair[..12])?, len: number::unsigned(&pair[12..])? });
    }
    Some(())
}

/// Decimal lines, read from a tape block by block.
struct Lines {
    block: [u8; BLOCK],
    at: usize,
}

impl Lines {
    fn next<R: Read>(&mut self, tape: &mut Tape<R>) -> Result<u64, TapeError> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                tape.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return pax::decimal(&digits).ok_or_else(|| tape.damaged(DAMAGED)),
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Err(tape.damaged(DAMAGED)),
            }
        }
    }
}
