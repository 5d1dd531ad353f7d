//! From the resolved model to the document that the daemon takes.
//!
//! Every key that is there is looked up in the support table first: it is honoured, or it is warned of, or the file is
//! refused. Nothing is dropped silently. Where the file says nothing, a safe default is chosen and noted.

mod health;
mod mounts;
mod network;
mod parts;
mod policy;
mod sea;
mod service;

use std::collections::BTreeMap;

use base::{AppName, NetworkName, ServiceName, VolumeName};
use indexmap::IndexMap;
use spec::{App, Blob, FileSource, Ipam, Issuer, Network, ServiceCertificate, Volume};

use crate::problem::{Fault, place};
use crate::session::invalid;
use crate::tree::{Map, Node, Value};
use crate::{Chosen, Converted, LoadError, Project, Warning, support, yaml};

/// What a conversion gathers.
pub(crate) struct Desk<'a> {
    pub(crate) project: &'a Project,
    pub(crate) faults: Vec<Fault>,
    warnings: Vec<Warning>,
    chosen: Vec<Chosen>,
}

impl Desk<'_> {
    fn warn(&mut self, code: &'static str, node: &Node, key: impl Into<String>, message: impl Into<String>) {
        let place = place(&self.project.sources, Some(node.at));
        let warning = Warning { code, place, key: key.into(), message: message.into() };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A warning from the support table.
    pub(crate) fn warned(&mut self, code: &'static str, node: &Node, key: &str, message: String) {
        self.warn(code, node, key, message);
    }

    fn fault(
        &mut self,
        node: &Node,
        key: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults.push(Fault::at(node.at, key, message).help(help));
    }

    fn choose(&mut self, service: &str, key: &str, value: impl Into<String>, why: impl Into<String>) {
        let (key, value, why) = (key.to_owned(), value.into(), why.into());
        self.chosen.push(Chosen { service: service.to_owned(), key, value, why });
    }

    /// A checked name, or a fault.
    fn name<T>(&mut self, made: Result<T, base::InvalidName>, node: &Node, key: &str) -> Option<T> {
        match made {
            Ok(name) => Some(name),
            Err(error) => {
                self.faults.push(Fault::at(node.at, key, error.to_string()));
                None
            }
        }
    }
}

/// Checks what stands at the top level beyond the specification.
pub(crate) fn check_top(desk: &mut Desk<'_>) {
    sea::top(desk);
}

/// Converts a project.
pub(crate) fn app(project: &Project) -> Result<Converted, LoadError> {
    let mut desk = Desk { project, faults: Vec::new(), warnings: Vec::new(), chosen: Vec::new() };
    support::consult(&mut desk);
    for (key, node) in project.root.iter() {
        only_texts(&mut desk, key, node);
    }
    let name = match AppName::new(project.name()) {
        Ok(name) => name,
        Err(error) => return Err(invalid(&project.sources, vec![Fault::nowhere("name", error.to_string())])),
    };
    let mut app = App {
        name,
        services: IndexMap::new(),
        networks: networks(&mut desk),
        volumes: volumes(&mut desk),
        secrets: sources(&mut desk, "secrets"),
        configs: sources(&mut desk, "configs"),
    };
    let whole = service::Whole::of(project);
    for (name, node) in project.section("services") {
        let Some(map) = node.map() else { continue };
        let Some(key) = desk.name(ServiceName::new(name), node, &format!("services.{name}")) else {
            continue;
        };
        let service = service::convert(&mut desk, name, map, node, &whole);
        app.services.insert(key, service);
    }
    network::bridge(project, &mut app, &mut desk);
    forget_build_secrets(&mut app, project);
    if desk.faults.is_empty() {
        Ok(Converted { app, warnings: desk.warnings, chosen: desk.chosen })
    } else {
        Err(invalid(&project.sources, desk.faults))
    }
}

/// Nothing that runs here is told bytes that are no text.
fn only_texts(desk: &mut Desk<'_>, key: &str, node: &Node) {
    let bad = |text: &str| yaml::carries(text);
    match &node.value {
        Value::Text(text) if bad(text) => {
            desk.fault(node, key, "these bytes are no text", "write a text in UTF-8");
        }
        Value::Map(map) => {
            for (name, node) in map.iter() {
                let key = format!("{key}.{name}");
                if bad(name) {
                    desk.fault(node, yaml::readable(&key), "this key is no text", "write a text in UTF-8");
                }
                only_texts(desk, &key, node);
            }
        }
        Value::List(list) => {
            for (index, node) in list.iter().enumerate() {
                only_texts(desk, &format!("{key}[{index}]"), node);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) | Value::Text(_) => {}
    }
}

/// What only builds ask for is no part of the app.
fn forget_build_secrets(app: &mut App, project: &Project) {
    let listed = |node: &Node, keys: &[&str]| {
        let list = keys.iter().try_fold(node, |node, key| node.get(key)).and_then(Node::list);
        let sources = list.unwrap_or_default().iter().filter_map(|item| item.get("source")?.str());
        sources.map(str::to_owned).collect::<Vec<_>>()
    };
    let services = || project.section("services").map(|(_, node)| node);
    let of_builds: Vec<String> = services().flat_map(|node| listed(node, &["build", "secrets"])).collect();
    let of_services: Vec<String> = services().flat_map(|node| listed(node, &["secrets"])).collect();
    let edges = |key: &String| {
        let mut certificates = app.services.values().filter_map(|service| match &service.certificate {
            Some(ServiceCertificate::Files(files)) => Some(files),
            Some(ServiceCertificate::By(Issuer::Acme)) | None => None,
        });
        let routes = app.services.values().flat_map(|service| &service.routes);
        let mut users = routes.filter_map(|route| route.rules.basic_auth.as_ref());
        certificates.any(|certificate| certificate.chain == *key || certificate.key == *key)
            || users.any(|auth| auth.users == *key)
    };
    let unneeded: Vec<String> =
        of_builds.into_iter().filter(|key| !of_services.contains(key) && !edges(key)).collect();
    app.secrets.retain(|key, _| !unneeded.contains(key));
}

fn texts(map: &Map, key: &str) -> IndexMap<String, String> {
    map.get(key).map(parts::pairs).unwrap_or_default()
}

fn networks(desk: &mut Desk<'_>) -> IndexMap<String, Network> {
    let project = desk.project;
    let mut all = IndexMap::new();
    for (key, node) in project.section("networks") {
        let Some(map) = node.map() else { continue };
        let path = format!("networks.{key}");
        let text = map.get("name").map(Node::print).unwrap_or_default();
        let Some(name) = desk.name(NetworkName::new(text), node, &path) else { continue };
        let truth = |key: &str| map.get(key).and_then(Node::truth).unwrap_or(false);
        if let Some(driver) =
            map.get("driver").filter(|driver| !matches!(driver.str(), Some("bridge" | "default")))
        {
            desk.warn("C0208", driver, format!("{path}.driver"), "every network is a bridge here");
        }
        if let Some(node) = map.get("enable_ipv4").filter(|node| node.truth() == Some(false)) {
            desk.warn("C0106", node, format!("{path}.enable_ipv4"), "networks have IPv4 addresses always");
        }
        let pools =
            map.get("ipam").and_then(|ipam| ipam.get("config")).and_then(Node::list).unwrap_or_default();
        let text = |map: &Map, key: &str| map.get(key).map(Node::print);
        let ipam = pools.iter().filter_map(Node::map).map(|pool| Ipam {
            subnet: text(pool, "subnet"),
            ip_range: text(pool, "ip_range"),
            gateway: text(pool, "gateway"),
            aux_addresses: texts(pool, "aux_addresses"),
        });
        let network = Network {
            name,
            external: truth("external"),
            internal: truth("internal"),
            driver: text(map, "driver"),
            driver_opts: texts(map, "driver_opts"),
            enable_ipv6: truth("enable_ipv6"),
            attachable: truth("attachable"),
            ipam: ipam.collect(),
            labels: texts(map, "labels"),
        };
        all.insert(key.to_owned(), network);
    }
    all
}

fn volumes(desk: &mut Desk<'_>) -> IndexMap<String, Volume> {
    let project = desk.project;
    let mut all = IndexMap::new();
    for (key, node) in project.section("volumes") {
        let Some(map) = node.map() else { continue };
        let path = format!("volumes.{key}");
        let text = map.get("name").map(Node::print).unwrap_or_default();
        let Some(name) = desk.name(VolumeName::new(text), node, &path) else { continue };
        if let Some(driver) = map.get("driver").filter(|driver| !matches!(driver.str(), Some("" | "local"))) {
            desk.fault(
                driver,
                format!("{path}.driver"),
                format!("there is no volume driver `{}` here", driver.print()),
                "the only driver is `local`",
            );
        }
        let volume = Volume {
            name,
            external: crate::checks::is_external(node),
            driver: map.get("driver").map(Node::print),
            driver_opts: texts(map, "driver_opts"),
            labels: texts(map, "labels"),
        };
        all.insert(key.to_owned(), volume);
    }
    all
}

/// Secrets or configs with their bytes.
fn sources(desk: &mut Desk<'_>, section: &str) -> IndexMap<String, FileSource> {
    let project = desk.project;
    let mut all = IndexMap::new();
    for (key, node) in project.section(section) {
        let Some(map) = node.map() else { continue };
        let content = content(desk, map, &format!("{section}.{key}"));
        let name = map.get("name").map(Node::print).unwrap_or_default();
        all.insert(
            key.to_owned(),
            FileSource { name, content: content.map(Blob), labels: texts(map, "labels") },
        );
    }
    all
}

fn content(desk: &mut Desk<'_>, map: &Map, key: &str) -> Option<Vec<u8>> {
    let project = desk.project;
    if map.get("external").and_then(Node::truth) == Some(true) {
        return None;
    }
    if let Some(content) = map.get("content") {
        return Some(content.print().into_bytes());
    }
    if let Some(variable) = map.get("environment") {
        let name = variable.print();
        let value = project.environment().get(&name);
        if value.is_none() {
            let help = format!("set `{name}` in the environment or in the `.env` file");
            desk.fault(
                variable,
                format!("{key}.environment"),
                format!("the variable `{name}` is not set"),
                help,
            );
        }
        return value.map(|value| value.clone().into_bytes());
    }
    let file = map.get("file")?;
    let bytes = project.contents.get(&file.print());
    if bytes.is_none() {
        let message = format!("the file `{}` cannot be read", file.print());
        desk.fault(file, format!("{key}.file"), message, "make it, and let whoever runs this read it");
    }
    bytes.cloned()
}

/// How often each volume is mounted to be written to, by service.
pub(crate) fn writers(project: &Project) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, service) in project.section("services") {
        for mount in service.get("volumes").and_then(Node::list).unwrap_or_default() {
            let named = mount.get("type").and_then(Node::str) == Some("volume");
            let read_only = mount.get("read_only").and_then(Node::truth).unwrap_or(false);
            if let (true, false, Some(source)) = (named, read_only, mount.get("source")) {
                let users = all.entry(source.print()).or_default();
                if users.last().map(String::as_str) != Some(name) {
                    users.push(name.to_owned());
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
