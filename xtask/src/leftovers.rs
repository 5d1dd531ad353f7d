//! What tests leave behind on the machine: processes, mounts, links, cgroups and filters that were not there before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::stage::Did;
use crate::{needs, shell, tree};

/// How long what ends by itself may take to do so.
const ROUNDS: u32 = 100;
const ROUND: Duration = Duration::from_millis(100);
/// Deep enough for the cgroups of containers, wherever they are.
const CGROUP_DEPTH: usize = 5;

/// What of ours the machine has at one moment, each in a line.
pub(crate) struct Snapshot(BTreeSet<String>);

/// Looks at the machine.
pub(crate) fn look() -> Result<Snapshot> {
    let mut seen = BTreeSet::new();
    processes(&mut seen);
    for line in fs::read_to_string("/proc/self/mounts")?.lines() {
        let point = line.split(' ').nth(1).unwrap_or_default();
        seen.insert(format!("mount {point}"));
    }
    for link in names_in(Path::new("/sys/class/net")) {
        seen.insert(format!("link {link}"));
    }
    cgroups(Path::new("/sys/fs/cgroup"), CGROUP_DEPTH, &mut seen);
    for table in shell::output(needs::as_root("nft")?.args(["list", "tables"]))?.lines() {
        seen.insert(format!("filters {table}"));
    }
    Ok(Snapshot(seen))
}

/// Fails when there is more of ours than before, once it had time to go.
pub(crate) fn none_since(before: &Snapshot) -> Result<Did> {
    let mut left: Vec<String> = Vec::new();
    for _ in 0..ROUNDS {
        let now = look()?;
        left = now.0.difference(&before.0).filter(|line| ours(line)).cloned().collect();
        if left.is_empty() {
            return Ok(Did(now.0.len(), "things seen"));
        }
        std::thread::sleep(ROUND);
    }
    bail!("the tests left behind:\n  {}", left.join("\n  "))
}

/// Whether it is of a kind that sea or its tests make; other programs of the machine come and go as they like.
fn ours(line: &str) -> bool {
    match line.split_once(' ') {
        Some(("process", _)) => true,
        Some(("mount", point)) => {
            point.contains("sea") || point.starts_with("/tmp/") || point.starts_with("/run/netns/")
        }
        Some(("link" | "filters" | "cgroup", name)) => name.contains("sea") || name.contains("sev"),
        _ => false,
    }
}

/// Programs that were built here, and shims, which run from memory.
fn processes(seen: &mut BTreeSet<String>) {
    let built = tree::target();
    for pid in names_in(Path::new("/proc")).filter(|name| name.bytes().all(|b| b.is_ascii_digit())) {
        let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { continue };
        let from_memory = program.to_string_lossy().starts_with("/memfd:sea");
        // The chore that is asking is itself one of them.
        if (program.starts_with(&built) || from_memory) && pid != std::process::id().to_string() {
            seen.insert(format!("process {pid} {}", program.display()));
        }
    }
}

fn cgroups(folder: &Path, depth: usize, seen: &mut BTreeSet<String>) {
    for name in names_in(folder) {
        let path = folder.join(&name);
        if path.is_dir() && !path.is_symlink() {
            seen.insert(format!("cgroup {}", path.display()));
            if depth > 1 {
                cgroups(&path, depth - 1, seen);
            }
        }
    }
}

fn names_in(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
