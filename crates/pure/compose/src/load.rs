//! From files to one tree: each file is parsed, filled in, extended, included and laid over those before it.

use crate::environment;
use crate::extends::{self, Home};
use crate::go::{join, parent, relative};
use crate::interpolate::{Environment, interpolate};
use crate::problem::Fault;
use crate::session::{Session, Stop};
use crate::tree::{Map, Node, Value};
use crate::{canonical, checks, merge, normalize, paths, unique, validate, yaml};

/// What one set of files is loaded with.
pub(crate) struct Batch<'a> {
    /// Absolute.
    pub(crate) files: &'a [String],
    /// Paths in the files count from here; relative to the folder above when included.
    pub(crate) base: &'a str,
    /// Where names of other files count from; absolute.
    pub(crate) folder: &'a str,
    /// The variables.
    pub(crate) environment: &'a Environment,
    /// Leave variables as they are.
    pub(crate) raw: bool,
    /// The files that include these, from the outermost in.
    pub(crate) above: Vec<String>,
}

/// Loads a set of files into one canonical tree with absolute paths.
pub(crate) fn batch(batch: &Batch<'_>, session: &mut Session<'_>) -> Result<Map, Stop> {
    let mut root = Map::default();
    for file in batch.files {
        one_file(file, batch, &mut root, session)?;
    }
    canonical::defaults(&mut root);
    let faults = checks::shapes(&root);
    if !faults.is_empty() {
        return Err(faults.into());
    }
    // Other files' paths always become such that count from the files that were named.
    if !session.skip.paths || !batch.above.is_empty() {
        paths::resolve(&mut root, batch.base, session)?;
    }
    normalize::environments(&mut root, batch.environment);
    Ok(root)
}

fn one_file(path: &str, batch: &Batch<'_>, root: &mut Map, session: &mut Session<'_>) -> Result<(), Stop> {
    let file = session.read(path)?;
    let text = session.sources[file as usize].text.clone();
    for document in yaml::parse(&text, file)? {
        let mut tree = mapping(document.root)?;
        if !batch.raw {
            interpolate(&mut tree, batch.environment, session)?;
        }
        let home = Home { folder: batch.folder, file: path, environment: batch.environment, raw: batch.raw };
        // What is included first, so that a service can extend it.
        include(&mut tree, path, batch, &document.resets, session)?;
        reset_map(root, &mut Vec::new(), &document.resets);
        extends::apply(&mut tree, &document.resets, home, session)?;
        merge::files(root, tree)?;
        unique::enforce(root)?;
        let faults = validate::validate(root, batch.raw);
        if !faults.is_empty() {
            return Err(faults.into());
        }
        if root.has("version") {
            let at = root.key_at("version");
            session.warn("C0002", Some(at), "version", "`version` means nothing any more; remove it");
            root.remove("version");
        }
        canonical::canonical(root, batch.raw, session)?;
        unique::enforce(root)?;
    }
    Ok(())
}

fn mapping(node: Node) -> Result<Map, Fault> {
    match node.value {
        Value::Map(map) => Ok(map),
        _ => Err(Fault::at(node.at, "", format!("a compose file is a mapping, and this is {}", node.kind()))
            .help("begin with `services:`")),
    }
}

/// A file for `extends`: filled in and canonical, but not checked; its own `extends` and `include` stay.
pub(crate) fn bare_file(
    path: &str,
    home: Home<'_>,
    session: &mut Session<'_>,
) -> Result<(Map, Vec<Vec<String>>), Stop> {
    let file = session.read(path)?;
    let text = session.sources[file as usize].text.clone();
    let mut root = Map::default();
    let mut resets = Vec::new();
    for document in yaml::parse(&text, file)? {
        let mut tree = mapping(document.root)?;
        if !home.raw {
            interpolate(&mut tree, home.environment, session)?;
        }
        reset_map(&mut root, &mut Vec::new(), &document.resets);
        merge::files(&mut root, tree)?;
        unique::enforce(&mut root)?;
        canonical::canonical(&mut root, home.raw, session)?;
        unique::enforce(&mut root)?;
        resets = document.resets;
    }
    Ok((root, resets))
}

/// Drops what these paths name from a value that stands at `prefix`.
pub(crate) fn reset(node: &mut Node, prefix: &[&str], resets: &[Vec<String>]) {
    if let Some(map) = node.map_mut()
        && !resets.is_empty()
    {
        reset_map(map, &mut prefix.iter().map(|part| (*part).to_owned()).collect(), resets);
    }
}

fn reset_map(map: &mut Map, path: &mut Vec<String>, resets: &[Vec<String>]) {
    if resets.is_empty() {
        return;
    }
    let keys: Vec<String> = map.0.keys().cloned().collect();
    for key in keys {
        path.push(key);
        if resets.contains(path) {
            if let Some(key) = path.last() {
                map.remove(key);
            }
        } else if let Some(child) = path.last().and_then(|key| map.get_mut(key)).and_then(Node::map_mut) {
            reset_map(child, path, resets);
        }
        path.pop();
    }
}

/// One entry of `include`.
struct Include {
    paths: Vec<String>,
    project_directory: String,
    env_files: Vec<String>,
    node: Node,
}

fn wishes(tree: &Map) -> Result<Vec<Include>, Fault> {
    let texts = |node: Option<&Node>| -> Vec<String> {
        match node.map(|node| &node.value) {
            Some(Value::Text(text)) => vec![text.clone()],
            Some(Value::List(list)) => list.iter().map(Node::print).collect(),
            _ => Vec::new(),
        }
    };
    let Some(include) = tree.get("include").filter(|node| !node.is_null()) else { return Ok(Vec::new()) };
    let Some(list) = include.list() else {
        return Err(
            Fault::at(include.at, "include", "this takes a list").help("write `- path` for each file")
        );
    };
    let mut all = Vec::new();
    for node in list {
        let paths = if node.str().is_some() { texts(Some(node)) } else { texts(node.get("path")) };
        let project_directory = node.get("project_directory").map(Node::print).unwrap_or_default();
        all.push(Include {
            paths,
            project_directory,
            env_files: texts(node.get("env_file")),
            node: node.clone(),
        });
    }
    Ok(all)
}

fn include(
    tree: &mut Map,
    path: &str,
    batch: &Batch<'_>,
    resets: &[Vec<String>],
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let mut above = batch.above.clone();
    above.push(path.to_owned());
    for wish in wishes(tree)? {
        if wish.paths.is_empty() {
            // The reference passes over it, but whoever wrote it meant a file.
            session.warn(
                "C0006",
                Some(wish.node.at),
                "include",
                "this includes nothing; name a file, or give `path`",
            );
            continue;
        }
        let imported = included(&wish, &above, batch, session)?;
        import(imported, tree, resets)?;
    }
    tree.remove("include");
    Ok(())
}

fn included(
    wish: &Include,
    above: &[String],
    batch: &Batch<'_>,
    session: &mut Session<'_>,
) -> Result<Map, Stop> {
    let at = wish.node.at;
    let files: Vec<String> = wish.paths.iter().map(|path| paths::absolute(batch.folder, path)).collect();
    let main = &files[0];
    if above.contains(main) {
        let way = [above, std::slice::from_ref(main)].concat().join(" -> ");
        return Err(Fault::at(at, "include", format!("files include each other in a circle: {way}")).into());
    }
    if let Some(missing) = files.iter().find(|file| !session.files.exists(file)) {
        return Err(Fault::at(at, "include", format!("there is no file `{missing}`")).into());
    }
    let near = |folder: &str| relative(batch.folder, folder).unwrap_or_else(|| folder.to_owned());
    let (base, folder) = match wish.project_directory.as_str() {
        "" => (near(&parent(main)), parent(main)),
        path if path.starts_with('/') => (path.to_owned(), path.to_owned()),
        path => {
            let local = join(batch.folder, path);
            let dir = if session.files.is_dir(&local) { local.clone() } else { parent(&local) };
            (near(&dir), join(batch.folder, path))
        }
    };
    let mut env_files: Vec<String> = Vec::new();
    if wish.env_files.is_empty() {
        let default = join(&folder, ".env");
        if session.files.exists(&default) && !session.files.is_dir(&default) {
            env_files.push(default);
        }
    }
    for file in wish.env_files.iter().filter(|file| *file != "/dev/null") {
        let file = paths::absolute(batch.folder, file);
        if !session.files.exists(&file) {
            return Err(Fault::at(at, "include", format!("there is no env file `{file}`")).into());
        }
        env_files.push(file);
    }
    let more = environment::read_files(&env_files, batch.environment, session)?;
    let mut all = batch.environment.clone();
    environment::add(&mut all, more);
    let inner = Batch {
        files: &files,
        base: &base,
        folder: &folder,
        environment: &all,
        raw: batch.raw,
        above: above.to_vec(),
    };
    self::batch(&inner, session)
}

/// Puts what was included under what the including file says itself.
fn import(mut from: Map, to: &mut Map, resets: &[Vec<String>]) -> Result<(), Fault> {
    for section in ["services", "volumes", "networks", "secrets", "configs", "models"] {
        let Some(source) = from.remove(section) else { continue };
        let Value::Map(source) = source.value else { continue };
        to.set_default(section, || Node::new(Value::Map(Map::default()), crate::tree::Span::default()));
        let Some(target) = to.get_mut(section).and_then(Node::map_mut) else { continue };
        for (name, entry) in source.0 {
            let Some(own) = target.get(&name).cloned() else {
                target.0.insert(name, entry);
                continue;
            };
            if own == entry.node {
                continue;
            }
            let mut base = entry.node;
            reset(&mut base, &[section, &name], resets);
            let merged = merge::resources(section, &name, base, own)?;
            target.set(name, merged);
        }
    }
    Ok(())
}
