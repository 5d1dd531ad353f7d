//! The port through which builds run commands. The daemon does it with containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{Bytes, Report};
use images::Snapshot;

use crate::order::Cancel;

/// Runs a command in a stage. Several may run at once.
pub trait Runner: Sync {
    /// Runs the command to its end and gives its exit code, 128 and the signal's number if a signal ended it.
    /// An error means that it did not run at all.
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report>;

    /// The build is over, however it ended: none of its commands runs, and no more will.
    fn over(&self, _build: &str) {}
}

/// A command to run.
pub struct RunOrder<'a> {
    /// The build that it belongs to, the same for all its commands: they share `limits`.
    pub build: &'a str,
    /// The root: an overlay of these folders. What is written to `upper` becomes the layer.
    pub rootfs: &'a Snapshot,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The folder to start in; it is there.
    pub cwd: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; root when empty.
    pub user: String,
    /// What is mounted for this command alone. Targets may be missing; what is made for them is taken out again here.
    pub mounts: Vec<RunMount>,
    /// Its network.
    pub network: RunNetwork,
    /// The bounds of all commands of the build together.
    pub limits: RunLimits,
    /// Size of `/dev/shm`; 64 MiB when none.
    pub shm_size: Option<Bytes>,
    /// Limits of its processes by name as in `nofile`.
    pub ulimits: &'a BTreeMap<String, Ulimit>,
    /// More names for `/etc/hosts`: name and address; the address `host-gateway` is the host's.
    pub hosts: &'a [(String, String)],
    /// Ends it.
    pub cancel: Cancel,
}

/// A mount for one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// The absolute path inside.
    pub target: String,
    /// What is mounted.
    pub kind: RunMountKind,
    /// May not be written to.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMountKind {
    /// A file, folder or socket of the host.
    Bind(PathBuf),
    /// Memory, bounded if a size is given.
    Tmpfs(Option<Bytes>),
}

/// The network of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// One that leads outward.
    #[default]
    Default,
    /// Loopback alone.
    None,
    /// The host's own.
    Host,
    /// One of the host's networks, by its name or id.
    Named(String),
    /// That of a container that runs, by its name or id.
    Container(String),
}

impl RunNetwork {
    /// As docker writes it after `--network`.
    pub fn of(text: &str) -> Self {
        match (text, text.strip_prefix("container:")) {
            ("" | "default" | "bridge", _) => Self::Default,
            ("none", _) => Self::None,
            ("host", _) => Self::Host,
            (_, Some(container)) => Self::Container(container.to_owned()),
            (name, None) => Self::Named(name.to_owned()),
        }
    }
}

/// Bounds of commands; none means no bound of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunLimits {
    /// Memory.
    pub memory: Option<Bytes>,
    /// Processor weight against others; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

impl RunLimits {
    /// What keeps a build from starving what serves: a quarter of the usual weight, half of the machine's memory, and
    /// a bound on its processes.
    pub fn usual() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = text.lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        Self { memory: kib.map(|kib| Bytes(kib * 1024 / 2)), cpu_shares: Some(256), pids: Some(4096) }
    }
}

/// A limit of a process; -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// What holds at the start.
    pub soft: i64,
    /// How far the process may raise it.
    pub hard: i64,
}

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
