//! Chance that can be replayed: a small seeded generator.
//!
//! `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): fast, one word of
//! state, good enough for jitter, picks and simulations. Not for secrets: those come from the kernel.

use std::io::Read;

/// A stream of numbers that depends on its seed alone.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream that nobody can foresee, seeded by the kernel.
    pub fn from_kernel() -> Self {
        Self(u64::from_le_bytes(kernel_bytes()))
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: no division, and a bias below 2^-64 of the bound.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True this often: `chance` from 0 to 1.
    pub fn chance(&mut self, chance: f64) -> bool {
        ((self.next_u64() >> 11) as f64) < chance * (1u64 << 53) as f64
    }

    /// One of them, or nothing when there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}

/// Bytes fit for ids and keys, from the kernel.
pub fn kernel_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .expect("every Linux system has a readable /dev/urandom");
    bytes
}
