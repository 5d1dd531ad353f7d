//! Counts over the last stretch of time, in a ring of slots: bounded memory, and old counts leave a slot at a time.

use std::time::Duration;

use base::Instant;

/// `K` kinds of counts over `slots × width`. The newest slot is still filling, so the stretch is up to one slot short.
#[derive(Debug, Clone)]
pub(crate) struct Ring<const K: usize> {
    slots: Box<[[u32; K]]>,
    sums: [u64; K],
    width_ns: u64,
    at: usize,
    /// When the newest slot is full.
    end: Instant,
}

impl<const K: usize> Ring<K> {
    /// Over `length`, in so many slots; at least one slot of a nanosecond.
    pub(crate) fn new(length: Duration, slots: usize) -> Self {
        let slots = slots.max(1);
        let width_ns = (u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) / slots as u64).max(1);
        let zeros = vec![[0; K]; slots].into_boxed_slice();
        Self { slots: zeros, sums: [0; K], width_ns, at: 0, end: Instant(0) }
    }

    /// Adds to the count of one kind.
    pub(crate) fn add(&mut self, kind: usize, count: u32, now: Instant) {
        self.roll(now);
        let slot = &mut self.slots[self.at][kind];
        let before = *slot;
        *slot = slot.saturating_add(count);
        self.sums[kind] += u64::from(*slot - before);
    }

    /// Adds to all counts, and gives their sums.
    pub(crate) fn record(&mut self, counts: [u32; K], now: Instant) -> [u64; K] {
        self.roll(now);
        for ((slot, sum), count) in self.slots[self.at].iter_mut().zip(&mut self.sums).zip(counts) {
            let before = *slot;
            *slot = slot.saturating_add(count);
            *sum += u64::from(*slot - before);
        }
        self.sums
    }

    /// The counts of the stretch that ends now.
    pub(crate) fn sums(&mut self, now: Instant) -> [u64; K] {
        self.roll(now);
        self.sums
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.slots.fill([0; K]);
        self.sums = [0; K];
    }

    /// Lets old slots go. A time before the newest slot counts as within it.
    fn roll(&mut self, now: Instant) {
        if now < self.end {
            return;
        }
        let steps = (now.0 - self.end.0) / self.width_ns + 1;
        self.end = Instant(self.end.0.saturating_add(steps.saturating_mul(self.width_ns)));
        if steps >= self.slots.len() as u64 {
            self.clear();
            return;
        }
        for _ in 0..steps {
            self.at = (self.at + 1) % self.slots.len();
            let gone = std::mem::replace(&mut self.slots[self.at], [0; K]);
            for (sum, count) in self.sums.iter_mut().zip(gone) {
                *sum -= u64::from(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
