//! What a container uses: its cgroup and its links.

use std::collections::BTreeMap;
use std::fs;

use base::{ContainerId, Timestamp};
use runtime::Figures;
use spec::NetworkMode;

use crate::Containers;
use crate::problem::ContainerError;
use crate::record::State;
use crate::root::off_thread;

/// What a container uses at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The moment.
    pub read: Timestamp,
    /// What its cgroup tells.
    pub figures: Figures,
    /// Its links, by the name that it knows them by; none of the host's.
    pub links: BTreeMap<String, LinkFigures>,
    /// All processors' time since the machine's start, idle or not, in nanoseconds.
    pub machine_cpu_ns: u64,
    /// Processors.
    pub machine_cpus: u32,
    /// The machine's memory, in bytes.
    pub machine_memory: u64,
}

/// What passed over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkFigures {
    /// Bytes that came.
    pub rx_bytes: u64,
    /// Packets that came.
    pub rx_packets: u64,
    /// Of them broken.
    pub rx_errors: u64,
    /// Of them let go.
    pub rx_dropped: u64,
    /// Bytes that went.
    pub tx_bytes: u64,
    /// Packets that went.
    pub tx_packets: u64,
    /// Of them broken.
    pub tx_errors: u64,
    /// Of them let go.
    pub tx_dropped: u64,
}

impl Containers {
    /// What it uses now; none when it does not run.
    pub async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        let cell = self.cell(id)?;
        let record = cell.record();
        let State::Running { pid, .. } = record.state else { return Ok(None) };
        let cgroup = crate::order::cgroup(&record, &self.inner.cgroup_root);
        let own_links = record.service.network_mode != NetworkMode::Host;
        let read = self.clock().wall();
        let usage = off_thread(move || {
            let failed = |error| ContainerError::io(format!("measure `{}`", record.name), &error);
            let figures = Figures::read(&cgroup).map_err(failed)?;
            // The machine right behind the container: the two are compared.
            let (machine_cpu_ns, machine_cpus) =
                processors(&fs::read_to_string("/proc/stat").map_err(failed)?);
            let links = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
            let links = if own_links { links_of(&links) } else { BTreeMap::new() };
            let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
            let machine_memory = memory_of(&memory);
            Ok(Usage { read, figures, links, machine_cpu_ns, machine_cpus, machine_memory })
        })
        .await?;
        // One that ended while we looked may have given its number to another.
        let same = matches!(cell.live().record.state, State::Running { pid: now, .. } if now == pid);
        Ok(same.then_some(usage))
    }
}

/// All time of all processors, and how many they are.
fn processors(stat: &str) -> (u64, u32) {
    const TICK_NS: u64 = 10_000_000;
    let mut total = 0;
    let mut count = 0;
    for line in stat.lines().take_while(|line| line.starts_with("cpu")) {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some("cpu") {
            // What guests use is in what their hosts use already.
            total = words.take(7).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() * TICK_NS;
        } else {
            count += 1;
        }
    }
    (total, count)
}

pub(crate) fn memory_of(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn links_of(table: &str) -> BTreeMap<String, LinkFigures> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> =
            numbers.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let of = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let figures = LinkFigures {
            rx_bytes: of(0),
            rx_packets: of(1),
            rx_errors: of(2),
            rx_dropped: of(3),
            tx_bytes: of(8),
            tx_packets: of(9),
            tx_errors: of(10),
            tx_dropped: of(11),
        };
        Some((name.trim().to_owned(), figures)).filter(|(name, _)| name != "lo" && !name.contains(' '))
    };
    table.lines().skip(2).filter_map(line).collect()
}

#[cfg(test)]
mod tests;
