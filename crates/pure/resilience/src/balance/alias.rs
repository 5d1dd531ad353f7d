//! Draws by weight in constant time.
//!
//! SOURCE: Walker, "An efficient method for generating discrete random variables with general distributions", 1977;
//! the construction in linear time by Vose, 1991. Each slot holds its own index and one other, and a cut between them.

use base::Rng;

/// A table of as many slots as there are weights. Its buffers are kept when it is built anew.
#[derive(Debug, Clone, Default)]
pub(super) struct Alias {
    slots: Vec<Slot>,
    scratch: Vec<u64>,
    small: Vec<u32>,
    large: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Of 2^32: below it the draw is the slot's own index.
    cut: u64,
    other: u32,
}

const ONE: u64 = 1 << 32;

impl Alias {
    /// Makes the table for these weights, of which at least one is above zero.
    pub(super) fn build(&mut self, weights: impl Iterator<Item = u32>) {
        self.scratch.clear();
        self.scratch.extend(weights.map(u64::from));
        let count = self.scratch.len() as u64;
        let total: u64 = self.scratch.iter().sum::<u64>().max(1);
        // Each weight as a multiple of a slot: their mean is one.
        for weight in &mut self.scratch {
            *weight =
                ((u128::from(*weight) * u128::from(count) * u128::from(ONE)) / u128::from(total)) as u64;
        }
        self.slots.clear();
        self.slots.extend((0..count as u32).map(|at| Slot { cut: ONE, other: at }));
        self.small.clear();
        self.large.clear();
        for (at, share) in self.scratch.iter().enumerate() {
            if *share < ONE { &mut self.small } else { &mut self.large }.push(at as u32);
        }
        while let (Some(small), Some(&large)) = (self.small.pop(), self.large.last()) {
            let share = self.scratch[small as usize];
            self.slots[small as usize] = Slot { cut: share, other: large };
            let left = &mut self.scratch[large as usize];
            *left -= ONE - share;
            if *left < ONE {
                self.large.pop();
                self.small.push(large);
            }
        }
        // What is left is whole but for rounding, and already its own.
    }

    /// An index by chance, in proportion to its weight.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<usize> {
        let number = rng.next_u64();
        let at = (((number >> 32) * self.slots.len() as u64) >> 32) as usize;
        let slot = self.slots.get(at)?;
        Some(if (number & (ONE - 1)) < slot.cut { at } else { slot.other as usize })
    }
}
