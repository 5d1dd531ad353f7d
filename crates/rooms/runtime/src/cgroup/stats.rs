//! What a container uses, read from its cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a container uses at one moment; counters run from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time, in nanoseconds.
    pub cpu_ns: u64,
    /// Of it for programs.
    pub cpu_user_ns: u64,
    /// Of it in the kernel for them.
    pub cpu_system_ns: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// For so long.
    pub throttled_ns: u64,
    /// Memory, the page cache included, in bytes.
    pub memory: u64,
    /// The page cache's part that could be dropped at once; docker subtracts it.
    pub memory_inactive_file: u64,
    /// The bound; none when there is none.
    pub memory_limit: Option<u64>,
    /// The most there ever was, where the kernel tells.
    pub memory_peak: Option<u64>,
    /// Processes ended for want of memory.
    pub oom_kills: u64,
    /// Processes and threads.
    pub pids: u64,
    /// The bound; none when there is none.
    pub pids_limit: Option<u64>,
    /// Bytes read from disks.
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
}

/// The number behind this name in a file of `name number` lines; 0 when it is not there.
pub(super) fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file).trim().parse().ok()
}

/// From the second version.
pub(super) fn second(dir: &Path) -> Stats {
    let cpu = text(dir, "cpu.stat");
    let mut stats = Stats {
        cpu_ns: field(&cpu, "usage_usec") * 1000,
        cpu_user_ns: field(&cpu, "user_usec") * 1000,
        cpu_system_ns: field(&cpu, "system_usec") * 1000,
        throttled_periods: field(&cpu, "nr_throttled"),
        throttled_ns: field(&cpu, "throttled_usec") * 1000,
        memory: number(dir, "memory.current").unwrap_or(0),
        memory_inactive_file: field(&text(dir, "memory.stat"), "inactive_file"),
        memory_limit: number(dir, "memory.max"),
        memory_peak: number(dir, "memory.peak"),
        oom_kills: field(&text(dir, "memory.events"), "oom_kill"),
        pids: number(dir, "pids.current").unwrap_or(0),
        pids_limit: number(dir, "pids.max"),
        ..Stats::default()
    };
    for line in text(dir, "io.stat").lines() {
        for pair in line.split_ascii_whitespace() {
            let value = |name| pair.strip_prefix(name).and_then(|n: &str| n.parse::<u64>().ok()).unwrap_or(0);
            stats.read_bytes += value("rbytes=");
            stats.written_bytes += value("wbytes=");
        }
    }
    stats
}

/// From the first version, given where each controller is.
pub(super) fn first<'a>(dir: impl Fn(&str) -> Option<&'a PathBuf>) -> Stats {
    /// What the kernel answers when there is no bound: the largest number of pages.
    const UNBOUNDED: u64 = 1 << 62;
    /// One tick of the counters in `cpuacct.stat`.
    const TICK_NS: u64 = 10_000_000;
    let mut stats = Stats::default();
    if let Some(dir) = dir("cpuacct") {
        let split = text(dir, "cpuacct.stat");
        stats.cpu_ns = number(dir, "cpuacct.usage").unwrap_or(0);
        stats.cpu_user_ns = field(&split, "user") * TICK_NS;
        stats.cpu_system_ns = field(&split, "system") * TICK_NS;
    }
    if let Some(dir) = dir("cpu") {
        let cpu = text(dir, "cpu.stat");
        stats.throttled_periods = field(&cpu, "nr_throttled");
        stats.throttled_ns = field(&cpu, "throttled_time");
    }
    if let Some(dir) = dir("memory") {
        stats.memory = number(dir, "memory.usage_in_bytes").unwrap_or(0);
        stats.memory_inactive_file = field(&text(dir, "memory.stat"), "total_inactive_file");
        stats.memory_limit = number(dir, "memory.limit_in_bytes").filter(|limit| *limit < UNBOUNDED);
        stats.memory_peak = number(dir, "memory.max_usage_in_bytes");
        stats.oom_kills = field(&text(dir, "memory.oom_control"), "oom_kill");
    }
    if let Some(dir) = dir("pids") {
        stats.pids = number(dir, "pids.current").unwrap_or(0);
        stats.pids_limit = number(dir, "pids.max");
    }
    if let Some(dir) = dir("blkio") {
        for line in text(dir, "blkio.throttle.io_service_bytes_recursive").lines() {
            let mut words = line.split(' ').skip(1);
            let (kind, count) = (words.next(), words.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0));
            match kind {
                Some("Read") => stats.read_bytes += count,
                Some("Write") => stats.written_bytes += count,
                _ => {}
            }
        }
    }
    stats
}
