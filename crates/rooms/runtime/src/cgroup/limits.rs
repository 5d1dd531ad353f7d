//! Which control files a container's bounds are written to; nothing is written here.

use std::path::PathBuf;

use crate::order::{DeviceBound, DeviceRate, Limits};

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// Of the first version.
    pub(super) controller: &'static str,
    /// The control file.
    pub(super) file: &'static str,
    /// The text.
    pub(super) value: String,
    /// Its other name, and the text for it, in other kernels.
    pub(super) instead: Option<(&'static str, String)>,
    /// Nobody asked for it; it only goes along with something else.
    pub(super) optional: bool,
    /// Whose number goes before the text, if it is about a device.
    pub(super) device: Option<PathBuf>,
    /// For people.
    pub(super) what: &'static str,
}

fn write(controller: &'static str, file: &'static str, value: impl ToString, what: &'static str) -> Write {
    Write { controller, file, value: value.to_string(), instead: None, optional: false, device: None, what }
}

impl Write {
    fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    fn or(mut self, file: &'static str, value: impl ToString) -> Self {
        self.instead = Some((file, value.to_string()));
        self
    }
}

const PERIOD_US: u64 = 100_000;

/// Microseconds of processor time a period, and the period.
fn quota(limits: &Limits) -> Option<(i64, u64)> {
    let period = limits.cpu_period.unwrap_or(PERIOD_US);
    match (limits.cpus, limits.cpu_quota) {
        (Some(cpus), _) => Some(((cpus * period as f64).round() as i64, period)),
        (None, Some(quota)) => Some((quota, period)),
        (None, None) => limits.cpu_period.map(|period| (-1, period)),
    }
}

/// Memory and swap together, as docker takes it: twice the memory unless given.
fn memory_and_swap(limits: &Limits) -> Option<i64> {
    let doubled = limits.memory.map(|memory| i64::try_from(memory.0.saturating_mul(2)).unwrap_or(i64::MAX));
    limits.memory_swap.filter(|swap| *swap != 0).or(doubled)
}

/// For the first version.
pub(super) fn first(limits: &Limits) -> Vec<Write> {
    let mut all = Vec::new();
    if let Some(swappiness) = limits.swappiness {
        all.push(write("memory", "memory.swappiness", swappiness, "swappiness"));
    }
    if let Some(memory) = limits.memory {
        // Either may be the one that must move first; a refused first try is made good by the third.
        all.push(write("memory", "memory.limit_in_bytes", memory.0, "memory").optional(true));
    }
    if let Some(both) = memory_and_swap(limits) {
        let asked = limits.memory_swap.is_some();
        all.push(write("memory", "memory.memsw.limit_in_bytes", both, "swap").optional(!asked));
    }
    if let Some(memory) = limits.memory {
        all.push(write("memory", "memory.limit_in_bytes", memory.0, "memory"));
    }
    if let Some(kept) = limits.memory_reservation {
        all.push(write("memory", "memory.soft_limit_in_bytes", kept.0, "kept memory"));
    }
    if limits.oom_kill_disable {
        all.push(write("memory", "memory.oom_control", 1, "the end for want of memory"));
    }
    if let Some(shares) = limits.cpu_shares {
        all.push(write("cpu", "cpu.shares", shares, "the processor weight"));
    }
    if let Some((quota, period)) = quota(limits) {
        all.push(write("cpu", "cpu.cfs_period_us", period, "the processor period"));
        all.push(write("cpu", "cpu.cfs_quota_us", quota, "processor time"));
    }
    if let Some(set) = &limits.cpuset {
        all.push(write("cpuset", "cpuset.cpus", set, "the processors"));
    }
    if let Some(set) = &limits.cpuset_mems {
        all.push(write("cpuset", "cpuset.mems", set, "the memory nodes"));
    }
    all.extend(limits.devices.iter().map(first_device));
    if let Some(pids) = limits.pids {
        all.push(write("pids", "pids.max", count(pids), "processes"));
    }
    if let Some(weight) = limits.blkio_weight {
        all.push(write("blkio", "blkio.weight", weight, "the disk weight").or("blkio.bfq.weight", weight));
    }
    all
}

/// For the second version.
pub(super) fn second(limits: &Limits) -> Vec<Write> {
    let mut all = Vec::new();
    if let Some(memory) = limits.memory {
        all.push(write("", "memory.max", memory.0, "memory"));
    }
    if let Some(both) = memory_and_swap(limits) {
        let swap = match limits.memory {
            _ if both < 0 => "max".to_owned(),
            Some(memory) => (both as u64).saturating_sub(memory.0).to_string(),
            None => both.to_string(),
        };
        all.push(write("", "memory.swap.max", swap, "swap").optional(limits.memory_swap.is_none()));
    }
    if let Some(kept) = limits.memory_reservation {
        all.push(write("", "memory.low", kept.0, "kept memory"));
    }
    if let Some(shares) = limits.cpu_shares {
        // 2 to 262144 onto 1 to 10000, as everybody does it.
        let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
        all.push(write("", "cpu.weight", weight, "the processor weight"));
    }
    if let Some((quota, period)) = quota(limits) {
        let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
        all.push(write("", "cpu.max", format!("{quota} {period}"), "processor time"));
    }
    if let Some(set) = &limits.cpuset {
        all.push(write("", "cpuset.cpus", set, "the processors"));
    }
    if let Some(set) = &limits.cpuset_mems {
        all.push(write("", "cpuset.mems", set, "the memory nodes"));
    }
    all.extend(limits.devices.iter().map(second_device));
    if let Some(pids) = limits.pids {
        all.push(write("", "pids.max", count(pids), "processes"));
    }
    if let Some(weight) = limits.blkio_weight {
        // 10 to 1000 onto 1 to 10000.
        let io = 1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990;
        all.push(
            write("", "io.bfq.weight", weight, "the disk weight").or("io.weight", format!("default {io}")),
        );
    }
    all
}

fn first_device(bound: &DeviceBound) -> Write {
    let (file, what) = match bound.what {
        DeviceRate::ReadBytes => ("blkio.throttle.read_bps_device", "bytes read from a device"),
        DeviceRate::WrittenBytes => ("blkio.throttle.write_bps_device", "bytes written to a device"),
        DeviceRate::Reads => ("blkio.throttle.read_iops_device", "reads from a device"),
        DeviceRate::Writes => ("blkio.throttle.write_iops_device", "writes to a device"),
        DeviceRate::Weight => ("blkio.weight_device", "the weight of a device"),
    };
    let write = Write { device: Some(bound.path.clone()), ..write("blkio", file, bound.most, what) };
    if bound.what == DeviceRate::Weight { write.or("blkio.bfq.weight_device", bound.most) } else { write }
}

fn second_device(bound: &DeviceBound) -> Write {
    let (file, key, what) = match bound.what {
        DeviceRate::ReadBytes => ("io.max", "rbps=", "bytes read from a device"),
        DeviceRate::WrittenBytes => ("io.max", "wbps=", "bytes written to a device"),
        DeviceRate::Reads => ("io.max", "riops=", "reads from a device"),
        DeviceRate::Writes => ("io.max", "wiops=", "writes to a device"),
        DeviceRate::Weight => ("io.bfq.weight", "", "the weight of a device"),
    };
    Write { device: Some(bound.path.clone()), ..write("", file, format!("{key}{}", bound.most), what) }
}

fn count(pids: i64) -> String {
    if pids > 0 { pids.to_string() } else { "max".to_owned() }
}
