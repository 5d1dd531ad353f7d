//! Tasks that somebody answers for: named, waited for, and their panics reported.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

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
        let mut work = Box::pin(work);
        set.spawn(async move {
            // In the task that is waited for: one of its own would go on for a moment after `shutdown`.
            let panicked = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|()| false),
                Err(_) => Poll::Ready(true),
            });
            if panicked.await {
                tracing::error!(task = %name, "task `{name}` panicked");
            }
        })
    }

    /// Stops all tasks and waits until they are gone.
    pub async fn shutdown(&self) {
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        set.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
