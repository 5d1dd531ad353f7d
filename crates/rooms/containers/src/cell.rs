//! One container in memory: its record, its shim, its health, and the lock that orders what is done to it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::{ContainerId, Timestamp};
use runtime::{Attached, Shim};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use crate::problem::RecordError;
use crate::record::{Record, State};

/// So many answers of health checks are kept, as docker keeps them.
const HEALTH_LOG: usize = 5;

/// One container.
pub(crate) struct Cell {
    pub id: ContainerId,
    pub folder: PathBuf,
    /// Held through a start, a stop and a removal, so that they come one after another.
    pub turn: tokio::sync::Mutex<()>,
    live: Mutex<Live>,
    changed: watch::Sender<u64>,
    /// How many carry what it says to somebody.
    pub listeners: watch::Sender<usize>,
}

/// What is true of it at this moment.
pub(crate) struct Live {
    pub record: Record,
    pub shim: Option<Shim>,
    pub health: Health,
    pub addresses: Vec<IpAddr>,
    /// The commands that follow its start are under way; until then it is not ready.
    pub preparing: bool,
    /// Somebody is stopping it.
    pub stopping: bool,
    /// Its volumes are in use, as the journal has it.
    pub mounted: bool,
    /// How often it ended, or could not be started.
    pub ends: u64,
    /// It is gone.
    pub gone: bool,
    /// Who wants its next run's input and output from the first byte on.
    pub ahead: Vec<oneshot::Sender<Attached>>,
    /// Counts its runs, so that the end of one is not taken for the end of the next.
    pub run: u64,
    /// The tasks of this run, beside the one that waits for its end.
    pub helpers: Vec<AbortHandle>,
}

/// Whether a container is well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// None when nobody asks.
    pub well: Option<bool>,
    /// Whether anybody asks.
    pub checked: bool,
    /// Failures in a row.
    pub failures: u32,
    /// The last answers, oldest first.
    pub log: VecDeque<HealthLog>,
    /// What each that asks has heard.
    #[serde(skip)]
    pulses: Vec<Pulse>,
}

/// Who asks a container whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Its own check: the service's, or the image's.
    Own,
    /// The edge, before it is sent requests.
    Edge,
}

/// What one that asks has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pulse {
    asker: Asker,
    well: Option<bool>,
    failures: u32,
}

/// One answer of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthLog {
    /// When it was asked.
    pub start: Timestamp,
    /// When it was answered.
    pub end: Timestamp,
    /// 0 when it was well.
    pub exit_code: i32,
    /// What it said, the first 4 KiB.
    pub output: String,
}

impl Health {
    /// These ask, and have heard this.
    pub(crate) fn of(askers: Vec<Asker>, well: Option<bool>) -> Self {
        let checked = !askers.is_empty();
        let pulse = |asker| Pulse { asker, well, failures: 0 };
        let pulses = askers.into_iter().map(pulse).collect();
        let well = well.filter(|_| checked);
        Self { well, checked, failures: 0, log: VecDeque::new(), pulses }
    }

    /// What this one has heard so far.
    pub(crate) fn says(&self, asker: Asker) -> Option<bool> {
        self.pulses.iter().find(|pulse| pulse.asker == asker)?.well
    }

    /// Its own check fails.
    pub(crate) fn is_sick(&self) -> bool {
        self.says(Asker::Own) == Some(false)
    }

    /// One that asks heard a good answer or a bad one, which counts if so many in a row are to be a failure. Gives what
    /// the container is taken for when that changes.
    pub(crate) fn hear(&mut self, asker: Asker, good: bool, retries: Option<u32>) -> Option<bool> {
        let pulse = self.pulses.iter_mut().find(|pulse| pulse.asker == asker)?;
        match (good, retries) {
            (true, _) => (pulse.failures, pulse.well) = (0, Some(true)),
            (false, None) => {}
            (false, Some(retries)) => {
                pulse.failures = pulse.failures.saturating_add(1);
                if pulse.failures >= retries.max(1) {
                    pulse.well = Some(false);
                }
            }
        }
        self.failures = self.pulses.iter().map(|pulse| pulse.failures).max().unwrap_or_default();
        let mut all = self.pulses.iter().map(|pulse| pulse.well);
        let well = if all.clone().any(|well| well == Some(false)) {
            Some(false)
        } else if all.all(|well| well == Some(true)) {
            Some(true)
        } else {
            None
        };
        let turned = well != self.well;
        self.well = well;
        well.filter(|_| turned)
    }

    pub(crate) fn note(&mut self, answer: HealthLog) {
        if self.log.len() == HEALTH_LOG {
            self.log.pop_front();
        }
        self.log.push_back(answer);
    }
}

impl Cell {
    pub(crate) fn new(folder: PathBuf, record: Record) -> Self {
        let live = Live {
            record: record.clone(),
            shim: None,
            health: Health::default(),
            addresses: Vec::new(),
            preparing: false,
            stopping: false,
            mounted: false,
            ends: 0,
            gone: false,
            ahead: Vec::new(),
            run: 0,
            helpers: Vec::new(),
        };
        Self {
            id: record.id,
            folder,
            turn: tokio::sync::Mutex::default(),
            live: Mutex::new(live),
            changed: watch::Sender::new(0),
            listeners: watch::Sender::new(0),
        }
    }

    /// The record as it is now.
    pub(crate) fn record(&self) -> Record {
        self.live().record.clone()
    }

    /// What is true now. Hold it for a moment only.
    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record, in memory and on disk.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Live) -> R) -> Result<R, RecordError> {
        let mut live = self.live();
        let result = change(&mut live);
        // Under the lock, so that the file never goes back to an older state.
        live.record.write(&self.folder)?;
        Ok(result)
    }

    /// The same for what is true whether or not the disk has room for it: a container that fills the disk must be
    /// possible to stop.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Live)) {
        if let Err(problem) = self.update(change) {
            tracing::error!(container.id = %self.id, "could not keep the state of a container: {problem}");
        }
    }

    /// The shim, while its process runs.
    pub(crate) fn shim(&self) -> Option<Shim> {
        let live = self.live();
        if live.record.state.runs() { live.shim.clone() } else { None }
    }

    pub(crate) fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until `done` is true of it.
    pub(crate) async fn until(&self, mut done: impl FnMut(&Live) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            if done(&self.live()) {
                return;
            }
            // The sender lives as long as this cell, so this cannot fail while we hold it.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until its process has ended (or never began).
    pub(crate) async fn until_ended(&self) {
        self.until(|live| match live.record.state {
            State::Running { .. } => false,
            State::Created | State::Exited { .. } => true,
        })
        .await;
    }
}

impl Live {
    /// Ends what runs beside the container's process.
    pub(crate) fn end_helpers(&mut self) {
        for helper in self.helpers.drain(..) {
            helper.abort();
        }
    }
}

#[cfg(test)]
mod tests;
