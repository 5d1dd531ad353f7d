//! Where stages that run at the same time meet: what is done, what failed, and how many steps may run at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::BuildError;
use crate::order::Cancel;

/// How often those who wait look whether the build was called off.
const LOOK_EVERY: Duration = Duration::from_millis(100);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept here is swapped in whole, so a panic elsewhere leaves it sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `ready` gives something, or the build is called off.
fn wait<T, R>(
    mutex: &Mutex<T>,
    changed: &Condvar,
    cancel: &Cancel,
    mut ready: impl FnMut(&mut T) -> Option<R>,
) -> Result<R, BuildError> {
    let mut state = lock(mutex);
    loop {
        if let Some(found) = ready(&mut state) {
            return Ok(found);
        }
        if cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        state = changed.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Results by number, which others wait for.
pub(crate) struct Board<T> {
    done: Mutex<BTreeMap<usize, T>>,
    changed: Condvar,
}

impl<T: Clone> Board<T> {
    pub(crate) fn new() -> Self {
        Self { done: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn put(&self, number: usize, value: T) {
        lock(&self.done).insert(number, value);
        self.changed.notify_all();
    }

    /// Waits for a result. It comes, or the build is called off: whoever fails does that.
    pub(crate) fn wait(&self, number: usize, cancel: &Cancel) -> Result<T, BuildError> {
        wait(&self.done, &self.changed, cancel, |done| done.get(&number).cloned())
    }
}

/// So many may work at once.
pub(crate) struct Permits {
    free: Mutex<usize>,
    changed: Condvar,
}

/// Leave to work.
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), changed: Condvar::new() }
    }

    pub(crate) fn take(&self, cancel: &Cancel) -> Result<Permit<'_>, BuildError> {
        wait(&self.free, &self.changed, cancel, |free| {
            *free = free.checked_sub(1)?;
            Some(())
        })?;
        Ok(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.changed.notify_one();
    }
}

/// Names that one at a time may hold: the keys of steps under way, in all builds, and of locked caches.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<BTreeSet<String>>,
    changed: Condvar,
}

/// A name that is held.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    name: String,
}

impl Turns {
    /// Waits until nobody holds the name, and holds it.
    pub(crate) fn take(&self, name: &str, cancel: &Cancel) -> Result<Turn<'_>, BuildError> {
        wait(&self.taken, &self.changed, cancel, |taken| taken.insert(name.to_owned()).then_some(()))?;
        Ok(Turn { turns: self, name: name.to_owned() })
    }

    /// Holds the name if nobody does.
    pub(crate) fn try_take(&self, name: &str) -> Option<Turn<'_>> {
        lock(&self.taken).insert(name.to_owned()).then(|| Turn { turns: self, name: name.to_owned() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.taken).remove(&self.name);
        self.turns.changed.notify_all();
    }
}
