//! The resolved model and what can be asked of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use spec::App;

use crate::interpolate::Environment;
use crate::load::{Batch, batch};
use crate::normalize::{files as with_files, normalize};
use crate::problem::{Fault, NotJson, Source};
use crate::render::{self, Style};
use crate::session::{Session, Stop};
use crate::start::{Start, start};
use crate::template::{Variable, variables};
use crate::tree::{Map, Node, Span, Value};
use crate::yaml::{Out, to_json, to_yaml, unspeakable};
use crate::{Files, LoadError, Request, Warning, checks, convert};

/// A request's outcome.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub project: Project,
    /// What a person should know, in the order in which it was met.
    pub warnings: Vec<Warning>,
}

/// The compose files of a request as one model, everything resolved.
#[derive(Debug, Clone)]
pub struct Project {
    pub(crate) name: String,
    pub(crate) folder: String,
    pub(crate) files: Vec<String>,
    /// Enabled services and what they use.
    pub(crate) root: Map,
    pub(crate) disabled: Map,
    pub(crate) environment: Environment,
    pub(crate) sources: Vec<Source>,
    /// The bytes of secrets and configs that come from files, by path.
    pub(crate) contents: BTreeMap<String, Vec<u8>>,
    raw: bool,
}

/// A default that we chose where the file is silent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Chosen {
    /// For which service.
    pub service: String,
    /// The key that would say otherwise, as in `deploy.update_config.order`.
    pub key: String,
    /// What we chose.
    pub value: String,
    /// Why.
    pub why: String,
}

/// A project as the document that the daemon takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The document.
    pub app: App,
    /// Keys that have no effect here, or another one than elsewhere.
    pub warnings: Vec<Warning>,
    /// Defaults that we chose.
    pub chosen: Vec<Chosen>,
}

impl Project {
    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The project's folder, from which relative paths count.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The files that were named or found, in order, without those that they include or extend.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The variables that interpolation used: the process's and those of env files.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The canonical form, as `config` prints it.
    pub fn to_yaml(&self) -> String {
        if self.raw {
            return to_yaml(&render::plain(&self.root, Style::Yaml));
        }
        to_yaml(&render::project(&self.root, Style::Yaml)).replace('$', "$$")
    }

    /// The canonical form, as `config --format json` prints it; no newline at the end.
    pub fn to_json(&self) -> Result<String, NotJson> {
        let out = match self.raw {
            true => render::plain(&self.root, Style::Json),
            false => render::project(&self.root, Style::Json),
        };
        match unspeakable(&out) {
            Some(value) => Err(NotJson { value }),
            None if self.raw => Ok(to_json(&out)),
            None => Ok(to_json(&out).replace('$', "$$")),
        }
    }

    /// The names of the services that are enabled, each after those that it depends on (`config --services`).
    pub fn services(&self) -> Vec<String> {
        let mut order = Vec::new();
        for name in self.keys("services") {
            self.after_dependencies(name, &mut Vec::new(), &mut order);
        }
        order
    }

    fn after_dependencies(&self, name: String, above: &mut Vec<String>, order: &mut Vec<String>) {
        let service = self.root.get("services").and_then(|services| services.get(&name));
        let Some(service) = service.filter(|_| !order.contains(&name) && !above.contains(&name)) else {
            return;
        };
        above.push(name);
        let depends = service.get("depends_on").and_then(Node::map).into_iter().flat_map(Map::iter);
        let mut depends: Vec<String> = depends.map(|(name, _)| name.to_owned()).collect();
        depends.sort();
        for other in depends {
            self.after_dependencies(other, above, order);
        }
        order.extend(above.pop());
    }

    /// The names of the models in use, sorted (`config --models`).
    pub fn models(&self) -> Vec<String> {
        let named = |(_, node): (&str, &Node)| node.get("model").map(Node::print).unwrap_or_default();
        let mut models: Vec<String> = self.section("models").map(named).collect();
        models.sort();
        models
    }

    /// Every variable that the files name, sorted; of one that is named more than once, the first with a default
    /// (`config --variables`). Only a project whose variables were left as they are knows them.
    pub fn variables(&self) -> Vec<Variable> {
        let mut all: BTreeMap<String, Variable> = BTreeMap::new();
        let mut tell = |found: Variable| match all.entry(found.name.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(found);
            }
            Entry::Occupied(mut slot) => {
                let known = slot.get_mut();
                known.required |= found.required;
                for (own, other) in [
                    (&mut known.default_value, found.default_value),
                    (&mut known.presence_value, found.presence_value),
                ] {
                    if own.is_empty() {
                        *own = other;
                    }
                }
            }
        };
        self.root.iter().for_each(|(_, node)| texts(node, &mut |text| variables(text, &mut tell)));
        all.into_values().collect()
    }

    /// The keys of the volumes in use, sorted (`config --volumes`).
    pub fn volumes(&self) -> Vec<String> {
        self.keys("volumes")
    }

    /// The keys of the networks in use, sorted (`config --networks`).
    pub fn networks(&self) -> Vec<String> {
        self.keys("networks")
    }

    /// Every profile that a service names, also a disabled one, sorted (`config --profiles`).
    pub fn profiles(&self) -> Vec<String> {
        let enabled = self.section("services").map(|(_, node)| node);
        let disabled = self.disabled.iter().map(|(_, node)| node);
        let all: BTreeSet<String> = enabled
            .chain(disabled)
            .flat_map(|node| node.get("profiles").and_then(Node::list).unwrap_or_default())
            .map(Node::print)
            .collect();
        all.into_iter().collect()
    }

    /// The images of the enabled services, in the order of their names (`config --images`).
    pub fn images(&self) -> Vec<String> {
        let mut services: Vec<_> = self.section("services").collect();
        services.sort_by_key(|(name, _)| *name);
        services.into_iter().map(|(name, node)| self.image(name, node)).collect()
    }

    /// A service's image, also when it is built here and has no name of its own.
    pub(crate) fn image(&self, name: &str, node: &Node) -> String {
        match node.get("image").and_then(Node::str) {
            Some(image) if !image.is_empty() => image.to_owned(),
            _ => format!("{}-{name}", self.name),
        }
    }

    /// A digest of a service's configuration (`config --hash`); none when there is no such service.
    pub fn hash(&self, service: &str) -> Option<String> {
        let mut map = self.root.get("services")?.get(service)?.map()?.clone();
        // What does not make a container another one.
        for key in ["build", "pull_policy", "scale", "depends_on", "profiles"] {
            map.remove(key);
        }
        if let Some(deploy) = map.get_mut("deploy").and_then(Node::map_mut) {
            deploy.remove("replicas");
        }
        Some(crate::hash::of(&compact(&render::service(&map, Style::Json))))
    }

    /// The document for the daemon.
    pub fn app(&self) -> Result<Converted, LoadError> {
        convert::app(self)
    }

    pub(crate) fn section(&self, key: &str) -> impl Iterator<Item = (&str, &Node)> {
        self.root.get(key).and_then(Node::map).into_iter().flat_map(Map::iter)
    }

    fn keys(&self, key: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.section(key).map(|(key, _)| key.to_owned()).collect();
        keys.sort();
        keys
    }
}

/// Every text below a node.
fn texts(node: &Node, tell: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::Text(text) => tell(text),
        Value::List(list) => list.iter().for_each(|node| texts(node, tell)),
        Value::Map(map) => map.iter().for_each(|(_, node)| texts(node, tell)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => {}
    }
}

/// JSON without the spaces between its parts; texts keep theirs.
fn compact(out: &Out) -> String {
    let mut text = String::new();
    for line in to_json(out).lines() {
        let line = line.trim_start();
        match line.strip_prefix('"').and_then(key_end) {
            // Only after a key is there a space to drop.
            Some(end) => {
                text.push_str(&line[..end + 2]);
                text.push_str(&line[end + 3..]);
            }
            None => text.push_str(line),
        }
    }
    text
}

/// Where the `": ` after a key begins, counted with the key's first quote.
fn key_end(line: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return line[at..].starts_with("\": ").then_some(at + 1),
            _ => {}
        }
    }
    None
}

/// Loads a request; see [`crate::load()`].
pub(crate) fn load(request: &Request, files: &dyn Files) -> Result<Loaded, LoadError> {
    let home = request.environment.get("HOME").cloned();
    let working_dir = base::path::clean(&request.working_dir);
    let mut session =
        Session { working_dir, files, sources: Vec::new(), warnings: Vec::new(), home, skip: request.skip };
    match resolve(request, &mut session) {
        Ok(mut project) => {
            project.sources = std::mem::take(&mut session.sources);
            Ok(Loaded { project, warnings: session.warnings })
        }
        Err(stop) => Err(session.error(stop)),
    }
}

fn resolve(request: &Request, session: &mut Session<'_>) -> Result<Project, Stop> {
    let Start { files, folder, environment, profiles, name } = start(request, session)?;
    // Whoever asks for the variables as they are written wants none of them filled in.
    let nothing = Environment::new();
    let given = if request.no_interpolate { &nothing } else { &environment };
    let mut root = batch(
        &Batch {
            files: &files,
            base: &folder,
            folder: &folder,
            environment: given,
            raw: request.no_interpolate,
            above: Vec::new(),
        },
        session,
    )?;
    if root.is_empty() {
        return Err(Fault::nowhere("", "the compose file is empty").help("begin with `services:`").into());
    }
    if !request.skip.normalize {
        root.set("name", Node::text(name.clone(), Span::default()));
        normalize(&mut root, &name, given);
    } else if !request.no_interpolate {
        // A name of the file's own stays as it is written; any other is the project's.
        let given =
            request.project_name.is_some() || request.environment.contains_key("COMPOSE_PROJECT_NAME");
        if given || !root.has("name") {
            root.set("name", Node::text(name.clone(), Span::default()));
        }
        fill_resources(&mut root);
    }
    let (disabled, contents) = if request.no_interpolate {
        // Only with its variables does a file say what is on, what is used and what excludes each other.
        (Map::default(), BTreeMap::new())
    } else {
        let disabled = settle(&mut root, request, &profiles, &environment, session)?;
        (disabled, contents(&root, session))
    };
    let raw = request.no_interpolate;
    Ok(Project { name, folder, files, root, disabled, environment, sources: Vec::new(), contents, raw })
}

/// Keeps what is on and used, and checks that it fits together. Answers with the services that are off.
fn settle(
    root: &mut Map,
    request: &Request,
    profiles: &[String],
    environment: &Environment,
    session: &mut Session<'_>,
) -> Result<Map, Stop> {
    let mut disabled = split_by_profile(root, profiles);
    let names: BTreeSet<String> = disabled.0.keys().cloned().collect();
    let faults = if request.skip.consistency { Vec::new() } else { checks::whole(root, &names) };
    if !faults.is_empty() {
        return Err(faults.into());
    }
    complete(root, request, environment, session)?;
    if !request.services.is_empty() {
        select(root, &mut disabled, &request.services, environment, session)?;
    }
    let faults = if request.skip.consistency { Vec::new() } else { checks::container_names(root) };
    if !faults.is_empty() {
        return Err(faults.into());
    }
    drop_unused(root);
    Ok(disabled)
}

/// Brings in what the enabled services read from files.
fn complete(
    root: &mut Map,
    request: &Request,
    environment: &Environment,
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let Some(services) = root.get_mut("services").and_then(Node::map_mut) else { return Ok(()) };
    for (service, node) in services.iter_mut() {
        if let Some(map) = node.map_mut() {
            if !request.skip.consistency {
                scale_rules_replicas(map);
            }
            with_files(service, map, environment, session)?;
        }
    }
    Ok(())
}

/// Resources of which nothing is said are there all the same.
fn fill_resources(root: &mut Map) {
    for section in ["networks", "volumes", "configs", "secrets"] {
        let Some(map) = root.get_mut(section).and_then(Node::map_mut) else { continue };
        for (_, node) in map.iter_mut().filter(|(_, node)| node.is_null()) {
            node.value = Value::Map(Map::default());
        }
    }
}

/// Takes out the services none of whose profiles is enabled.
fn split_by_profile(root: &mut Map, enabled: &[String]) -> Map {
    let mut off = Map::default();
    let Some(services) = root.get_mut("services").and_then(Node::map_mut) else { return off };
    let names: Vec<String> = services.0.keys().cloned().collect();
    for name in names {
        let Some(entry) = services.0.get(&name) else { continue };
        let profiles = entry.node.get("profiles").and_then(Node::list).unwrap_or_default();
        let on = enabled.iter().any(|one| one == "*" || profiles.iter().any(|p| p.str() == Some(one)));
        if !profiles.is_empty()
            && !on
            && let Some(entry) = services.0.shift_remove(&name)
        {
            off.0.insert(name, entry);
        }
    }
    off
}

fn scale_rules_replicas(map: &mut Map) {
    let scale = map.get("scale").filter(|node| !node.is_null()).cloned();
    if let (Some(scale), Some(deploy)) = (scale, map.get_mut("deploy").and_then(Node::map_mut)) {
        deploy.set("replicas", scale);
    }
}

/// Keeps the named services and what they depend on; a service that is named is enabled.
fn select(
    root: &mut Map,
    disabled: &mut Map,
    wanted: &[String],
    environment: &Environment,
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let Some(services) = root.get_mut("services").and_then(Node::map_mut) else { return Ok(()) };
    for name in wanted {
        if let Some(mut entry) = disabled.0.shift_remove(name) {
            if let Some(map) = entry.node.map_mut() {
                scale_rules_replicas(map);
                with_files(name, map, environment, session)?;
            }
            services.0.insert(name.clone(), entry);
        }
    }
    let mut keep: BTreeSet<String> = BTreeSet::new();
    let mut queue: Vec<String> = wanted.to_vec();
    while let Some(name) = queue.pop() {
        let Some(node) = services.get(&name) else {
            if wanted.contains(&name) {
                let near = crate::problem::nearest(&name, services.0.keys().map(String::as_str));
                let fault = Fault::nowhere("", format!("there is no service `{name}`"));
                return Err(match near {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None => fault,
                }
                .into());
            }
            continue;
        };
        if keep.insert(name) {
            let depends = node.get("depends_on").and_then(Node::map);
            queue.extend(depends.into_iter().flat_map(Map::iter).map(|(name, _)| name.to_owned()));
        }
    }
    let names: Vec<String> = services.0.keys().filter(|name| !keep.contains(*name)).cloned().collect();
    for name in names {
        if let Some(entry) = services.0.shift_remove(&name) {
            disabled.0.insert(name, entry);
        }
    }
    Ok(())
}

/// Drops resources that no enabled service uses.
fn drop_unused(root: &mut Map) {
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (_, service) in root.get("services").and_then(Node::map).into_iter().flat_map(Map::iter) {
        let mut take =
            |section: &'static str, names: Vec<String>| used.entry(section).or_default().extend(names);
        let keys = |key: &str| -> Vec<String> {
            service
                .get(key)
                .and_then(Node::map)
                .into_iter()
                .flat_map(Map::iter)
                .map(|(k, _)| k.to_owned())
                .collect()
        };
        let sources = |node: Option<&Node>, only: Option<&str>| -> Vec<String> {
            let list = node.and_then(Node::list).unwrap_or_default().iter();
            let fits = list
                .filter(|item| only.is_none_or(|only| item.get("type").and_then(Node::str) == Some(only)));
            fits.filter_map(|item| item.get("source").map(Node::print)).collect()
        };
        take("networks", keys("networks"));
        take("models", keys("models"));
        take("volumes", sources(service.get("volumes"), Some("volume")));
        take("secrets", sources(service.get("secrets"), None));
        take("secrets", sources(service.get("build").and_then(|build| build.get("secrets")), None));
        take("configs", sources(service.get("configs"), None));
        // What the edge reads for the service.
        let certificate = service.get("x-sea").and_then(|sea| sea.get("certificate"));
        let part = |key: &str| certificate?.get(key).and_then(Node::str).map(str::to_owned);
        take("configs", part("chain").into_iter().collect());
        take("secrets", part("chain").into_iter().chain(part("key")).collect());
        let sea = service.get("x-sea");
        let edge = |key: &str| sea.and_then(|sea| sea.get("edge")).and_then(|edge| edge.get(key));
        let pages = edge("error_pages").and_then(Node::map).into_iter().flat_map(Map::iter);
        take("configs", pages.map(|(_, page)| page.print()).collect());
        let routes = sea.and_then(|sea| sea.get("routes")).and_then(Node::list).unwrap_or_default().iter();
        let routes = routes.chain(sea.and_then(|sea| sea.get("route")));
        let users = routes.filter_map(|route| route.get("basic_auth"));
        take("secrets", users.map(|auth| auth.get("users").unwrap_or(auth).print()).collect());
    }
    let used: BTreeMap<String, BTreeSet<String>> = used.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        let Some(Value::Map(map)) = root.get_mut(section).map(|node| &mut node.value) else { continue };
        map.0.retain(|key, _| used.get(section).is_some_and(|used| used.contains(key)));
        if map.is_empty() {
            root.remove(section);
        }
    }
}

/// Reads what secrets and configs name; what cannot be read is reported when it is needed.
fn contents(root: &Map, session: &Session<'_>) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for section in ["secrets", "configs"] {
        for (_, node) in root.get(section).and_then(Node::map).into_iter().flat_map(Map::iter) {
            if let Some(path) = node.get("file").and_then(Node::str)
                && let Ok(bytes) = session.files.read(path)
            {
                all.insert(path.to_owned(), bytes);
            }
        }
    }
    all
}
