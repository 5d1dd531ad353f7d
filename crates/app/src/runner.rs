//! How a build runs a command: in a container of its own, under the bounds of the build.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Bytes, ContainerId, Kind, Report, kernel_bytes};
use build::{Cancel, RunLimits, RunMountKind, RunNetwork, RunOrder, Runner, Stream};
use containers::{Containers, Rooms};
use network::texts::{HostsOrder, ResolverOrder, hosts, resolv_conf};
use network::{AttachOrder, NetworkView, Networks};
use runtime::order::{
    self, Capabilities, Limits, LogPolicy, Mount, MountKind, Namespaces, Net, Process, Rlimit, Rootfs,
    Seccomp, Size,
};
use runtime::{Attached, CgroupGroup, Event, Found, Order, Output, Shim, Shims};
use tokio::runtime::Handle;

/// How often a command is asked whether its build was called off.
const CANCEL_EVERY: Duration = Duration::from_millis(200);
const SIGKILL: i32 = 9;
/// The size of `/dev/shm` where nobody says.
const SHM: Bytes = Bytes(64 << 20);

/// Runs the commands of builds.
pub(crate) struct BuildRunner {
    folder: PathBuf,
    cgroup_root: String,
    shims: Shims,
    networks: Networks,
    containers: Containers,
    handle: Handle,
    /// The bounds of builds under way.
    groups: Mutex<HashMap<String, CgroupGroup>>,
}

impl BuildRunner {
    /// Opens the folder, and ends what a daemon before us left running there.
    pub(crate) async fn open(
        folder: PathBuf,
        cgroup_root: String,
        rooms: Rooms,
        containers: Containers,
    ) -> io::Result<Self> {
        let Rooms { shims, networks, .. } = rooms;
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let run = entry?.path();
            clear(&shims, &run).await;
        }
        let top = format!("/{}", cgroup_root.trim_matches('/'));
        for name in CgroupGroup::below(&top).into_iter().filter(|name| name.starts_with("build-")) {
            let gone = CgroupGroup::at(&format!("{top}/{name}"));
            if let Some(error) = gone.ok().and_then(|group| group.remove().err()) {
                tracing::warn!("could not remove the cgroup of a build that is over: {error}");
            }
        }
        containers.tidy_cgroups();
        Ok(Self {
            folder,
            cgroup_root,
            shims,
            networks,
            containers,
            handle: Handle::current(),
            groups: Mutex::default(),
        })
    }

    /// Makes the container of a step; its program waits.
    async fn make(&self, id: &ContainerId, folder: &Path, order: &RunOrder<'_>) -> Result<Shim, Report> {
        let network = self.network(order).await?;
        let gateway = network.and_then(|network| network.subnets.first().map(|subnet| subnet.gateway));
        identity(folder, gateway, order).map_err(|error| {
            Report::new(Kind::Unavailable, "could not write the files of a build step").because(error)
        })?;
        base::crash::point("build: files of a step written");
        let whole = self.order(id, folder, order)?;
        let cgroups_stay = self.containers.cgroups_stay().await;
        let created = self.shims.create(folder, &whole).await;
        drop(cgroups_stay);
        created.map_err(|problem| Report::of(&problem))
    }

    /// The network that a step is put on, if it is one of ours.
    async fn network(&self, order: &RunOrder<'_>) -> Result<Option<NetworkView>, Report> {
        match &order.network {
            RunNetwork::None | RunNetwork::Host | RunNetwork::Container(_) => Ok(None),
            RunNetwork::Default => {
                self.networks.ensure_default().await.map(Some).map_err(|problem| Report::of(&problem))
            }
            RunNetwork::Named(name) => {
                self.networks.inspect(name).await.map(Some).map_err(|problem| Report::of(&problem))
            }
        }
    }

    /// The network namespace of a container that runs.
    fn namespace_of(&self, container: &str) -> Result<Net, Report> {
        let id = self.containers.find(container).map_err(|problem| Report::of(&problem))?;
        let view = self.containers.inspect(&id).map_err(|problem| Report::of(&problem))?;
        match view.record.state {
            containers::State::Running { pid, .. } => Ok(Net::Path(format!("/proc/{pid}/ns/net").into())),
            _ => Err(Report::new(
                Kind::Conflict,
                format!("the container `{container}` does not run, so its network cannot be used"),
            )),
        }
    }

    /// Connects it and lets its program run.
    async fn start(&self, id: &ContainerId, shim: &Shim, order: &RunOrder<'_>) -> Result<Begun, Report> {
        if let Some(network) = self.network(order).await? {
            let default_route = !network.internal;
            let attach = AttachOrder {
                links: Vec::new(),
                link_local: Vec::new(),
                interface: None,
                container: id.clone(),
                pid: shim.pid().unsigned_abs(),
                index: 0,
                names: vec![id.short().to_owned()],
                aliases: Vec::new(),
                ipv4: None,
                ipv6: None,
                mac: None,
                default_route,
                dns: Vec::new(),
                ready: true,
                instance_of: None,
            };
            self.networks.attach(&network.name, attach).await.map_err(|problem| Report::of(&problem))?;
        }
        base::crash::point("build: step connected");
        let Attached { output, .. } = shim.attach().await.map_err(|problem| Report::of(&problem))?;
        match shim.start().await {
            Ok(()) => Ok(Begun::Runs(output)),
            // A program that is not there is the Dockerfile's fault, and has docker's code.
            Err(runtime::CallError::Refused(failure)) if failure.code != 125 => Ok(Begun::Refused(failure)),
            Err(problem) => Err(Report::of(&problem)),
        }
    }

    /// Runs it to its end. What it says is handed on outside of the runtime's turns, since whoever takes it may wait for
    /// a client that reads slowly.
    fn carry_out(
        &self,
        id: &ContainerId,
        shim: &Shim,
        order: &RunOrder<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, Report> {
        let mut said = match self.handle.block_on(self.start(id, shim, order))? {
            Begun::Runs(said) => said,
            Begun::Refused(failure) => {
                output(Stream::Stderr, format!("{}\n", Report::of(&failure)).as_bytes());
                return Ok(failure.code);
            }
        };
        loop {
            match self.handle.block_on(next(&mut said, &order.cancel))? {
                Event::Stdout(bytes) => output(Stream::Stdout, &bytes),
                Event::Stderr(bytes) => output(Stream::Stderr, &bytes),
                Event::Exited(exit) => {
                    if exit.oom {
                        output(Stream::Stderr, short_of_memory(order.limits.memory).as_bytes());
                    }
                    return Ok(exit.code);
                }
            }
        }
    }

    fn run_step(
        &self,
        id: &ContainerId,
        folder: &Path,
        order: &RunOrder<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, Report> {
        let shim = self.handle.block_on(self.make(id, folder, order))?;
        let outcome = self.carry_out(id, &shim, order, output);
        self.handle.block_on(async {
            if outcome.is_err() {
                // It may have ended already; either way nothing of it must stay.
                let _ = shim.kill_all(SIGKILL).await;
            }
            let _ = shim.wait().await;
        });
        outcome
    }

    /// The cgroup of a build.
    fn group_path(&self, build: &str) -> String {
        format!("/{}/build-{build}", self.cgroup_root.trim_matches('/'))
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, CgroupGroup>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the build has its cgroup, which bounds all its commands together.
    fn enter(&self, order: &RunOrder<'_>) -> Result<(), Report> {
        let mut groups = self.groups();
        if groups.contains_key(order.build) {
            return Ok(());
        }
        let limits = limits(order.limits);
        let of = |failure: runtime::Failure| Report::of(&failure);
        let cgroup = CgroupGroup::at(&self.group_path(order.build)).map_err(of)?;
        for note in cgroup.create(&limits).map_err(of)? {
            tracing::warn!("a build is not bounded as it should be: {note}");
        }
        groups.insert(order.build.to_owned(), cgroup);
        Ok(())
    }

    fn order(&self, id: &ContainerId, folder: &Path, order: &RunOrder<'_>) -> Result<Order, Report> {
        Ok(Order {
            version: order::VERSION,
            id: id.clone(),
            rootfs: Rootfs {
                lower: order.rootfs.lower.clone(),
                upper: order.rootfs.upper.clone(),
                work: order.rootfs.work.clone(),
                volatile: false,
            },
            copy_up: Vec::new(),
            process: Process {
                args: order.args.clone(),
                env: order.env.clone(),
                cwd: order.cwd.clone(),
                user: order.user.clone(),
                group_add: Vec::new(),
                tty: false,
                size: Size::default(),
                stdin_open: false,
                capabilities: Capabilities::default(),
                no_new_privileges: false,
                rlimits: rlimits(order),
                oom_score_adj: None,
            },
            init: true,
            hostname: Some("buildkitsandbox".into()),
            domainname: None,
            mounts: mounts(folder, order),
            shm_size: Some(order.shm_size.unwrap_or(SHM)),
            devices: Vec::new(),
            device_rules: Vec::new(),
            sysctls: BTreeMap::new(),
            masked_paths: None,
            readonly_paths: None,
            seccomp: Seccomp::Default,
            namespaces: Namespaces {
                net: match &order.network {
                    RunNetwork::None => Net::None,
                    RunNetwork::Default | RunNetwork::Named(_) => Net::New,
                    RunNetwork::Host => Net::Host,
                    RunNetwork::Container(container) => self.namespace_of(container)?,
                },
                ..Namespaces::default()
            },
            cgroup: format!("{}/{}", self.group_path(order.build), id.short()),
            // The build's own cgroup bounds all its commands together.
            limits: Limits::default(),
            read_only: false,
            cgroups_writable: false,
            log: LogPolicy { keep: false, ..LogPolicy::default() },
        })
    }
}

impl Runner for BuildRunner {
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report> {
        let id = ContainerId::from_bytes(kernel_bytes());
        let folder = self.folder.join(id.as_str());
        fs::create_dir(&folder).map_err(|error| {
            Report::new(Kind::Unavailable, "could not make the folder of a build step").because(error)
        })?;
        base::crash::point("build: folder of a step made");
        let entered = self.handle.block_on(async {
            let _cgroups_stay = self.containers.cgroups_stay().await;
            self.enter(order)
        });
        base::crash::point("build: cgroup made");
        let outcome = match &entered {
            Ok(()) => self.run_step(&id, &folder, order, output),
            Err(report) => Err(report.clone()),
        };
        self.handle.block_on(async {
            if let Err(problem) = self.networks.detach_all(&id).await {
                tracing::warn!("could not release the address of a build step: {problem}");
            }
            clear(&self.shims, &folder).await;
            base::crash::point("build: step gone");
            self.containers.tidy_cgroups();
        });
        outcome
    }

    fn over(&self, build: &str) {
        if let Some(group) = self.groups().remove(build)
            && let Err(error) = group.remove()
        {
            tracing::warn!("could not remove the cgroup of a build: {error}");
        }
        self.containers.tidy_cgroups();
    }
}

/// What is said of a command that the kernel has ended for want of memory.
fn short_of_memory(bound: Option<Bytes>) -> String {
    let bound = bound.map_or_else(String::new, |bound| format!(" of {bound}"));
    format!(
        "sea: the kernel ended this command, because the build needed more than its memory{bound}; allow more with `--memory`\n"
    )
}

/// How a step has begun.
enum Begun {
    /// It runs, and says this.
    Runs(Output),
    /// Its program cannot be run.
    Refused(runtime::Failure),
}

/// The next that a step says, unless nobody wants it any more.
async fn next(said: &mut Output, cancel: &Cancel) -> Result<Event, Report> {
    tokio::select! {
        event = said.next() => event.map_err(|problem| Report::of(&problem)),
        () = called_off(cancel) => Err(Report::new(Kind::Unavailable, "the build was called off")),
    }
}

/// Ends what runs in the folder of a step, and removes the folder.
async fn clear(shims: &Shims, folder: &Path) {
    match shims.find(folder).await {
        Ok(Found::Running(shim)) => {
            let _ = shim.kill_all(SIGKILL).await;
            let _ = shim.wait().await;
        }
        Ok(Found::Lost) => {
            let order =
                fs::read(folder.join("order.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(order) = order
                && let Err(problem) = shims.reap_lost(folder, &order).await
            {
                tracing::warn!("could not clear up after a build step: {problem}");
            }
        }
        Ok(Found::Exited(_)) => {}
        Err(problem) => tracing::warn!("could not look after a build step: {problem}"),
    }
    base::crash::point("build: step cleared up");
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!("could not remove the folder of a build step: {error}");
    }
}

/// What the step asks for, and our own files.
fn mounts(folder: &Path, order: &RunOrder<'_>) -> Vec<Mount> {
    let asked = order.mounts.iter().map(|mount| Mount {
        target: mount.target.clone(),
        read_only: mount.read_only,
        kind: match &mount.kind {
            RunMountKind::Bind(source) => bind(source.clone()),
            RunMountKind::Tmpfs(size) => MountKind::Tmpfs { size: *size, mode: None, options: Vec::new() },
        },
    });
    let ours = ["hosts", "resolv.conf"].map(|name| Mount {
        target: format!("/etc/{name}"),
        kind: bind(folder.join(name)),
        read_only: true,
    });
    asked.chain(ours).collect()
}

fn bind(source: PathBuf) -> MountKind {
    MountKind::Bind { source, subpath: None, propagation: None, recursive: true, options: Vec::new() }
}

fn limits(asked: RunLimits) -> Limits {
    Limits { memory: asked.memory, cpu_shares: asked.cpu_shares, pids: asked.pids, ..Limits::default() }
}

fn rlimits(order: &RunOrder<'_>) -> BTreeMap<String, Rlimit> {
    let limit = |limit: &build::Ulimit| Rlimit { soft: limit.soft, hard: limit.hard };
    order.ulimits.iter().map(|(name, one)| (name.clone(), limit(one))).collect()
}

fn identity(folder: &Path, gateway: Option<IpAddr>, order: &RunOrder<'_>) -> io::Result<()> {
    let gateways: Vec<IpAddr> = gateway.into_iter().collect();
    let text = hosts(&HostsOrder {
        hostname: "buildkitsandbox",
        host_gateway: gateway,
        extra_hosts: order.hosts,
        ..HostsOrder::default()
    });
    fs::write(folder.join("hosts"), text)?;
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let text = match order.network {
        // There the host's own servers can be reached, also those on its loopback.
        RunNetwork::Host => host,
        RunNetwork::Default | RunNetwork::None | RunNetwork::Named(_) | RunNetwork::Container(_) => {
            resolv_conf(&ResolverOrder { gateways: &gateways, host: &host, ..ResolverOrder::default() })
        }
    };
    fs::write(folder.join("resolv.conf"), text)
}

async fn called_off(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(CANCEL_EVERY).await;
    }
}
