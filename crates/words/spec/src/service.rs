//! A service: what runs, how often, with what, and within which bounds.

use std::net::IpAddr;
use std::time::Duration;

use base::{Bytes, ServiceName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    Blob, Dependency, EdgePolicy, FileMount, HealthCheck, Mount, Published, Restart, Route,
    ServiceCertificate, UpdatePolicy,
};

/// A service, resolved and complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The image to run; with `build`, the name that the built image gets.
    pub image: String,
    /// How the image is made, if it is made here.
    #[serde(default)]
    pub build: Option<Build>,
    /// When to fetch the image.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// Instead of the image's entrypoint.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's command.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Added to the image's environment.
    #[serde(default)]
    pub environment: IndexMap<String, String>,
    /// Variables that it does not have though the image has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset_environment: Vec<String>,
    /// Labels of the containers.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// OCI annotations.
    #[serde(default)]
    pub annotations: IndexMap<String, String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; the image's when none.
    #[serde(default)]
    pub user: Option<String>,
    /// More groups, by name or number.
    #[serde(default)]
    pub group_add: Vec<String>,
    /// The folder to start in; the image's when none.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// The host's name inside; the short container id when none.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The domain's name inside.
    #[serde(default)]
    pub domainname: Option<String>,
    /// A fixed name; allows one instance only.
    #[serde(default)]
    pub container_name: Option<String>,
    /// A terminal.
    #[serde(default)]
    pub tty: bool,
    /// Lines and columns of the terminal at the start; 0 when nobody says.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub tty_size: (u16, u16),
    /// Standard input stays open.
    #[serde(default)]
    pub stdin_open: bool,
    /// A small init as process 1, which reaps and passes signals on.
    #[serde(default)]
    pub init: bool,
    /// The root file system may not be written to.
    #[serde(default)]
    pub read_only: bool,
    /// Mounts, in the order in which they are made.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Secrets as files.
    #[serde(default)]
    pub secrets: Vec<FileMount>,
    /// Configs as files.
    #[serde(default)]
    pub configs: Vec<FileMount>,
    /// Size of `/dev/shm`; 64 MiB when none.
    #[serde(default)]
    pub shm_size: Option<Bytes>,
    /// Devices of the host.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Devices that it may use where it has or makes a node for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_rules: Vec<base::DeviceRule>,
    /// What it may do.
    #[serde(default)]
    pub security: Security,
    /// Kernel settings of its namespaces.
    #[serde(default)]
    pub sysctls: IndexMap<String, String>,
    /// Limits of its processes, by name as in `nofile`.
    #[serde(default)]
    pub ulimits: IndexMap<String, Ulimit>,
    /// Bounds of the container as a whole.
    #[serde(default)]
    pub limits: Limits,
    /// Which network it has.
    #[serde(default)]
    pub network_mode: NetworkMode,
    /// The networks that it joins, by key in [`crate::App::networks`].
    #[serde(default)]
    pub networks: IndexMap<String, Attachment>,
    /// Ports of the host that lead here.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// Requests that lead here.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// What the edge does for its requests.
    #[serde(default, skip_serializing_if = "EdgePolicy::is_default")]
    pub edge: EdgePolicy,
    /// The certificate that its hosts show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ServiceCertificate>,
    /// Name servers instead of the network's.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Domains to try.
    #[serde(default)]
    pub dns_search: Vec<String>,
    /// Resolver options.
    #[serde(default)]
    pub dns_opt: Vec<String>,
    /// More lines of `/etc/hosts`: name and address; `host-gateway` means the host.
    #[serde(default)]
    pub extra_hosts: Vec<(String, String)>,
    /// Process namespace.
    #[serde(default)]
    pub pid: Namespace,
    /// Interprocess namespace.
    #[serde(default)]
    pub ipc: Namespace,
    /// Whether the host's name is shared (`uts: host`).
    #[serde(default)]
    pub uts_host: bool,
    /// Whether the host's cgroup tree is seen (`cgroup: host`).
    #[serde(default)]
    pub cgroup_host: bool,
    /// Whether it is well; none when nobody can tell from here.
    #[serde(default)]
    pub healthcheck: Option<HealthCheck>,
    /// What it must answer from outside to be sent requests (`x-sea.edge.check`). One that does not runs on without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<HealthCheck>,
    /// When it is started again.
    #[serde(default)]
    pub restart: Restart,
    /// The signal that asks it to stop; the image's, else `SIGTERM`, when none.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// From that signal to the kill.
    pub stop_grace_period: Duration,
    /// Its log.
    #[serde(default)]
    pub logging: Logging,
    /// What must be true before it starts.
    #[serde(default)]
    pub depends_on: IndexMap<ServiceName, Dependency>,
    /// How many run.
    pub replicas: u32,
    /// How a new release replaces the old one.
    pub update: UpdatePolicy,
    /// How the old one comes back.
    pub rollback: UpdatePolicy,
    /// Commands that run in an instance once it has been started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<Hook>,
    /// Commands that run in an instance before it is asked to stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<Hook>,
}

/// How an image is made from source.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Build {
    /// The folder, absolute.
    pub context: String,
    /// Its path, absolute or below the context; `Dockerfile` when none.
    #[serde(default)]
    pub dockerfile: Option<String>,
    /// The Dockerfile's text in place of a file.
    #[serde(default)]
    pub dockerfile_inline: Option<String>,
    /// Build arguments.
    #[serde(default)]
    pub args: IndexMap<String, String>,
    /// The stage to stop at.
    #[serde(default)]
    pub target: Option<String>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// More names for the image.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Do not use the layer cache.
    #[serde(default)]
    pub no_cache: bool,
    /// Fetch base images even if they are here.
    #[serde(default)]
    pub pull: bool,
    /// More files or images by name: a folder, a URL, `docker-image://IMAGE`, or `service:NAME`.
    #[serde(default)]
    pub contexts: IndexMap<String, String>,
    /// Images whose steps may be taken over.
    #[serde(default)]
    pub cache_from: Vec<String>,
    /// The network of commands.
    #[serde(default)]
    pub network: Option<String>,
    /// More lines of `/etc/hosts`: names and addresses.
    #[serde(default)]
    pub hosts: Vec<(String, String)>,
    /// The size of `/dev/shm`.
    #[serde(default)]
    pub shm_size: Option<Bytes>,
    /// Limits of processes.
    #[serde(default)]
    pub ulimits: IndexMap<String, Ulimit>,
    /// Agents for ssh by id: where their sockets are; the usual one of whoever builds when none.
    #[serde(default)]
    pub ssh: IndexMap<String, Option<String>>,
    /// What commands can ask for by id. It is for whoever builds, and goes nowhere with the app.
    #[serde(skip)]
    pub secrets: IndexMap<String, Blob>,
}

/// When to fetch an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// When it is not here.
    #[default]
    Missing,
    /// Before every deploy.
    Always,
    /// Never: it must be here.
    Never,
    /// Build it even if it is here.
    Build,
    /// Before a deploy, if the last time was so long ago.
    Every {
        /// How long.
        seconds: u64,
    },
}

/// A device of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The host's path.
    pub source: String,
    /// The path inside.
    pub target: String,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

/// What a container may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Security {
    /// Everything.
    #[serde(default)]
    pub privileged: bool,
    /// Capabilities beyond the default, without `CAP_`; `ALL` for all.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// Capabilities less than the default.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// `security_opt` as written: `no-new-privileges:true`, `seccomp=unconfined`, …
    #[serde(default)]
    pub options: Vec<String>,
    /// Paths that read as empty in place of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_paths: Option<Vec<String>>,
    /// Paths that may not be written to in place of the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readonly_paths: Option<Vec<String>>,
}

/// A process limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What a process has at its start; -1 for no limit.
    pub soft: i64,
    /// What it may raise it to; -1 for no limit.
    pub hard: i64,
}

impl Ulimit {
    /// The limits that there are: getrlimit(2).
    pub const NAMES: &[&str] = &[
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
}

/// Bounds of a container as a whole; none means no bound of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory.
    #[serde(default)]
    pub memory: Option<Bytes>,
    /// Memory that is kept for it under pressure.
    #[serde(default)]
    pub memory_reservation: Option<Bytes>,
    /// Memory and swap together; -1 for no limit of swap.
    #[serde(default)]
    pub memory_swap: Option<i64>,
    /// 0 to 100.
    #[serde(default)]
    pub swappiness: Option<u8>,
    /// Processors, as in 0.5.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Weight against others; 1024 is usual.
    #[serde(default)]
    pub cpu_shares: Option<u64>,
    /// In microseconds.
    #[serde(default)]
    pub cpu_period: Option<u64>,
    /// In microseconds a period.
    #[serde(default)]
    pub cpu_quota: Option<i64>,
    /// As in `0-3`.
    #[serde(default)]
    pub cpuset: Option<String>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<i64>,
    /// Input and output weight, 10 to 1000.
    #[serde(default)]
    pub blkio_weight: Option<u16>,
    /// Not ended when memory is short.
    #[serde(default)]
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
    /// Where its cgroup is made.
    #[serde(default)]
    pub cgroup_parent: Option<String>,
    /// The memory nodes that it may use, as in `0-1`.
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
    pub path: String,
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

/// Which network a container has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The networks that the service names.
    #[default]
    Networks,
    /// The host's.
    Host,
    /// Loopback only.
    None,
    /// That of an instance of this service.
    Service(ServiceName),
    /// That of this container.
    Container(String),
}

/// How a service is on one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// More names there.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// A fixed address; allows one instance only.
    #[serde(default)]
    pub ipv4_address: Option<String>,
    /// A fixed address; allows one instance only.
    #[serde(default)]
    pub ipv6_address: Option<String>,
    /// A fixed hardware address.
    #[serde(default)]
    pub mac_address: Option<String>,
    /// The network with the highest gives the default route.
    #[serde(default)]
    pub gw_priority: i64,
    /// Networks are joined from the highest down.
    #[serde(default)]
    pub priority: i64,
    /// Names of other containers that are valid for this one alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// More addresses, which lead no further than the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// The interface's name inside; `eth0` and so on when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// Words for a driver of networks, kept to be told.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub driver_opts: IndexMap<String, String>,
}

fn is_unsaid(size: &(u16, u16)) -> bool {
    *size == (0, 0)
}

/// The option of a network's driver that names the interface inside, as docker has it.
pub const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// Another container under a name of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name or id.
    pub target: String,
    /// What it is called.
    pub alias: String,
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
    /// One of its own that others may join (`ipc: shareable`).
    Shareable,
    /// One of its own, without `/dev/shm` (`ipc: none`).
    Isolated,
    /// That of an instance of this service.
    Service(ServiceName),
    /// That of this container.
    Container(String),
}

/// A command that is run beside a container's program, at a moment of its life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Who runs it; as the container when none.
    #[serde(default)]
    pub user: Option<String>,
    /// With every capability that we have.
    #[serde(default)]
    pub privileged: bool,
    /// Where it starts; where the container does when none.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// More environment.
    #[serde(default)]
    pub environment: IndexMap<String, String>,
}

/// A container's log, always bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Whether anything is kept (`driver: none` keeps nothing).
    pub keep: bool,
    /// A file is closed at this size.
    pub max_size: Bytes,
    /// So many files are kept.
    pub max_files: u32,
}

impl Default for Logging {
    /// Three files of 10 MiB.
    fn default() -> Self {
        Self { keep: true, max_size: Bytes(10 << 20), max_files: 3 }
    }
}
