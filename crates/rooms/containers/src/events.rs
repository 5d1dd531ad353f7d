//! What happens to containers: a log line each, and a line of the journal.

use base::ContainerId;
use runtime::Exit;
use serde_json::{Value, json};
use store::{Entry, Store};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, info, warn};

use crate::record::{Record, State};
use crate::{Containers, HealthLog};

/// A container was made.
pub(crate) fn created(containers: &Containers, id: &ContainerId) {
    let Ok(cell) = containers.cell(id) else { return };
    let record = cell.record();
    debug!(container.id = %id, container.name = %record.name, image.name = %record.image, "made `{}`", record.name);
    note(
        containers,
        &record,
        "ContainerCreated",
        format!("made `{}` from `{}`", record.name, record.image),
        Value::Null,
    );
}

/// Its process runs.
pub(crate) fn started(containers: &Containers, record: &Record) {
    info!(container.id = %record.id, container.name = %record.name, "started `{}`", record.name);
    note(containers, record, "ContainerStarted", format!("started `{}`", record.name), Value::Null);
}

/// Its process was asked to end.
pub(crate) fn stopping(record: &Record) {
    debug!(container.id = %record.id, container.name = %record.name, "stopping `{}`", record.name);
}

/// Its process ended.
pub(crate) fn ended(containers: &Containers, record: &Record, exit: &Exit) {
    let asked = matches!(record.state, State::Exited { asked: true, .. });
    let why = match (exit.oom, asked) {
        (true, _) => " because its memory was used up",
        (false, true) => " as asked",
        (false, false) => "",
    };
    let message = format!("`{}` ended with code {}{why}", record.name, exit.code);
    if exit.oom || (!asked && exit.code != 0) {
        warn!(container.id = %record.id, container.name = %record.name, exit.code, exit.oom, "{message}");
    } else {
        info!(container.id = %record.id, container.name = %record.name, exit.code, "{message}");
    }
    let event = if exit.oom { "ContainerOutOfMemory" } else { "ContainerEnded" };
    note(containers, record, event, message, json!({ "code": exit.code, "oom": exit.oom, "asked": asked }));
}

/// It became well, or unwell.
pub(crate) fn health_changed(containers: &Containers, record: &Record, well: bool, answer: &HealthLog) {
    let (event, message) = if well {
        ("ContainerHealthy", format!("`{}` is healthy", record.name))
    } else {
        ("ContainerUnhealthy", format!("`{}` is unhealthy: {}", record.name, answer.output.trim()))
    };
    info!(container.id = %record.id, container.name = %record.name, "{message}");
    note(containers, record, event, message, json!({ "exit_code": answer.exit_code }));
}

/// It was removed.
pub(crate) fn removed(containers: &Containers, record: &Record) {
    debug!(container.id = %record.id, container.name = %record.name, "removed `{}`", record.name);
    note(containers, record, "ContainerRemoved", format!("removed `{}`", record.name), Value::Null);
}

/// Its shim was gone without a word when the daemon looked.
pub(crate) fn lost(containers: &Containers, record: &Record) {
    warn!(container.id = %record.id, container.name = %record.name, "`{}` was lost: its shim is gone", record.name);
    note(
        containers,
        record,
        "ContainerLost",
        format!("`{}` was lost: its shim is gone", record.name),
        Value::Null,
    );
}

/// A signal was sent to it.
pub(crate) fn killed(containers: &Containers, record: &Record, signal: i32) {
    let message = format!("sent the signal {signal} to `{}`", record.name);
    note(containers, record, "ContainerKilled", message, json!({ "signal": signal }));
}

/// Somebody had it stopped.
pub(crate) fn stopped(containers: &Containers, record: &Record) {
    note(containers, record, "ContainerStopped", format!("stopped `{}`", record.name), Value::Null);
}

/// Somebody had it stopped and started.
pub(crate) fn restarted(containers: &Containers, record: &Record) {
    note(containers, record, "ContainerRestarted", format!("restarted `{}`", record.name), Value::Null);
}

/// Somebody reads what it says.
pub(crate) fn attached(containers: &Containers, record: &Record) {
    note(containers, record, "ContainerAttached", format!("attached to `{}`", record.name), Value::Null);
}

/// Its terminal has another size.
pub(crate) fn resized(containers: &Containers, record: &Record, rows: u16, columns: u16) {
    let message = format!("resized the terminal of `{}`", record.name);
    note(containers, record, "ContainerResized", message, json!({ "rows": rows, "columns": columns }));
}

/// It was frozen, or goes on.
pub(crate) fn paused(containers: &Containers, record: &Record, frozen: bool) {
    let (event, what) = if frozen { ("ContainerPaused", "froze") } else { ("ContainerUnpaused", "thawed") };
    note(containers, record, event, format!("{what} `{}`", record.name), Value::Null);
}

/// It has another name.
pub(crate) fn renamed(containers: &Containers, record: &Record, old: &str) {
    let message = format!("renamed `{old}` to `{}`", record.name);
    note(containers, record, "ContainerRenamed", message, json!({ "oldName": old }));
}

/// Its bounds or its restart policy changed.
pub(crate) fn updated(containers: &Containers, record: &Record) {
    note(
        containers,
        record,
        "ContainerUpdated",
        format!("changed the bounds of `{}`", record.name),
        Value::Null,
    );
}

/// An image was made of it.
pub(crate) fn committed(containers: &Containers, record: &Record, image: &str, name: &str, comment: &str) {
    let detail = json!({ "imageID": image, "imageRef": name, "comment": comment });
    note(containers, record, "ContainerCommitted", format!("made an image of `{}`", record.name), detail);
}

/// Somebody looked at it or reached into it, which docker's clients hear of.
pub(crate) fn noted(containers: &Containers, record: &Record, event: &'static str, what: &str) {
    note(containers, record, event, format!("{what} of `{}`", record.name), Value::Null);
}

/// Something happened to a program beside its own.
pub(crate) fn exec(containers: &Containers, record: &Record, event: &'static str, detail: Value) {
    let what = match event {
        "ExecCreated" => "is to be run",
        "ExecStarted" => "runs",
        _ => "ended",
    };
    note(containers, record, event, format!("a program {what} in `{}`", record.name), detail);
}

/// Writes a line of the journal in the background: what was observed need not be waited for. Lines keep their order.
fn note(containers: &Containers, record: &Record, event: &'static str, message: String, detail: Value) {
    let mut fields = json!({
        "id": record.id, "name": record.name, "image": record.image,
        "service": record.owner.as_ref().map(|owner| &owner.service),
        "release": record.owner.as_ref().map(|owner| owner.release),
        "labels": record.service.labels,
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, detail) {
        fields.extend(more);
    }
    let entry = Entry {
        app: record.owner.as_ref().map(|owner| owner.app.clone()),
        subject: format!("container {}", record.name),
        event,
        message,
        detail: fields,
    };
    if let Err(TrySendError::Full(entry)) = containers.inner.journal.try_send(entry) {
        // Rather late than never.
        let journal = containers.inner.journal.clone();
        containers.inner.tasks.spawn("journal", async move {
            let _ = journal.send(entry).await;
        });
    }
}

/// So many lines may wait to be written.
pub(crate) const WAITING: usize = 4096;
/// So many are written at once.
const TOGETHER: usize = 64;

/// Writes lines in the order in which they come.
pub(crate) async fn write(mut lines: mpsc::Receiver<Entry>, store: Store) {
    let mut next = Vec::with_capacity(TOGETHER);
    while lines.recv_many(&mut next, TOGETHER).await > 0 {
        if let Err(problem) = store.note_all(std::mem::take(&mut next)).await {
            warn!("could not write lines of the journal: {problem}");
        }
    }
}
