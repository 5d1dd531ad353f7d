//! What happens in the loops, for the log.

use std::time::Duration;

use base::{AppName, Report};
use plan::{Change, Step};
use tracing::{info, warn};

pub(crate) fn step_began(app: &AppName, step: &Step) {
    info!(app.name = %app, "`{app}`: {step}");
}

pub(crate) fn step_failed(app: &AppName, step: &Step, report: &Report) {
    warn!(app.name = %app, "`{app}`: could not {step}: {report}");
}

pub(crate) fn wrote(app: &AppName, change: &Change) {
    for event in &change.events {
        info!(app.name = %app, event = event.name, "`{app}`: {}", event.message);
    }
}

pub(crate) fn write_failed(app: &AppName, report: &Report, wait: Duration) {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    warn!(app.name = %app, wait_ms, "`{app}`: could not write down what happened: {report}");
}

pub(crate) fn look_failed(app: &AppName, report: &Report) {
    warn!(app.name = %app, "`{app}`: could not look at its instances: {report}");
}
