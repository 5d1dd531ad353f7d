//! From a container's record to the order that its shim carries out. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::Bytes;
use oci::ImageConfig;
use runtime::order::{
    self as wanted, Capabilities, CopyUp, LogPolicy, MountKind, Net, Order, Process, Rlimit, Rootfs, Seccomp,
};
use spec::{Namespace, NetworkMode, Service};

use crate::problem::ContainerError;
use crate::record::Record;
use crate::stop::signal_number;

/// `/dev/shm` unless the service says otherwise, as docker has it.
const SHM_SIZE: Bytes = Bytes(64 << 20);
/// Used when neither the image nor the service says where programs are, as docker does.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the order needs besides the record.
pub(crate) struct Surroundings<'a> {
    /// What the image says.
    pub image: &'a ImageConfig,
    /// The image's layers and the container's own.
    pub rootfs: Rootfs,
    /// The container's folder.
    pub folder: &'a Path,
    /// The layers of each image that is mounted, the topmost first, by its id.
    pub layers: &'a BTreeMap<String, Vec<PathBuf>>,
    /// The folder of each volume, by its name.
    pub mountpoints: &'a BTreeMap<String, PathBuf>,
    /// The cgroup under which containers of this root live.
    pub cgroup_root: &'a str,
    /// Whose network, process and interprocess namespaces it shares, as files.
    pub shared: Shared,
}

/// Namespaces that were looked up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    /// The network.
    pub net: Net,
    /// The folder of the container whose network it is, which has the names that go with it.
    pub names: Option<PathBuf>,
    /// Processes.
    pub pid: wanted::Namespace,
    /// Interprocess communication.
    pub ipc: wanted::Namespace,
}

/// Refuses what nobody can give, before anything is made.
pub(crate) fn check(service: &Service) -> Result<(), ContainerError> {
    seccomp(service)?;
    if let Some(signal) = &service.stop_signal {
        signal_number(signal)?;
    }
    if !service.ports.is_empty() && matches!(service.network_mode, NetworkMode::Container(_)) {
        return Err(ContainerError::Invalid(
            "ports are published by the container whose network it is, not by one that shares it".into(),
        ));
    }
    let mut targets = std::collections::BTreeSet::new();
    for mount in &service.mounts {
        if !targets.insert(mount.target.as_str()) {
            return Err(ContainerError::Invalid(format!("there are two mounts at `{}`", mount.target)));
        }
    }
    match service.security.options.iter().find(|option| !is_given(option)) {
        None => Ok(()),
        Some(option) => Err(ContainerError::Invalid(format!(
            "the security option `{option}` is not given here: there are no-new-privileges, seccomp, \
             systempaths=unconfined, and label=disable and apparmor=unconfined, which are so already"
        ))),
    }
}

/// Whether a security option is honoured. Containers bear no labels and profiles of AppArmor: who asks for one of his own
/// must not believe that he has it.
fn is_given(option: &str) -> bool {
    let (name, value) = option.split_once([':', '=']).unwrap_or((option, ""));
    match name {
        "no-new-privileges" | "seccomp" | "writable-cgroups" => true,
        "systempaths" | "apparmor" => value == "unconfined",
        "label" => value == "disable",
        _ => false,
    }
}

/// The order for this container.
pub(crate) fn order(record: &Record, around: Surroundings<'_>) -> Result<Order, ContainerError> {
    let service = &record.service;
    let seccomp = seccomp(service)?;
    let (mounts, copy_up) = mounts(record, &around)?;
    let hostname = hostname(record);
    let own_network = matches!(around.shared.net, Net::New | Net::None);
    Ok(Order {
        version: wanted::VERSION,
        id: record.id.clone(),
        cgroup: cgroup(record, around.cgroup_root),
        process: process(record, around.image, service.tty)?,
        rootfs: around.rootfs,
        copy_up,
        init: service.init,
        hostname,
        domainname: service.domainname.clone(),
        mounts,
        shm_size: (service.ipc != Namespace::Isolated).then(|| service.shm_size.unwrap_or(SHM_SIZE)),
        devices: service.devices.iter().map(device).collect(),
        device_rules: service.device_rules.clone(),
        sysctls: sysctls(service, own_network),
        masked_paths: covered(service, &service.security.masked_paths),
        readonly_paths: covered(service, &service.security.readonly_paths),
        seccomp,
        namespaces: wanted::Namespaces {
            net: around.shared.net,
            pid: around.shared.pid,
            ipc: around.shared.ipc,
            uts: if service.uts_host { wanted::Namespace::Host } else { wanted::Namespace::Private },
            cgroup: if service.cgroup_host { wanted::Namespace::Host } else { wanted::Namespace::Private },
        },
        limits: limits(&service.limits),
        read_only: service.read_only,
        cgroups_writable: cgroups_writable(service),
        log: LogPolicy {
            keep: service.logging.keep,
            max_size: service.logging.max_size,
            max_files: service.logging.max_files.max(1),
        },
    })
}

/// The command line: the service's entrypoint and command over the image's, as docker combines them.
pub(crate) fn command_line(service: &Service, image: &ImageConfig) -> Vec<String> {
    let entrypoint = service.entrypoint.as_ref().or(image.config.entrypoint.as_ref());
    // An entrypoint of one's own sets the image's command aside.
    let image_command = if service.entrypoint.is_some() { None } else { image.config.cmd.as_ref() };
    let command = service.command.as_ref().or(image_command);
    entrypoint.into_iter().flatten().chain(command.into_iter().flatten()).cloned().collect()
}

/// Its host name, where it has one of its own.
pub(crate) fn hostname(record: &Record) -> Option<String> {
    let service = &record.service;
    if service.uts_host || service.network_mode == NetworkMode::Host {
        return service.hostname.clone();
    }
    Some(service.hostname.clone().unwrap_or_else(|| record.short_id().to_owned()))
}

/// Kernel settings: the service's over docker's own, by which anybody in the container may bind low ports and ping. They
/// are of a network namespace, so nobody outside is concerned.
fn sysctls(service: &Service, own_network: bool) -> BTreeMap<String, String> {
    const OPEN: [(&str, &str); 2] =
        [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
    let usual = OPEN.iter().filter(|(key, _)| own_network && !service.sysctls.contains_key(*key));
    let usual = usual.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    usual.chain(service.sysctls.iter().map(|(key, value)| (key.clone(), value.clone()))).collect()
}

/// The environment: the image's, then what every container has, then the service's.
fn environment(record: &Record, image: &ImageConfig, tty: bool) -> Vec<String> {
    let service = &record.service;
    let mut vars: indexmap::IndexMap<String, String> = indexmap::IndexMap::new();
    let path = [PATH.to_owned()];
    for line in path.iter().chain(&image.config.env) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        vars.insert(name.to_owned(), value.to_owned());
    }
    if let Some(hostname) = hostname(record) {
        vars.insert("HOSTNAME".into(), hostname);
    }
    if tty {
        vars.insert("TERM".into(), "xterm".into());
    }
    vars.extend(service.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    vars.retain(|name, _| !service.unset_environment.contains(name));
    vars.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The variables that a service itself names.
pub(crate) fn variables(service: &Service) -> Vec<String> {
    service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Where the container's cgroup is.
pub(crate) fn cgroup(record: &Record, root: &str) -> String {
    let parent = record.service.limits.cgroup_parent.as_deref().unwrap_or(root);
    format!("/{}/{}", parent.trim_matches('/'), record.id)
}

/// Environment with more laid over it: of two values for one name the later counts.
pub(crate) fn overlaid(env: Vec<String>, more: Vec<String>) -> Vec<String> {
    let all = env.into_iter().chain(more);
    let vars: indexmap::IndexMap<String, String> =
        all.map(|line| (line.split('=').next().unwrap_or_default().to_owned(), line)).collect();
    vars.into_values().collect()
}

/// The main process; also what programs beside it begin from, which may have a terminal where it has none.
pub(crate) fn process(record: &Record, image: &ImageConfig, tty: bool) -> Result<Process, ContainerError> {
    let service = &record.service;
    let args = command_line(service, image);
    if args.is_empty() {
        return Err(ContainerError::Invalid(format!(
            "neither the service nor the image `{}` says what to run",
            service.image
        )));
    }
    Ok(Process {
        args,
        env: environment(record, image, tty),
        cwd: service.working_dir.as_ref().unwrap_or(&image.config.working_dir).clone(),
        user: service.user.as_ref().unwrap_or(&image.config.user).clone(),
        group_add: service.group_add.clone(),
        tty,
        size: wanted::Size { rows: service.tty_size.0, columns: service.tty_size.1 },
        stdin_open: service.stdin_open,
        capabilities: Capabilities {
            privileged: service.security.privileged,
            add: service.security.cap_add.clone(),
            drop: service.security.cap_drop.clone(),
        },
        no_new_privileges: no_new_privileges(service),
        rlimits: service
            .ulimits
            .iter()
            .map(|(name, limit)| (name.clone(), Rlimit { soft: limit.soft, hard: limit.hard }))
            .collect(),
        oom_score_adj: service.limits.oom_score_adj,
    })
}

/// Off by default; `writable-cgroups` or `writable-cgroups=true` puts it on.
fn cgroups_writable(service: &Service) -> bool {
    let said =
        service.security.options.iter().rev().find_map(|option| option.strip_prefix("writable-cgroups"));
    said.is_some_and(|rest| !rest.trim_start_matches([':', '=']).eq_ignore_ascii_case("false"))
}

/// On by default, as DESIGN says; `no-new-privileges:false` takes it off, and so does `privileged`.
fn no_new_privileges(service: &Service) -> bool {
    let said = service.security.options.iter().rev().find_map(|option| {
        let rest = option.strip_prefix("no-new-privileges")?;
        Some(!rest.trim_start_matches([':', '=']).eq_ignore_ascii_case("false"))
    });
    said.unwrap_or(!service.security.privileged)
}

/// The paths of one sort; the usual ones when none.
fn covered(service: &Service, own: &Option<Vec<String>>) -> Option<Vec<String>> {
    if unmasked(service) { Some(Vec::new()) } else { own.clone() }
}

fn unmasked(service: &Service) -> bool {
    service.security.privileged
        || service.security.options.iter().any(|option| option.replace(':', "=") == "systempaths=unconfined")
}

fn seccomp(service: &Service) -> Result<Seccomp, ContainerError> {
    let profile = service
        .security
        .options
        .iter()
        .rev()
        .find_map(|option| option.strip_prefix("seccomp=").or(option.strip_prefix("seccomp:")));
    match profile {
        // A profile of one's own holds in any case.
        None | Some("builtin") if service.security.privileged => Ok(Seccomp::Unconfined),
        None | Some("builtin") => Ok(Seccomp::Default),
        Some("unconfined") => Ok(Seccomp::Unconfined),
        Some(json) if json.trim_start().starts_with('{') => Ok(Seccomp::Profile(json.to_owned())),
        Some(other) => Err(ContainerError::Invalid(format!(
            "`{other}` is not a seccomp profile: `unconfined`, `builtin` or a profile's JSON text"
        ))),
    }
}

type Mounts = (Vec<wanted::Mount>, Vec<CopyUp>);

fn mounts(record: &Record, around: &Surroundings<'_>) -> Result<Mounts, ContainerError> {
    let mut mounts = Vec::new();
    let mut copy_up = Vec::new();
    let mountpoint = |name: &str| {
        around
            .mountpoints
            .get(name)
            .cloned()
            .ok_or_else(|| ContainerError::Invalid(format!("the volume `{name}` has no folder")))
    };
    for mount in &record.service.mounts {
        let kind = match &mount.kind {
            spec::MountKind::Bind { source, propagation, recursive, .. } => MountKind::Bind {
                source: source.into(),
                subpath: None,
                propagation: propagation.clone(),
                recursive: *recursive,
                options: Vec::new(),
            },
            spec::MountKind::Volume { key, nocopy, subpath } => {
                let name = record.volumes.get(key).ok_or_else(|| {
                    ContainerError::Invalid(format!(
                        "the mount at `{}` names no volume `{key}`",
                        mount.target
                    ))
                })?;
                let folder = mountpoint(name.as_str())?;
                let subpath = part(subpath.as_deref(), &mount.target)?;
                if !nocopy {
                    let (path, into) = (mount.target.clone(), folder.clone());
                    copy_up.push(CopyUp { path, into, subpath: subpath.clone() });
                }
                MountKind::Bind {
                    source: folder,
                    subpath,
                    propagation: None,
                    recursive: true,
                    options: Vec::new(),
                }
            }
            spec::MountKind::Anonymous => {
                let name = record.anonymous.get(&mount.target).ok_or_else(|| {
                    ContainerError::Invalid(format!("the mount at `{}` has no volume", mount.target))
                })?;
                let folder = mountpoint(name.as_str())?;
                copy_up.push(CopyUp { path: mount.target.clone(), into: folder.clone(), subpath: None });
                bind(folder)
            }
            spec::MountKind::Image { image, subpath } => MountKind::Layers {
                layers: around.layers.get(image).cloned().unwrap_or_default(),
                subpath: part(subpath.as_deref(), &mount.target)?,
            },
            spec::MountKind::Tmpfs(tmpfs) => {
                MountKind::Tmpfs { size: tmpfs.size, mode: tmpfs.mode, options: tmpfs.options.clone() }
            }
        };
        mounts.push(wanted::Mount { target: mount.target.clone(), kind, read_only: mount.read_only });
    }
    for (number, file) in record.files.iter().enumerate() {
        let source = around.folder.join("files").join(number.to_string());
        mounts.push(wanted::Mount { target: file.target.clone(), kind: bind(source), read_only: true });
    }
    own_files(record, around, &mut mounts);
    Ok((mounts, copy_up))
}

/// The files that tell it its names, unless it has something of its own there.
fn own_files(record: &Record, around: &Surroundings<'_>, mounts: &mut Vec<wanted::Mount>) {
    for name in crate::files::OURS {
        let target = format!("/etc/{name}");
        if !mounts.iter().any(|mount| mount.target == target) {
            let folder =
                around.shared.names.as_deref().filter(|_| name != "hostname").unwrap_or(around.folder);
            mounts.push(wanted::Mount {
                target,
                kind: bind(folder.join(name)),
                read_only: record.service.read_only,
            });
        }
    }
}

/// A part of a volume or an image; a path that climbs out of it is refused, and so are, when it is mounted, links.
pub(crate) fn part(subpath: Option<&str>, target: &str) -> Result<Option<PathBuf>, ContainerError> {
    let Some(subpath) = subpath else { return Ok(None) };
    let plain = Path::new(subpath).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if plain {
        Ok(Some(subpath.into()))
    } else {
        Err(ContainerError::Invalid(format!(
            "the subpath `{subpath}` of the mount at `{target}` leaves its volume"
        )))
    }
}

fn bind(source: PathBuf) -> MountKind {
    MountKind::Bind { source, subpath: None, propagation: None, recursive: true, options: Vec::new() }
}

fn device(device: &spec::Device) -> wanted::Device {
    wanted::Device {
        source: (&device.source).into(),
        target: device.target.clone(),
        permissions: device.permissions.clone(),
    }
}

pub(crate) fn limits(limits: &spec::Limits) -> wanted::Limits {
    wanted::Limits {
        memory: limits.memory,
        memory_reservation: limits.memory_reservation,
        memory_swap: limits.memory_swap,
        swappiness: limits.swappiness,
        cpus: limits.cpus,
        cpu_shares: limits.cpu_shares,
        cpu_period: limits.cpu_period,
        cpu_quota: limits.cpu_quota,
        cpuset: limits.cpuset.clone(),
        pids: limits.pids,
        blkio_weight: limits.blkio_weight,
        oom_kill_disable: limits.oom_kill_disable,
        cpuset_mems: limits.cpuset_mems.clone(),
        devices: limits.devices.iter().map(device_bound).collect(),
    }
}

fn device_bound(bound: &spec::DeviceBound) -> wanted::DeviceBound {
    let what = match bound.what {
        spec::DeviceRate::ReadBytes => wanted::DeviceRate::ReadBytes,
        spec::DeviceRate::WrittenBytes => wanted::DeviceRate::WrittenBytes,
        spec::DeviceRate::Reads => wanted::DeviceRate::Reads,
        spec::DeviceRate::Writes => wanted::DeviceRate::Writes,
        spec::DeviceRate::Weight => wanted::DeviceRate::Weight,
    };
    wanted::DeviceBound { path: (&bound.path).into(), what, most: bound.most }
}

/// Which other container a service's namespace is taken from, if any.
pub(crate) fn joined(namespace: &Namespace) -> Option<&str> {
    match namespace {
        Namespace::Private | Namespace::Host | Namespace::Shareable | Namespace::Isolated => None,
        Namespace::Service(service) => Some(service.as_str()),
        Namespace::Container(container) => Some(container),
    }
}
