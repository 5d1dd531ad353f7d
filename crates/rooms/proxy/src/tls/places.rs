//! The places for handshakes in progress, so that one client's cannot take all of them.
//!
//! Whoever has some may have as many as [`SHARE`] times those that are free: one client alone gets eight ninths of all, and
//! with each further one who wants many all of these get less, so that there are always some for others. After Choudhury
//! and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::watch::Holder;

/// So many times what is free may be one's: a burst of one client, as after a restart of his, is hardly held back.
const SHARE: usize = 8;

/// A thread's places.
pub(crate) struct Places {
    most: usize,
    taken: Cell<usize>,
    by: RefCell<HashMap<Holder, usize>>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Cell::new(0), by: RefCell::default() }
    }

    /// Takes one, if this client may have it.
    pub(super) fn take(&self, holder: Holder) -> bool {
        let free = self.most.saturating_sub(self.taken.get());
        let mut by = self.by.borrow_mut();
        let has = by.get(&holder).copied().unwrap_or_default();
        let fits = free > 0 && (holder == Holder::MANY || has < SHARE * free);
        if fits {
            by.insert(holder, has + 1);
            self.taken.set(self.taken.get() + 1);
        }
        fits
    }

    /// Gives one back that was taken.
    pub(super) fn give_back(&self, holder: Holder) {
        self.taken.set(self.taken.get() - 1);
        let mut by = self.by.borrow_mut();
        match by.get_mut(&holder) {
            Some(has) if *has > 1 => *has -= 1,
            _ => drop(by.remove(&holder)),
        }
    }
}

#[cfg(test)]
mod tests;
