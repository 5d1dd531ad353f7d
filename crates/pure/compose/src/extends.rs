//! `extends`: a service begins as another one, of the same file or of another.

use crate::go::{parent, relative};
use crate::interpolate::Environment;
use crate::problem::{Fault, nearest};
use crate::session::{Session, Stop};
use crate::tree::{Map, Node, Span};
use crate::{load, merge, paths};

/// Where paths of a file count from, and what its texts may name.
#[derive(Clone, Copy)]
pub(crate) struct Home<'a> {
    /// The folder that names of other files count from; absolute.
    pub(crate) folder: &'a str,
    /// The file itself.
    pub(crate) file: &'a str,
    /// The variables.
    pub(crate) environment: &'a Environment,
    /// Leave variables as they are.
    pub(crate) raw: bool,
}

/// Applies every `extends` of a file; `resets` are what the file takes back.
pub(crate) fn apply(
    root: &mut Map,
    resets: &[Vec<String>],
    home: Home<'_>,
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let Some(node) = root.get_mut("services") else { return Ok(()) };
    let at = node.at;
    let Some(services) = node.map_mut() else {
        return Err(Fault::at(at, "services", "this takes a mapping from names to services").into());
    };
    let names: Vec<String> = services.0.keys().cloned().collect();
    for name in names {
        let mut extender = Extender { home, session, track: Vec::new() };
        extender.service(&name, services, resets)?;
    }
    Ok(())
}

struct Extender<'a, 'b> {
    home: Home<'a>,
    session: &'a mut Session<'b>,
    track: Vec<(String, String)>,
}

/// What an `extends` says.
struct Wish {
    service: String,
    file: Option<String>,
    at: Span,
}

fn wish(service: &Map, name: &str) -> Result<Option<Wish>, Fault> {
    let Some(extends) = service.get("extends") else { return Ok(None) };
    let at = extends.at;
    if let Some(service) = extends.str() {
        return Ok(Some(Wish { service: service.to_owned(), file: None, at }));
    }
    let Some(service) = extends.get("service").and_then(Node::str) else {
        return Err(Fault::at(at, format!("services.{name}.extends"), "this needs the key `service`")
            .help("say with `service` which one to extend"));
    };
    let file = extends.get("file").and_then(Node::str).map(str::to_owned);
    Ok(Some(Wish { service: service.to_owned(), file, at }))
}

impl Extender<'_, '_> {
    /// Makes a service whole, and what it extends before it.
    fn service(&mut self, name: &str, services: &mut Map, resets: &[Vec<String>]) -> Result<(), Stop> {
        let Some(node) = services.get(name) else { return Ok(()) };
        if node.is_null() {
            return Ok(());
        }
        let Some(service) = node.map() else {
            return Err(Fault::at(node.at, format!("services.{name}"), "a service is a mapping").into());
        };
        let Some(wish) = wish(service, name)? else { return Ok(()) };
        let key = format!("services.{name}.extends");
        let mut others;
        let mut other_resets = Vec::new();
        let file = wish.file.clone().unwrap_or_else(|| self.home.file.to_owned());
        let base = match &wish.file {
            Some(file) => {
                (others, other_resets) = self.file(file, &wish, &key)?;
                &mut others
            }
            None => &mut *services,
        };
        if !base.has(&wish.service) {
            let near = nearest(&wish.service, base.0.keys().map(String::as_str));
            let fault =
                Fault::at(wish.at, key, format!("there is no service `{}` in `{file}`", wish.service));
            return Err(match near {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault,
            }
            .into());
        }
        self.note(&file, name, &wish, &key)?;
        let inner = if wish.file.is_some() { &other_resets[..] } else { &[] };
        if wish.file.is_some() {
            let home = Home { file: &file, ..self.home };
            let mut extender = Extender { home, session: self.session, track: self.track.clone() };
            extender.service(&wish.service, base, inner)?;
        } else {
            self.service(&wish.service, base, inner)?;
        }
        self.track.pop();
        let Some(mut source) = base.get(&wish.service).cloned() else { return Ok(()) };
        if source.is_null() {
            return Ok(());
        }
        load::reset(&mut source, &["services", name], resets);
        let Some(service) = services.get(name).cloned() else { return Ok(()) };
        let mut merged = merge::services(source, service)?;
        if let Some(map) = merged.map_mut() {
            map.remove("extends");
        }
        if let Some(slot) = services.get_mut(name) {
            *slot = merged;
        }
        Ok(())
    }

    fn note(&mut self, file: &str, name: &str, wish: &Wish, key: &str) -> Result<(), Fault> {
        let step = (file.to_owned(), name.to_owned());
        if self.track.contains(&step) {
            let way: Vec<&str> = self.track.iter().map(|(_, name)| name.as_str()).chain([name]).collect();
            return Err(Fault::at(
                wish.at,
                key,
                format!("services extend each other in a circle: {}", way.join(" -> ")),
            )
            .help("let one of them stand alone"));
        }
        self.track.push(step);
        Ok(())
    }

    /// The services of another file, their paths resolved, and what the file takes back.
    fn file(&mut self, path: &str, wish: &Wish, key: &str) -> Result<(Map, Vec<Vec<String>>), Stop> {
        let local = paths::absolute(self.home.folder, path);
        let local_dir = parent(&local);
        if !self.session.files.exists(&local) {
            return Err(Fault::at(wish.at, key, format!("there is no file `{local}`")).into());
        }
        let home = Home { folder: &local_dir, file: &local, ..self.home };
        let (mut root, resets) = load::bare_file(&local, home, self.session)?;
        let folder = relative(self.home.folder, &local_dir).unwrap_or_else(|| local_dir.clone());
        paths::resolve(&mut root, &folder, self.session)?;
        match root.remove("services").map(|node| node.value) {
            Some(crate::tree::Value::Map(services)) => Ok((services, resets)),
            _ => Err(Fault::at(wish.at, key, format!("`{local}` has no services")).into()),
        }
    }
}
