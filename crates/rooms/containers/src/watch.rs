//! Watching a container's process until it ends, and what follows then.

use std::sync::Arc;
use std::time::Duration;

use runtime::{Exit, Shim};

use crate::cell::Cell;
use crate::record::State;
use crate::{Containers, events};

/// The first pause before a container is started again; each next one is twice as long, as docker has it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length makes the pauses short again.
const GOOD_RUN: Duration = Duration::from_secs(10);

impl Containers {
    /// Waits for the end of this run in the background, and asks meanwhile whether it is well.
    pub(crate) fn watch(&self, cell: &Arc<Cell>, shim: Shim, run: u64) {
        let health = self.watch_health(cell, &shim);
        cell.live().helpers.extend(health);
        let (containers, cell) = (self.clone(), cell.clone());
        self.inner.tasks.spawn(format!("watch {}", cell.id.short()), async move {
            let exit = containers.end_of(&cell, &shim).await;
            containers.ended(&cell, run, exit).await;
        });
    }

    /// Waits for the end of a container. When its shim went without a word, what it left running is ended first: nobody
    /// may start it again beside the old processes.
    pub(crate) async fn end_of(&self, cell: &Cell, shim: &Shim) -> Exit {
        match shim.wait().await {
            Ok(exit) => exit,
            Err(problem) => {
                self.reap(&cell.folder).await;
                Exit {
                    code: 137,
                    signal: Some(9),
                    oom: false,
                    finished_at: self.clock().wall(),
                    failure: Some(problem.to_string()),
                }
            }
        }
    }

    async fn ended(&self, cell: &Arc<Cell>, run: u64, exit: Exit) {
        cell.note(|live| {
            let sick = live.stopping && live.health.is_sick();
            live.end_helpers();
            live.shim = None;
            live.ends += 1;
            let State::Running { started, ready, .. } = live.record.state else { return };
            live.record.state = State::Exited {
                code: exit.code,
                oom: exit.oom,
                asked: live.stopping,
                sick,
                started,
                ready,
                finished: exit.finished_at,
                error: exit.failure.clone(),
            };
        });
        base::crash::point("container: end noted");
        let record = cell.record();
        events::ended(self, &record, &exit);
        self.announce(cell);
        {
            let _turn = cell.turn.lock().await;
            let live_run = cell.live().run;
            if live_run != run || cell.live().record.state.runs() {
                return;
            }
            // One that goes takes its addresses along.
            if record.owner.is_some() || !record.auto_remove {
                self.disconnect(cell).await;
            }
        }
        if record.owner.is_some() {
            return;
        }
        if record.auto_remove {
            self.remove_ended(cell).await;
        } else {
            self.start_again(cell, run).await;
        }
    }

    /// Follows the restart policy of a container that belongs to no app. A start that fails is a failure like any other.
    pub(crate) async fn start_again(&self, cell: &Arc<Cell>, mut run: u64) {
        while let Some(after) = self.try_again(cell, run).await {
            run = after;
        }
    }

    /// Starts it if its policy says so. Where that fails, the run after which the policy is to be asked again.
    async fn try_again(&self, cell: &Arc<Cell>, run: u64) -> Option<u64> {
        let record = cell.record();
        let State::Exited { started, finished, .. } = record.state else { return None };
        if !record.restarts_soon() {
            return None;
        }
        let tries = if finished.since(started) >= GOOD_RUN { 0 } else { record.restarts };
        tokio::time::sleep(pause(tries)).await;
        let _turn = cell.turn.lock().await;
        let still = {
            let live = cell.live();
            live.run == run && !live.record.stopped_by_hand && !live.record.state.runs()
        };
        // It may have been removed meanwhile.
        if !still || self.cell(&cell.id).is_err() {
            return None;
        }
        base::crash::point("container: about to be started again");
        cell.update(|live| live.record.restarts = tries + 1).ok()?;
        let error = self.start_in_turn(cell).await.err()?;
        tracing::warn!(container.name = %record.name, "could not start `{}` again: {error}", record.name);
        Some(cell.live().run)
    }
}

/// How long to wait before the next start after so many.
fn pause(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE)
}
