//! The bytes that bodies are made of: a place in one long text, by the number of the request, so that an answer to
//! another question is seen as such.

use std::sync::LazyLock;

use base::Rng;

/// The longest piece.
pub(crate) const PIECE: usize = 64 * 1024;

static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::seeded(1);
    (0..PIECE / 4).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
});

/// The first bytes, at most a [`PIECE`], of what belongs to this number.
pub(crate) fn piece(id: u64, length: usize) -> &'static [u8] {
    let from = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize;
    &TEXT[from..from + length]
}

/// Whether these are the bytes from `at` on of an endless repetition of that piece.
pub(crate) fn goes_on(id: u64, mut at: u64, mut bytes: &[u8]) -> bool {
    let whole = piece(id, PIECE);
    while !bytes.is_empty() {
        let from = (at % PIECE as u64) as usize;
        let count = bytes.len().min(PIECE - from);
        if bytes[..count] != whole[from..from + count] {
            return false;
        }
        at += count as u64;
        bytes = &bytes[count..];
    }
    true
}
