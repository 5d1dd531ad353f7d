//! What is implied becomes explicit: the default network, dependencies, names, environments from files.

use std::collections::BTreeMap;

use base::path::clean;

use crate::environment::read;
use crate::interpolate::Environment;
use crate::problem::Fault;
use crate::session::{Session, Stop};
use crate::tree::{Map, Node, Span, Value};

/// Normalises a whole tree; `name` is the project's.
pub(crate) fn normalize(root: &mut Map, name: &str, environment: &Environment) {
    networks(root);
    if let Some(services) = root.get_mut("services").and_then(Node::map_mut) {
        services.iter_mut().filter_map(|(_, node)| node.map_mut()).for_each(|map| service(map, environment));
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        let Some(map) = root.get_mut(section).and_then(Node::map_mut) else { continue };
        for (key, node) in map.iter_mut() {
            let external = crate::checks::is_external(node);
            let at = node.at;
            if node.is_null() {
                node.value = Value::Map(Map::default());
            }
            let full = if external { key.to_owned() } else { format!("{name}_{key}") };
            if let Some(map) = node.map_mut() {
                map.set_default("name", || Node::text(full, at));
            }
        }
    }
}

/// Names in lists of `environment` take their values where the files are loaded: an included file has variables of its
/// own.
pub(crate) fn environments(root: &mut Map, environment: &Environment) {
    let Some(services) = root.get_mut("services").and_then(Node::map_mut) else { return };
    for own in services.iter_mut().filter_map(|(_, node)| node.map_mut()?.get_mut("environment")) {
        if own.list().is_some() {
            given(own, environment, true);
        }
    }
}

fn empty(at: Span) -> Node {
    Node::new(Value::Map(Map::default()), at)
}

fn networks(root: &mut Map) {
    let mut used = false;
    if let Some(services) = root.get_mut("services").and_then(Node::map_mut) {
        for (_, service) in services.iter_mut() {
            let at = service.at;
            let Some(map) = service.map_mut() else { continue };
            if map.has("provider") || map.has("network_mode") {
                continue;
            }
            let own = map.get("networks").and_then(Node::map).filter(|own| !own.is_empty());
            match own {
                Some(own) => used |= own.has("default"),
                None => {
                    let mut default = Map::default();
                    default.set("default", Node::new(Value::Null, at));
                    map.set("networks", Node::new(Value::Map(default), at));
                    used = true;
                }
            }
        }
    }
    if used {
        root.set_default("networks", || empty(Span::default()));
        if let Some(map) = root.get_mut("networks").and_then(Node::map_mut) {
            map.set_default("default", Node::default);
        }
    }
}

fn service(map: &mut Map, environment: &Environment) {
    if map.get("pull_policy").and_then(Node::str) == Some("if_not_present") {
        map.set("pull_policy", Node::text("missing", Span::default()));
    }
    if let Some(build) = map.get_mut("build").and_then(Node::map_mut) {
        build.set_default("context", || Node::text(".", Span::default()));
        if !build.has("dockerfile_inline") {
            build.set_default("dockerfile", || Node::text("Dockerfile", Span::default()));
        }
        if let Some(args) = build.get_mut("args") {
            given(args, environment, false);
        }
    }
    if let Some(own) = map.get_mut("environment") {
        given(own, environment, true);
    }
    let implied = implied(map);
    if !implied.is_empty() {
        map.set_default("depends_on", || empty(Span::default()));
        if let Some(depends) = map.get_mut("depends_on").and_then(Node::map_mut) {
            for (name, restart) in implied {
                depends.set_default(&name, || dependency(restart));
            }
        }
    }
    if let Some(Value::List(volumes)) = map.get_mut("volumes").map(|node| &mut node.value) {
        for target in volumes.iter_mut().filter_map(|v| v.map_mut()?.get_mut("target")) {
            if let Value::Text(text) = &mut target.value {
                *text = clean(text);
            }
        }
    }
}

/// Services that are needed although no `depends_on` says so, and whether to restart with them.
fn implied(map: &Map) -> Vec<(String, bool)> {
    let texts =
        |key: &str| map.get(key).and_then(Node::list).unwrap_or_default().iter().filter_map(Node::str);
    let mut all = Vec::new();
    for link in texts("links") {
        let parts: Vec<&str> = link.split(':').collect();
        all.push((if parts.len() == 2 { parts[0] } else { link }.to_owned(), true));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(other) = map.get(key).and_then(Node::str).and_then(|text| text.strip_prefix("service:")) {
            all.push((other.to_owned(), true));
        }
    }
    for from in texts("volumes_from").filter(|from| !from.starts_with("container:")) {
        all.push((from.split(':').next().unwrap_or_default().to_owned(), false));
    }
    all
}

fn dependency(restart: bool) -> Node {
    let mut map = Map::default();
    map.set("condition", Node::text("service_started", Span::default()));
    map.set("restart", Node::bool(restart, Span::default()));
    map.set("required", Node::bool(true, Span::default()));
    Node::new(Value::Map(map), Span::default())
}

/// Names without a value take that of the environment; those that have none there go, unless they are kept.
fn given(node: &mut Node, environment: &Environment, keep: bool) {
    match &mut node.value {
        Value::List(list) => list.retain_mut(|item| {
            let Value::Text(text) = &mut item.value else { return true };
            if text.contains('=') {
                return true;
            }
            match environment.get(text.as_str()) {
                Some(value) => {
                    *text = format!("{text}={value}");
                    true
                }
                None => keep,
            }
        }),
        Value::Map(map) => {
            let mut gone = Vec::new();
            for (key, value) in map.iter_mut().filter(|(_, value)| value.is_null()) {
                match environment.get(key) {
                    Some(text) => *value = Node::text(text, value.at),
                    None => gone.push(key.to_owned()),
                }
            }
            if !keep {
                gone.iter().for_each(|key| {
                    map.remove(key);
                });
            }
        }
        _ => {}
    }
}

/// Environments and labels of a service as mappings, with what their files say.
pub(crate) fn files(
    name: &str,
    map: &mut Map,
    environment: &Environment,
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let key = format!("services.{name}");
    pairs(map, "environment", &key)?;
    pairs(map, "labels", &key)?;
    let mut own: Environment = BTreeMap::new();
    if let Some(node) = map.get_mut("environment").and_then(Node::map_mut) {
        for (name, value) in node.iter_mut() {
            if let (true, Some(given)) = (value.is_null(), environment.get(name)) {
                *value = Node::text(given, value.at);
            }
            if !value.is_null() {
                own.insert(name.to_owned(), value.print());
            }
        }
    }
    if session.skip.env_files {
        return Ok(());
    }
    if let Some(files) = map.remove("env_file") {
        let mut all = own.clone();
        for file in files.list().unwrap_or_default() {
            env_file(
                file,
                &key,
                &mut all,
                &|name| environment.get(name).or_else(|| own.get(name)).cloned(),
                session,
            )?;
        }
        lay_under(map, "environment", all);
    }
    if let Some(files) = map.remove("label_file") {
        let mut all: Environment = BTreeMap::new();
        for file in files.list().unwrap_or_default() {
            let before = all.clone();
            let path = session.local(&file.print());
            if !session.files.exists(&path) {
                return Err(Fault::at(
                    file.at,
                    format!("{key}.label_file"),
                    format!("there is no file `{path}`"),
                )
                .into());
            }
            read(&path, &mut all, session, &|name| before.get(name).cloned())?;
        }
        lay_under(map, "labels", all);
    }
    Ok(())
}

fn env_file(
    file: &Node,
    key: &str,
    all: &mut Environment,
    outer: &dyn Fn(&str) -> Option<String>,
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let key = format!("{key}.env_file");
    let path = session.local(&file.get("path").map(Node::print).unwrap_or_default());
    if !session.files.exists(&path) {
        if file.get("required").and_then(Node::truth) == Some(false) {
            return Ok(());
        }
        return Err(Fault::at(file.at, key, format!("there is no env file `{path}`"))
            .help("make it, or write `required: false` beside its `path`")
            .into());
    }
    match file.get("format").map(Node::print).as_deref() {
        None | Some("" | ".env") => read(&path, all, session, outer),
        Some("raw") => raw_file(&path, &key, all, session, outer),
        Some(other) => Err(Fault::at(file.at, key, format!("`{other}` is not a format of env files"))
            .help("allowed is raw")
            .into()),
    }
}

/// Lines as they are: no quotes, no variables.
fn raw_file(
    path: &str,
    key: &str,
    all: &mut Environment,
    session: &mut Session<'_>,
    outer: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Stop> {
    let file = session.read(path)?;
    let text = session.sources[file as usize].text.clone();
    for (index, whole) in text.split('\n').enumerate() {
        let line = whole.strip_suffix('\r').unwrap_or(whole).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        if name.is_empty() || name.contains(char::is_whitespace) {
            let at = Span { file, line: index as u32 + 1, column: 1, ..Span::default() };
            return Err(Fault::at(at, key, format!("`{name}` is not the name of a variable"))
                .help("write `NAME=value`; a name has no spaces")
                .into());
        }
        match line.split_once('=') {
            Some((name, value)) => {
                all.insert(name.to_owned(), value.to_owned());
            }
            None => {
                if let Some(value) = outer(line) {
                    all.insert(line.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

/// A list of `key=value` becomes a mapping.
fn pairs(map: &mut Map, key: &str, service: &str) -> Result<(), Fault> {
    let Some(node) = map.get_mut(key) else { return Ok(()) };
    let Value::List(list) = &node.value else { return Ok(()) };
    let mut out = Map::default();
    for item in list {
        let text = item.print();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Node::text(value, item.at)),
            None if key == "labels" => (text.as_str(), Node::text("", item.at)),
            None => (text.as_str(), Node::new(Value::Null, item.at)),
        };
        if key == "environment" && name.ends_with(char::is_whitespace) {
            return Err(Fault::at(
                item.at,
                format!("{service}.environment"),
                format!("the name `{name}` ends in a space"),
            ));
        }
        out.set(name, value);
    }
    node.value = Value::Map(out);
    Ok(())
}

fn lay_under(map: &mut Map, key: &str, values: Environment) {
    if values.is_empty() {
        return;
    }
    map.set_default(key, || empty(Span::default()));
    if let Some(target) = map.get_mut(key).and_then(Node::map_mut) {
        for (name, value) in values {
            target.set_default(&name, || Node::text(value, Span::default()));
        }
    }
}
