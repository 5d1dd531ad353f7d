//! Attaching to a container's own program, also before it runs; and waiting for its end in docker's ways.

use std::sync::Arc;
use std::time::Duration;

use base::ContainerId;
use runtime::{Attached, Shim};
use tokio::sync::oneshot;

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::record::State;
use crate::{Containers, View, events};

/// The input and output of a program that runs, or of the next run of one that does not.
pub enum Ahead {
    /// It runs.
    Now(Box<Attached>),
    /// It comes with the next run; never, when there is none.
    Then(oneshot::Receiver<Attached>),
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It does not run, at once or later.
    NotRunning,
    /// It ends, or cannot be started, once more from now on.
    NextExit,
    /// It is gone.
    Removed,
}

/// So many may wait for the same run.
const MOST_AHEAD: usize = 64;

/// How long the end of a container is kept from those who wait for it, for others to get its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whoever carries what a container says to somebody, until this is dropped.
pub struct Listener(Arc<Cell>);

impl Listener {
    fn new(cell: Arc<Cell>) -> Self {
        cell.listeners.send_modify(|count| *count += 1);
        Self(cell)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.listeners.send_modify(|count| *count -= 1);
    }
}

impl Containers {
    /// Says that somebody listens: who waits for the end is told once that one has heard all, or after two seconds.
    pub fn listener(&self, id: &ContainerId) -> Result<Listener, ContainerError> {
        Ok(Listener::new(self.cell(id)?))
    }

    /// Its input and output from now on, or from the first byte of its next run.
    pub async fn attach_ahead(&self, id: &ContainerId) -> Result<Ahead, ContainerError> {
        let cell = self.cell(id)?;
        if let Some(shim) = cell.shim() {
            let attached = shim.attach().await.map_err(|problem| {
                ContainerError::failed(format!("attach to `{}`", cell.record().name), &problem)
            })?;
            events::attached(self, &cell.record());
            return Ok(Ahead::Now(Box::new(attached)));
        }
        let (sender, receiver) = oneshot::channel();
        {
            let mut live = cell.live();
            live.ahead.retain(|waiting| !waiting.is_closed());
            if live.ahead.len() >= MOST_AHEAD {
                let text = format!("{MOST_AHEAD} wait for the next run of `{}` already", live.record.name);
                return Err(ContainerError::Invalid(text));
            }
            live.ahead.push(sender);
        }
        events::attached(self, &cell.record());
        Ok(Ahead::Then(receiver))
    }

    /// Gives a run that is laid out to those who wait for it.
    pub(crate) async fn attach_those_ahead(&self, cell: &Arc<Cell>, shim: &Shim) {
        let ahead = std::mem::take(&mut cell.live().ahead);
        for waiting in ahead.into_iter().filter(|waiting| !waiting.is_closed()) {
            match shim.attach().await {
                // One that has gone meanwhile needs nothing.
                Ok(attached) => drop(waiting.send(attached)),
                Err(problem) => {
                    tracing::warn!(container.id = %cell.id, "could not attach to a container: {problem}");
                }
            }
        }
    }

    /// Begins to wait; what is awaited counts from this call on, not from the first look at the future.
    pub fn wait_until(
        &self,
        id: &ContainerId,
        until: Until,
    ) -> Result<impl Future<Output = View> + Send + use<>, ContainerError> {
        let cell = self.cell(id)?;
        let ends = cell.live().ends;
        Ok(async move {
            cell.until(|live| match until {
                Until::NotRunning => match live.record.state {
                    State::Running { .. } => live.gone,
                    State::Created | State::Exited { .. } => true,
                },
                Until::NextExit => live.ends > ends || live.gone,
                Until::Removed => live.gone,
            })
            .await;
            let mut listeners = cell.listeners.subscribe();
            let heard = listeners.wait_for(|count| *count == 0);
            // Who does not read keeps nobody waiting for long.
            let _ = tokio::time::timeout(LAST_WORDS, heard).await;
            crate::listing::view(&cell)
        })
    }
}
