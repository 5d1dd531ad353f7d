//! The flags of `sea run`, which are docker's.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Pull;

/// `sea run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The image, and the program with its arguments in place of the image's
    // One list: behind the image nothing is a flag of ours, whatever it looks like.
    #[arg(
        value_name = "IMAGE [COMMAND]",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    pub words: Vec<String>,
    /// When to fetch the image
    #[arg(long, value_enum, env = "SEA_PULL", default_value_t = Pull::Missing)]
    pub pull: Pull,
    /// Return once it runs
    #[arg(short, long)]
    pub detach: bool,
    /// Remove it when it ends
    #[arg(long)]
    pub rm: bool,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Its name
    #[arg(long)]
    pub name: Option<String>,
    /// In place of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Environment: NAME=VALUE, or NAME to pass ours on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Files of environment: a line each, as for --env
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Labels: NAME=VALUE
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Mounts
    #[arg(help = "Mounts: SOURCE:TARGET[:ro], or TARGET alone", short, long, value_name = "MOUNT")]
    pub volume: Vec<String>,
    /// Mounts by words
    #[arg(
        help = "Mounts by words: type=bind|volume|tmpfs,source=…,target=…,readonly",
        long,
        value_name = "WORDS"
    )]
    pub mount: Vec<String>,
    /// Memory at this path
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// Ports
    #[arg(help = "Ports: [[IP:]HOST:]PORT[/udp]", short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// A network, `host`, `none` or `container:NAME`
    #[arg(long, value_name = "NETWORK")]
    pub network: Vec<String>,
    /// More names on its network
    #[arg(long, value_name = "NAME")]
    pub network_alias: Vec<String>,
    /// A fixed address on its network
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// A fixed hardware address on its network
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<String>,
    /// Servers to ask for other names
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// Domains to try names in
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Options of its resolver
    #[arg(long, value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// More lines of its /etc/hosts
    #[arg(
        help = "More lines of its /etc/hosts: NAME:ADDRESS, or NAME:host-gateway",
        long,
        value_name = "HOST"
    )]
    pub add_host: Vec<String>,
    /// The folder to start in
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who runs it
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// More groups of who runs it
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// The host's name inside
    #[arg(long)]
    pub hostname: Option<String>,
    /// The host's domain inside
    #[arg(long)]
    pub domainname: Option<String>,
    /// The bound of its memory, as in 64m
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap together, as in 128m; -1 for no bound of swap
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Memory that is kept for it when the machine is short of it
    #[arg(long, value_name = "SIZE")]
    pub memory_reservation: Option<String>,
    /// How soon it is ended when memory is short: -1000 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// The size of its /dev/shm, as in 64m
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Its weight against others; 1024 is usual
    #[arg(short, long, value_name = "WEIGHT")]
    pub cpu_shares: Option<u64>,
    /// The processors that it may use, as in 0-1
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Processors, as in 0.5
    #[arg(long)]
    pub cpus: Option<f64>,
    /// The bound of its processes and threads
    #[arg(long, allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Limits of its processes
    #[arg(help = "Limits of its processes: NAME=SOFT[:HARD]", long, value_name = "LIMIT")]
    pub ulimit: Vec<String>,
    /// Kernel settings of its own: NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// Devices of the host
    #[arg(help = "Devices of the host: PATH[:PATH][:rwm]", long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Devices that it may use by number, as in `c 13:* rmw`
    #[arg(long, value_name = "RULE")]
    pub device_cgroup_rule: Vec<base::DeviceRule>,
    /// Whose processes it sees: `host` or `container:NAME`
    #[arg(long, value_name = "WHOSE")]
    pub pid: Option<String>,
    /// Whose shared memory it has: `private`, `shareable`, `none`, `host` or `container:NAME`
    #[arg(long, value_name = "WHOSE")]
    pub ipc: Option<String>,
    /// The root may not be written to
    #[arg(long)]
    pub read_only: bool,
    /// A small init as process 1
    #[arg(long)]
    pub init: bool,
    /// A capability more
    #[arg(long, value_name = "CAP")]
    pub cap_add: Vec<String>,
    /// A capability less
    #[arg(long, value_name = "CAP")]
    pub cap_drop: Vec<String>,
    /// Everything is allowed
    #[arg(long)]
    pub privileged: bool,
    /// As docker's: no-new-privileges, seccomp=…
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// When to start it again
    #[arg(
        help = "When to start it again: no, always, on-failure[:N], unless-stopped",
        long,
        default_value = "no"
    )]
    pub restart: String,
    /// The signal that asks it to stop
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds from that signal to the kill
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub stop_timeout: u64,
    /// A check by the image's shell
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// The time between two checks, as in 30s
    #[arg(long, value_name = "TIME", requires = "health_cmd", value_parser = time)]
    pub health_interval: Option<Duration>,
    /// The longest time of a check
    #[arg(long, value_name = "TIME", requires = "health_cmd", value_parser = time)]
    pub health_timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy
    #[arg(long, value_name = "N", requires = "health_cmd")]
    pub health_retries: Option<u32>,
    /// The time to start, in which failures do not count
    #[arg(long, value_name = "TIME", requires = "health_cmd", value_parser = time)]
    pub health_start_period: Option<Duration>,
    /// Without the image's own check
    #[arg(long, conflicts_with = "health_cmd")]
    pub no_healthcheck: bool,
    /// What is kept of its output: `json-file`, `local` or `none`
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Bounds of its log: max-size=SIZE, max-file=N
    #[arg(long, value_name = "NAME=VALUE")]
    pub log_opt: Vec<String>,
}

/// A time as docker writes it.
fn time(text: &str) -> Result<Duration, String> {
    crate::logs::age(text).ok_or_else(|| format!("`{text}` is not a time; write it as in 30s or 1m30s"))
}
