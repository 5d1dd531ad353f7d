//! HPACK (RFC 7541): heads as clients pack them, and as we do.
//!
//! What is read knows its kind already, so that a field that a client has named before is neither looked up nor checked
//! again. What is written uses the names that everybody knows, and neither a table nor the Huffman code: both would cost
//! more time than the bytes that they spare.

mod encode;
mod field;
mod huffman;
mod table;

pub(super) use encode::{begin_field, end_field, push_field, push_status, push_table_size};
use field::is_sound;
pub(super) use field::{Kind, Line};
use table::{TABLE_BYTES, Table};

/// A block cannot be read, and so none after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadBlock;

/// Reads the blocks of one connection.
pub(super) struct Decoder {
    table: Table,
    /// Name and value of a field that stands in the block itself.
    text: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { table: Table::new(), text: Vec::new() }
    }

    /// Gives the fields of a block in their order.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        mut each: impl FnMut(&Line<'_>),
    ) -> Result<(), BadBlock> {
        // The size of the table may change in front of all fields.
        while let [0x20..=0x3f, ..] = block {
            let most = number(&mut block, 5)?;
            if most > TABLE_BYTES {
                return Err(BadBlock);
            }
            self.table.bound(most);
        }
        while let Some(first) = block.first() {
            match first {
                0x80.. => each(&self.table.get(number(&mut block, 7)?).ok_or(BadBlock)?),
                0x40..=0x7f => {
                    let (kind, name) = self.literal(&mut block, 6)?;
                    let line = line(&self.text, name, kind);
                    each(&line);
                    self.table.insert(&line);
                }
                0x20..=0x3f => return Err(BadBlock),
                0x00..=0x1f => {
                    let (kind, name) = self.literal(&mut block, 4)?;
                    each(&line(&self.text, name, kind));
                }
            }
        }
        if self.text.capacity() > TABLE_BYTES {
            // Only a large field needs so much.
            self.text = Vec::new();
        }
        Ok(())
    }

    /// Reads a field into `text`; gives what its name is and how long.
    fn literal(&mut self, block: &mut &[u8], bits: u32) -> Result<(Kind, usize), BadBlock> {
        self.text.clear();
        let kind = match number(block, bits)? {
            0 => {
                string(block, &mut self.text)?;
                Kind::of(&self.text)
            }
            known => {
                let named = self.table.get(known).ok_or(BadBlock)?;
                self.text.extend_from_slice(named.name);
                named.kind
            }
        };
        let name = self.text.len();
        string(block, &mut self.text)?;
        Ok((kind, name))
    }
}

fn line(text: &[u8], name: usize, kind: Kind) -> Line<'_> {
    let (name, value) = text.split_at(name);
    Line { name, value, kind, sound: is_sound(value) }
}

/// Takes a number whose first byte has so many bits of it.
fn number(block: &mut &[u8], bits: u32) -> Result<usize, BadBlock> {
    let most = (1 << bits) - 1;
    let (first, mut rest) = block.split_first().ok_or(BadBlock)?;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = rest.split_first().ok_or(BadBlock)?;
            rest = behind;
            // Nothing that is counted here is beyond 2^28.
            if shift > 21 {
                return Err(BadBlock);
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// Takes a text and appends it.
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), BadBlock> {
    let coded = block.first().ok_or(BadBlock)? & 0x80 != 0;
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(BadBlock)?;
    *block = rest;
    if coded {
        huffman::decode(text, out).map_err(|huffman::BadCode| BadBlock)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
