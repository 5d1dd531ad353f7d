//! A build's progress: everything that was told, for whoever asks, from the beginning.
//!
//! A client may ask before the build begins, while it goes on or shortly after its end, and always gets all of it.
//! Output is bounded a step; see [`crate::progress`].

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::proto::control::StatusResponse;

/// After so many, how far something is on its way is not told any more; that it arrived is.
const PARTS: usize = 50_000;

/// One build's progress; clones share it.
#[derive(Clone)]
pub(crate) struct Hub {
    told: Arc<Mutex<Told>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Told {
    all: Vec<Arc<StatusResponse>>,
    ended: bool,
}

/// A place in a build's progress.
pub(crate) struct Reader {
    hub: Hub,
    next: usize,
    changed: watch::Receiver<()>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { told: Arc::default(), changed: watch::Sender::new(()) }
    }

    /// Tells more; after the end nobody listens.
    pub(crate) fn tell(&self, status: StatusResponse) {
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let nothing = status.vertexes.is_empty()
                && status.statuses.is_empty()
                && status.logs.is_empty()
                && status.warnings.is_empty();
            let only_parts =
                status.vertexes.is_empty() && status.logs.is_empty() && status.warnings.is_empty();
            let under_way = only_parts && status.statuses.iter().all(|part| part.completed.is_none());
            if told.ended || nothing || (under_way && told.all.len() > PARTS) {
                return;
            }
            told.all.push(Arc::new(status));
        }
        self.changed.send_replace(());
    }

    /// No more comes.
    pub(crate) fn end(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.send_replace(());
    }

    /// Reads from the beginning.
    pub(crate) fn reader(&self) -> Reader {
        Reader { hub: self.clone(), next: 0, changed: self.changed.subscribe() }
    }
}

impl Reader {
    /// What was told next; none after the end.
    pub(crate) async fn next(&mut self) -> Option<Arc<StatusResponse>> {
        loop {
            self.changed.mark_unchanged();
            {
                let told = self.hub.told.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(status) = told.all.get(self.next) {
                    self.next += 1;
                    return Some(status.clone());
                }
                if told.ended {
                    return None;
                }
            }
            self.changed.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests;
