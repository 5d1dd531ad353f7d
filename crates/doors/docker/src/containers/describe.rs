//! A container in docker's words: what was asked of it where a client of docker made it, else what it is.

use std::collections::BTreeMap;

use containers::{Record, State, View};
use runtime::order::{MASKED, READONLY};
use serde_json::{Value, json};
use spec::{MountKind, Namespace, NetworkMode, Probe, Protocol, Restart};

use crate::wire::{
    Asked, BindOptions, Config, Device, Empty, EndpointIpam, HealthConfig, HostConfig, ImageOptions,
    LogConfig, Mount, PortBinding, RestartPolicy, TmpfsOptions, Ulimit, VolumeOptions,
};

/// What was asked; for others, what a client would have had to ask for the like.
pub(crate) fn asked(record: &Record, command: &[String], image: Option<&images::Image>) -> Asked {
    let mut asked: Asked = match serde_json::from_value(record.asked.clone()) {
        Ok(asked) => asked,
        Err(_) => told(record, command, image),
    };
    let config = &mut asked.config;
    if config.hostname.is_empty() && !matches!(record.service.network_mode, NetworkMode::Container(_)) {
        record.id.short().clone_into(&mut config.hostname);
    }
    let host = &mut asked.host_config;
    if !host.privileged {
        host.masked_paths.get_or_insert_with(|| MASKED.map(str::to_owned).to_vec());
        host.readonly_paths.get_or_insert_with(|| READONLY.map(str::to_owned).to_vec());
    }
    asked
}

fn told(record: &Record, command: &[String], image: Option<&images::Image>) -> Asked {
    let service = &record.service;
    let of = image.map(|image| &image.config.config);
    let entrypoint = service.entrypoint.clone().or_else(|| of?.entrypoint.clone());
    let rest = command.iter().skip(entrypoint.as_ref().map_or(0, Vec::len)).cloned().collect();
    let config = Config {
        hostname: service.hostname.clone().unwrap_or_default(),
        domainname: service.domainname.clone().unwrap_or_default(),
        user: service.user.clone().or_else(|| Some(of?.user.clone())).unwrap_or_default(),
        exposed_ports: of.map(|of| of.exposed_ports.keys().map(|port| (port.clone(), Empty {})).collect()),
        tty: service.tty,
        open_stdin: service.stdin_open,
        env: Some(service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: Some(rest),
        healthcheck: service.healthcheck.as_ref().and_then(check),
        image: record.image.clone(),
        working_dir: service
            .working_dir
            .clone()
            .or_else(|| Some(of?.working_dir.clone()))
            .unwrap_or_default(),
        entrypoint,
        labels: labels(record),
        stop_signal: service.stop_signal.clone().or_else(|| of?.stop_signal.clone()),
        stop_timeout: i64::try_from(service.stop_grace_period.as_secs()).ok(),
        ..Config::default()
    };
    Asked { config, host_config: host(record), endpoints: BTreeMap::new() }
}

/// Its labels, and for an instance of an app which one it is.
pub(crate) fn labels(record: &Record) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = record.service.labels.clone().into_iter().collect();
    if let Some(owner) = &record.owner {
        labels.insert("sea.app".into(), owner.app.to_string());
        labels.insert("sea.service".into(), owner.service.to_string());
        labels.insert("sea.instance".into(), owner.number.to_string());
        labels.insert("sea.release".into(), owner.release.to_string());
    }
    labels
}

fn check(check: &spec::HealthCheck) -> Option<HealthConfig> {
    let test = match &check.probe {
        _ if check.is_disabled() => vec!["NONE".into()],
        Probe::Exec(args) => std::iter::once("CMD".to_owned()).chain(args.clone()).collect(),
        Probe::Shell(line) => vec!["CMD-SHELL".into(), line.clone()],
        // Docker has no words for a check from outside.
        Probe::Http(_) | Probe::Grpc { .. } | Probe::Tcp { .. } => return None,
    };
    let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    Some(HealthConfig {
        test,
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: i64::from(check.retries),
    })
}

fn host(record: &Record) -> HostConfig {
    let service = &record.service;
    let mut host = HostConfig {
        log_config: LogConfig {
            kind: if service.logging.keep { "json-file".into() } else { "none".into() },
            config: BTreeMap::new(),
        },
        network_mode: network_mode(record),
        port_bindings: bindings(&service.ports),
        restart_policy: policy(service.restart),
        auto_remove: record.auto_remove,
        cap_add: Some(service.security.cap_add.clone()).filter(|names| !names.is_empty()),
        cap_drop: Some(service.security.cap_drop.clone()).filter(|names| !names.is_empty()),
        cgroupns_mode: if service.cgroup_host { "host".into() } else { "private".into() },
        dns: service.dns.iter().map(ToString::to_string).collect(),
        dns_options: service.dns_opt.clone(),
        dns_search: service.dns_search.clone(),
        extra_hosts: Some(service.extra_hosts.iter().map(|(name, at)| format!("{name}:{at}")).collect()),
        group_add: Some(service.group_add.clone()).filter(|groups| !groups.is_empty()),
        ipc_mode: namespace(&service.ipc, "private"),
        oom_score_adj: service.limits.oom_score_adj.unwrap_or(0).into(),
        pid_mode: namespace(&service.pid, ""),
        privileged: service.security.privileged,
        readonly_rootfs: service.read_only,
        security_opt: Some(service.security.options.clone()).filter(|options| !options.is_empty()),
        uts_mode: if service.uts_host { "host".into() } else { String::new() },
        shm_size: service.shm_size.map_or(64 << 20, |size| size.0 as i64),
        sysctls: Some(service.sysctls.clone().into_iter().collect())
            .filter(|map: &BTreeMap<_, _>| !map.is_empty()),
        runtime: "runc".into(),
        mounts: Some(service.mounts.iter().map(|mount| long(record, mount)).collect()),
        init: service.init.then_some(true),
        ..HostConfig::default()
    };
    let (limits, resources) = (&service.limits, &mut host.resources);
    let bytes = |size: Option<base::Bytes>| size.map_or(0, |size| i64::try_from(size.0).unwrap_or(i64::MAX));
    resources.memory = bytes(limits.memory);
    resources.memory_reservation = bytes(limits.memory_reservation);
    resources.memory_swap = limits.memory_swap.unwrap_or(0);
    resources.memory_swappiness = limits.swappiness.map(i64::from);
    resources.nano_cpus = limits.cpus.map_or(0, |cpus| (cpus * 1e9) as i64);
    resources.cpu_shares = limits.cpu_shares.unwrap_or(0) as i64;
    resources.cpu_period = limits.cpu_period.unwrap_or(0) as i64;
    resources.cpu_quota = limits.cpu_quota.unwrap_or(0);
    resources.cpuset_cpus = limits.cpuset.clone().unwrap_or_default();
    resources.pids_limit = limits.pids;
    resources.blkio_weight = limits.blkio_weight.unwrap_or(0);
    resources.oom_kill_disable = Some(limits.oom_kill_disable);
    resources.cgroup_parent = limits.cgroup_parent.clone().unwrap_or_default();
    let ulimit = |(name, limit): (&String, &spec::Ulimit)| Ulimit {
        name: name.clone(),
        hard: limit.hard,
        soft: limit.soft,
    };
    resources.ulimits = service.ulimits.iter().map(ulimit).collect();
    let device = |device: &spec::Device| Device {
        path_on_host: device.source.clone(),
        path_in_container: device.target.clone(),
        cgroup_permissions: device.permissions.clone(),
    };
    resources.devices = service.devices.iter().map(device).collect();
    host
}

/// Docker's name of the network that it is on.
pub(crate) fn network_mode(record: &Record) -> String {
    match &record.service.network_mode {
        NetworkMode::Host => "host".into(),
        NetworkMode::None => "none".into(),
        NetworkMode::Container(other) => format!("container:{other}"),
        NetworkMode::Service(service) => format!("container:{service}"),
        NetworkMode::Networks => record.networks.keys().next().cloned().unwrap_or_else(|| "bridge".into()),
    }
}

fn namespace(namespace: &Namespace, private: &str) -> String {
    match namespace {
        Namespace::Private => private.into(),
        Namespace::Host => "host".into(),
        Namespace::Shareable => "shareable".into(),
        Namespace::Isolated => "none".into(),
        Namespace::Service(service) => format!("container:{service}"),
        Namespace::Container(other) => format!("container:{other}"),
    }
}

pub(crate) fn policy(restart: Restart) -> RestartPolicy {
    let (name, count) = match restart {
        Restart::No => ("no", 0),
        Restart::Always => ("always", 0),
        Restart::UnlessStopped => ("unless-stopped", 0),
        Restart::OnFailure { max_retries } => ("on-failure", max_retries.into()),
    };
    RestartPolicy { name: name.into(), maximum_retry_count: count }
}

pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "udp",
        Protocol::Auto | Protocol::Tcp | Protocol::Http => "tcp",
    }
}

fn bindings(ports: &[spec::Published]) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut all: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for port in ports {
        let key = format!("{}/{}", port.port, protocol(port.protocol));
        let host_ip = port.host_ip.map_or_else(String::new, |ip| ip.to_string());
        let binding = PortBinding { host_ip, host_port: port.host_port.to_string() };
        all.entry(key).or_default().get_or_insert_default().push(binding);
    }
    all
}

fn long(record: &Record, mount: &spec::Mount) -> Mount {
    let mut long = Mount { target: mount.target.clone(), read_only: mount.read_only, ..Mount::default() };
    match &mount.kind {
        MountKind::Bind { source, create, propagation, recursive } => {
            long.kind = "bind".into();
            long.source.clone_from(source);
            long.bind_options = Some(BindOptions {
                propagation: propagation.clone().unwrap_or_default(),
                non_recursive: !recursive,
                create_mountpoint: *create,
                ..BindOptions::default()
            });
        }
        MountKind::Volume { key, nocopy, subpath } => {
            long.kind = "volume".into();
            long.source = record.volumes.get(key).map_or_else(|| key.clone(), ToString::to_string);
            let subpath = subpath.clone().unwrap_or_default();
            long.volume_options =
                Some(VolumeOptions { no_copy: *nocopy, subpath, ..VolumeOptions::default() });
        }
        MountKind::Anonymous => {
            long.kind = "volume".into();
            long.source = record.anonymous.get(&mount.target).map(ToString::to_string).unwrap_or_default();
        }
        MountKind::Image { image, subpath } => {
            long.kind = "image".into();
            long.source.clone_from(image);
            long.image_options = Some(ImageOptions { subpath: subpath.clone().unwrap_or_default() });
        }
        MountKind::Tmpfs(tmpfs) => {
            long.kind = "tmpfs".into();
            long.tmpfs_options = Some(TmpfsOptions {
                size_bytes: tmpfs.size.map_or(0, |size| size.0 as i64),
                mode: tmpfs.mode.map_or(0, i64::from),
                options: Vec::new(),
            });
        }
    }
    long
}

/// The mounts of a container as `inspect` and `ps` tell them.
pub(crate) fn mount_points(record: &Record, volumes: &containers::Volumes) -> Vec<Value> {
    record.service.mounts.iter().filter_map(|mount| mount_point(record, mount, volumes)).collect()
}

fn mount_point(record: &Record, mount: &spec::Mount, volumes: &containers::Volumes) -> Option<Value> {
    let writable = !mount.read_only;
    let mode = if mount.read_only { "ro" } else { "" };
    let name = match &mount.kind {
        MountKind::Bind { source, propagation, .. } => {
            return Some(json!({
                "Type": "bind", "Source": source, "Destination": mount.target, "Mode": mode, "RW": writable,
                "Propagation": propagation.as_deref().unwrap_or("rprivate"),
            }));
        }
        MountKind::Image { image, .. } => {
            return Some(json!({
                "Type": "image", "Name": image, "Source": "", "Destination": mount.target, "Mode": "", "RW": false,
                "Propagation": "",
            }));
        }
        MountKind::Tmpfs(_) => {
            // Docker tells of those in their long form alone.
            let long = record.asked["HostConfig"]["Mounts"].as_array();
            let told = long.is_some_and(|all| all.iter().any(|one| one["Target"] == mount.target.as_str()));
            return told.then(|| {
                json!({ "Type": "tmpfs", "Source": "", "Destination": mount.target, "Mode": mode, "RW": writable, "Propagation": "" })
            });
        }
        MountKind::Volume { key, .. } => record.volumes.get(key)?,
        MountKind::Anonymous => record.anonymous.get(&mount.target)?,
    };
    let source = volumes.find(name).ok().flatten().map(|volume| volume.mountpoint.display().to_string());
    Some(json!({
        "Type": "volume", "Name": name, "Source": source.unwrap_or_default(), "Destination": mount.target,
        "Driver": "local", "Mode": if mode.is_empty() { "z" } else { mode }, "RW": writable, "Propagation": "",
    }))
}

/// How it is, in docker's one word.
pub(crate) fn status(view: &View) -> &'static str {
    match &view.record.state {
        State::Created => "created",
        State::Running { paused: true, .. } => "paused",
        State::Running { .. } => "running",
        State::Exited { .. } if view.record.restarts_soon() => "restarting",
        State::Exited { .. } => "exited",
    }
}

/// Whether it is well, in docker's one word; none when nobody asks.
pub(crate) fn health(view: &View) -> Option<&'static str> {
    if !view.health.checked {
        return None;
    }
    Some(match view.health.well {
        None => "starting",
        Some(true) => "healthy",
        Some(false) => "unhealthy",
    })
}

/// The ports that lead to a container that runs, by the container's port; an exposed one that none leads to has none.
pub(crate) fn ports(view: &View, exposed: impl Iterator<Item = String>) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    if !view.record.state.runs() {
        return all;
    }
    for port in exposed {
        let key = if port.contains('/') { port } else { format!("{port}/tcp") };
        all.insert(key, Value::Null);
    }
    for (key, bindings) in bindings(&view.record.service.ports) {
        let list = bindings.unwrap_or_default().into_iter().map(|binding| {
            let ip = if binding.host_ip.is_empty() { "0.0.0.0".to_owned() } else { binding.host_ip };
            json!({ "HostIp": ip, "HostPort": binding.host_port })
        });
        all.insert(key, Value::Array(list.collect()));
    }
    all
}

/// How it is on each of its networks.
pub(crate) fn endpoints(
    view: &View,
    asked: &Asked,
    attachments: &[network::Attachment],
    ids: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, wanted) in &view.record.networks {
        let on = attachments.iter().find(|on| on.network.as_str() == name);
        let text = |value: Option<String>| value.unwrap_or_default();
        let said = asked.endpoints.get(name);
        let aliases = said
            .and_then(|said| said.aliases.clone())
            .or_else(|| Some(wanted.aliases.clone()).filter(|all| !all.is_empty()));
        let names = on.map(|on| on.names.iter().chain(&on.aliases).cloned().collect::<Vec<_>>());
        let endpoint = json!({
            "IPAMConfig": said.and_then(|said| said.ipam_config.clone()).or_else(|| fixed(wanted)),
            "Links": said
                .and_then(|said| said.links.clone())
                .or_else(|| Some(links(wanted)).filter(|links| !links.is_empty() && name != network::DEFAULT_NETWORK)),
            "Aliases": aliases,
            "DriverOpts": Some(&wanted.driver_opts).filter(|options| !options.is_empty()),
            "GwPriority": wanted.gw_priority,
            "NetworkID": ids.get(name).cloned().unwrap_or_default(),
            "EndpointID": on.map_or_else(String::new, |_| endpoint_id(view, name)),
            "Gateway": text(on.and_then(|on| on.ipv4_gateway).map(|ip| ip.to_string())),
            "IPAddress": text(on.and_then(|on| on.ipv4).map(|ip| ip.to_string())),
            "MacAddress": on.map_or_else(|| wanted.mac_address.clone().unwrap_or_default(), |on| on.mac.to_string()),
            "IPPrefixLen": on.filter(|on| on.ipv4.is_some()).map_or(0, |on| on.ipv4_prefix),
            "IPv6Gateway": text(on.and_then(|on| on.ipv6_gateway).map(|ip| ip.to_string())),
            "GlobalIPv6Address": text(on.and_then(|on| on.ipv6).map(|ip| ip.to_string())),
            "GlobalIPv6PrefixLen": on.filter(|on| on.ipv6.is_some()).map_or(0, |on| on.ipv6_prefix),
            "DNSNames": names,
        });
        all.insert(name.clone(), endpoint);
    }
    let mode = match view.record.service.network_mode {
        NetworkMode::Host => Some("host"),
        NetworkMode::None => Some("none"),
        NetworkMode::Networks | NetworkMode::Service(_) | NetworkMode::Container(_) => None,
    };
    if let Some(mode) = mode {
        all.insert(mode.into(), json!({
            "IPAMConfig": Value::Null, "Links": Value::Null, "Aliases": Value::Null, "DriverOpts": Value::Null,
            "GwPriority": 0, "NetworkID": ids.get(mode).cloned().unwrap_or_default(), "EndpointID": "", "Gateway": "",
            "IPAddress": "", "MacAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0, "DNSNames": Value::Null,
        }));
    }
    all
}

/// The names that containers on the default network have for others, as `/web/db`, each with whom it means.
pub(crate) fn link_names(docker: &crate::Docker, views: &[View]) -> Vec<(base::ContainerId, String)> {
    let mut all = Vec::new();
    for view in views {
        let on = view.record.networks.get(network::DEFAULT_NETWORK);
        for link in on.into_iter().flat_map(|on| &on.links) {
            if let Ok(target) = docker.containers.find(&link.target) {
                all.push((target, format!("/{}/{}", view.record.name, link.alias)));
            }
        }
    }
    all
}

/// The same of one container, as `inspect` tells them: `/db:/web/db`.
pub(crate) fn told_links(docker: &crate::Docker, view: &View) -> Option<Vec<String>> {
    let on = view.record.networks.get(network::DEFAULT_NETWORK)?;
    let told = on.links.iter().filter_map(|link| {
        let target = docker.containers.inspect(&docker.containers.find(&link.target).ok()?).ok()?.record.name;
        Some(format!("/{target}:/{}/{}", view.record.name, link.alias))
    });
    Some(told.collect::<Vec<_>>()).filter(|all| !all.is_empty())
}

/// The addresses that were asked for, if any.
fn fixed(wanted: &spec::Attachment) -> Option<EndpointIpam> {
    let fixed = EndpointIpam {
        ipv4_address: wanted.ipv4_address.clone().unwrap_or_default(),
        ipv6_address: wanted.ipv6_address.clone().unwrap_or_default(),
        link_local_ips: wanted.link_local_ips.clone(),
    };
    (fixed != EndpointIpam::default()).then_some(fixed)
}

/// Others under names of its own.
fn links(wanted: &spec::Attachment) -> Vec<String> {
    wanted.links.iter().map(|link| format!("{}:{}", link.target, link.alias)).collect()
}

/// An endpoint has no other name here than its container and its network, of which docker's id is made.
pub(crate) fn endpoint_id(view: &View, network: &str) -> String {
    oci::Digest::sha256(format!("{} {network}", view.record.id).as_bytes()).hex().to_owned()
}
