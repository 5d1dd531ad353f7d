//! Relative paths become absolute, as far as the base is: they count from the project's folder, `~` from the home.

use base::path::clean;

use crate::go::join;
use crate::problem::Fault;
use crate::session::Session;
use crate::tree::{Map, Node, Value};

/// Resolves every path of a tree against a folder.
pub(crate) fn resolve(root: &mut Map, base: &str, session: &Session<'_>) -> Result<(), Fault> {
    let to = Resolver { base, home: session.home.as_deref() };
    if let Some(services) = root.get_mut("services").and_then(Node::map_mut) {
        for (name, service) in services.iter_mut() {
            if let Some(map) = service.map_mut() {
                to.service(map, name, session)?;
            }
        }
    }
    for section in ["configs", "secrets"] {
        let Some(map) = root.get_mut(section).and_then(Node::map_mut) else { continue };
        for (_, node) in map.iter_mut() {
            if let Some(file) = node.map_mut().and_then(|map| map.get_mut("file")) {
                to.change(file, |path| to.foreign(path));
            }
        }
    }
    if let Some(volumes) = root.get_mut("volumes").and_then(Node::map_mut) {
        volumes.iter_mut().filter_map(|(_, node)| node.map_mut()).for_each(|map| to.volume(map));
    }
    Ok(())
}

struct Resolver<'a> {
    base: &'a str,
    home: Option<&'a str>,
}

impl Resolver<'_> {
    fn change(&self, node: &mut Node, to: impl Fn(&str) -> String) {
        if let Value::Text(text) = &mut node.value {
            *text = to(text);
        }
    }

    fn each(&self, map: &mut Map, key: &str, to: impl Fn(&mut Node)) {
        if let Some(Value::List(list)) = map.get_mut(key).map(|node| &mut node.value) {
            list.iter_mut().for_each(to);
        }
    }

    fn user(&self, path: &str) -> String {
        match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => join(home, rest.trim_start_matches('/')),
            _ => path.to_owned(),
        }
    }

    fn path(&self, path: &str) -> String {
        let path = self.user(path);
        if path.is_empty() || path.starts_with('/') { path } else { join(self.base, &path) }
    }

    /// A path that may be one of another system.
    fn foreign(&self, path: &str) -> String {
        let path = self.user(path);
        if path.starts_with('/') || windows(&path) { path } else { join(self.base, &path) }
    }

    fn context(&self, path: &str) -> String {
        const REMOTE: &[&str] = &["https://", "http://", "git://", "ssh://", "github.com/", "git@"];
        let remote = path.contains("://") || path.starts_with("service:");
        if remote || REMOTE.iter().any(|prefix| path.starts_with(prefix)) {
            path.to_owned()
        } else {
            self.path(path)
        }
    }

    fn service(&self, map: &mut Map, name: &str, session: &Session<'_>) -> Result<(), Fault> {
        if let Some(build) = map.get_mut("build").and_then(Node::map_mut) {
            if let Some(context) = build.get_mut("context") {
                self.change(context, |path| self.context(path));
            }
            if let Some(contexts) = build.get_mut("additional_contexts").and_then(Node::map_mut) {
                contexts.iter_mut().for_each(|(_, node)| self.change(node, |path| self.context(path)));
            }
            self.each(build, "additional_contexts", |node| self.change(node, |path| self.context(path)));
            if let Some(ssh) = build.get_mut("ssh").and_then(Node::map_mut) {
                ssh.iter_mut().for_each(|(_, node)| self.change(node, |path| self.foreign(path)));
            }
        }
        self.each(map, "env_file", |node| {
            if let Some(path) = node.map_mut().and_then(|map| map.get_mut("path")) {
                self.change(path, |path| self.path(path));
            }
        });
        self.each(map, "label_file", |node| self.change(node, |path| self.path(path)));
        if let Some(file) = map.get_mut("extends").and_then(Node::map_mut).and_then(|map| map.get_mut("file"))
        {
            self.change(file, |path| self.path(path));
        }
        if let Some(develop) = map.get_mut("develop").and_then(Node::map_mut) {
            self.each(develop, "watch", |rule| {
                if let Some(path) = rule.map_mut().and_then(|map| map.get_mut("path")) {
                    self.change(path, |path| {
                        let path = self.path(path);
                        session.files.resolve_link(&path).unwrap_or(path)
                    });
                }
            });
        }
        let Some(Value::List(list)) = map.get_mut("volumes").map(|node| &mut node.value) else {
            return Ok(());
        };
        list.iter_mut().try_for_each(|volume| self.mount(volume, name))
    }

    fn mount(&self, node: &mut Node, name: &str) -> Result<(), Fault> {
        let at = node.at;
        let Some(map) = node.map_mut() else { return Ok(()) };
        if map.get("type").and_then(Node::str) != Some("bind") {
            return Ok(());
        }
        let Some(source) = map.get_mut("source") else {
            return Err(Fault::at(at, format!("services.{name}.volumes"), "a bind mount needs a `source`")
                .help("say with `source` which folder or file of the host it is"));
        };
        self.change(source, |path| self.foreign(path));
        Ok(())
    }

    /// The local driver's way to say a bind mount.
    fn volume(&self, map: &mut Map) {
        if map.get("driver").and_then(Node::str) != Some("local") {
            return;
        }
        if let Some(options) = map.get_mut("driver_opts").and_then(Node::map_mut)
            && options.get("o").and_then(Node::str) == Some("bind")
            && let Some(device) = options.get_mut("device")
        {
            self.change(device, |path| self.foreign(path));
        }
    }
}

/// An absolute path of Windows.
fn windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    let slash = |at: usize| matches!(bytes.get(at), Some(b'/' | b'\\'));
    let drive = bytes.get(1) == Some(&b':') && bytes.first().is_some_and(u8::is_ascii_alphabetic);
    (drive && slash(2)) || (slash(0) && slash(1))
}

/// The path with no more than it needs, absolute against a folder.
pub(crate) fn absolute(base: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { join(base, path) }
}
