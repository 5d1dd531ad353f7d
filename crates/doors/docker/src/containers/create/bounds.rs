//! Memory, processors, processes: docker's numbers in our words, and what docker refuses of them.

use base::Bytes;
use indexmap::IndexMap;
use spec::{DeviceBound, DeviceRate, Limits, Ulimit};

use crate::answer::Refusal;
use crate::wire::{self, HostConfig};

/// Docker lets nobody have less memory.
const LEAST_MEMORY: i64 = 6 << 20;

pub(crate) fn limits(host: &HostConfig, warnings: &mut Vec<String>) -> Result<Limits, Refusal> {
    let of = &host.resources;
    memory(of)?;
    processors(of)?;
    refused(of)?;
    if of.kernel_memory > 0 || of.kernel_memory_tcp > 0 {
        warnings.push("Specifying a kernel memory limit is deprecated and has no effect.".into());
    }
    let some = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    if !(of.blkio_weight == 0 || (10..=1000).contains(&of.blkio_weight)) {
        return Err(Refusal::invalid("Range of blkio weight is from 10 to 1000"));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(Refusal::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    let swappiness = of.memory_swappiness.filter(|value| *value != -1).map(|value| {
        u8::try_from(value).ok().filter(|value| *value <= 100).ok_or_else(|| {
            Refusal::invalid(format!("Invalid value: {value}, valid memory swappiness range is 0-100"))
        })
    });
    Ok(Limits {
        memory: some(of.memory).map(Bytes),
        memory_reservation: some(of.memory_reservation).map(Bytes),
        memory_swap: Some(of.memory_swap).filter(|swap| *swap != 0),
        swappiness: swappiness.transpose()?,
        cpus: some(of.nano_cpus).map(|nanos| nanos as f64 / 1e9),
        cpu_shares: some(of.cpu_shares),
        cpu_period: some(of.cpu_period),
        cpu_quota: Some(of.cpu_quota).filter(|quota| *quota > 0),
        cpuset: Some(of.cpuset_cpus.clone()).filter(|set| !set.is_empty()),
        // Docker takes 0 and -1 for no bound.
        pids: of.pids_limit.filter(|pids| *pids > 0),
        blkio_weight: Some(of.blkio_weight).filter(|weight| *weight > 0),
        oom_kill_disable: of.oom_kill_disable.unwrap_or(false),
        oom_score_adj: Some(host.oom_score_adj).filter(|adjust| *adjust != 0).map(|adjust| adjust as i32),
        cgroup_parent: Some(of.cgroup_parent.clone()).filter(|parent| !parent.is_empty()),
        cpuset_mems: Some(of.cpuset_mems.clone()).filter(|set| !set.is_empty()),
        devices: devices(of)?,
    })
}

/// Bounds of single devices' input and output.
fn devices(of: &wire::Resources) -> Result<Vec<DeviceBound>, Refusal> {
    let mut all = Vec::new();
    for (what, rates) in [
        (DeviceRate::ReadBytes, &of.blkio_device_read_bps),
        (DeviceRate::WrittenBytes, &of.blkio_device_write_bps),
        (DeviceRate::Reads, &of.blkio_device_read_iops),
        (DeviceRate::Writes, &of.blkio_device_write_iops),
    ] {
        let bound = |one: &wire::ThrottleDevice| DeviceBound { path: one.path.clone(), what, most: one.rate };
        all.extend(rates.iter().map(bound));
    }
    for wire::WeightDevice { path, weight } in &of.blkio_weight_device {
        if !(10..=1000).contains(weight) {
            return Err(Refusal::invalid("Range of blkio weight is from 10 to 1000"));
        }
        all.push(DeviceBound { path: path.clone(), what: DeviceRate::Weight, most: (*weight).into() });
    }
    Ok(all)
}

fn memory(of: &wire::Resources) -> Result<(), Refusal> {
    let invalid = |text: &str| Err(Refusal::invalid(text));
    if of.memory != 0 && of.memory < LEAST_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if of.memory > 0 && of.memory_swap > 0 && of.memory_swap < of.memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if of.memory == 0 && of.memory_swap > 0 {
        return invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if of.memory_reservation != 0 && of.memory_reservation < LEAST_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if of.memory > 0 && of.memory_reservation > 0 && of.memory < of.memory_reservation {
        return invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    Ok(())
}

fn processors(of: &wire::Resources) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::invalid(text));
    if of.nano_cpus > 0 && of.cpu_period > 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.".into());
    }
    if of.nano_cpus > 0 && of.cpu_quota > 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.".into());
    }
    let there = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as i64;
    if of.nano_cpus < 0 || of.nano_cpus > there * 1_000_000_000 {
        return invalid(format!(
            "range of CPUs is from 0.01 to {there}.00, as there are only {there} CPUs available"
        ));
    }
    if of.cpu_shares < 0 {
        return invalid(format!("invalid CPU shares ({}): value must be a positive integer", of.cpu_shares));
    }
    if of.cpu_period != 0 && !(1000..=1_000_000).contains(&of.cpu_period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".into(),
        );
    }
    if of.cpu_quota > 0 && of.cpu_quota < 1000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
    }
    Ok(())
}

/// What has a meaning on Linux and cannot be had here, and what has none.
fn refused(of: &wire::Resources) -> Result<(), Refusal> {
    let mut named = Vec::new();
    for (name, asked) in [
        ("CpuRealtimePeriod", of.cpu_realtime_period != 0),
        ("CpuRealtimeRuntime", of.cpu_realtime_runtime != 0),
        ("CpuCount", of.cpu_count != 0),
        ("CpuPercent", of.cpu_percent != 0),
        ("IOMaximumIOps", of.io_maximum_iops != 0),
        ("IOMaximumBandwidth", of.io_maximum_bandwidth != 0),
    ] {
        if asked {
            named.push(name);
        }
    }
    if let Some(requests) = of.device_requests.as_ref().filter(|requests| !requests.is_empty()) {
        let text = |value: &serde_json::Value| value.to_string();
        let driver = requests[0]["Driver"].as_str().unwrap_or_default();
        return Err(Refusal::failed(format!(
            "could not select device driver \"{driver}\" with capabilities: {}",
            requests.first().map_or_else(String::new, |request| text(&request["Capabilities"]))
        )));
    }
    match named.as_slice() {
        [] => Ok(()),
        names => Err(Refusal::invalid(format!("not supported on this host: {}", names.join(", ")))),
    }
}

pub(super) fn shm_size(bytes: i64) -> Result<Option<Bytes>, Refusal> {
    match u64::try_from(bytes) {
        Ok(0) => Ok(None),
        Ok(bytes) => Ok(Some(Bytes(bytes))),
        Err(_) => Err(Refusal::invalid("SHM size can not be less than 0")),
    }
}

pub(super) fn ulimits(asked: &[wire::Ulimit]) -> Result<IndexMap<String, Ulimit>, Refusal> {
    let mut ulimits = IndexMap::new();
    for wire::Ulimit { name, soft, hard } in asked {
        if name.is_empty() {
            return Err(Refusal::invalid("invalid ulimit: a limit needs a name"));
        }
        if *hard >= 0 && (*soft > *hard || *soft < 0) {
            return Err(Refusal::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        ulimits.insert(name.clone(), Ulimit { soft: *soft, hard: *hard });
    }
    Ok(ulimits)
}
