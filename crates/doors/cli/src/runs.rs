//! `sea run`: a container of its own, by docker's flags.

pub(crate) mod words;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base::{AppName, Bytes, Kind, NetworkName, Report, ServiceName, VolumeName};
use hyper::Method;
use indexmap::IndexMap;
use spec::{
    App, Attachment, HealthCheck, Limits, Mount, MountKind, NetworkMode, Probe, Protocol, Published, Restart,
    Security, Service, Tmpfs, Ulimit, UpdatePolicy, Volume,
};
use talk::{Created, RunOrder};

pub(crate) use words::variable;

use crate::args::RunArgs;
use crate::containers::named;
use crate::output::say;
use crate::table::pairs;
use crate::{Done, Session, report, stream, terminal};

impl Session {
    /// `sea run`.
    pub(crate) async fn run_container(&self, args: RunArgs) -> Done {
        if args.interactive && args.tty && !args.detach && !terminal::is_input() {
            return Err(terminal::no_terminal());
        }
        let (image, command) = match named(args.words.clone()) {
            Ok(named) => named,
            Err(problem) => return self.not_run(problem),
        };
        let order = match order(&args, image, command) {
            Ok(order) => order,
            Err(problem) => return self.not_run(problem),
        };
        let image =
            order.app.services.values().next().map(|service| service.image.clone()).unwrap_or_default();
        if let Err(problem) = self.have_to_run(&image, args.pull.into()).await {
            return self.not_run(problem);
        }
        if args.detach {
            return self.run_detached(&order).await;
        }
        let upgraded = match self.client.upgrade("/v1/run", &order).await {
            Err(wire::CallError::Unreachable { .. }) => {
                if let Err(problem) = self.ensure_daemon().await {
                    return self.not_run(problem);
                }
                self.client.upgrade("/v1/run", &order).await
            }
            answered => answered,
        };
        match upgraded {
            Ok(upgraded) => {
                let carry = stream::Carry {
                    stdin: args.interactive,
                    raw: args.tty && terminal::is_input(),
                    signals: true,
                };
                match stream::carry(upgraded, carry).await {
                    Ok(exited) => stream::exit_code(exited),
                    Err(problem) => self.not_run(problem),
                }
            }
            Err(error) => self.not_run(report(error)),
        }
    }

    /// Makes sure that a daemon answers and has the image.
    async fn have_to_run(&self, image: &str, policy: spec::PullPolicy) -> Result<(), Report> {
        self.ensure_daemon().await?;
        self.have_image(image, policy).await
    }

    async fn run_detached(&self, order: &RunOrder) -> Done {
        if let Err(problem) = self.ensure_daemon().await {
            return self.not_run(problem);
        }
        match self.client.call::<Created>(Method::POST, "/v1/containers", order).await {
            Ok(created) => {
                say(&created.id);
                Ok(0)
            }
            Err(error) => self.not_run(report(error)),
        }
    }
}

fn invalid(message: String) -> Report {
    Report::new(Kind::Invalid, message)
}

/// The flags as an order.
fn order(args: &RunArgs, image: String, command: Vec<String>) -> Result<RunOrder, Report> {
    let mut app = App {
        name: AppName::new("run").map_err(report)?,
        services: IndexMap::new(),
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        secrets: IndexMap::new(),
        configs: IndexMap::new(),
    };
    let mut mounts = Vec::new();
    for text in &args.volume {
        mounts.push(mount(text, &mut app)?);
    }
    for text in &args.mount {
        mounts.push(words::mount(text, &mut app)?);
    }
    for text in &args.tmpfs {
        mounts.push(tmpfs(text));
    }
    let (network_mode, networks) = networks(args, &mut app)?;
    let mut service = service(args, mounts, network_mode, networks)?;
    service.image = image;
    service.command = (!command.is_empty()).then_some(command);
    app.services.insert(ServiceName::new("run").map_err(report)?, service);
    Ok(RunOrder {
        name: args.name.clone(),
        app,
        remove: args.rm,
        attach: !args.detach,
        size: if args.tty { terminal::size() } else { None },
    })
}

/// What it may do.
fn security(args: &RunArgs) -> Security {
    Security {
        privileged: args.privileged,
        cap_add: args.cap_add.clone(),
        cap_drop: args.cap_drop.clone(),
        options: args.security_opt.clone(),
        masked_paths: None,
        readonly_paths: None,
    }
}

fn service(
    args: &RunArgs,
    mounts: Vec<Mount>,
    network_mode: NetworkMode,
    networks: IndexMap<String, Attachment>,
) -> Result<Service, Report> {
    let entrypoint =
        args.entrypoint.as_ref().map(|text| if text.is_empty() { Vec::new() } else { vec![text.clone()] });
    Ok(Service {
        image: String::new(),
        build: None,
        pull_policy: spec::PullPolicy::Missing,
        entrypoint,
        command: None,
        environment: words::environment(&args.env_file, &args.env)?,
        unset_environment: Vec::new(),
        labels: args.label.iter().map(|text| words::label(text)).collect(),
        annotations: IndexMap::new(),
        user: args.user.clone(),
        group_add: args.group_add.clone(),
        working_dir: args.workdir.clone(),
        hostname: args.hostname.clone(),
        domainname: args.domainname.clone(),
        container_name: None,
        tty: args.tty,
        tty_size: (0, 0),
        stdin_open: args.interactive,
        init: args.init,
        read_only: args.read_only,
        mounts,
        secrets: Vec::new(),
        configs: Vec::new(),
        shm_size: size(args.shm_size.as_deref())?,
        devices: args.device.iter().map(|text| words::device(text)).collect::<Result<_, _>>()?,
        device_rules: args.device_cgroup_rule.clone(),
        security: security(args),
        sysctls: pairs(&args.sysctl, "--sysctl")?.into_iter().collect(),
        ulimits: args.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?,
        limits: limits(args)?,
        network_mode,
        networks,
        ports: ports(&args.publish)?,
        routes: Vec::new(),
        edge: spec::EdgePolicy::default(),
        certificate: None,
        dns: args.dns.clone(),
        dns_search: args.dns_search.clone(),
        dns_opt: args.dns_option.clone(),
        extra_hosts: args.add_host.iter().map(|text| words::host(text)).collect::<Result<_, _>>()?,
        pid: words::namespace(args.pid.as_deref(), "--pid")?,
        ipc: words::namespace(args.ipc.as_deref(), "--ipc")?,
        uts_host: false,
        cgroup_host: false,
        healthcheck: check(args),
        check: None,
        restart: restart(&args.restart)?,
        stop_signal: args.stop_signal.clone(),
        stop_grace_period: Duration::from_secs(args.stop_timeout),
        logging: words::logging(args.log_driver.as_deref(), &args.log_opt)?,
        depends_on: IndexMap::new(),
        replicas: 1,
        update: UpdatePolicy::default(),
        rollback: UpdatePolicy::default(),
        post_start: Vec::new(),
        pre_stop: Vec::new(),
    })
}

fn limits(args: &RunArgs) -> Result<Limits, Report> {
    let memory_swap = match args.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        text => size(text)?.map(|size| i64::try_from(size.0).unwrap_or(i64::MAX)),
    };
    Ok(Limits {
        memory: size(args.memory.as_deref())?,
        memory_reservation: size(args.memory_reservation.as_deref())?,
        memory_swap,
        // No bound at all is written as docker writes it.
        cpus: args.cpus.filter(|cpus| *cpus != 0.0),
        cpu_shares: args.cpu_shares,
        cpuset: args.cpuset_cpus.clone(),
        pids: args.pids_limit.filter(|pids| *pids > 0),
        oom_score_adj: args.oom_score_adj,
        ..Limits::default()
    })
}

fn size(text: Option<&str>) -> Result<Option<Bytes>, Report> {
    text.map(str::parse).transpose().map_err(report)
}

/// `SOURCE:TARGET[:ro]`, or `TARGET` alone for an anonymous volume.
fn mount(text: &str, app: &mut App) -> Result<Mount, Report> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => {
            return Err(
                invalid(format!("`{text}` is not a mount")).hint("write SOURCE:TARGET, or SOURCE:TARGET:ro")
            );
        }
    };
    if !target.starts_with('/') {
        return Err(invalid(format!("the target `{target}` of the mount `{text}` is not an absolute path")));
    }
    let mut read_only = false;
    let mut propagation = None;
    let mut nocopy = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "readonly" => read_only = true,
            "rw" | "z" | "Z" => {}
            "nocopy" => nocopy = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                propagation = Some(option.to_owned())
            }
            other => {
                return Err(invalid(format!("`{other}` is not an option of a mount"))
                    .hint("there are ro, rw, nocopy, and the propagations private, shared and slave"));
            }
        }
    }
    let kind = match source {
        None => MountKind::Anonymous,
        Some(source) if source.starts_with(['/', '.', '~']) => {
            MountKind::Bind { source: absolute(source)?, create: true, propagation, recursive: true }
        }
        Some(name) => {
            let volume = Volume {
                name: VolumeName::new(name).map_err(report)?,
                external: false,
                driver: None,
                driver_opts: IndexMap::new(),
                labels: IndexMap::new(),
            };
            app.volumes.insert(name.to_owned(), volume);
            MountKind::Volume { key: name.to_owned(), nocopy, subpath: None }
        }
    };
    Ok(Mount { target: target.to_owned(), kind, read_only })
}

fn absolute(path: &str) -> Result<String, Report> {
    let unreadable =
        |error: std::io::Error| Report::new(Kind::Invalid, format!("`{path}` is not a path")).because(error);
    Ok(std::path::absolute(Path::new(path)).map_err(unreadable)?.display().to_string())
}

fn tmpfs(text: &str) -> Mount {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    let kind = MountKind::Tmpfs(Tmpfs { size: None, mode: None, options });
    Mount { target: target.to_owned(), kind, read_only: false }
}

type Joined = (NetworkMode, IndexMap<String, Attachment>);

fn networks(args: &RunArgs, app: &mut App) -> Result<Joined, Report> {
    let mut joined = IndexMap::new();
    for text in &args.network {
        match (text.as_str(), text.strip_prefix("container:")) {
            ("host", _) => return Ok((NetworkMode::Host, IndexMap::new())),
            ("none", _) => return Ok((NetworkMode::None, IndexMap::new())),
            (_, Some(container)) => {
                return Ok((NetworkMode::Container(container.to_owned()), IndexMap::new()));
            }
            (name, None) => {
                let network = spec::Network::external(NetworkName::new(name).map_err(report)?);
                app.networks.insert(name.to_owned(), network);
                joined.insert(name.to_owned(), Attachment::default());
            }
        }
    }
    // They are meant for the first network; the default one has no other names, as in docker.
    match joined.first_mut() {
        Some((_, attachment)) => {
            attachment.aliases.clone_from(&args.network_alias);
            attachment.ipv4_address.clone_from(&args.ip);
            attachment.mac_address.clone_from(&args.mac_address);
        }
        None if args.ip.is_none() && args.mac_address.is_none() && args.network_alias.is_empty() => {}
        None => {
            return Err(invalid("a name or an address of its own needs a network".into())
                .hint("make one with `sea network create NAME`, and name it with --network"));
        }
    }
    Ok((NetworkMode::Networks, joined))
}

fn ports(texts: &[String]) -> Result<Vec<Published>, Report> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(port(text)?);
    }
    Ok(all)
}

/// `[[IP:]HOST:]PORT[/udp]`; the ports may be ranges of the same length.
fn port(text: &str) -> Result<Vec<Published>, Report> {
    let bad = || {
        invalid(format!("`{text}` is not a port"))
            .hint("write [[IP:]HOST:]PORT[/udp], as in 127.0.0.1:8080:80 or 8000-8009:80-89")
    };
    let (rest, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Auto),
        Some((rest, "tcp")) => (rest, Protocol::Auto),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some(_) => return Err(bad()),
    };
    let (outside, inside) = rest.rsplit_once(':').map_or(("", rest), |(outside, inside)| (outside, inside));
    let (address, host) = match outside.rsplit_once(':') {
        Some((address, host)) => (Some(address.trim_start_matches('[').trim_end_matches(']')), host),
        None => (None, outside),
    };
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let range = |text: &str| -> Result<std::ops::RangeInclusive<u16>, Report> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = number(first)?..=number(last)?;
        if range.is_empty() { Err(bad()) } else { Ok(range) }
    };
    let host_ip = address.map(|address| address.parse::<IpAddr>().map_err(|_| bad())).transpose()?;
    let inside = range(inside)?;
    let one = |(host_port, port)| Published { host_ip, host_port, port, protocol };
    if host.is_empty() {
        return Ok(inside.map(|port| one((0, port))).collect());
    }
    let outside = range(host)?;
    if outside.len() != inside.len() {
        return Err(bad());
    }
    Ok(outside.zip(inside).map(one).collect())
}

/// `NAME=SOFT[:HARD]`.
pub(crate) fn ulimit(text: &str) -> Result<(String, Ulimit), Report> {
    let bad =
        || invalid(format!("`{text}` is not a limit")).hint("write NAME=SOFT[:HARD], as in nofile=1024:2048");
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
    if !Ulimit::NAMES.contains(&name) {
        return Err(invalid(format!("`{name}` is not a limit"))
            .hint(format!("there are {}", Ulimit::NAMES.join(", "))));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_err(|_| bad());
    Ok((name.to_owned(), Ulimit { soft: number(soft)?, hard: number(hard)? }))
}

fn restart(text: &str) -> Result<Restart, Report> {
    let bad = || {
        invalid(format!("`{text}` is not a restart policy"))
            .hint("there are no, always, on-failure[:N] and unless-stopped")
    };
    match text.split_once(':') {
        None if text == "no" => Ok(Restart::No),
        None if text == "always" => Ok(Restart::Always),
        None if text == "unless-stopped" => Ok(Restart::UnlessStopped),
        None if text == "on-failure" => Ok(Restart::OnFailure { max_retries: 0 }),
        Some(("on-failure", number)) => {
            Ok(Restart::OnFailure { max_retries: number.parse().map_err(|_| bad())? })
        }
        _ => Err(bad()),
    }
}

/// The check that the flags describe, with docker's defaults; one of `NONE` takes the image's away.
fn check(args: &RunArgs) -> Option<HealthCheck> {
    const USUAL: Duration = Duration::from_secs(30);
    let probe = match &args.health_cmd {
        Some(line) => Probe::Shell(line.clone()),
        None if args.no_healthcheck => Probe::Exec(vec!["NONE".into()]),
        None => return None,
    };
    Some(HealthCheck {
        probe,
        interval: args.health_interval.unwrap_or(USUAL),
        timeout: args.health_timeout.unwrap_or(USUAL),
        retries: args.health_retries.unwrap_or(3),
        start_period: args.health_start_period.unwrap_or_default(),
        start_interval: Duration::from_secs(1),
    })
}

#[cfg(test)]
mod tests;
