//! Stopping a container: its signal, its grace, and then the kill.

use std::sync::Arc;
use std::time::Duration;

use base::{ContainerId, Report};
use runtime::Shim;

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::{Containers, Filter, events};

/// The signal that nothing survives.
const SIGKILL: i32 = 9;
/// How long the kernel may take to end what was killed; longer means a process stuck in the kernel.
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// Who stops a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person: nobody but a person starts it again.
    Hand,
    /// A loop, which knows what comes next.
    Loop,
}

impl Containers {
    /// Asks its process to end, and kills what is left after the grace (the service's when none).
    pub async fn stop(
        &self,
        id: &ContainerId,
        grace: Option<Duration>,
        by: By,
    ) -> Result<(), ContainerError> {
        self.stop_with(id, grace, by, None).await
    }

    /// The same by another signal than its own.
    pub async fn stop_with(
        &self,
        id: &ContainerId,
        grace: Option<Duration>,
        by: By,
        signal: Option<&str>,
    ) -> Result<(), ContainerError> {
        let signal = signal.map(signal_number).transpose()?;
        let cell = self.cell(id)?;
        if by == By::Hand {
            cell.note(|live| live.record.stopped_by_hand = true);
        }
        let _turn = cell.turn.lock().await;
        let ran = cell.live().record.state.runs();
        self.stop_by(&cell, grace, signal).await?;
        if ran {
            events::stopped(self, &cell.record());
        }
        Ok(())
    }

    /// Stops it for whoever holds its turn.
    pub(crate) async fn stop_now(
        &self,
        cell: &Arc<Cell>,
        grace: Option<Duration>,
    ) -> Result<(), ContainerError> {
        self.stop_by(cell, grace, None).await
    }

    async fn stop_by(
        &self,
        cell: &Arc<Cell>,
        grace: Option<Duration>,
        signal: Option<i32>,
    ) -> Result<(), ContainerError> {
        let Some(shim) = cell.shim() else { return Ok(()) };
        let record = cell.record();
        cell.live().stopping = true;
        self.announce(cell);
        events::stopping(&record);
        base::crash::point("container: about to stop");
        let grace = grace.unwrap_or(record.service.stop_grace_period);
        if !grace.is_zero() {
            self.leave_names(cell, &record).await;
            base::crash::point("container: out of shared names");
            self.run_before_stop(cell, &shim, &record, grace).await;
            let signal = signal.map_or_else(|| self.stop_signal(&record), Ok)?;
            // Gone already is what we want.
            // Told first, so that its end comes after it.
            events::killed(self, &record, signal);
            let _ = shim.kill(signal).await;
            base::crash::point("container: told to stop");
            if let crate::State::Running { paused: true, .. } = record.state {
                let _ = shim.resume().await;
            }
            if tokio::time::timeout(grace, cell.until_ended()).await.is_ok() {
                return Ok(());
            }
        }
        events::killed(self, &record, SIGKILL);
        let _ = shim.kill_all(SIGKILL).await;
        base::crash::point("container: killed");
        tokio::time::timeout(KILL_PATIENCE, cell.until_ended()).await.map_err(|_| {
            ContainerError::Invalid(format!(
                "the process of `{}` does not end though it was killed",
                record.name
            ))
        })
    }

    /// Runs what its service wants to be run before it is asked to stop. It is stopped in any case.
    async fn run_before_stop(&self, cell: &Cell, shim: &Shim, record: &crate::Record, grace: Duration) {
        let hooks = async {
            for hook in &record.service.pre_stop {
                if let Err(error) = self.run_hook(shim, record, hook).await {
                    tracing::warn!(container.id = %cell.id, "before the stop: {}", Report::of(&error));
                }
            }
        };
        if tokio::time::timeout(grace, hooks).await.is_err() {
            tracing::warn!(container.id = %cell.id, "the commands before the stop took longer than its grace");
        }
    }

    /// Takes it out of the names that it shares, and waits until nobody remembers them, so that its siblings get what
    /// would come to it. One without a sibling that is well stays: its name leading nowhere helps nobody.
    async fn leave_names(&self, cell: &Cell, record: &crate::Record) {
        let Some(owner) = record.owner.as_ref().filter(|owner| !owner.job) else { return };
        if record.networks.is_empty() {
            return;
        }
        let filter =
            Filter { app: Some(owner.app.clone()), services: vec![owner.service.clone()], all: false };
        let well = |view: &crate::View| {
            view.record.id != cell.id
                && view.record.state.runs()
                && !view.stopping
                && (!view.health.checked || view.health.well == Some(true))
        };
        if !self.list(&filter).iter().any(well) {
            return;
        }
        match self.inner.rooms.networks.set_ready(&cell.id, false).await {
            Ok(()) => tokio::time::sleep(Duration::from_secs(u64::from(network::names::TTL_SECS))).await,
            Err(problem) => {
                tracing::warn!(container.id = %cell.id, "could not take a container out of its names: {problem}");
            }
        }
    }

    /// Sends a signal to its process. The last of signals returns when the process has ended.
    pub async fn kill(&self, id: &ContainerId, signal: &str) -> Result<(), ContainerError> {
        let cell = self.cell(id)?;
        let number = signal_number(signal)?;
        let record = cell.record();
        let ends = number == SIGKILL || number == 15 || self.stop_signal(&record)? == number;
        let Some(shim) = cell.shim() else {
            if !record.restarts_soon() {
                return Err(ContainerError::NotRunning(record.name));
            }
            cell.update(|live| live.record.stopped_by_hand = live.record.owner.is_none())?;
            self.announce(&cell);
            return Ok(());
        };
        if ends {
            cell.update(|live| live.record.stopped_by_hand = live.record.owner.is_none())?;
        }
        // Told first, so that an end that follows comes after it.
        events::killed(self, &record, number);
        shim.kill(number).await.map_err(|problem| {
            ContainerError::failed(format!("send {signal} to `{}`", record.name), &problem)
        })?;
        if let (true, crate::State::Running { paused: true, .. }) = (ends, &record.state) {
            // What is frozen hears no signal. One that has ended meanwhile needs not.
            let _ = shim.resume().await;
        }
        if number == SIGKILL {
            // One that the kernel holds longer ends when it lets go.
            let _ = tokio::time::timeout(KILL_PATIENCE, cell.until_ended()).await;
        }
        Ok(())
    }

    /// Stops and starts it.
    pub async fn restart(&self, id: &ContainerId, grace: Option<Duration>) -> Result<(), ContainerError> {
        self.restart_with(id, grace, None).await
    }

    /// The same by another signal than its own.
    pub async fn restart_with(
        &self,
        id: &ContainerId,
        grace: Option<Duration>,
        signal: Option<&str>,
    ) -> Result<(), ContainerError> {
        let signal = signal.map(signal_number).transpose()?;
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        let ran = cell.live().record.state.runs();
        self.stop_by(&cell, grace, signal).await?;
        if ran {
            events::stopped(self, &cell.record());
        }
        cell.update(|live| live.record.stopped_by_hand = false)?;
        self.start_in_turn(&cell).await?;
        events::restarted(self, &cell.record());
        Ok(())
    }

    /// Freezes it, or lets it go on. Says whether it was otherwise before.
    pub async fn pause(&self, id: &ContainerId, freeze: bool) -> Result<bool, ContainerError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        self.pause_in_turn(&cell, freeze).await
    }

    pub(crate) async fn pause_in_turn(&self, cell: &Arc<Cell>, freeze: bool) -> Result<bool, ContainerError> {
        let name = cell.record().name;
        let shim = cell.shim().ok_or_else(|| ContainerError::NotRunning(name.clone()))?;
        if matches!(cell.record().state, crate::State::Running { paused, .. } if paused == freeze) {
            return Ok(false);
        }
        base::crash::point("container: about to be frozen or thawed");
        let done = if freeze { shim.pause().await } else { shim.resume().await };
        done.map_err(|problem| ContainerError::failed(format!("freeze or thaw `{name}`"), &problem))?;
        base::crash::point("container: frozen or thawed");
        cell.update(|live| {
            if let crate::State::Running { paused, .. } = &mut live.record.state {
                *paused = freeze;
            }
        })?;
        events::paused(self, &cell.record(), freeze);
        self.announce(cell);
        Ok(true)
    }

    fn stop_signal(&self, record: &crate::Record) -> Result<i32, ContainerError> {
        let asked = record.service.stop_signal.clone();
        let signal = asked.or_else(|| {
            let image = self.inner.rooms.images.find(&record.image_id).ok()?;
            image.config.config.stop_signal.clone()
        });
        signal.map_or(Ok(15), |signal| signal_number(&signal))
    }
}

/// A signal by name, with or without `SIG`, or by number.
pub(crate) fn signal_number(text: &str) -> Result<i32, ContainerError> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |base: i32, rest: &str| match rest {
        "" => Some(base),
        offset => offset.parse::<i32>().ok().map(|offset| base + offset),
    };
    let number = text
        .parse::<i32>()
        .ok()
        .or_else(|| NAMES.iter().position(|name| *name == bare).map(|at| at as i32 + 1))
        .or_else(|| bare.strip_prefix("RTMIN").and_then(|rest| real_time(34, rest)))
        .or_else(|| bare.strip_prefix("RTMAX").and_then(|rest| real_time(64, rest)));
    number
        .filter(|number| (1..=64).contains(number))
        .ok_or_else(|| ContainerError::Invalid(format!("`{text}` is not a signal")))
}
