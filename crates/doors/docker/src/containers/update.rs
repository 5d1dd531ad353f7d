//! `POST /containers/{id}/update`: other bounds and another restart policy, at once.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base::ContainerId;
use containers::{ContainerError, Record, Update};
use serde_json::{Value, json};

use super::create::{bounds, restart};
use super::describe;
use crate::answer::{Answer, Refusal};
use crate::params::Document;
use crate::version::ApiVersion;
use crate::wire::{HostConfig, Resources};
use crate::{Docker, Shared};

/// Zero and nothing mean that it stays as it is.
pub(super) async fn update(
    State(docker): Shared,
    Path(name): Path<String>,
    version: ApiVersion,
    Document(mut wanted): Document<HostConfig>,
) -> Answer<Value> {
    if version < ApiVersion(1, 40) {
        wanted.resources.pids_limit = None;
    }
    let id = docker.containers.find(&name)?;
    let mut warnings = Vec::new();
    let notes = docker.containers.update(&id, |record| changed(&docker, &id, record, wanted, &mut warnings));
    let notes = notes.await.map_err(|Problem(refusal)| refusal)?;
    warnings.extend(notes);
    Ok(Json(json!({ "Warnings": warnings })))
}

/// A refusal that a room's problem becomes on its way through the room.
struct Problem(Refusal);

impl From<ContainerError> for Problem {
    fn from(error: ContainerError) -> Self {
        let refusal: Refusal = error.into();
        Self(refusal)
    }
}

fn changed(
    docker: &Docker,
    id: &ContainerId,
    record: &Record,
    wanted: HostConfig,
    warnings: &mut Vec<String>,
) -> Result<Update, Problem> {
    let command = docker.containers.command(record);
    let mut asked = describe::asked(record, &command, docker.images.find(&record.image_id).ok().as_ref());
    check_sets(&wanted.resources).map_err(Problem)?;
    // What is said is looked at by itself first, as docker does: its own contradictions come before those with what is.
    let mut alone = wanted.resources.clone();
    if alone.memory == 0 && alone.memory_swap > 0 {
        alone.memory_swap = 0;
    }
    bounded(HostConfig { resources: alone, ..HostConfig::default() }, warnings).map_err(Problem)?;
    if wanted.resources.oom_kill_disable == Some(true) && wanted.resources.memory == 0 {
        warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".into());
    }
    let host = &mut asked.host_config;
    merge(&mut host.resources, &wanted.resources).map_err(|refusal| Problem(cannot(id, refusal)))?;
    if !wanted.restart_policy.name.is_empty() {
        let policy = HostConfig { restart_policy: wanted.restart_policy.clone(), ..HostConfig::default() };
        restart(&policy).map_err(Problem)?;
        if host.auto_remove && wanted.restart_policy.name != "no" {
            let text = "Restart policy cannot be updated because AutoRemove is enabled for the container";
            return Err(Problem(cannot(id, Refusal::conflict(text))));
        }
        host.restart_policy = wanted.restart_policy;
    }
    let mut limits =
        bounded(host.clone(), &mut Vec::new()).map_err(|refusal| Problem(cannot(id, refusal)))?;
    // What docker cannot say of a container stays with it.
    limits.devices.clone_from(&record.service.limits.devices);
    let restart = restart(host).map_err(|refusal| Problem(cannot(id, refusal)))?;
    // Containers that were made otherwise are told from what they are.
    let asked = if record.asked.is_null() {
        Value::Null
    } else {
        serde_json::to_value(&asked).map_err(|error| Problem(Refusal::failed(error.to_string())))?
    };
    Ok(Update { limits, restart, asked })
}

/// Docker's numbers as bounds.
fn bounded(mut host: HostConfig, warnings: &mut Vec<String>) -> Result<spec::Limits, Refusal> {
    let mems = std::mem::take(&mut host.resources.cpuset_mems);
    let resources = &mut host.resources;
    // Of devices nothing can be changed by this version of the API.
    resources.blkio_weight_device.clear();
    resources.blkio_device_read_bps.clear();
    resources.blkio_device_write_bps.clear();
    resources.blkio_device_read_iops.clear();
    resources.blkio_device_write_iops.clear();
    resources.device_cgroup_rules = None;
    resources.device_requests = None;
    let limits = bounds::limits(&host, warnings)?;
    Ok(spec::Limits { cpuset_mems: Some(mems).filter(|mems| !mems.is_empty()), ..limits })
}

fn cannot(id: &ContainerId, refusal: Refusal) -> Refusal {
    let status =
        if refusal.status == StatusCode::BAD_REQUEST { StatusCode::CONFLICT } else { refusal.status };
    Refusal { status, message: format!("Cannot update container {id}: {}", refusal.message) }
}

/// What is said over what there is.
fn merge(has: &mut Resources, said: &Resources) -> Result<(), Refusal> {
    let conflict = |text: &str| Err(Refusal::conflict(text));
    if said.nano_cpus > 0 && has.cpu_period > 0 {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    if said.nano_cpus > 0 && has.cpu_quota > 0 {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if said.cpu_period > 0 && has.nano_cpus > 0 {
        return conflict(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if said.cpu_quota > 0 && has.nano_cpus > 0 {
        return conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
    }
    // Memory without a bound of swap has as much swap again.
    if has.memory_swap == 0 && has.memory > 0 {
        has.memory_swap = has.memory.saturating_mul(2);
    }
    if said.memory != 0 && said.memory_swap == 0 && has.memory_swap >= 0 && said.memory > has.memory_swap {
        return conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    let set = |has: &mut i64, said: i64| {
        if said != 0 {
            *has = said;
        }
    };
    set(&mut has.cpu_shares, said.cpu_shares);
    set(&mut has.nano_cpus, said.nano_cpus);
    set(&mut has.cpu_period, said.cpu_period);
    set(&mut has.cpu_quota, said.cpu_quota);
    set(&mut has.memory, said.memory);
    set(&mut has.memory_swap, said.memory_swap);
    set(&mut has.memory_reservation, said.memory_reservation);
    if said.blkio_weight != 0 {
        has.blkio_weight = said.blkio_weight;
    }
    for (has, said) in [(&mut has.cpuset_cpus, &said.cpuset_cpus), (&mut has.cpuset_mems, &said.cpuset_mems)]
    {
        if !said.is_empty() {
            has.clone_from(said);
        }
    }
    if let Some(pids) = said.pids_limit {
        // Any number that is none means no bound.
        has.pids_limit = Some(pids.max(0));
    }
    Ok(())
}

/// Refuses processors and memory nodes that are not there.
fn check_sets(said: &Resources) -> Result<(), Refusal> {
    let sets = [
        (&said.cpuset_cpus, "cpuset cpus", "CPUs", "/sys/devices/system/cpu/online"),
        (&said.cpuset_mems, "cpuset mems", "memory nodes", "/sys/devices/system/node/online"),
    ];
    for (text, what, things, file) in sets {
        if text.is_empty() {
            continue;
        }
        let wanted = numbers(text).ok_or_else(|| {
            Refusal::invalid(format!("Invalid value {text} for {what}: invalid format: {text}"))
        })?;
        // A machine that does not tell has one of each.
        let there = std::fs::read_to_string(file).unwrap_or_else(|_| "0".into());
        let there = there.trim();
        let all = numbers(there).unwrap_or_default();
        if wanted.iter().any(|number| !all.contains(number)) {
            return Err(Refusal::invalid(format!(
                "Requested {things} are not available - requested {text}, available: {there}"
            )));
        }
    }
    Ok(())
}

/// The numbers in a list of numbers and ranges, as in `0-2,4`.
fn numbers(text: &str) -> Option<Vec<u32>> {
    /// More than any kernel has.
    const MOST: u32 = 1 << 13;
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

#[cfg(test)]
mod tests;
