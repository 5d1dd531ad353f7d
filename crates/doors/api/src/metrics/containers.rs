//! What containers use, and how they are.

use std::time::Duration;

use ::containers::View;
use futures_util::StreamExt;
use runtime::Stats;

use super::Text;
use crate::Daemon;

/// So many containers are measured at once.
const AT_ONCE: usize = 32;
/// One that does not answer for so long is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// A container with its measures, if it runs.
pub(super) struct Measured {
    pub(super) view: View,
    pub(super) stats: Option<Stats>,
}

/// Measures all of these.
pub(super) async fn measure(daemon: &Daemon, views: Vec<View>) -> Vec<Measured> {
    let one = |view: View| async {
        let runs = view.record.state.runs();
        let stats = match runs {
            true => tokio::time::timeout(PATIENCE, daemon.containers.stats(&view.record.id)).await.ok(),
            false => None,
        };
        let stats = stats.and_then(Result::ok);
        Measured { view, stats }
    };
    futures_util::stream::iter(views).map(one).buffered(AT_ONCE).collect().await
}

/// A number of a container, if it has it.
type Number = fn(&Measured) -> Option<f64>;

/// Name, kind, number, help.
const FAMILIES: &[(&str, &str, Number, &str)] = &[
    (
        "containers_running",
        "gauge",
        |one| Some(f64::from(u8::from(one.view.record.state.runs()))),
        "1 while its program runs, 0 otherwise.",
    ),
    (
        "containers_healthy",
        "gauge",
        |one| {
            let asked = one.view.health.checked && one.view.record.state.runs();
            asked.then(|| f64::from(u8::from(one.view.health.well == Some(true))))
        },
        "1 while its health check says that it is well, 0 otherwise; absent without one.",
    ),
    (
        "containers_restarts_total",
        "counter",
        |one| Some(f64::from(one.view.record.restarts)),
        "How often its restart policy has started it again.",
    ),
    ("containers_cpu_seconds_total", "counter", |one| Some(seconds(one.stats?.cpu_ns)), "Processor time."),
    (
        "containers_cpu_throttled_seconds_total",
        "counter",
        |one| Some(seconds(one.stats?.throttled_ns)),
        "How long it was held back by its bound of processors.",
    ),
    (
        "containers_memory_bytes",
        "gauge",
        |one| one.stats.map(|stats| stats.memory.saturating_sub(stats.memory_inactive_file) as f64),
        "Memory, without the part of the page cache that could be dropped at once.",
    ),
    (
        "containers_memory_limit_bytes",
        "gauge",
        |one| Some(one.stats?.memory_limit? as f64),
        "The bound of that; absent without one.",
    ),
    (
        "containers_oom_kills_total",
        "counter",
        |one| Some(one.stats?.oom_kills as f64),
        "Processes that the kernel ended for want of memory.",
    ),
    ("containers_processes", "gauge", |one| Some(one.stats?.pids as f64), "Processes and threads."),
    (
        "containers_disk_read_bytes_total",
        "counter",
        |one| Some(one.stats?.read_bytes as f64),
        "Bytes read from disks.",
    ),
    (
        "containers_disk_written_bytes_total",
        "counter",
        |one| Some(one.stats?.written_bytes as f64),
        "Bytes written to disks.",
    ),
];

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Writes what was measured; containers of Docker's API and of apps alike.
pub(super) fn write(text: &mut Text, all: &[Measured]) {
    for (name, kind, number, help) in FAMILIES {
        text.family(name, kind, help);
        for one in all {
            let Some(value) = number(one) else { continue };
            let record = &one.view.record;
            let owner = record.owner.as_ref();
            let app = owner.map(|owner| owner.app.as_str()).unwrap_or_default();
            let service = owner.map(|owner| owner.service.as_str()).unwrap_or_default();
            let release = owner.map(|owner| owner.release.0.to_string()).unwrap_or_default();
            let labels = [
                ("app", app),
                ("service", service),
                ("release", &*release),
                ("container", record.id.short()),
                ("name", record.name.as_str()),
            ];
            text.sample(name, &labels, value);
        }
    }
}
