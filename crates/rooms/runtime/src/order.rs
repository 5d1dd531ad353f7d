//! The order for one container: everything that its shim must know, as a record on disk.
//!
//! The daemon writes it as `order.json` into the container's folder; the shim reads it once. The record has a
//! version and a golden file; a shim refuses a version that it does not know.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{Bytes, ContainerId};
use serde::{Deserialize, Serialize};

/// What a container does not see unless its order says otherwise, as docker has it.
pub const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// What it may not write to, likewise.
pub const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// The version of the record that this program writes.
pub const VERSION: u32 = 1;

/// All that there is to know about one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// Whose order it is.
    pub id: ContainerId,
    /// What it sees as `/`.
    pub rootfs: Rootfs,
    /// Empty volumes that take over what the image has at their place.
    #[serde(default)]
    pub copy_up: Vec<CopyUp>,
    /// Its main process.
    pub process: Process,
    /// A small init runs as process 1, hands signals on and reaps.
    #[serde(default)]
    pub init: bool,
    /// Its name for itself.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Its NIS domain.
    #[serde(default)]
    pub domainname: Option<String>,
    /// What it sees besides its image, in the order of mounting.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Size of `/dev/shm`, if it has one. Whoever joins another's IPC namespace sees that one's.
    #[serde(default)]
    pub shm_size: Option<Bytes>,
    /// Devices of the host beyond the usual ones.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Devices that it may use where it has or makes a node for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_rules: Vec<base::DeviceRule>,
    /// Kernel settings of its own namespaces.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Paths that read as empty; docker's list when none.
    #[serde(default)]
    pub masked_paths: Option<Vec<String>>,
    /// Paths that may not be written to; docker's list when none.
    #[serde(default)]
    pub readonly_paths: Option<Vec<String>>,
    /// Which system calls it may make.
    #[serde(default)]
    pub seccomp: Seccomp,
    /// Whose namespaces it lives in.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Its cgroup, absolute, the same below every hierarchy.
    pub cgroup: String,
    /// Its bounds.
    #[serde(default)]
    pub limits: Limits,
    /// The image and the writable layer may not be written to.
    #[serde(default)]
    pub read_only: bool,
    /// Its cgroups may be written to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cgroups_writable: bool,
    /// What becomes of its output.
    pub log: LogPolicy,
}

/// Layers that lie over each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// The image's layers, unpacked; the topmost first.
    pub lower: Vec<PathBuf>,
    /// Takes the changes; on the same file system as `work`.
    pub upper: PathBuf,
    /// An empty folder for the kernel.
    pub work: PathBuf,
    /// The writable layer is thrown away afterwards, so the kernel need not flush it.
    #[serde(default)]
    pub volatile: bool,
}

/// An empty folder of the host that takes over what the image has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyUp {
    /// The place in the image.
    pub path: String,
    /// The empty folder.
    pub into: PathBuf,
    /// The part of it that is meant, if not the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<PathBuf>,
}

/// A process to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments; a name without `/` is looked up in the `PATH` of `env`.
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Where it starts; made if missing. `/` when empty.
    #[serde(default)]
    pub cwd: String,
    /// `name|uid[:group|gid]`, by the image's `/etc/passwd` and `/etc/group`; root when empty.
    #[serde(default)]
    pub user: String,
    /// More groups, by name or number.
    #[serde(default)]
    pub group_add: Vec<String>,
    /// A terminal in place of three pipes.
    #[serde(default)]
    pub tty: bool,
    /// The terminal's size at first.
    #[serde(default)]
    pub size: Size,
    /// Its input can be written to; else it reads the end at once.
    #[serde(default)]
    pub stdin_open: bool,
    /// What it may do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Neither set-uid programs nor file capabilities give it more.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// Limits by name as in `nofile`.
    #[serde(default)]
    pub rlimits: BTreeMap<String, Rlimit>,
    /// -1000 to 1000.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
}

/// A terminal's size; 0 means that nobody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// What root in the container may do, as docker's flags say it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// All of them, and no masks, no seccomp, all devices.
    #[serde(default)]
    pub privileged: bool,
    /// Beyond docker's 14, with or without `CAP_`; `ALL` for all.
    #[serde(default)]
    pub add: Vec<String>,
    /// Less than docker's 14; `ALL` for all.
    #[serde(default)]
    pub drop: Vec<String>,
}

/// A limit of a process; -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// What holds at the start.
    pub soft: i64,
    /// How far the process may raise it.
    pub hard: i64,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute path inside; made if missing.
    pub target: String,
    /// What is mounted.
    pub kind: MountKind,
    /// May not be written to.
    #[serde(default)]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MountKind {
    /// A folder, file or socket of the host.
    Bind {
        /// Where it is on the host.
        source: PathBuf,
        /// The part of it that is meant. Unlike the source's, links in it lead no further than the source.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subpath: Option<PathBuf>,
        /// `rprivate` when none; `rslave`, `rshared`, … as mount(8) has them.
        #[serde(default)]
        propagation: Option<String>,
        /// Mounts below the source come along.
        #[serde(default = "yes")]
        recursive: bool,
        /// `nosuid`, `nodev`, `noexec`.
        #[serde(default)]
        options: Vec<String>,
    },
    /// The layers of an image over each other, to read.
    Layers {
        /// The topmost first.
        layers: Vec<PathBuf>,
        /// The part that is meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subpath: Option<PathBuf>,
    },
    /// Memory.
    Tmpfs {
        /// The bound; half the memory when none.
        #[serde(default)]
        size: Option<Bytes>,
        /// Permission bits of its root; when none, those of the folder in the image, else 01777.
        #[serde(default)]
        mode: Option<u32>,
        /// As docker's `--tmpfs` takes them: `exec`, `uid=…`, ….
        #[serde(default)]
        options: Vec<String>,
    },
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its path on the host; a folder means every device in it.
    pub source: PathBuf,
    /// Its path inside.
    pub target: String,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// What ordinary programs need; what docker allows.
    #[default]
    Default,
    /// All of them.
    Unconfined,
    /// By a profile: JSON text in docker's form.
    Profile(String),
}

/// Whose namespaces a container lives in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network.
    #[serde(default)]
    pub net: Net,
    /// Processes.
    #[serde(default)]
    pub pid: Namespace,
    /// Interprocess communication.
    #[serde(default)]
    pub ipc: Namespace,
    /// Host name.
    #[serde(default)]
    pub uts: Namespace,
    /// The view of cgroups.
    #[serde(default)]
    pub cgroup: Namespace,
}

/// Whose network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Net {
    /// A new one with its loopback up, which somebody connects before the start.
    #[default]
    New,
    /// A new one with its loopback up that stays so.
    None,
    /// The host's.
    Host,
    /// The one that this file stands for.
    Path(PathBuf),
}

/// Whose namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// One of its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// The one that this file stands for.
    Path(PathBuf),
}

/// Bounds of the container as a whole; none means no bound of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Memory that is kept for it under pressure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<Bytes>,
    /// Memory and swap together; -1 for no limit of swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<u8>,
    /// Processors, as in 0.5; the same as a quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Weight against others; 1024 is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// In microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<u64>,
    /// In microseconds a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<i64>,
    /// As in `0-3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<String>,
    /// Processes and threads; 0 or less for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    /// Input and output weight, 10 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<u16>,
    /// Not ended when memory is short.
    #[serde(default)]
    pub oom_kill_disable: bool,
    /// Memory nodes, as in `0-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    /// Input and output of single devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceBound>,
}

/// A bound of a device's input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceBound {
    /// The device's path on the host.
    pub path: PathBuf,
    /// What is bounded.
    pub what: DeviceRate,
    /// The most in a second; a weight of 10 to 1000.
    pub most: u64,
}

/// What of a device's input or output is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceRate {
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WrittenBytes,
    /// Reads.
    Reads,
    /// Writes.
    Writes,
    /// The share against others.
    Weight,
}

/// What becomes of a container's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPolicy {
    /// Whether any of it is kept.
    pub keep: bool,
    /// A file is closed at this size.
    pub max_size: Bytes,
    /// So many files are kept, at least one.
    pub max_files: u32,
}

impl Default for LogPolicy {
    /// Three files of 10 MiB.
    fn default() -> Self {
        Self { keep: true, max_size: Bytes(10 << 20), max_files: 3 }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
