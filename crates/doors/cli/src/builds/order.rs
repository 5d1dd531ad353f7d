//! From the flags of `sea build` to the order, and to the archives that go along.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use base::{Kind, Report};
use build::git::Repository;
use build::ignore::Ignore;
use spec::{App, Build, Ulimit};
use talk::{BuildContext, BuildOrder, SecretBytes};

use super::send::Archive;
use crate::args::BuildArgs;
use crate::report;
use crate::runs::words;
use crate::table::pairs;

/// The longest secret, in bytes.
const MAX_SECRET: u64 = 512 << 10;

/// An order, and what is sent with it.
pub(super) struct Parcel {
    pub order: BuildOrder,
    pub archives: Vec<Archive>,
}

fn invalid(text: impl Into<String>) -> Report {
    Report::new(Kind::Invalid, text)
}

fn unreadable(what: &str, path: &Path, error: std::io::Error) -> Report {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Unavailable };
    Report::new(kind, format!("could not read {what} `{}`", path.display())).because(error)
}

/// The parcel for one context. `file` is what `-f` says.
pub(super) fn parcel(args: &BuildArgs, context: &str, file: Option<&str>) -> Result<Parcel, Report> {
    let mut archives = Vec::new();
    let (dockerfile, context) = place(args, context, file, &mut archives)?;
    let mut contexts = Vec::new();
    for text in &args.build_context {
        contexts.push(named(text, &mut archives)?);
    }
    let mut ulimits = BTreeMap::new();
    for text in &args.ulimit {
        let (name, limit) = crate::runs::ulimit(text)?;
        ulimits.insert(name, (limit.soft, limit.hard));
    }
    let size = |text: &Option<String>| text.as_deref().map(str::parse).transpose().map_err(report);
    let (inline, path) = match dockerfile {
        Dockerfile::Text(text) => (Some(text), None),
        Dockerfile::InContext(path) => (None, Some(path)),
    };
    let order = BuildOrder {
        build: Build {
            context: String::new(),
            dockerfile: path,
            dockerfile_inline: inline,
            args: with_epoch(arguments(&args.build_arg)).into_iter().collect(),
            target: args.target.clone(),
            labels: pairs(&args.label, "--label")?.into_iter().collect(),
            tags: Vec::new(),
            no_cache: args.no_cache,
            ..Build::default()
        },
        names: args.tag.clone(),
        context,
        contexts,
        platform: args.platform.clone(),
        pull: args.pull,
        no_cache_stages: args.no_cache_filter.clone(),
        cache_from: args.cache_from.clone(),
        secrets: args.secret.iter().map(|text| secret(text)).collect::<Result<_, _>>()?,
        agents: args.ssh.iter().map(|text| agent(text)).collect::<Result<_, _>>()?,
        epoch: None,
        network: args.network.clone(),
        memory: size(&args.memory)?,
        cpu_shares: args.cpu_shares,
        shm_size: size(&args.shm_size)?,
        ulimits,
        hosts: args.add_host.iter().map(|text| words::host(text)).collect::<Result<_, _>>()?,
        jobs: args.jobs,
    };
    Ok(Parcel { order, archives })
}

/// The parcel for the image of a service.
pub(super) fn of_service(app: &App, build: &Build, names: Vec<String>) -> Result<Parcel, Report> {
    let mut sent = build.clone();
    let mut archives = Vec::new();
    let context = if is_url(&build.context) {
        BuildContext::Url(std::mem::take(&mut sent.context))
    } else {
        let dir = PathBuf::from(std::mem::take(&mut sent.context));
        let path = dir.join(build.dockerfile.as_deref().unwrap_or("Dockerfile"));
        // The text goes along, so that it may lie outside the context or be ignored in it.
        if sent.dockerfile_inline.is_none() {
            sent.dockerfile_inline = Some(read_dockerfile(&path)?);
        }
        let ignore = ignore(&dir, Some(&path))?;
        archives.push(Archive::Folder { dir, ignore });
        BuildContext::Archive
    };
    let mut contexts = Vec::new();
    for (name, what) in &build.contexts {
        let of_service = what.strip_prefix("service:").and_then(|wanted| {
            app.services.iter().find(|(name, _)| name.as_str() == wanted).map(|(_, service)| service)
        });
        contexts.push(match of_service {
            Some(service) => (name.clone(), BuildContext::Image(service.image.clone())),
            None => named(&format!("{name}={what}"), &mut archives)?,
        });
    }
    let limit = |(name, limit): (&String, &Ulimit)| (name.clone(), (limit.soft, limit.hard));
    let agents = build.ssh.iter().map(|(id, path)| match path.as_ref().filter(|path| !path.is_empty()) {
        Some(path) => agent(&format!("{id}={path}")),
        None => agent(id),
    });
    let order = BuildOrder {
        names,
        context,
        contexts,
        pull: build.pull,
        cache_from: build.cache_from.clone(),
        secrets: build.secrets.iter().map(|(id, blob)| (id.clone(), SecretBytes(blob.0.clone()))).collect(),
        agents: agents.collect::<Result<_, _>>()?,
        epoch: epoch()?,
        network: build.network.clone(),
        shm_size: build.shm_size,
        ulimits: build.ulimits.iter().map(limit).collect(),
        hosts: build.hosts.clone(),
        build: sent,
        ..BuildOrder::default()
    };
    Ok(Parcel { order, archives })
}

/// `NAME=VALUE`, or `NAME` for the value of our environment, if it has one.
pub(super) fn arguments(texts: &[String]) -> Vec<(String, String)> {
    let one = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), std::env::var(text).ok()?)),
    };
    texts.iter().filter_map(one).collect()
}

/// The arguments, and `SOURCE_DATE_EPOCH` of our environment for a Dockerfile that declares it, as docker has it.
fn with_epoch(mut given: Vec<(String, String)>) -> Vec<(String, String)> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    if let Ok(value) = std::env::var(NAME)
        && !value.is_empty()
        && given.iter().all(|(name, _)| name != NAME)
    {
        given.push((NAME.to_owned(), value));
    }
    given
}

/// `SOURCE_DATE_EPOCH` of our environment.
pub(super) fn epoch() -> Result<Option<i64>, Report> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        invalid(format!("`{text}` cannot be SOURCE_DATE_EPOCH")).hint("write a number of seconds since 1970")
    })
}

enum Dockerfile {
    Text(String),
    InContext(String),
}

/// Where the Dockerfile is, and the context; what must be sent for them goes to `archives`.
fn place(
    args: &BuildArgs,
    context: &str,
    file: Option<&str>,
    archives: &mut Vec<Archive>,
) -> Result<(Dockerfile, BuildContext), Report> {
    let inside = || Dockerfile::InContext(file.or(args.dockerfile.as_deref()).unwrap_or_default().to_owned());
    if context == "-" {
        if file == Some("-") {
            return Err(invalid("standard input cannot be both the Dockerfile and the context"));
        }
        let mut head = Vec::new();
        std::io::stdin().lock().take(512).read_to_end(&mut head).map_err(|error| {
            Report::new(Kind::Unavailable, "could not read standard input").because(error)
        })?;
        if build::context::is_archive(&head) {
            archives.push(Archive::Stdin(head));
            return Ok((inside(), BuildContext::Archive));
        }
        // No archive: the Dockerfile alone, as for docker.
        return Ok((Dockerfile::Text(stdin(head)?), BuildContext::Nothing));
    }
    if is_url(context) {
        let dockerfile = if file == Some("-") { Dockerfile::Text(stdin(Vec::new())?) } else { inside() };
        return Ok((dockerfile, BuildContext::Url(context.to_owned())));
    }
    let dir = PathBuf::from(context);
    if !dir.is_dir() {
        let error = Report::new(Kind::NotFound, format!("the context `{context}` is no folder"));
        return Err(error.hint("name the folder that COPY takes files from, a URL, or `-`"));
    }
    let (text, ignored) = match file {
        Some("-") => (stdin(Vec::new())?, None),
        Some(path) => {
            // As docker does: from here, else from the context.
            let here = PathBuf::from(path);
            let path = if here.exists() || here.is_absolute() { here } else { dir.join(path) };
            (read_dockerfile(&path)?, Some(path))
        }
        None => {
            let path = dir.join(args.dockerfile.as_deref().unwrap_or("Dockerfile"));
            (read_dockerfile(&path)?, Some(path))
        }
    };
    let ignore = ignore(&dir, ignored.as_deref())?;
    archives.push(Archive::Folder { dir, ignore });
    Ok((Dockerfile::Text(text), BuildContext::Archive))
}

fn stdin(head: Vec<u8>) -> Result<String, Report> {
    let mut bytes = head;
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Report::new(Kind::Unavailable, "could not read standard input").because(error))?;
    String::from_utf8(bytes).map_err(|error| invalid("the Dockerfile is no text").because(error))
}

pub(super) fn read_dockerfile(path: &Path) -> Result<String, Report> {
    std::fs::read_to_string(path).map_err(|error| {
        unreadable("the Dockerfile", path, error)
            .hint("name another with `-f`, or `dockerfile:` in the compose file")
    })
}

/// The Dockerfile's own `.dockerignore`, else that of the context.
pub(super) fn ignore(context: &Path, dockerfile: Option<&Path>) -> Result<Ignore, Report> {
    let own = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([context.join(".dockerignore")]) {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ignore::parse(&text).map_err(report),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable("the ignore file", &path, error)),
        }
    }
    Ok(Ignore::none())
}

pub(super) fn is_url(text: &str) -> bool {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    // A folder of such a name is the folder, as for docker.
    is_web || (Repository::parse_context(text).is_some() && !Path::new(text).is_dir())
}

/// `NAME=FOLDER`, `NAME=URL` (also of a git repository) or `NAME=docker-image://IMAGE`.
pub(super) fn named(text: &str, archives: &mut Vec<Archive>) -> Result<(String, BuildContext), Report> {
    let (name, what) = text
        .split_once('=')
        .filter(|(name, what)| !name.is_empty() && !what.is_empty())
        .ok_or_else(|| {
            invalid(format!("`{text}` is no named context"))
                .hint("write NAME=FOLDER or NAME=docker-image://IMAGE")
        })?;
    let context = if let Some(image) = what.strip_prefix("docker-image://") {
        BuildContext::Image(image.to_owned())
    } else if let Some(layout) = what.strip_prefix("oci-layout://") {
        return Err(Report::new(Kind::Unsupported, format!("the OCI layout `{layout}` cannot be a context"))
            .hint("load it with `sea image load`, and name the image with docker-image://"));
    } else if is_url(what) {
        BuildContext::Url(what.to_owned())
    } else {
        let dir = PathBuf::from(what);
        if !dir.is_dir() {
            return Err(Report::new(Kind::NotFound, format!("the context `{what}` is no folder")));
        }
        // Its own ignore file counts, as for the context.
        let ignore = ignore(&dir, None)?;
        archives.push(Archive::Folder { dir, ignore });
        BuildContext::Archive
    };
    Ok((name.to_owned(), context))
}

/// The fields of `a=b,c=d`.
pub(super) fn fields(text: &str) -> Vec<(&str, &str)> {
    text.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect()
}

/// `id=ID,src=FILE` or `id=ID,env=NAME`; without either, the variable or else the file of that name.
fn secret(text: &str) -> Result<(String, SecretBytes), Report> {
    let bad =
        |text: &str| invalid(format!("`{text}` is no secret")).hint("write id=ID,src=FILE or id=ID,env=NAME");
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for (name, value) in fields(text) {
        let place = match name {
            "id" => &mut id,
            "src" | "source" => &mut file,
            "env" => &mut variable,
            "type" => &mut kind,
            _ => return Err(bad(text)),
        };
        *place = Some(value);
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| bad(text))?;
    match (kind, file) {
        (Some("env"), Some(name)) => (variable, file) = (Some(name), None),
        (None | Some("file" | "env"), _) => {}
        (Some(_), _) => return Err(bad(text)),
    }
    let of_variable = |name: &str| std::env::var_os(name).map(|value| value.into_encoded_bytes());
    let bytes = match (variable, file) {
        (Some(name), _) => of_variable(name).ok_or_else(|| {
            Report::new(
                Kind::NotFound,
                format!("the secret `{id}` is to come from `{name}`, which is not set"),
            )
        })?,
        (None, Some(path)) => read_secret(id, Path::new(path))?,
        (None, None) => match of_variable(id) {
            Some(bytes) => bytes,
            None => read_secret(id, Path::new(id))?,
        },
    };
    Ok((id.to_owned(), SecretBytes(bytes)))
}

fn read_secret(id: &str, path: &Path) -> Result<Vec<u8>, Report> {
    let cannot = |error| unreadable(&format!("the secret `{id}` from"), path, error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MAX_SECRET + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(Report::new(Kind::Exhausted, format!("the secret `{id}` is longer than 512 KiB")));
    }
    Ok(bytes)
}

/// `ID` for the agent of our environment, or `ID=SOCKET`.
fn agent(text: &str) -> Result<(String, PathBuf), Report> {
    let (id, path) = match text.split_once('=') {
        Some((id, path)) => (id, PathBuf::from(path)),
        None => {
            let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).ok_or_else(|| {
                Report::new(Kind::NotFound, format!("there is no ssh agent for `{text}`: SSH_AUTH_SOCK is not set"))
                    .hint("start one with `eval $(ssh-agent)` and `ssh-add`, or name its socket: --ssh default=SOCKET")
            })?;
            (text, PathBuf::from(socket))
        }
    };
    let meta =
        std::fs::metadata(&path).map_err(|error| unreadable("the ssh agent's socket", &path, error))?;
    if !meta.file_type().is_socket() {
        return Err(Report::new(
            Kind::Unsupported,
            format!("`{}` is no socket of an ssh agent", path.display()),
        )
        .hint("a key does not go into a build: add it to an agent with `ssh-add`, and name the agent"));
    }
    let path = std::path::absolute(&path).unwrap_or(path);
    Ok((id.to_owned(), path))
}

#[cfg(test)]
mod tests;
