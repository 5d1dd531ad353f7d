//! What one root has on the machine outside its folder: processes, mounts, links, filters, cgroups.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::process;

/// Deep enough for the cgroups of containers, wherever they are.
const DEPTH: usize = 6;

/// What belongs to one root.
#[derive(Debug)]
pub struct Traces {
    root: PathBuf,
    /// What the names of links, tables and cgroups of this root have in them.
    tag: String,
}

impl Traces {
    /// Of the root with this canonical path.
    pub fn of(root: &Path) -> Self {
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let tag = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { root: root.to_owned(), tag }
    }

    /// The processes: those whose arguments name the root, and those in its cgroups.
    pub fn processes(&self) -> Vec<i32> {
        let ours = |pid: &i32| {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            process::is_about(*pid, &self.root) || groups.contains(&self.tag)
        };
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        process::all().into_iter().filter(|pid| *pid != me && process::lives(*pid)).filter(ours).collect()
    }

    /// Everything that is not in the folder, each in a line.
    pub fn all(&self) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = self.things();
        let line = |pid: i32| format!("process {pid} {}", process::arguments(pid).join(" "));
        found.extend(self.processes().into_iter().map(line));
        found
    }

    /// The same without processes.
    pub fn things(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        found.extend(self.mounts().iter().map(|point| format!("mount {}", point.display())));
        found.extend(self.links().iter().map(|link| format!("link {link}")));
        found.extend(self.tables().iter().map(|table| format!("table {table}")));
        found.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        found
    }

    /// Mounts in the root, seen from here.
    pub(crate) fn mounts(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
        points.filter(|point| point.starts_with(&self.root) && *point != self.root).collect()
    }

    pub(crate) fn links(&self) -> Vec<String> {
        let mut names = names_in(Path::new("/sys/class/net"));
        names.retain(|name| name.contains(&self.tag));
        names
    }

    pub(crate) fn tables(&self) -> Vec<String> {
        let listed = Command::new("nft").args(["list", "tables"]).output();
        let text = listed.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
        let table = |line: &str| Some(line.strip_prefix("table ")?.trim().to_owned());
        text.lines().filter(|line| line.contains(&self.tag)).filter_map(table).collect()
    }

    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.search(Path::new("/sys/fs/cgroup"), DEPTH, &mut found);
        found
    }

    fn search(&self, folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        for name in names_in(folder) {
            let path = folder.join(&name);
            if path.is_symlink() || !path.is_dir() {
                continue;
            }
            if name.contains(&self.tag) {
                found.push(path.clone());
            }
            if depth > 1 {
                self.search(&path, depth - 1, found);
            }
        }
    }

    /// Takes all of it away by force, after a test that failed.
    pub fn clear(&self) {
        // Whoever starts others anew may be among them: a few rounds end all.
        for _ in 0..20 {
            let processes = self.processes();
            if processes.is_empty() {
                break;
            }
            processes.iter().for_each(|pid| process::signal(*pid, Signal::KILL));
            processes.iter().for_each(|pid| {
                process::ended(*pid, std::time::Duration::from_secs(2));
            });
        }
        for point in self.mounts().iter().rev() {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
        for link in self.links() {
            let _ = Command::new("ip").args(["link", "delete", &link]).status();
        }
        for table in self.tables() {
            let _ = Command::new("nft").arg(format!("delete table {table}")).status();
        }
        self.cgroups().iter().for_each(|path| remove_group(path));
    }
}

/// Removes a cgroup and those below it.
fn remove_group(path: &Path) {
    for name in names_in(path) {
        let below = path.join(name);
        if below.is_dir() {
            remove_group(&below);
        }
    }
    let _ = fs::remove_dir(path);
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
