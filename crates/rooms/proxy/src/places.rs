//! Places that are few, so that one client cannot take all of them: for handshakes of TLS, and for passwords that wait to
//! be checked.
//!
//! Whoever has some may have as many as [`SHARE`] times those that are free: one client alone gets eight ninths of all, and
//! with each further one who wants many all of these get less, so that there are always some for others. After Choudhury
//! and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.

use std::collections::HashMap;

use crate::watch::Holder;

/// So many times what is free may be one's: a burst of one client, as after a restart of his, is hardly held back.
const SHARE: usize = 8;

/// Places, and who has how many.
pub(crate) struct Places {
    most: usize,
    taken: usize,
    by: HashMap<Holder, usize>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: 0, by: HashMap::new() }
    }

    /// Takes one, if this client may have it.
    pub(crate) fn take(&mut self, holder: Holder) -> bool {
        let free = self.most.saturating_sub(self.taken);
        let has = self.by.get(&holder).copied().unwrap_or_default();
        let fits = free > 0 && (holder == Holder::MANY || has < SHARE * free);
        if fits {
            self.by.insert(holder, has + 1);
            self.taken += 1;
        }
        fits
    }

    /// Gives one back that was taken.
    pub(crate) fn give_back(&mut self, holder: Holder) {
        self.taken -= 1;
        match self.by.get_mut(&holder) {
            Some(has) if *has > 1 => *has -= 1,
            _ => drop(self.by.remove(&holder)),
        }
    }
}

#[cfg(test)]
mod tests;
