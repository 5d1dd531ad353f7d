//! Binds, mounts, volumes and memory file systems.

use base::{Bytes, VolumeName};
use spec::{App, Mount, MountKind, Tmpfs, Volume};

use crate::Docker;
use crate::answer::Refusal;
use crate::wire::{self, Config, HostConfig};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// All of them; a later one takes the place of an earlier one from elsewhere at the same target.
pub(super) fn mounts(
    docker: &Docker,
    config: &Config,
    host: &HostConfig,
    app: &mut App,
) -> Result<Vec<Mount>, Refusal> {
    let mut all: Vec<Mount> = Vec::new();
    let mut put = |mount: Mount| {
        all.retain(|one| clean(&one.target) != clean(&mount.target));
        all.push(mount);
    };
    for from in host.volumes_from.iter().flatten() {
        volumes_from(docker, from, app)?.into_iter().for_each(&mut put);
    }
    let mut taken = Vec::new();
    let mut once = |target: &str| {
        let target = clean(target);
        if taken.contains(&target) {
            return Err(Refusal::invalid(format!("Duplicate mount point: {target}")));
        }
        taken.push(target);
        Ok(())
    };
    for text in host.binds.iter().flatten() {
        let mount = bind(text, &host.volume_driver, app)?;
        once(&mount.target)?;
        put(mount);
    }
    for mount in host.mounts.iter().flatten() {
        let mount = self::mount(mount, app)?;
        once(&mount.target)?;
        put(mount);
    }
    for (target, options) in host.tmpfs.iter().flatten() {
        let mount = tmpfs(target, options)?;
        once(&mount.target)?;
        put(mount);
    }
    for target in config.volumes.iter().flatten().map(|(target, _)| target) {
        if !target.starts_with('/') {
            return Err(Refusal::invalid(format!("invalid volume: '{target}' must be an absolute path")));
        }
        if !all.iter().any(|one| clean(&one.target) == clean(target)) {
            all.push(Mount { target: target.clone(), kind: MountKind::Anonymous, read_only: false });
        }
    }
    Ok(all)
}

/// An absolute path in its shortest form.
pub(super) fn clean(path: &str) -> String {
    base::path::clean(&format!("/{path}"))
}

/// `source:target[:options]`, or a target alone for an anonymous volume.
fn bind(text: &str, driver: &str, app: &mut App) -> Result<Mount, Refusal> {
    let wrong = |why: &str| Refusal::invalid(format!("invalid volume specification: '{text}'{why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(wrong("")),
    };
    if !target.starts_with('/') {
        return Err(wrong(
            ": invalid mount config for type \"volume\": invalid mount path: mount path must be absolute",
        ));
    }
    if clean(target) == "/" {
        return Err(wrong(": invalid specification: destination can't be '/'"));
    }
    let (mut read_only, mut nocopy, mut propagation) = (false, false, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            // Containers bear no labels here, so there is nothing to relabel; how files are cached is the kernel's.
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "nocopy" => nocopy = true,
            option if PROPAGATIONS.contains(&option) => propagation = Some(option.to_owned()),
            other => return Err(Refusal::invalid(format!("invalid mode: {other}"))),
        }
    }
    let kind = match source {
        None => MountKind::Anonymous,
        Some("") => return Err(wrong(": empty section between colons")),
        Some(source) if source.starts_with('/') => {
            if nocopy {
                return Err(wrong(": a bind mount copies nothing"));
            }
            MountKind::Bind { source: source.to_owned(), create: true, propagation, recursive: true }
        }
        Some(name) => MountKind::Volume { key: volume(name, driver, None, app)?, nocopy, subpath: None },
    };
    Ok(Mount { target: target.to_owned(), kind, read_only })
}

/// Notes a named volume among those that the container names; its key.
fn volume(
    name: &str,
    driver: &str,
    options: Option<&wire::VolumeOptions>,
    app: &mut App,
) -> Result<String, Refusal> {
    let known = VolumeName::new(name).map_err(|_| {
        Refusal::invalid(format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        ))
    })?;
    let config = options.and_then(|options| options.driver_config.as_ref());
    let driver = config.map(|config| config.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(driver);
    if !matches!(driver, "" | "local") {
        return Err(Refusal::missing(format!(
            "create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
        )));
    }
    app.volumes.entry(name.to_owned()).or_insert_with(|| Volume {
        name: known,
        external: false,
        driver: None,
        driver_opts: config.map(|config| config.options.clone()).unwrap_or_default().into_iter().collect(),
        labels: options.map(|options| options.labels.clone()).unwrap_or_default().into_iter().collect(),
    });
    Ok(name.to_owned())
}

/// What holds of mounts of every type.
fn check(mount: &wire::Mount) -> Result<(), Refusal> {
    let kind = mount.kind.as_str();
    let wrong = |why: &str| Refusal::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    if mount.target.is_empty() {
        return Err(wrong("field Target must not be empty"));
    }
    if !mount.target.starts_with('/') {
        return Err(wrong(&format!("invalid mount path: '{}' mount path must be absolute", mount.target)));
    }
    if clean(&mount.target) == "/" {
        return Err(wrong("invalid specification: destination can't be '/'"));
    }
    if mount.bind_options.is_some() && kind != "bind" {
        return Err(wrong("field BindOptions must not be specified"));
    }
    if mount.volume_options.is_some() && kind != "volume" {
        return Err(wrong("field VolumeOptions must not be specified"));
    }
    if mount.image_options.is_some() && kind != "image" {
        return Err(wrong("field ImageOptions must not be specified"));
    }
    let subpaths = [
        mount.volume_options.as_ref().map(|options| options.subpath.as_str()),
        mount.image_options.as_ref().map(|options| options.subpath.as_str()),
    ];
    if subpaths.iter().flatten().any(|path| path.starts_with('/') || path.split('/').any(|part| part == ".."))
    {
        return Err(wrong("subpath must be a relative path within the volume"));
    }
    if mount.tmpfs_options.is_some() && kind != "tmpfs" {
        return Err(wrong("field TmpfsOptions must not be specified"));
    }
    Ok(())
}

/// A mount in its long form.
fn mount(mount: &wire::Mount, app: &mut App) -> Result<Mount, Refusal> {
    check(mount)?;
    let kind = mount.kind.as_str();
    let wrong = |why: &str| Refusal::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    let kind = match kind {
        "bind" => {
            let source = &mount.source;
            if source.is_empty() {
                return Err(wrong("field Source must not be empty"));
            }
            if !source.starts_with('/') {
                return Err(wrong(&format!("invalid mount path: '{source}' mount path must be absolute")));
            }
            let options = mount.bind_options.clone().unwrap_or_default();
            if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
                return Err(wrong(&format!("invalid propagation mode: {}", options.propagation)));
            }
            if options.read_only_non_recursive || options.read_only_force_recursive {
                return Err(wrong("whether mounts below the source are read-only too cannot be chosen here"));
            }
            if !options.create_mountpoint && std::fs::symlink_metadata(source).is_err() {
                return Err(wrong(&format!("bind source path does not exist: {source}")));
            }
            MountKind::Bind {
                source: source.clone(),
                create: options.create_mountpoint,
                propagation: Some(options.propagation).filter(|text| !text.is_empty()),
                recursive: !options.non_recursive,
            }
        }
        "volume" if mount.source.is_empty() => {
            if mount.volume_options.as_ref().is_some_and(|options| !options.subpath.is_empty()) {
                return Err(wrong("must not set Subpath when using anonymous volumes"));
            }
            MountKind::Anonymous
        }
        "volume" => {
            let options = mount.volume_options.clone().unwrap_or_default();
            let key = volume(&mount.source, "", Some(&options), app)?;
            let subpath = Some(options.subpath).filter(|path| !path.is_empty());
            MountKind::Volume { key, nocopy: options.no_copy, subpath }
        }
        "tmpfs" => {
            if !mount.source.is_empty() {
                return Err(wrong("field Source must not be specified"));
            }
            let options = mount.tmpfs_options.clone().unwrap_or_default();
            let more = options.options.iter().map(|words| words.join("=")).collect();
            MountKind::Tmpfs(Tmpfs {
                size: u64::try_from(options.size_bytes).ok().filter(|size| *size > 0).map(Bytes),
                mode: u32::try_from(options.mode).ok().filter(|mode| *mode > 0),
                options: more,
            })
        }
        "image" => {
            if mount.source.is_empty() {
                return Err(wrong("field Source must not be empty"));
            }
            let subpath = mount.image_options.as_ref().map(|options| options.subpath.clone());
            MountKind::Image { image: mount.source.clone(), subpath: subpath.filter(|path| !path.is_empty()) }
        }
        "cluster" | "npipe" => return Err(wrong("mounts of this type are not to be had here")),
        _ => return Err(Refusal::invalid(format!("invalid mount config: mount type unknown: \"{kind}\""))),
    };
    Ok(Mount { target: mount.target.clone(), kind, read_only: mount.read_only })
}

/// `--tmpfs /run:size=64m,mode=755`.
fn tmpfs(target: &str, options: &str) -> Result<Mount, Refusal> {
    if !target.starts_with('/') {
        let why = "mount path must be absolute";
        return Err(Refusal::invalid(format!(
            "invalid mount config for type \"tmpfs\": invalid mount path: '{target}' {why}"
        )));
    }
    if clean(target) == "/" {
        return Err(Refusal::invalid("invalid specification: destination can't be '/'"));
    }
    let mut tmpfs = Tmpfs::default();
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let wrong = || Refusal::invalid(format!("invalid tmpfs option \"{option}\""));
        match option.split_once('=') {
            Some(("size", size)) => tmpfs.size = Some(size.parse().map_err(|_| wrong())?),
            Some(("mode", mode)) => tmpfs.mode = Some(u32::from_str_radix(mode, 8).map_err(|_| wrong())?),
            None if option == "ro" => read_only = true,
            None if option == "rw" => {}
            _ => tmpfs.options.push(option.to_owned()),
        }
    }
    Ok(Mount { target: target.to_owned(), kind: MountKind::Tmpfs(tmpfs), read_only })
}

/// The mounts of another container: `NAME[:ro|rw]`.
fn volumes_from(docker: &Docker, from: &str, app: &mut App) -> Result<Vec<Mount>, Refusal> {
    let (name, mode) = from.split_once(':').unwrap_or((from, "rw"));
    if !matches!(mode, "ro" | "rw" | "z" | "Z") {
        return Err(Refusal::invalid(format!("invalid mode: {mode}")));
    }
    let known = |error: &dyn base::Problem| Refusal::invalid(Refusal::of(error).message);
    let id = docker.containers.find(name).map_err(|error| known(&error))?;
    let record = docker.containers.inspect(&id).map_err(|error| known(&error))?.record;
    let mut mounts = Vec::new();
    for mount in &record.service.mounts {
        let name = match &mount.kind {
            MountKind::Tmpfs(_) => continue,
            MountKind::Bind { .. } | MountKind::Image { .. } => None,
            MountKind::Volume { key, .. } => record.volumes.get(key),
            MountKind::Anonymous => record.anonymous.get(&mount.target),
        };
        let kind = match (name, &mount.kind) {
            (Some(name), kind) => {
                let subpath = match kind {
                    MountKind::Volume { subpath, .. } => subpath.clone(),
                    _ => None,
                };
                MountKind::Volume { key: volume(name.as_str(), "", None, app)?, nocopy: true, subpath }
            }
            (None, kind) => kind.clone(),
        };
        let read_only = mount.read_only || mode == "ro";
        mounts.push(Mount { target: mount.target.clone(), kind, read_only });
    }
    Ok(mounts)
}
