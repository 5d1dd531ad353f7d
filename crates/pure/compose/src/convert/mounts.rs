//! What a container sees besides its image: volumes, tmpfs, secrets, configs.

use base::Bytes;
use spec::{FileMount, Mount, MountKind, Tmpfs};

use super::Desk;
use super::parts::{bytes, list, text, truth, under};
use crate::render::mode;
use crate::tree::{Map, Node};

/// All mounts, in the order in which they are made: those of outer folders first.
pub(super) fn all(desk: &mut Desk<'_>, name: &str, map: &Map) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (index, node) in map.get("volumes").and_then(Node::list).unwrap_or_default().iter().enumerate() {
        let key = format!("services.{name}.volumes[{index}]");
        let Some(map) = node.map() else { continue };
        let Some(target) = target(desk, map, node, &key) else { continue };
        if let Some(kind) = kind(desk, map, node, &key) {
            let read_only = truth(map, "read_only") || matches!(kind, MountKind::Image { .. });
            mounts.push(Mount { target, kind, read_only });
        }
    }
    for text in list(map, "tmpfs") {
        mounts.push(tmpfs(&text));
    }
    mounts.sort_by_key(|mount| mount.target.matches('/').count());
    mounts
}

fn target(desk: &mut Desk<'_>, map: &Map, node: &Node, key: &str) -> Option<String> {
    let target = text(map, "target");
    match target {
        Some(target) if target.starts_with('/') => Some(target),
        _ => {
            let shown = target.unwrap_or_default();
            desk.fault(
                node,
                format!("{key}.target"),
                format!("`{shown}` is no place in a container"),
                "write a path that begins with `/`",
            );
            None
        }
    }
}

fn kind(desk: &mut Desk<'_>, map: &Map, node: &Node, key: &str) -> Option<MountKind> {
    let nothing = Map::default();
    let options = |key: &str| under(map, &[key]).unwrap_or(&nothing);
    let source = text(map, "source");
    match (map.get("type").and_then(Node::str).unwrap_or_default(), source) {
        ("bind", Some(source)) => {
            let bind = options("bind");
            Some(MountKind::Bind {
                source,
                create: truth(bind, "create_host_path"),
                propagation: text(bind, "propagation"),
                recursive: text(bind, "recursive").as_deref() != Some("disabled"),
            })
        }
        ("volume", Some(key)) => {
            let volume = options("volume");
            Some(MountKind::Volume { key, nocopy: truth(volume, "nocopy"), subpath: text(volume, "subpath") })
        }
        ("volume", None) => Some(MountKind::Anonymous),
        ("tmpfs", _) => {
            let options = options("tmpfs");
            let mode = options.get("mode").map(mode).and_then(|mode| u32::try_from(mode).ok());
            Some(MountKind::Tmpfs(Tmpfs { size: bytes(options, "size"), mode, options: Vec::new() }))
        }
        ("image", Some(image)) => {
            Some(MountKind::Image { image, subpath: text(options("image"), "subpath") })
        }
        (other, _) => {
            desk.fault(
                node,
                format!("{key}.type"),
                format!("mounts of the type `{other}` are not supported"),
                "the types are bind, volume, tmpfs and image; a mount of an image has a source",
            );
            None
        }
    }
}

/// `path:options`, as docker's `--tmpfs` takes it.
fn tmpfs(spec: &str) -> Mount {
    let (target, options) = spec.split_once(':').unwrap_or((spec, ""));
    let mut tmpfs = Tmpfs::default();
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) if crate::go::bytes(size).is_some_and(|size| size > 0) => {
                tmpfs.size = crate::go::bytes(size).and_then(|size| u64::try_from(size).ok()).map(Bytes);
            }
            Some(("mode", mode)) if u32::from_str_radix(mode, 8).is_ok() => {
                tmpfs.mode = u32::from_str_radix(mode, 8).ok();
            }
            _ if option == "ro" => read_only = true,
            _ => tmpfs.options.push(option.to_owned()),
        }
    }
    Mount { target: base::path::clean(target), kind: MountKind::Tmpfs(tmpfs), read_only }
}

/// Secrets or configs as files.
pub(super) fn files(desk: &mut Desk<'_>, name: &str, map: &Map, section: &str) -> Vec<FileMount> {
    let mut all = Vec::new();
    for (index, node) in map.get(section).and_then(Node::list).unwrap_or_default().iter().enumerate() {
        let Some(map) = node.map() else { continue };
        let source = text(map, "source").unwrap_or_default();
        let folder = if section == "secrets" { "/run/secrets" } else { "" };
        let target = match text(map, "target") {
            Some(target) if target.starts_with('/') => target,
            Some(target) => format!("{folder}/{target}"),
            None => format!("{folder}/{source}"),
        };
        let mut id = |key: &str| match text(map, key).map(|text| text.parse::<u32>()) {
            None => 0,
            Some(Ok(id)) => id,
            Some(Err(_)) => {
                let path = format!("services.{name}.{section}[{index}].{key}");
                desk.fault(
                    node,
                    path,
                    "this is not a number",
                    "write the number of the user or group in the container",
                );
                0
            }
        };
        let (uid, gid) = (id("uid"), id("gid"));
        let mode = map.get("mode").map(mode).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o444);
        all.push(FileMount { source, target, uid, gid, mode });
    }
    all
}
