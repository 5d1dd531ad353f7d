//! All that a container's cgroup tells of its use, under the kernel's own names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::{Cgroup, Hierarchies};

/// What a cgroup tells at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Whether the first version of cgroups accounts.
    pub first: bool,
    /// Processor time, in nanoseconds.
    pub cpu_ns: u64,
    /// Of it by processor, where the kernel tells.
    pub per_cpu_ns: Vec<u64>,
    /// Of it for programs.
    pub cpu_user_ns: u64,
    /// Of it in the kernel for them.
    pub cpu_system_ns: u64,
    /// Periods of the quota.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// For so long, in nanoseconds.
    pub throttled_ns: u64,
    /// Memory, the page cache included, in bytes.
    pub memory: u64,
    /// The most there ever was, where the kernel tells.
    pub memory_peak: Option<u64>,
    /// How often the bound was reached.
    pub memory_failures: u64,
    /// The bound; none when there is none.
    pub memory_limit: Option<u64>,
    /// `memory.stat`, by its names.
    pub memory_stat: BTreeMap<String, u64>,
    /// Processes and threads.
    pub pids: u64,
    /// The bound; none when there is none.
    pub pids_limit: Option<u64>,
    /// Bytes moved, by device and by the kernel's word for how.
    pub io_bytes: Vec<DeviceFigure>,
    /// Operations, likewise.
    pub io_operations: Vec<DeviceFigure>,
}

/// A number about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFigure {
    /// Its major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// What was done: `Read` and `Write` by the first version, `read` and `write` by the second.
    pub operation: String,
    /// How much.
    pub value: u64,
}

impl Figures {
    /// Reads what the cgroup of this path tells; zeros where there is none.
    pub fn read(cgroup: &str) -> io::Result<Self> {
        let hierarchies = Hierarchies::find()?;
        let place = Cgroup::at(cgroup, &hierarchies).map_err(|failure| io::Error::other(failure.message))?;
        let found = if place.first.is_empty() {
            place.second.as_deref().map(second).unwrap_or_default()
        } else {
            first(|controller| place.first_dir(controller).map(std::path::PathBuf::as_path))
        };
        Ok(found)
    }
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file).trim().parse().ok()
}

/// `name number` lines.
fn table(dir: &Path, file: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text(dir, file).lines().filter_map(line).collect()
}

fn second(dir: &Path) -> Figures {
    let cpu = table(dir, "cpu.stat");
    let of = |name: &str| cpu.get(name).copied().unwrap_or(0);
    let moved = text(dir, "io.stat");
    Figures {
        cpu_ns: of("usage_usec") * 1000,
        cpu_user_ns: of("user_usec") * 1000,
        cpu_system_ns: of("system_usec") * 1000,
        periods: of("nr_periods"),
        throttled_periods: of("nr_throttled"),
        throttled_ns: of("throttled_usec") * 1000,
        memory: number(dir, "memory.current").unwrap_or(0),
        memory_failures: table(dir, "memory.events").get("oom").copied().unwrap_or(0),
        memory_limit: number(dir, "memory.max"),
        memory_stat: table(dir, "memory.stat"),
        pids: number(dir, "pids.current").unwrap_or(0),
        pids_limit: number(dir, "pids.max"),
        io_bytes: pairs(&moved, [("rbytes", "read"), ("wbytes", "write")]),
        ..Figures::default()
    }
}

/// `major:minor rbytes=1 wbytes=2 …` lines.
fn pairs(lines: &str, wanted: [(&str, &str); 2]) -> Vec<DeviceFigure> {
    let mut found = Vec::new();
    for line in lines.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        let told: BTreeMap<&str, u64> = words
            .filter_map(|word| {
                word.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)))
            })
            .collect();
        for (name, operation) in wanted {
            let value = told.get(name).copied().unwrap_or(0);
            found.push(DeviceFigure { major, minor, operation: operation.to_owned(), value });
        }
    }
    found
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn first<'a>(dir: impl Fn(&str) -> Option<&'a Path>) -> Figures {
    /// What the kernel answers when there is no bound: the largest number of pages.
    const UNBOUNDED: u64 = 1 << 62;
    /// One tick of the counters in `cpuacct.stat`.
    const TICK_NS: u64 = 10_000_000;
    let mut found = Figures { first: true, ..Figures::default() };
    if let Some(dir) = dir("cpuacct") {
        let split = table(dir, "cpuacct.stat");
        found.cpu_ns = number(dir, "cpuacct.usage").unwrap_or(0);
        found.per_cpu_ns = text(dir, "cpuacct.usage_percpu")
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        found.cpu_user_ns = split.get("user").copied().unwrap_or(0) * TICK_NS;
        found.cpu_system_ns = split.get("system").copied().unwrap_or(0) * TICK_NS;
    }
    if let Some(dir) = dir("cpu") {
        let cpu = table(dir, "cpu.stat");
        let of = |name: &str| cpu.get(name).copied().unwrap_or(0);
        found.periods = of("nr_periods");
        found.throttled_periods = of("nr_throttled");
        found.throttled_ns = of("throttled_time");
    }
    if let Some(dir) = dir("memory") {
        found.memory = number(dir, "memory.usage_in_bytes").unwrap_or(0);
        found.memory_peak = number(dir, "memory.max_usage_in_bytes");
        found.memory_failures = number(dir, "memory.failcnt").unwrap_or(0);
        found.memory_limit = number(dir, "memory.limit_in_bytes").filter(|limit| *limit < UNBOUNDED);
        found.memory_stat = table(dir, "memory.stat");
    }
    if let Some(dir) = dir("pids") {
        found.pids = number(dir, "pids.current").unwrap_or(0);
        found.pids_limit = number(dir, "pids.max");
    }
    if let Some(dir) = dir("blkio") {
        let counted = |what: &str| {
            // The scheduler that counts itself is asked first, as it counts what the other does not.
            let files = [format!("blkio.bfq.{what}_recursive"), format!("blkio.throttle.{what}_recursive")];
            let found = files.iter().map(|file| words(&text(dir, file))).find(|found| !found.is_empty());
            found.unwrap_or_default()
        };
        found.io_bytes = counted("io_service_bytes");
        found.io_operations = counted("io_serviced");
    }
    found
}

/// `major:minor Read 1` lines.
fn words(lines: &str) -> Vec<DeviceFigure> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (major, minor) = device(words.next()?)?;
        let operation = words.next()?.to_owned();
        Some(DeviceFigure { major, minor, operation, value: words.next()?.parse().ok()? })
    };
    lines.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests;
