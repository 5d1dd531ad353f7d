//! One service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use spec::{Blob, Build, Device, Hook, Limits, Logging, PullPolicy, Security, Service, Ulimit};

use super::parts::{bytes, duration, list, number, pairs, text, truth, under};
use super::{Desk, health, mounts, network, policy, sea, writers};
use crate::Project;
use crate::problem::nearest;
use crate::render::{command_words, host_pairs};
use crate::tree::{Map, Node};

/// What a service must know of the others.
pub(super) struct Whole {
    /// Services that others wait for to end.
    pub(super) jobs: BTreeSet<String>,
    /// Who may write to each volume.
    pub(super) writers: BTreeMap<String, Vec<String>>,
}

impl Whole {
    pub(super) fn of(project: &Project) -> Self {
        let mut jobs = BTreeSet::new();
        for (_, service) in project.section("services") {
            for (name, wish) in service.get("depends_on").and_then(Node::map).into_iter().flat_map(Map::iter)
            {
                if wish.get("condition").and_then(Node::str) == Some("service_completed_successfully") {
                    jobs.insert(name.to_owned());
                }
            }
        }
        Self { jobs, writers: writers(project) }
    }
}

/// How long a service may take to stop when its file does not say.
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn convert(desk: &mut Desk<'_>, name: &str, map: &Map, node: &Node, whole: &Whole) -> Service {
    let project = desk.project;
    let replicas = policy::replicas(desk, name, map);
    let sea = sea::of(desk, name, map, &whole.jobs);
    let ports = network::ports(desk, name, map);
    let restart = policy::restart(desk, name, map, whole);
    let (update, rollback) = policy::updates(desk, name, map, &sea, replicas, whole);
    let (routes, edge, certificate, check) = (sea.routes, sea.edge, sea.certificate, sea.check);
    Service {
        image: project.image(name, node),
        build: map
            .get("build")
            .and_then(Node::map)
            .map(|map| build(desk, &format!("services.{name}.build"), map)),
        pull_policy: pull_policy(desk, name, map),
        entrypoint: map.get("entrypoint").and_then(command_words),
        command: map.get("command").and_then(command_words),
        environment: environment(map),
        unset_environment: unset_environment(map),
        labels: map.get("labels").map(pairs).unwrap_or_default(),
        annotations: map.get("annotations").map(pairs).unwrap_or_default(),
        user: text(map, "user"),
        group_add: list(map, "group_add"),
        working_dir: text(map, "working_dir"),
        hostname: text(map, "hostname"),
        domainname: text(map, "domainname"),
        container_name: text(map, "container_name"),
        tty: truth(map, "tty"),
        tty_size: (0, 0),
        stdin_open: truth(map, "stdin_open"),
        init: truth(map, "init"),
        read_only: truth(map, "read_only"),
        mounts: mounts::all(desk, name, map),
        secrets: mounts::files(desk, name, map, "secrets"),
        configs: mounts::files(desk, name, map, "configs"),
        shm_size: bytes(map, "shm_size"),
        devices: devices(map),
        device_rules: device_rules(desk, name, map),
        security: security(map),
        sysctls: map.get("sysctls").map(pairs).unwrap_or_default(),
        ulimits: ulimits(desk, &format!("services.{name}"), map),
        limits: limits(map),
        network_mode: network::mode(desk, name, map),
        networks: network::attachments(map),
        healthcheck: health::check(desk, name, map, (&routes, &check), &ports),
        check,
        ports,
        routes,
        edge,
        certificate,
        dns: network::servers(desk, name, map),
        dns_search: list(map, "dns_search"),
        dns_opt: list(map, "dns_opt"),
        extra_hosts: map.get("extra_hosts").map(host_pairs).unwrap_or_default(),
        pid: network::namespace(desk, name, map, "pid"),
        ipc: network::namespace(desk, name, map, "ipc"),
        uts_host: text(map, "uts").as_deref() == Some("host"),
        cgroup_host: text(map, "cgroup").as_deref() == Some("host"),
        restart,
        stop_signal: text(map, "stop_signal"),
        stop_grace_period: duration(map, "stop_grace_period").unwrap_or(GRACE),
        logging: logging(desk, name, map),
        depends_on: policy::depends_on(project, map),
        replicas,
        update,
        rollback,
        post_start: hooks(map, "post_start"),
        pre_stop: hooks(map, "pre_stop"),
    }
}

fn hooks(map: &Map, key: &str) -> Vec<Hook> {
    let all = map.get(key).and_then(Node::list).unwrap_or_default();
    let hook = |hook: &Map| Hook {
        command: list(hook, "command"),
        user: text(hook, "user"),
        privileged: truth(hook, "privileged"),
        working_dir: text(hook, "working_dir"),
        environment: hook.get("environment").map(pairs).unwrap_or_default(),
    };
    all.iter().filter_map(Node::map).map(hook).collect()
}

fn environment(map: &Map) -> IndexMap<String, String> {
    let own = map.get("environment").and_then(Node::map);
    let given = own.into_iter().flat_map(Map::iter).filter(|(_, node)| !node.is_null());
    given.map(|(key, node)| (key.to_owned(), node.print())).collect()
}

/// Those that have no value here and so are to have none there.
fn unset_environment(map: &Map) -> Vec<String> {
    let own = map.get("environment").and_then(Node::map);
    let without = own.into_iter().flat_map(Map::iter).filter(|(_, node)| node.is_null());
    without.map(|(key, _)| key.to_owned()).collect()
}

fn build(desk: &mut Desk<'_>, key: &str, map: &Map) -> Build {
    let agents = map.get("ssh").and_then(Node::map).into_iter().flat_map(Map::iter);
    Build {
        context: text(map, "context").unwrap_or_default(),
        dockerfile: text(map, "dockerfile"),
        dockerfile_inline: text(map, "dockerfile_inline"),
        args: map.get("args").map(pairs).unwrap_or_default(),
        target: text(map, "target"),
        labels: map.get("labels").map(pairs).unwrap_or_default(),
        tags: list(map, "tags"),
        no_cache: truth(map, "no_cache"),
        pull: truth(map, "pull"),
        contexts: map.get("additional_contexts").map(pairs).unwrap_or_default(),
        cache_from: list(map, "cache_from"),
        network: text(map, "network"),
        hosts: map.get("extra_hosts").map(host_pairs).unwrap_or_default(),
        shm_size: bytes(map, "shm_size"),
        ulimits: ulimits(desk, key, map),
        ssh: agents.map(|(id, node)| (id.to_owned(), node.str().map(str::to_owned))).collect(),
        secrets: build_secrets(desk, map),
    }
}

/// The secrets of a build by their ids, with their bytes.
fn build_secrets(desk: &mut Desk<'_>, map: &Map) -> IndexMap<String, Blob> {
    let project = desk.project;
    let mut all = IndexMap::new();
    for node in map.get("secrets").and_then(Node::list).unwrap_or_default() {
        let Some(map) = node.map() else { continue };
        let source = text(map, "source").unwrap_or_default();
        let id = text(map, "target").filter(|id| !id.is_empty()).unwrap_or_else(|| source.clone());
        let Some((_, found)) = project.section("secrets").find(|(key, _)| *key == source) else { continue };
        let key = format!("secrets.{source}");
        match found.map().and_then(|map| super::content(desk, map, &key)) {
            Some(content) => drop(all.insert(id, Blob(content))),
            None if desk.faults.is_empty() => {
                let help = "give it a `file` or an `environment`: what is external is not here";
                desk.fault(node, key, format!("a build cannot have the secret `{source}`"), help);
            }
            None => {}
        }
    }
    all
}

fn pull_policy(desk: &mut Desk<'_>, name: &str, map: &Map) -> PullPolicy {
    let Some(node) = map.get("pull_policy") else { return PullPolicy::default() };
    match node.str().unwrap_or_default() {
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "build" => PullPolicy::Build,
        "" | "missing" | "if_not_present" => PullPolicy::Missing,
        "daily" => PullPolicy::Every { seconds: DAY },
        "weekly" => PullPolicy::Every { seconds: 7 * DAY },
        other => other.strip_prefix("every_").and_then(span).map_or_else(
            || {
                let message =
                    format!("`{other}` means `always` here: the image is looked for before every deploy");
                desk.warn("C0202", node, format!("services.{name}.pull_policy"), message);
                PullPolicy::Always
            },
            |seconds| PullPolicy::Every { seconds },
        ),
    }
}

const DAY: u64 = 24 * 3600;

/// A span of time as in `1d12h`, in seconds.
fn span(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(end);
        let seconds = match unit.chars().next()? {
            'w' => 7 * DAY,
            'd' => DAY,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = &unit[1..];
    }
    (!text.is_empty()).then_some(total)
}

/// Leave to use devices by number.
fn device_rules(desk: &mut Desk<'_>, name: &str, map: &Map) -> Vec<base::DeviceRule> {
    let mut all = Vec::new();
    for text in list(map, "device_cgroup_rules") {
        match (text.parse(), map.get("device_cgroup_rules")) {
            (Ok(rule), _) => all.push(rule),
            (Err(_), Some(node)) => {
                desk.fault(
                    node,
                    format!("services.{name}.device_cgroup_rules"),
                    format!("`{text}` is no rule for devices"),
                    "a rule is a kind (a, b or c), numbers, and what is allowed, as in `c 13:* rmw`",
                );
            }
            (Err(_), None) => {}
        }
    }
    all
}

fn devices(map: &Map) -> Vec<Device> {
    let list = map.get("devices").and_then(Node::list).unwrap_or_default();
    let devices = list.iter().filter_map(Node::map).map(|device| {
        let source = text(device, "source").unwrap_or_default();
        Device {
            target: text(device, "target").unwrap_or_else(|| source.clone()),
            permissions: text(device, "permissions").unwrap_or_else(|| "rwm".into()),
            source,
        }
    });
    devices.collect()
}

fn security(map: &Map) -> Security {
    let names = |key: &str| -> Vec<String> {
        let bare = |name: String| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name);
        list(map, key).into_iter().map(|name| bare(name.to_uppercase())).collect()
    };
    Security {
        privileged: truth(map, "privileged"),
        cap_add: names("cap_add"),
        cap_drop: names("cap_drop"),
        options: list(map, "security_opt"),
        masked_paths: None,
        readonly_paths: None,
    }
}

fn ulimits(desk: &mut Desk<'_>, key: &str, map: &Map) -> IndexMap<String, Ulimit> {
    let all = || map.get("ulimits").and_then(Node::map).into_iter().flat_map(Map::iter);
    for (name, node) in all().filter(|(name, _)| !Ulimit::NAMES.contains(name)) {
        let help = match nearest(name, Ulimit::NAMES.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", Ulimit::NAMES.join(", ")),
        };
        desk.fault(node, format!("{key}.ulimits.{name}"), format!("`{name}` is not a limit"), help);
    }
    let limits = all().map(|(name, node)| {
        let limit = match node.map() {
            Some(both) => Ulimit {
                soft: number(both, "soft").unwrap_or_default(),
                hard: number(both, "hard").unwrap_or_default(),
            },
            None => {
                let one = node.int().and_then(|int| i64::try_from(int).ok()).unwrap_or_default();
                Ulimit { soft: one, hard: one }
            }
        };
        (name.to_owned(), limit)
    });
    limits.collect()
}

/// Bounds, from the old keys and from `deploy.resources`; where both speak, they agree.
fn limits(map: &Map) -> Limits {
    let nothing = Map::default();
    let most = under(map, &["deploy", "resources", "limits"]).unwrap_or(&nothing);
    let least = under(map, &["deploy", "resources", "reservations"]).unwrap_or(&nothing);
    let float = |map: &Map, key: &str| map.get(key).and_then(Node::float).filter(|float| *float > 0.0);
    let shares = float(least, "cpus").map(|cpus| (cpus * 1024.0).max(2.0) as u64);
    Limits {
        memory: bytes(map, "mem_limit").or_else(|| bytes(most, "memory")),
        memory_reservation: bytes(map, "mem_reservation").or_else(|| bytes(least, "memory")),
        memory_swap: map.get("memswap_limit").map(crate::render::size).filter(|size| *size != 0),
        swappiness: number(map, "mem_swappiness"),
        cpus: float(map, "cpus").or_else(|| float(most, "cpus")),
        cpu_shares: number(map, "cpu_shares").filter(|shares| *shares > 0).or(shares),
        cpu_period: number(map, "cpu_period").filter(|period| *period > 0),
        cpu_quota: number(map, "cpu_quota").filter(|quota| *quota != 0),
        cpuset: text(map, "cpuset"),
        pids: number(map, "pids_limit").filter(|pids| *pids != 0).or_else(|| number(most, "pids")),
        blkio_weight: under(map, &["blkio_config"]).and_then(|map| number(map, "weight")),
        oom_kill_disable: truth(map, "oom_kill_disable"),
        oom_score_adj: number(map, "oom_score_adj"),
        cgroup_parent: text(map, "cgroup_parent"),
        ..Limits::default()
    }
}

/// The log, always bounded.
fn logging(desk: &mut Desk<'_>, name: &str, map: &Map) -> Logging {
    let mut logging = Logging::default();
    let key = format!("services.{name}.logging");
    let own = map.get("logging").and_then(Node::map);
    let driver = own.and_then(|own| own.get("driver"));
    match driver.and_then(Node::str) {
        None | Some("" | "json-file" | "local") => {}
        Some("none") => logging.keep = false,
        Some(other) => {
            if let Some(driver) = driver {
                let message =
                    format!("logs are kept here, where `logs` shows them, and do not go to `{other}`");
                desk.warn("C0203", driver, format!("{key}.driver"), message);
            }
        }
    }
    let options = own.and_then(|own| own.get("options")).and_then(Node::map);
    let (mut size, mut files) = (false, false);
    for (option, node) in options.into_iter().flat_map(Map::iter) {
        let text = node.print();
        let read = match option {
            "max-size" => {
                crate::go::bytes(&text).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).map(|n| {
                    logging.max_size = base::Bytes(n);
                    size = true;
                })
            }
            "max-file" => text.parse().ok().filter(|n| *n > 0).map(|n| {
                logging.max_files = n;
                files = true;
            }),
            _ => {
                desk.warn("C0204", node, format!("{key}.options.{option}"), "this option has no effect here");
                Some(())
            }
        };
        if read.is_none() {
            desk.fault(
                node,
                format!("{key}.options.{option}"),
                format!("`{text}` cannot be a bound"),
                "write as in `max-size: 10m` and `max-file: 3`",
            );
        }
    }
    if logging.keep && !(size && files) {
        let value = format!("{} files of {}", logging.max_files, logging.max_size);
        desk.choose(name, "logging", value, "a log without a bound fills the disk");
    }
    logging
}
