//! What a thread tells of itself while it works. Only that thread writes; whoever asks reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::status::TlsStatus;

/// Numbers of one thread.
#[derive(Default)]
pub(crate) struct Gauges {
    /// Open client connections, as of the last tick.
    pub(crate) connections: AtomicU64,
    /// Requests that wait for an instance.
    pub(crate) held: AtomicU64,
    pub(crate) tls: TlsGauges,
}

/// Handshakes.
#[derive(Default)]
pub(crate) struct TlsGauges {
    under_way: AtomicU64,
    done: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    turned_away: AtomicU64,
}

impl TlsGauges {
    /// Takes a place for a handshake if there are fewer than `most`.
    pub(crate) fn begin(&self, most: usize) -> bool {
        let fits = self.under_way.load(Ordering::Relaxed) < most as u64;
        let counter = if fits { &self.under_way } else { &self.turned_away };
        counter.fetch_add(1, Ordering::Relaxed);
        fits
    }

    /// Gives the place back.
    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, resumed: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.resumed.fetch_add(u64::from(resumed), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds these numbers to the sums.
    pub(crate) fn add_to(&self, sums: &mut TlsStatus) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sums.under_way += read(&self.under_way);
        sums.done += read(&self.done);
        sums.resumed += read(&self.resumed);
        sums.failed += read(&self.failed);
        sums.turned_away += read(&self.turned_away);
    }
}
