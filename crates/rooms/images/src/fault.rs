//! Points at which a test may stop the store, as a crash or a full disk would.

#[cfg(test)]
use std::sync::atomic::{AtomicI64, Ordering};

/// Where a test wants the store to stop; never, outside tests.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// How many points go well before one fails; negative for all.
    #[cfg(test)]
    left: AtomicI64,
    #[cfg(test)]
    armed: std::sync::atomic::AtomicBool,
}

impl Faults {
    /// A place between two side effects.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests stop here")]
    pub(crate) fn point(&self, name: &str) -> std::io::Result<()> {
        base::crash::point(name);
        Ok(())
    }

    /// Whether a crash is being played, after which nothing may be tidied up.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests stop here")]
    pub(crate) fn crashed(&self) -> bool {
        false
    }

    /// A place between two side effects.
    #[cfg(test)]
    pub(crate) fn point(&self, _: &str) -> std::io::Result<()> {
        if self.armed.load(Ordering::SeqCst) && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(std::io::Error::other("a test stopped here"));
        }
        Ok(())
    }

    /// Whether a crash is being played, after which nothing may be tidied up.
    #[cfg(test)]
    pub(crate) fn crashed(&self) -> bool {
        self.armed.load(Ordering::SeqCst) && self.left.load(Ordering::SeqCst) < 0
    }

    /// Plays a crash at the `n`th point from now, and at every later one.
    #[cfg(test)]
    pub(crate) fn crash_at(&self, n: i64) {
        self.left.store(n, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }
}
