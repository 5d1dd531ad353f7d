//! The words of `sea run`'s flags that are more than a name or a number, as docker reads them.

use std::path::PathBuf;

use base::{Kind, Report};
use indexmap::IndexMap;
use spec::{App, Device, Logging, Mount, MountKind, Namespace, Tmpfs};

use super::invalid;
use crate::report;
use crate::table::pairs;

/// Lines of files, then flags: `NAME=VALUE`, or `NAME` to pass ours on; one that we do not have is left out, as docker
/// does.
pub(super) fn environment(files: &[PathBuf], texts: &[String]) -> Result<IndexMap<String, String>, Report> {
    let mut vars = IndexMap::new();
    for path in files {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Report::new(Kind::Invalid, format!("could not read `{}`", path.display())).because(error)
        })?;
        let lines =
            text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        vars.extend(lines.filter_map(variable));
    }
    vars.extend(texts.iter().filter_map(|text| variable(text)));
    Ok(vars)
}

/// `NAME=VALUE`, or a name alone.
pub(super) fn label(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// One line of environment; nothing for the name of a variable that we do not have.
pub(crate) fn variable(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(text).ok().map(|value| (text.to_owned(), value)),
    }
}

/// `type=bind,source=…,target=…,readonly`: as a mount of a few words.
pub(super) fn mount(text: &str, app: &mut App) -> Result<Mount, Report> {
    let bad = |why: String| {
        invalid(format!("`{text}` is not a mount: {why}"))
            .hint("write it as in type=bind,source=/srv/data,target=/data,readonly")
    };
    let (mut kind, mut source, mut target, mut read_only) = ("volume", None, None, false);
    let (mut nocopy, mut propagation, mut tmpfs) = (false, None, Tmpfs::default());
    for word in text.split(',') {
        let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
        match (key, value) {
            ("type", Some(value)) => kind = value,
            ("source" | "src", Some(value)) => source = Some(value),
            ("target" | "destination" | "dst", Some(value)) => target = Some(value),
            ("readonly" | "ro", None | Some("true" | "1")) => read_only = true,
            ("readonly" | "ro", Some("false" | "0")) => read_only = false,
            ("volume-nocopy", None | Some("true" | "1")) => nocopy = true,
            ("bind-propagation", Some(value)) => propagation = Some(value),
            ("tmpfs-size", Some(value)) => tmpfs.size = Some(value.parse().map_err(report)?),
            ("tmpfs-mode", Some(value)) => {
                let mode = u32::from_str_radix(value, 8);
                tmpfs.mode = Some(mode.map_err(|_| bad(format!("`{value}` is no mode")))?);
            }
            _ => return Err(bad(format!("`{word}` is not known"))),
        }
    }
    let target = target.ok_or_else(|| bad("it has no target".into()))?;
    if kind == "tmpfs" {
        if source.is_some() {
            return Err(bad("memory has no source".into()));
        }
        let target = target.to_owned();
        return Ok(Mount { target, kind: MountKind::Tmpfs(tmpfs), read_only });
    }
    let short = match (kind, source) {
        ("bind", None) => return Err(bad("a bind has a source".into())),
        ("bind", Some(source)) if !source.starts_with('/') => {
            return Err(bad(format!("`{source}` is not an absolute path")));
        }
        // Unlike a short mount, which makes the folder: who writes this many words means one that is there.
        ("bind", Some(source)) if !std::path::Path::new(source).exists() => {
            return Err(bad(format!("there is no `{source}`")));
        }
        ("bind" | "volume", Some(source)) => format!("{source}:{target}"),
        ("volume", None) => target.to_owned(),
        (other, _) => return Err(bad(format!("`{other}` is not bind, volume or tmpfs"))),
    };
    let options = [
        read_only.then_some("ro"),
        (nocopy && source.is_some()).then_some("nocopy"),
        propagation.filter(|_| kind == "bind"),
    ];
    let options: Vec<&str> = options.into_iter().flatten().collect();
    let mut mount = super::mount(
        &if options.is_empty() || source.is_none() {
            short
        } else {
            format!("{short}:{}", options.join(","))
        },
        app,
    )?;
    mount.read_only = read_only;
    Ok(mount)
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`.
pub(crate) fn host(text: &str) -> Result<(String, String), Report> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    pair.filter(|(name, address)| !name.is_empty() && !address.is_empty())
        .map(|(name, address)| (name.to_owned(), address.to_owned()))
        .ok_or_else(|| {
            invalid(format!("`{text}` is not a host")).hint("write NAME:ADDRESS, as in db:10.0.0.7")
        })
}

/// `PATH[:PATH][:rwm]`.
pub(super) fn device(text: &str) -> Result<Device, Report> {
    let is_mode = |text: &str| !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, mode] if is_mode(mode) => (source, source, mode),
        [source, target] => (source, target, "rwm"),
        [source, target, mode] if is_mode(mode) => (source, target, mode),
        _ => {
            return Err(invalid(format!("`{text}` is not a device"))
                .hint("write PATH[:PATH][:rwm], as in /dev/ttyUSB0:/dev/serial:rw"));
        }
    };
    Ok(Device { source: source.into(), target: target.into(), permissions: permissions.into() })
}

/// Whose namespace.
pub(super) fn namespace(text: Option<&str>, flag: &str) -> Result<Namespace, Report> {
    match text.map(|text| (text, text.strip_prefix("container:"))) {
        None | Some(("private" | "", _)) => Ok(Namespace::Private),
        Some(("host", _)) => Ok(Namespace::Host),
        Some(("shareable", _)) if flag == "--ipc" => Ok(Namespace::Shareable),
        Some(("none", _)) if flag == "--ipc" => Ok(Namespace::Isolated),
        Some((_, Some(container))) if !container.is_empty() => Ok(Namespace::Container(container.to_owned())),
        Some((other, _)) => Err(invalid(format!("`{other}` is nobody's namespace for {flag}"))
            .hint("there are host and container:NAME")),
    }
}

/// What is kept of its output.
pub(super) fn logging(driver: Option<&str>, options: &[String]) -> Result<Logging, Report> {
    let mut logging = Logging::default();
    match driver {
        None | Some("json-file" | "local") => {}
        Some("none") => logging.keep = false,
        Some(other) => {
            return Err(invalid(format!("`{other}` is not a log driver that is here"))
                .hint("there are json-file, local and none; `sea logs` shows what is kept"));
        }
    }
    for (name, value) in pairs(options, "--log-opt")? {
        match name.as_str() {
            "max-size" => logging.max_size = value.parse().map_err(report)?,
            "max-file" => {
                let files = value.parse().ok().filter(|files| *files > 0);
                logging.max_files =
                    files.ok_or_else(|| invalid(format!("`{value}` is not a number of files")))?;
            }
            other => {
                return Err(invalid(format!("`{other}` is not an option of a log"))
                    .hint("there are max-size and max-file"));
            }
        }
    }
    Ok(logging)
}
