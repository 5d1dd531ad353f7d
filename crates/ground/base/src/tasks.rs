//! Tasks that somebody answers for: named, waited for, and their panics reported.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{AbortHandle, JoinSet};

/// The tasks of one parent. Dropping the last handle aborts what still runs.
#[derive(Clone, Default)]
pub struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task; if it panics, an error with its name is logged.
    pub fn spawn(
        &self,
        name: impl Into<String>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let name = name.into();
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        // Finished tasks are let go here, so the set holds no more than what runs and a few.
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            let inner = tokio::spawn(work);
            let guard = AbortOnDrop(inner.abort_handle());
            if let Err(error) = inner.await
                && error.is_panic()
            {
                tracing::error!(task = %name, "task `{name}` panicked");
            }
            drop(guard);
        })
    }

    /// Stops all tasks and waits until they are gone.
    pub async fn shutdown(&self) {
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        set.shutdown().await;
    }
}

/// Ends the inner task when the outer one is aborted.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
