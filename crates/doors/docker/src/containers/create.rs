//! `POST /containers/create`: docker's two documents become a service of one instance.
//!
//! Every field has a place in [`spec::Service`], or is refused. What was asked is kept with the container, as the
//! client said it and with what the image adds.

pub(crate) mod bounds;
mod mounts;
pub(crate) mod networks;
pub(crate) mod security;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base::{AppName, ContainerName};
use containers::Create;
use oci::ImageConfig;
use serde_json::json;
use spec::{App, Limits, Logging, Namespace, PullPolicy, Restart, Service, UpdatePolicy};

use crate::answer::{Refusal, blocking};
use crate::images::names;
use crate::params::{Document, Params};
use crate::version::ApiVersion;
use crate::wire::{self, Asked, Config, CreateBody, HealthConfig, HostConfig, LogConfig, RestartPolicy};
use crate::{Docker, Shared, system};

/// Docker waits so long between the signal and the kill.
const GRACE: Duration = Duration::from_secs(10);
/// The name of the app that holds what a single container names; nobody sees it.
const NOBODY: &str = "docker";

/// `POST /containers/create`.
pub(super) async fn create(
    State(docker): Shared,
    version: ApiVersion,
    params: Params,
    Document(body): Document<CreateBody>,
) -> Result<Response, Refusal> {
    let name = params.text("name").map(name).transpose()?;
    if let Some(platform) = params.text("platform") {
        system::is_ours(platform)?;
    }
    let image = image(&docker, &body.config.image).await?;
    let (order, warnings) = order(&docker, version, body, &image)?;
    let id = docker.containers.create(Create { name, ..order }).await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": id, "Warnings": warnings }))).into_response())
}

fn name(text: &str) -> Result<ContainerName, Refusal> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    ContainerName::new(bare).map_err(|_| {
        Refusal::invalid(format!(
            "Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        ))
    })
}

async fn image(docker: &Arc<Docker>, name: &str) -> Result<images::Image, Refusal> {
    if name.is_empty() {
        return Err(Refusal::invalid("config cannot be empty in order to create a container: no image"));
    }
    let (docker, asked) = (docker.clone(), name.to_owned());
    blocking(move || names::find(&docker, &asked)).await?
}

/// The order for the rooms, and what the client should be warned of.
fn order(
    docker: &Docker,
    version: ApiVersion,
    body: CreateBody,
    image: &images::Image,
) -> Result<(Create, Vec<String>), Refusal> {
    let CreateBody { config, mut host_config, networking_config } = body;
    let endpoints = networking_config.endpoints_config;
    let config = merged(config, &image.config)?;
    defaults(&mut host_config, version);
    if host_config.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
        return Err(Refusal::invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ));
    }
    let mut app = nothing();
    let mut warnings = Vec::new();
    for link in host_config.links.iter().flatten() {
        let target = link.split(':').next().unwrap_or_default();
        docker.containers.find(target).map_err(|error| {
            Refusal::invalid(format!(
                "could not get container for {target}: {}",
                Refusal::from(error).message
            ))
        })?;
    }
    for mode in [&host_config.pid_mode, &host_config.ipc_mode] {
        if let Some(other) = mode.strip_prefix("container:").filter(|other| !other.is_empty()) {
            docker.containers.find(other).map_err(|error| Refusal::invalid(Refusal::from(error).message))?;
        }
    }
    let joined = networks::joined(&config, &host_config, &endpoints, version, &mut app)?;
    let limits = bounds::limits(&host_config, &mut warnings)?;
    let mounts = mounts::mounts(docker, &config, &host_config, &mut app)?;
    let service = Service { limits, mounts, ..service(&config, &host_config, joined)? };
    let auto_remove = host_config.auto_remove;
    let asked = serde_json::to_value(Asked { config, host_config, endpoints })
        .map_err(|error| Refusal::failed(format!("the order cannot be kept: {error}")))?;
    let order = Create {
        name: None,
        service,
        app: Arc::new(app),
        image: Some(image.id.to_string()),
        owner: None,
        auto_remove,
        asked,
    };
    Ok((order, warnings))
}

/// All of the service but its bounds and mounts.
fn service(config: &Config, host_config: &HostConfig, joined: networks::Joined) -> Result<Service, Refusal> {
    let healthcheck = config.healthcheck.as_ref().map(health).transpose()?.flatten();
    Ok(Service {
        image: config.image.clone(),
        build: None,
        pull_policy: PullPolicy::Never,
        entrypoint: Some(config.entrypoint.clone().unwrap_or_default()),
        command: Some(config.cmd.clone().unwrap_or_default()),
        environment: variables(config.env.as_deref().unwrap_or_default()),
        unset_environment: config.env.iter().flatten().filter(|pair| !pair.contains('=')).cloned().collect(),
        labels: config.labels.clone().into_iter().collect(),
        annotations: host_config.annotations.clone().unwrap_or_default().into_iter().collect(),
        user: Some(config.user.clone()).filter(|user| !user.is_empty()),
        group_add: host_config.group_add.clone().unwrap_or_default(),
        working_dir: Some(config.working_dir.clone()).filter(|dir| !dir.is_empty()),
        hostname: Some(config.hostname.clone()).filter(|name| !name.is_empty()),
        domainname: Some(config.domainname.clone()).filter(|name| !name.is_empty()),
        container_name: None,
        tty: config.tty,
        tty_size: host_config.console_size.into(),
        stdin_open: config.open_stdin,
        init: host_config.init.unwrap_or(false),
        read_only: host_config.readonly_rootfs,
        mounts: Vec::new(),
        secrets: Vec::new(),
        configs: Vec::new(),
        shm_size: bounds::shm_size(host_config.shm_size)?,
        devices: security::devices(host_config),
        device_rules: security::device_rules(host_config)?,
        security: security::security(host_config)?,
        sysctls: host_config.sysctls.clone().unwrap_or_default().into_iter().collect(),
        ulimits: bounds::ulimits(&host_config.resources.ulimits)?,
        limits: Limits::default(),
        network_mode: joined.mode,
        networks: joined.networks,
        ports: joined.ports,
        routes: Vec::new(),
        edge: spec::EdgePolicy::default(),
        certificate: None,
        dns: networks::addresses(&host_config.dns)?,
        dns_search: host_config.dns_search.clone(),
        dns_opt: host_config.dns_options.clone(),
        extra_hosts: networks::extra_hosts(host_config.extra_hosts.as_deref().unwrap_or_default())?,
        pid: security::pid(&host_config.pid_mode)?,
        ipc: security::ipc(&host_config.ipc_mode)?,
        uts_host: security::uts(&host_config.uts_mode)?,
        cgroup_host: security::cgroup(&host_config.cgroupns_mode)?,
        healthcheck,
        check: None,
        restart: restart(host_config)?,
        stop_signal: config.stop_signal.clone().filter(|signal| !signal.is_empty()),
        stop_grace_period: config.stop_timeout.map_or(GRACE, grace),
        logging: logging(&host_config.log_config)?,
        depends_on: Default::default(),
        replicas: 1,
        update: UpdatePolicy::default(),
        rollback: UpdatePolicy::default(),
        post_start: Vec::new(),
        pre_stop: Vec::new(),
    })
}

fn nothing() -> App {
    App {
        name: AppName::new(NOBODY).expect("it is a name"),
        services: Default::default(),
        networks: Default::default(),
        volumes: Default::default(),
        secrets: Default::default(),
        configs: Default::default(),
    }
}

/// A negative number means for ever; so does a year.
fn grace(seconds: i64) -> Duration {
    u64::try_from(seconds).map_or(Duration::from_secs(365 * 24 * 3600), Duration::from_secs)
}

/// What docker fills in before it keeps a host configuration.
fn defaults(host: &mut HostConfig, version: ApiVersion) {
    let fill = |text: &mut String, usual: &str| {
        if text.is_empty() {
            usual.clone_into(text);
        }
    };
    fill(&mut host.network_mode, "default");
    fill(&mut host.log_config.kind, "json-file");
    fill(&mut host.restart_policy.name, "no");
    fill(&mut host.ipc_mode, if version < ApiVersion(1, 40) { "shareable" } else { "private" });
    fill(&mut host.cgroupns_mode, "private");
    fill(&mut host.runtime, "runc");
    if host.shm_size == 0 {
        host.shm_size = 64 << 20;
    }
}

/// What the image says where the client says nothing, as docker merges them.
fn merged(mut config: Config, image: &ImageConfig) -> Result<Config, Refusal> {
    let of = &image.config;
    if config.user.is_empty() {
        config.user = of.user.clone();
    }
    if config.working_dir.is_empty() {
        config.working_dir = of.working_dir.clone();
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Refusal::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    if !config.working_dir.is_empty() {
        config.working_dir = mounts::clean(&config.working_dir);
    }
    let ports = of.exposed_ports.keys().map(|port| (port.clone(), wire::Empty {}));
    let ports: BTreeMap<_, _> = ports.chain(config.exposed_ports.take().unwrap_or_default()).collect();
    config.exposed_ports = (!ports.is_empty()).then_some(ports);
    let volumes = of.volumes.keys().map(|volume| (volume.clone(), wire::Empty {}));
    let volumes: BTreeMap<_, _> = volumes.chain(config.volumes.take().unwrap_or_default()).collect();
    config.volumes = (!volumes.is_empty()).then_some(volumes);
    config.env = Some(environment(config.env.unwrap_or_default(), &of.env)?);
    let labels = of.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    config.labels = labels.chain(config.labels).collect();
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd = of.cmd.clone();
        }
        if config.entrypoint.is_none() {
            config.entrypoint = of.entrypoint.clone();
        }
    }
    // An entrypoint of one empty word sets the image's aside.
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    let empty = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
    if empty(&config.entrypoint) && empty(&config.cmd) {
        return Err(Refusal::invalid("no command specified"));
    }
    if config.stop_signal.as_ref().is_none_or(String::is_empty) {
        config.stop_signal = of.stop_signal.clone();
    }
    config.healthcheck = checked(config.healthcheck.take(), of.healthcheck.as_ref());
    config.shell = config.shell.filter(|words| !words.is_empty());
    Ok(config)
}

/// The image's variables, those of the client over them. A name alone takes the image's away.
fn environment(own: Vec<String>, image: &[String]) -> Result<Vec<String>, Refusal> {
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    if let Some(wrong) = own.iter().find(|pair| name(pair).is_empty()) {
        return Err(Refusal::invalid(format!("invalid environment variable: {wrong}")));
    }
    let given: Vec<String> = own.iter().map(|pair| name(pair)).collect();
    let inherited = image.iter().filter(|pair| !given.contains(&name(pair))).cloned();
    Ok(own.iter().cloned().chain(inherited).collect())
}

fn variables(pairs: &[String]) -> indexmap::IndexMap<String, String> {
    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The client's check with what the image's says where it says nothing.
fn checked(own: Option<HealthConfig>, image: Option<&oci::Health>) -> Option<HealthConfig> {
    let image = image.map(|health| {
        let nanos = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        HealthConfig {
            test: health.test.clone(),
            interval: nanos(health.interval),
            timeout: nanos(health.timeout),
            start_period: nanos(health.start_period),
            start_interval: nanos(health.start_interval),
            retries: i64::try_from(health.retries).unwrap_or(i64::MAX),
        }
    });
    let Some(mut own) = own else { return image };
    if let (true, Some(image)) = (own.test.is_empty(), image) {
        own.test = image.test;
        for (value, usual) in [
            (&mut own.interval, image.interval),
            (&mut own.timeout, image.timeout),
            (&mut own.start_period, image.start_period),
            (&mut own.start_interval, image.start_interval),
            (&mut own.retries, image.retries),
        ] {
            if *value == 0 {
                *value = usual;
            }
        }
    }
    Some(own)
}

/// A check in our words; one that is switched off says so, or the image's would hold.
fn health(check: &HealthConfig) -> Result<Option<spec::HealthCheck>, Refusal> {
    const LEAST: i64 = 1_000_000;
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < LEAST {
            return Err(Refusal::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(Refusal::invalid("Retries in Healthcheck cannot be negative"));
    }
    if check.test.first().is_some_and(|word| word == "NONE") {
        return Ok(Some(spec::HealthCheck::disabled()));
    }
    let nanos = |value: i64| u64::try_from(value).unwrap_or(0);
    let check = oci::Health {
        test: check.test.clone(),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: nanos(check.retries),
    };
    match containers::image_check(&check) {
        None if !check.test.is_empty() => Err(Refusal::invalid(format!(
            "Unknown healthcheck type {:?}",
            check.test.first().cloned().unwrap_or_default()
        ))),
        check => Ok(check),
    }
}

/// When it is started again.
pub(crate) fn restart(host: &HostConfig) -> Result<Restart, Refusal> {
    let RestartPolicy { name, maximum_retry_count } = &host.restart_policy;
    let policy = match name.as_str() {
        "" | "no" => Restart::No,
        "always" => Restart::Always,
        "unless-stopped" => Restart::UnlessStopped,
        "on-failure" => match u32::try_from(*maximum_retry_count) {
            Ok(max_retries) => Restart::OnFailure { max_retries },
            Err(_) => {
                return Err(Refusal::invalid(
                    "invalid restart policy: maximum retry count cannot be negative",
                ));
            }
        },
        other => {
            return Err(Refusal::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    if *maximum_retry_count != 0 && !matches!(policy, Restart::OnFailure { .. }) {
        return Err(Refusal::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    if host.auto_remove && policy != Restart::No {
        return Err(Refusal::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    Ok(policy)
}

/// The log, which is always bounded here.
fn logging(config: &LogConfig) -> Result<Logging, Refusal> {
    let usual = Logging::default();
    let keep = match config.kind.as_str() {
        "" | "json-file" | "local" => true,
        "none" => false,
        other => {
            return Err(Refusal::invalid(format!("logger: no log driver named '{other}' is registered")));
        }
    };
    let mut logging = Logging { keep, ..usual };
    for (name, value) in &config.config {
        let wrong = || Refusal::invalid(format!("invalid value for {name}: {value}"));
        match name.as_str() {
            "max-size" if value == "-1" => {}
            "max-size" => logging.max_size = value.parse().map_err(|_| wrong())?,
            "max-file" => {
                logging.max_files = value.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
            }
            // Of the same files, and nothing that anybody reads differently.
            "compress" | "mode" | "max-buffer-size" => {}
            other => {
                return Err(Refusal::invalid(format!(
                    "unknown log opt '{other}' for {} log driver",
                    config.kind
                )));
            }
        }
    }
    Ok(logging)
}

/// A namespace that may be another container's.
fn namespace(text: &str, what: &str) -> Result<Option<Namespace>, Refusal> {
    match text.strip_prefix("container:") {
        Some("") => Err(Refusal::invalid(format!("invalid {what} mode: {text}"))),
        Some(other) => Ok(Some(Namespace::Container(other.to_owned()))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
