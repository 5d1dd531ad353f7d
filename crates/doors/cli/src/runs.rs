//! `sea run`: a container of its own, by docker's flags.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base::{AppName, Kind, NetworkName, Report, ServiceName, VolumeName};
use hyper::Method;
use indexmap::IndexMap;
use spec::{
    App, Attachment, HealthCheck, Limits, Mount, MountKind, NetworkMode, Probe, Protocol, Published, Restart,
    Security, Service, Tmpfs, Ulimit, UpdatePolicy, Volume,
};
use talk::{Created, RunOrder};

use crate::args::RunArgs;
use crate::output::say;
use crate::table::pairs;
use crate::{Done, Session, report, stream, terminal};

impl Session {
    /// `sea run`.
    pub(crate) async fn run_container(&self, args: RunArgs) -> Done {
        let order = match order(&args) {
            Ok(order) => order,
            Err(problem) => return self.not_run(problem),
        };
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
                let carry = stream::Carry { stdin: args.interactive, raw: args.tty && terminal::is_input() };
                match stream::carry(upgraded, carry).await {
                    Ok(exited) => stream::exit_code(exited),
                    Err(problem) => self.not_run(problem),
                }
            }
            Err(error) => self.not_run(report(error)),
        }
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
fn order(args: &RunArgs) -> Result<RunOrder, Report> {
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
    for text in &args.tmpfs {
        mounts.push(tmpfs(text));
    }
    let (network_mode, networks) = networks(&args.network, &mut app)?;
    let service = service(args, mounts, network_mode, networks)?;
    app.services.insert(ServiceName::new("run").map_err(report)?, service);
    Ok(RunOrder {
        name: args.name.clone(),
        app,
        remove: args.rm,
        attach: !args.detach,
        size: if args.tty { terminal::size() } else { None },
    })
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
        image: args.image.clone(),
        build: None,
        pull_policy: spec::PullPolicy::Missing,
        entrypoint,
        command: (!args.command.is_empty()).then(|| args.command.clone()),
        environment: environment(&args.env),
        labels: pairs(&args.label, "--label")?.into_iter().collect(),
        annotations: IndexMap::new(),
        user: args.user.clone(),
        group_add: Vec::new(),
        working_dir: args.workdir.clone(),
        hostname: args.hostname.clone(),
        domainname: None,
        container_name: None,
        tty: args.tty,
        stdin_open: args.interactive,
        init: args.init,
        read_only: args.read_only,
        mounts,
        secrets: Vec::new(),
        configs: Vec::new(),
        shm_size: None,
        devices: Vec::new(),
        security: Security {
            privileged: args.privileged,
            cap_add: args.cap_add.clone(),
            cap_drop: args.cap_drop.clone(),
            options: args.security_opt.clone(),
        },
        sysctls: IndexMap::new(),
        ulimits: args.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?,
        limits: Limits {
            memory: args.memory.as_deref().map(str::parse).transpose().map_err(report)?,
            cpus: args.cpus,
            pids: args.pids_limit,
            ..Limits::default()
        },
        network_mode,
        networks,
        ports: args.publish.iter().map(|text| port(text)).collect::<Result<_, _>>()?,
        routes: Vec::new(),
        dns: Vec::new(),
        dns_search: Vec::new(),
        dns_opt: Vec::new(),
        extra_hosts: Vec::new(),
        pid: spec::Namespace::Private,
        ipc: spec::Namespace::Private,
        uts_host: false,
        cgroup_host: false,
        healthcheck: args.health_cmd.clone().map(check),
        restart: restart(&args.restart)?,
        stop_signal: args.stop_signal.clone(),
        stop_grace_period: Duration::from_secs(args.stop_timeout),
        logging: spec::Logging::default(),
        depends_on: IndexMap::new(),
        replicas: 1,
        update: UpdatePolicy::default(),
        rollback: UpdatePolicy::default(),
    })
}

/// `NAME=VALUE`, or `NAME` to pass ours on; one that we do not have is left out, as docker does.
fn environment(texts: &[String]) -> IndexMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(text).ok().map(|value| (text.clone(), value)),
    };
    texts.iter().filter_map(pair).collect()
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

fn networks(texts: &[String], app: &mut App) -> Result<Joined, Report> {
    let mut joined = IndexMap::new();
    for text in texts {
        match (text.as_str(), text.strip_prefix("container:")) {
            ("host", _) => return Ok((NetworkMode::Host, IndexMap::new())),
            ("none", _) => return Ok((NetworkMode::None, IndexMap::new())),
            (_, Some(container)) => {
                return Ok((NetworkMode::Container(container.to_owned()), IndexMap::new()));
            }
            (name, None) => {
                let network = spec::Network {
                    name: NetworkName::new(name).map_err(report)?,
                    external: true,
                    internal: false,
                    driver: None,
                    driver_opts: IndexMap::new(),
                    enable_ipv6: false,
                    attachable: false,
                    ipam: Vec::new(),
                    labels: IndexMap::new(),
                };
                app.networks.insert(name.to_owned(), network);
                joined.insert(name.to_owned(), Attachment::default());
            }
        }
    }
    Ok((NetworkMode::Networks, joined))
}

/// `[[IP:]HOST:]PORT[/udp]`.
fn port(text: &str) -> Result<Published, Report> {
    let bad = || {
        invalid(format!("`{text}` is not a port"))
            .hint("write [[IP:]HOST:]PORT[/udp], as in 127.0.0.1:8080:80")
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
    Ok(Published {
        host_ip: address.map(|address| address.parse::<IpAddr>().map_err(|_| bad())).transpose()?,
        host_port: if host.is_empty() { 0 } else { number(host)? },
        port: number(inside)?,
        protocol,
    })
}

/// `NAME=SOFT[:HARD]`.
fn ulimit(text: &str) -> Result<(String, Ulimit), Report> {
    let bad =
        || invalid(format!("`{text}` is not a limit")).hint("write NAME=SOFT[:HARD], as in nofile=1024:2048");
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
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

fn check(line: String) -> HealthCheck {
    HealthCheck {
        probe: Probe::Shell(line),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(30),
        retries: 3,
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests;
