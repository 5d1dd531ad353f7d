//! How many run, when they start again, how they are replaced and what they wait for.

use base::ServiceName;
use indexmap::IndexMap;
use spec::{Condition, Dependency, FailureAction, Order, Restart, UpdatePolicy};

use super::Desk;
use super::parts::{duration, number, text, under};
use super::sea::{Sea, Writer};
use super::service::Whole;
use crate::Project;
use crate::tree::{Map, Node};

/// How many run.
pub(super) fn replicas(desk: &mut Desk<'_>, name: &str, map: &Map) -> u32 {
    let deploy = under(map, &["deploy"]);
    if let Some(mode) = deploy.and_then(|deploy| deploy.get("mode")) {
        let key = format!("services.{name}.deploy.mode");
        match mode.str().unwrap_or_default() {
            "" | "replicated" | "replicated-job" => {}
            "global" | "global-job" => {
                desk.warn("C0201", mode, key, "one a machine, and there is one machine: one runs");
                return 1;
            }
            other => {
                let message = format!("`{other}` is not a mode");
                desk.fault(
                    mode,
                    key,
                    message,
                    "allowed are replicated, global, replicated-job and global-job",
                );
            }
        }
    }
    let given = number(map, "scale").or_else(|| deploy.and_then(|deploy| number(deploy, "replicas")));
    given.unwrap_or(1)
}

fn is_job(name: &str, map: &Map, whole: &Whole) -> bool {
    let mode = under(map, &["deploy"]).and_then(|deploy| text(deploy, "mode")).unwrap_or_default();
    mode.ends_with("-job") || whole.jobs.contains(name)
}

/// When it is started again.
pub(super) fn restart(desk: &mut Desk<'_>, name: &str, map: &Map, whole: &Whole) -> Restart {
    if let Some(policy) = under(map, &["deploy", "restart_policy"]) {
        let max_retries = number(policy, "max_attempts").unwrap_or(0);
        let condition = policy.get("condition");
        match condition.and_then(Node::str).unwrap_or("any") {
            "none" => return Restart::No,
            "on-failure" => return Restart::OnFailure { max_retries },
            "any" => return Restart::Always,
            other => {
                if let Some(node) = condition {
                    let key = format!("services.{name}.deploy.restart_policy.condition");
                    desk.fault(
                        node,
                        key,
                        format!("`{other}` is not a condition"),
                        "allowed are none, on-failure and any",
                    );
                }
            }
        }
    }
    let Some(node) = map.get("restart").filter(|node| node.str() != Some("")) else {
        if is_job(name, map, whole) {
            let why = "another service waits for it to end, so it is a job";
            desk.choose(name, "restart", "no", why);
            return Restart::No;
        }
        let why = "a service that runs for long comes back after a failure and after a start of the machine";
        desk.choose(name, "restart", "unless-stopped", why);
        return Restart::UnlessStopped;
    };
    let word = node.print();
    match word.split_once(':').unwrap_or((&word, "")) {
        ("no", "") => Restart::No,
        ("always", "") => Restart::Always,
        ("unless-stopped", "") => Restart::UnlessStopped,
        ("on-failure", "") => Restart::OnFailure { max_retries: 0 },
        ("on-failure", most) if most.parse::<u32>().is_ok() => {
            Restart::OnFailure { max_retries: most.parse().unwrap_or(0) }
        }
        _ => {
            let message = format!("`{word}` is not a restart policy");
            let help = "allowed are \"no\", always, on-failure, on-failure:COUNT and unless-stopped";
            desk.fault(node, format!("services.{name}.restart"), message, help);
            Restart::No
        }
    }
}

/// How a new release replaces the old one, and how the old one comes back.
pub(super) fn updates(
    desk: &mut Desk<'_>,
    name: &str,
    map: &Map,
    sea: &Sea,
    replicas: u32,
    whole: &Whole,
) -> (UpdatePolicy, UpdatePolicy) {
    let update = under(map, &["deploy", "update_config"]);
    let rollback = under(map, &["deploy", "rollback_config"]);
    let (order, why) = order(name, map, sea, replicas, whole);
    if update.is_none_or(|update| !update.has("order")) {
        let value = if order == Order::StartFirst { "start-first" } else { "stop-first" };
        desk.choose(name, "deploy.update_config.order", value, why);
    }
    let base = UpdatePolicy { order, ..UpdatePolicy::default() };
    let update = policy(desk, name, "update_config", update, base);
    let back =
        UpdatePolicy { order: update.order, failure_action: FailureAction::Pause, ..UpdatePolicy::default() };
    let rollback = policy(desk, name, "rollback_config", rollback, back);
    (update, rollback)
}

/// Which goes first where the file does not say: the new one, unless two at once would do harm.
fn order(name: &str, map: &Map, sea: &Sea, replicas: u32, whole: &Whole) -> (Order, String) {
    let stop = |why: &str| (Order::StopFirst, why.to_owned());
    match sea.writer {
        Some(Writer::Single) => return stop("`x-sea.writer` says that one alone may write"),
        Some(Writer::Many) => {
            return (Order::StartFirst, "`x-sea.writer` says that several may write".into());
        }
        None => {}
    }
    if text(map, "container_name").is_some() {
        return stop("a container's fixed name cannot be taken twice");
    }
    let networks = map.get("networks").and_then(Node::map);
    let fixed = |node: &Node| node.get("ipv4_address").is_some() || node.get("ipv6_address").is_some();
    if networks.into_iter().flat_map(Map::iter).any(|(_, node)| fixed(node)) {
        return stop("a fixed address cannot be taken twice");
    }
    if text(map, "network_mode").as_deref() == Some("host") {
        return stop("on the host's network a port cannot be taken twice");
    }
    let single = whole.writers.iter().find(|(_, users)| users.len() == 1 && users[0] == name);
    if let (Some((volume, _)), 1) = (single, replicas) {
        return stop(&format!("it alone writes to the volume `{volume}`, and two writers could damage it"));
    }
    (Order::StartFirst, "the new one is ready before the old one leaves".into())
}

fn policy(
    desk: &mut Desk<'_>,
    name: &str,
    section: &str,
    own: Option<&Map>,
    base: UpdatePolicy,
) -> UpdatePolicy {
    let Some(own) = own else { return base };
    let action = match text(own, "failure_action").as_deref() {
        None => base.failure_action,
        Some("rollback") => FailureAction::Rollback,
        Some("pause") => FailureAction::Pause,
        Some("continue") => FailureAction::Continue,
        Some(other) => {
            if let Some(node) = own.get("failure_action") {
                let key = format!("services.{name}.deploy.{section}.failure_action");
                desk.fault(
                    node,
                    key,
                    format!("`{other}` is not an action"),
                    "allowed are rollback, pause and continue",
                );
            }
            base.failure_action
        }
    };
    UpdatePolicy {
        parallelism: number(own, "parallelism").unwrap_or(base.parallelism),
        delay: duration(own, "delay").unwrap_or(base.delay),
        failure_action: action,
        monitor: duration(own, "monitor").filter(|d| !d.is_zero()).unwrap_or(base.monitor),
        max_failure_ratio: own
            .get("max_failure_ratio")
            .and_then(Node::float)
            .unwrap_or(base.max_failure_ratio),
        order: match text(own, "order").as_deref() {
            Some("start-first") => Order::StartFirst,
            Some("stop-first") => Order::StopFirst,
            _ => base.order,
        },
    }
}

/// What must be true before it starts; services that are off are not waited for.
pub(super) fn depends_on(project: &Project, map: &Map) -> IndexMap<ServiceName, Dependency> {
    let mut all = IndexMap::new();
    for (name, node) in map.get("depends_on").and_then(Node::map).into_iter().flat_map(Map::iter) {
        let there = project.root.get("services").and_then(|services| services.get(name)).is_some();
        let (Ok(key), true) = (ServiceName::new(name), there) else { continue };
        let condition = match node.get("condition").and_then(Node::str) {
            Some("service_healthy") => Condition::Healthy,
            Some("service_completed_successfully") => Condition::CompletedSuccessfully,
            _ => Condition::Started,
        };
        let truth = |key: &str, or: bool| node.get(key).and_then(Node::truth).unwrap_or(or);
        all.insert(
            key,
            Dependency { condition, restart: truth("restart", false), required: truth("required", true) },
        );
    }
    all
}
