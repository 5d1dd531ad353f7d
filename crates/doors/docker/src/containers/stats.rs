//! `GET /containers/{id}/stats`: what a container uses, once or every second.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base::ContainerId;
use containers::Usage;
use runtime::DeviceFigure;
use serde_json::{Map, Value, json};

use crate::answer::{Pieces, Refusal};
use crate::params::Params;
use crate::version::ApiVersion;
use crate::{Docker, Shared};

/// From one sample to the next.
const STEP: Duration = Duration::from_secs(1);
/// What docker writes for a moment that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) async fn stats(
    State(docker): Shared,
    Path(name): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, Refusal> {
    let id = docker.containers.find(&name)?;
    let stream = params.truth_or("stream", true);
    let one_shot = version >= ApiVersion(1, 41) && params.truth("one-shot");
    if stream {
        let (pieces, response) = Pieces::json();
        let task = format!("stats of {}", id.short());
        let follow = docker.clone();
        docker.tasks.spawn(task, async move {
            tokio::select! {
                () = each_second(&follow, &id, version, &pieces) => {}
                () = pieces.closed() => {}
            }
        });
        return Ok(response);
    }
    let before = if one_shot { None } else { docker.containers.usage(&id).await? };
    if before.is_some() {
        tokio::time::sleep(STEP).await;
    }
    let now = docker.containers.usage(&id).await?;
    // One that has stopped in between tells nothing, as one that never ran.
    let before = before.filter(|_| now.is_some());
    let sample = sample(&docker, &id, version, now.as_ref(), before.as_ref())?;
    Ok(Json(sample).into_response())
}

/// Sends samples until the container is gone or nobody reads.
async fn each_second(docker: &Arc<Docker>, id: &ContainerId, version: ApiVersion, pieces: &Pieces) {
    let mut before = None;
    let mut clock = tokio::time::interval(STEP);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let Ok(now) = docker.containers.usage(id).await else { return };
        let Ok(sample) = sample(docker, id, version, now.as_ref(), before.as_ref()) else { return };
        if !pieces.send(&sample).await {
            return;
        }
        before = now;
    }
}

fn sample(
    docker: &Docker,
    id: &ContainerId,
    version: ApiVersion,
    now: Option<&Usage>,
    before: Option<&Usage>,
) -> Result<Value, Refusal> {
    let name = docker.containers.inspect(id)?.record.name;
    let read = |usage: Option<&Usage>| usage.map_or_else(|| NEVER.to_owned(), |usage| usage.read.to_string());
    let mut document = json!({ "name": format!("/{name}"), "id": id });
    if version >= ApiVersion(1, 52) {
        document["os_type"] = json!("linux");
    }
    document["read"] = json!(read(now));
    document["preread"] = json!(read(before));
    document["pids_stats"] = now.map_or_else(|| json!({}), pids);
    document["blkio_stats"] = blkio(now);
    document["num_procs"] = json!(0);
    document["storage_stats"] = json!({});
    document["cpu_stats"] = cpu(now);
    document["precpu_stats"] = cpu(before);
    document["memory_stats"] = now.map_or_else(|| json!({}), memory);
    if let Some(usage) = now.filter(|usage| !usage.links.is_empty()) {
        document["networks"] = links(usage);
    }
    Ok(document)
}

/// Docker leaves out what is zero.
fn without_zeros(fields: Vec<(&str, u64)>) -> Map<String, Value> {
    let told = fields.into_iter().filter(|(_, value)| *value != 0);
    told.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn pids(usage: &Usage) -> Value {
    let figures = &usage.figures;
    without_zeros(vec![("current", figures.pids), ("limit", figures.pids_limit.unwrap_or(0))]).into()
}

fn cpu(usage: Option<&Usage>) -> Value {
    let figures = usage.map(|usage| &usage.figures);
    let of = |get: fn(&runtime::Figures) -> u64| figures.map_or(0, get);
    let mut used = json!({ "total_usage": of(|figures| figures.cpu_ns) });
    if let Some(figures) = figures.filter(|figures| !figures.per_cpu_ns.is_empty()) {
        used["percpu_usage"] = json!(figures.per_cpu_ns);
    }
    used["usage_in_kernelmode"] = json!(of(|figures| figures.cpu_system_ns));
    used["usage_in_usermode"] = json!(of(|figures| figures.cpu_user_ns));
    let mut document = json!({ "cpu_usage": used });
    if let Some(usage) = usage {
        document["system_cpu_usage"] = json!(usage.machine_cpu_ns);
        document["online_cpus"] = json!(usage.machine_cpus);
    }
    document["throttling_data"] = json!({
        "periods": of(|figures| figures.periods),
        "throttled_periods": of(|figures| figures.throttled_periods),
        "throttled_time": of(|figures| figures.throttled_ns),
    });
    document
}

fn memory(usage: &Usage) -> Value {
    let figures = &usage.figures;
    let limit = figures.memory_limit.map_or(usage.machine_memory, |limit| limit.min(usage.machine_memory));
    let mut document =
        without_zeros(vec![("usage", figures.memory), ("max_usage", figures.memory_peak.unwrap_or(0))]);
    document.insert("stats".into(), json!(figures.memory_stat));
    document.extend(without_zeros(vec![("failcnt", figures.memory_failures), ("limit", limit)]));
    document.into()
}

/// Lists are null where nothing runs, and where this version of cgroups has no such thing.
fn blkio(usage: Option<&Usage>) -> Value {
    let figures = usage.map(|usage| &usage.figures);
    let list = |all: &[DeviceFigure]| -> Value {
        let entry = |one: &DeviceFigure| json!({ "major": one.major, "minor": one.minor, "op": one.operation, "value": one.value });
        all.iter().map(entry).collect()
    };
    let other = if figures.is_some_and(|figures| figures.first) { json!([]) } else { Value::Null };
    let told = |get: fn(&runtime::Figures) -> &[DeviceFigure]| match figures {
        Some(figures) if figures.first || !get(figures).is_empty() => list(get(figures)),
        Some(_) | None => Value::Null,
    };
    json!({
        "io_service_bytes_recursive": told(|figures| &figures.io_bytes),
        "io_serviced_recursive": told(|figures| &figures.io_operations),
        "io_queue_recursive": other,
        "io_service_time_recursive": other,
        "io_wait_time_recursive": other,
        "io_merged_recursive": other,
        "io_time_recursive": other,
        "sectors_recursive": other,
    })
}

fn links(usage: &Usage) -> Value {
    let all = usage.links.iter().map(|(name, link)| {
        let told = json!({
            "rx_bytes": link.rx_bytes, "rx_packets": link.rx_packets,
            "rx_errors": link.rx_errors, "rx_dropped": link.rx_dropped,
            "tx_bytes": link.tx_bytes, "tx_packets": link.tx_packets,
            "tx_errors": link.tx_errors, "tx_dropped": link.tx_dropped,
        });
        (name.clone(), told)
    });
    Value::Object(all.collect())
}
