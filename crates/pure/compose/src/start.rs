//! Where a load begins: which files, which variables, which name.

use crate::dotenv::required;
use crate::environment;
use crate::go::{join, parent};
use crate::interpolate::{self, Environment};
use crate::paths::absolute;
use crate::problem::{Fault, LoadError};
use crate::session::{Session, Stop};
use crate::tree::{Node, Span};
use crate::{Files, Request, yaml};

/// The names of a compose file, in the order in which they are preferred.
pub const FILE_NAMES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The names of the file beside it that is laid over it.
pub const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What was found for a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file, and the one laid over it when there is one.
    pub files: Vec<String>,
    /// Files that would also do, and are not used.
    pub ignored: Vec<String>,
}

/// Looks for a compose file in a folder and then in those above it.
pub fn search(folder: &str, files: &dyn Files) -> Option<Found> {
    let mut folder = base::path::clean(folder);
    loop {
        let there = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| join(&folder, name)).filter(|path| files.exists(path)).collect()
        };
        let mut main = there(&FILE_NAMES);
        if !main.is_empty() {
            let mut over = there(&OVERRIDE_NAMES);
            let mut ignored = main.split_off(1);
            if !over.is_empty() {
                ignored.extend(over.split_off(1));
                main.extend(over);
            }
            return Some(Found { files: main, ignored });
        }
        let up = parent(&folder);
        if up == folder || folder == "." {
            return None;
        }
        folder = up;
    }
}

/// All that the files are loaded with.
pub(crate) struct Start {
    pub(crate) files: Vec<String>,
    /// The project's folder; absolute.
    pub(crate) folder: String,
    pub(crate) environment: Environment,
    pub(crate) profiles: Vec<String>,
    pub(crate) name: String,
}

/// Finds it out.
pub(crate) fn start(request: &Request, session: &mut Session<'_>) -> Result<Start, Stop> {
    let cwd = base::path::clean(&request.working_dir);
    let mut environment = request.environment.clone();
    // A shell sets it; a service manager may not.
    environment.entry("PWD".into()).or_insert_with(|| cwd.clone());
    let mut files: Vec<String> = request.files.iter().map(|file| local(&cwd, file)).collect();
    env_files(request, &folder(request, &cwd, &files), &mut environment, session)?;
    if files.is_empty() {
        files = named_by_environment(&cwd, &environment, session)?;
    }
    if files.is_empty() {
        let from = folder(request, &cwd, &files);
        let Some(found) = search(&from, session.files) else {
            return Err(Stop::Error(LoadError::NoFile { from }));
        };
        if !found.ignored.is_empty() {
            let message = format!(
                "`{}` is used, and `{}` is not",
                found.files.join("`, `"),
                found.ignored.join("`, `")
            );
            session.warn("C0005", None, "", message);
        }
        files = found.files;
    }
    // The project's folder may be another one now, with an `.env` of its own.
    let folder = folder(request, &cwd, &files);
    env_files(request, &folder, &mut environment, session)?;
    let profiles = if request.profiles.is_empty() {
        let list = environment.get("COMPOSE_PROFILES").cloned().unwrap_or_default();
        list.split(',').map(|profile| profile.trim().to_owned()).collect()
    } else {
        request.profiles.clone()
    };
    let name = name(request, &folder, &files, &environment, session)?;
    environment.insert("COMPOSE_PROJECT_NAME".into(), name.clone());
    Ok(Start { files, folder, environment, profiles, name })
}

fn local(cwd: &str, file: &str) -> String {
    if file == "-" { file.to_owned() } else { absolute(cwd, file) }
}

fn folder(request: &Request, cwd: &str, files: &[String]) -> String {
    match (&request.project_dir, files.iter().find(|file| *file != "-")) {
        (Some(folder), _) if !folder.is_empty() => absolute(cwd, folder),
        (_, Some(file)) => parent(file),
        (_, None) => cwd.to_owned(),
    }
}

fn env_files(
    request: &Request,
    folder: &str,
    environment: &mut Environment,
    session: &mut Session<'_>,
) -> Result<(), Stop> {
    let cwd = base::path::clean(&request.working_dir);
    let mut paths: Vec<String> = request.env_files.clone();
    if paths.is_empty()
        && let Some(list) = request.environment.get("COMPOSE_ENV_FILES").filter(|list| !list.is_empty())
    {
        paths = list.split(',').map(str::to_owned).collect();
    }
    let mut paths: Vec<String> = paths.iter().map(|path| absolute(&cwd, path)).collect();
    if paths.is_empty() {
        let off = request.environment.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str);
        if matches!(off, Some("1" | "t" | "T" | "true" | "True" | "TRUE")) {
            return Ok(());
        }
        let default = join(folder, ".env");
        if session.files.exists(&default) && !session.files.is_dir(&default) {
            paths.push(default);
        }
    }
    let more = environment::read_files(&paths, environment, session)?;
    environment::add(environment, more);
    Ok(())
}

fn named_by_environment(
    cwd: &str,
    environment: &Environment,
    session: &Session<'_>,
) -> Result<Vec<String>, Stop> {
    let Some(list) = environment.get("COMPOSE_FILE") else { return Ok(Vec::new()) };
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty());
    let files: Vec<String> =
        list.split(separator.map_or(":", String::as_str)).map(|file| local(cwd, file)).collect();
    match files.iter().find(|file| *file != "-" && !session.files.exists(file)) {
        Some(missing) => {
            Err(Fault::nowhere("", format!("`COMPOSE_FILE` names `{missing}`, and there is no such file"))
                .into())
        }
        None => Ok(files),
    }
}

/// The letters of a text that may be in a project's name.
fn normal(text: &str) -> String {
    let kept: String = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

fn name(
    request: &Request,
    folder: &str,
    files: &[String],
    environment: &Environment,
    session: &mut Session<'_>,
) -> Result<String, Stop> {
    let given = request.project_name.as_ref().filter(|name| !name.is_empty());
    if let Some(name) =
        given.or_else(|| environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()))
    {
        if normal(name) == *name {
            return Ok(name.clone());
        }
        return Err(Fault::nowhere("", format!("`{name}` is not a project's name"))
            .help(format!(
                "letters in lower case, digits, `-` and `_`, beginning with a letter or digit, as in `{}`",
                normal(name)
            ))
            .into());
    }
    let mut named = None;
    for file in files {
        named = name_in(file, session)?.or(named);
    }
    let name = match named {
        Some((text, _)) if request.no_interpolate => normal(&text),
        Some((text, at)) => normal(&interpolate::one(&text, environment, "name").map_err(|mut fault| {
            fault.at = Some(at);
            fault
        })?),
        None => normal(folder.rsplit('/').next().unwrap_or_default()),
    };
    if name.is_empty() {
        return Err(Fault::nowhere("name", required("COMPOSE_PROJECT_NAME", "the project has no name"))
            .help("write `name:` at the top of the compose file, or use `-p`")
            .into());
    }
    Ok(name)
}

/// The `name` of a file, if it has one. A file that is no YAML is reported when it is loaded.
fn name_in(path: &str, session: &mut Session<'_>) -> Result<Option<(String, Span)>, Stop> {
    let file = session.read(path)?;
    let text = &session.sources[file as usize].text;
    // Most files have none: no need to parse them twice.
    if !text.lines().any(|line| !line.starts_with([' ', '#']) && line.contains("name")) {
        return Ok(None);
    }
    let Ok(documents) = yaml::parse(text, file) else { return Ok(None) };
    let mut names = documents.iter().filter_map(|document| document.root.get("name"));
    Ok(names.rfind(|node| !matches!(node.str(), Some("") | None)).map(|node: &Node| (node.print(), node.at)))
}
