//! Making a container: its record, its folder and its writable layer. Nothing runs yet.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use base::{ContainerId, ContainerName, Rng, VolumeName, kernel_bytes};
use indexmap::IndexMap;
use spec::{App, Attachment, FileMount, FileSource, Mount, MountKind, NetworkMode, Service};

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::record::{FileRecord, Owner, Record, Stage, State, VERSION};
use crate::volumes::VolumeOrder;
use crate::{Containers, events, files};

/// A container as somebody asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// Its name; one is chosen when none.
    pub name: Option<ContainerName>,
    /// How it runs.
    pub service: Service,
    /// The networks, volumes, secrets and configs that the service names, and nothing else.
    pub app: Arc<App>,
    /// The image by digest or name; that of the service when none.
    pub image: Option<String>,
    /// Which instance of which app it is, if it is one.
    pub owner: Option<Owner>,
    /// It is removed when it ends.
    pub auto_remove: bool,
    /// What the door was asked for, in its words; null when it has none to keep.
    pub asked: serde_json::Value,
}

impl Containers {
    /// Makes a container.
    pub async fn create(&self, create: Create) -> Result<ContainerId, ContainerError> {
        let containers = self.clone();
        let made = tokio::task::spawn_blocking(move || containers.create_now(create)).await;
        let id = made.map_err(|error| {
            ContainerError::Invalid(format!("the making of a container broke off: {error}"))
        })??;
        events::created(self, &id);
        Ok(id)
    }

    fn create_now(&self, create: Create) -> Result<ContainerId, ContainerError> {
        let image_name = create.image.as_deref().unwrap_or(&create.service.image);
        let image = self.inner.rooms.images.find(image_name).map_err(|problem| {
            ContainerError::failed(format!("find the image `{}`", create.service.image), &problem)
        })?;
        let id = ContainerId::from_bytes(kernel_bytes());
        let name = self.claim_name(create.name.clone(), &id)?;
        // From here on a failure must give the name back.
        let made = self.assemble(create, &id, name.clone(), &image);
        if made.is_err() {
            self.index().names.remove(name.as_str());
        }
        made
    }

    /// Brings the places of mounts into their shortest form, and names of images to their ids.
    fn settle_mounts(&self, service: &mut Service) -> Result<(), ContainerError> {
        for mount in &mut service.mounts {
            mount.target = cleaned(&mount.target);
            // Of a container that is there it is always the same image.
            if let MountKind::Image { image, .. } = &mut mount.kind {
                let found = self.inner.rooms.images.find(image);
                let found = found.map_err(|problem| {
                    ContainerError::failed(
                        format!("find the image that is mounted at `{}`", mount.target),
                        &problem,
                    )
                })?;
                *image = found.id.to_string();
            }
        }
        Ok(())
    }

    fn assemble(
        &self,
        create: Create,
        id: &ContainerId,
        name: ContainerName,
        image: &images::Image,
    ) -> Result<ContainerId, ContainerError> {
        let Create { service, app, owner, auto_remove, asked, .. } = create;
        let mut service = service;
        self.settle_mounts(&mut service)?;
        crate::order::check(&service)?;
        add_image_volumes(&mut service, image.config.config.volumes.keys());
        let mut record = Record {
            version: VERSION,
            id: id.clone(),
            name,
            created: self.clock().wall(),
            image: service.image.clone(),
            image_id: image.id.to_string(),
            networks: networks(&service, &app)?,
            volumes: volume_names(&service, &app)?,
            anonymous: anonymous(&service)?,
            files: sources(&service, &app)?,
            service,
            owner,
            auto_remove,
            stage: Stage::Making,
            state: State::Created,
            restarts: 0,
            stopped_by_hand: false,
            bounds_due: false,
            held_still: false,
            asked,
        };
        let folder = self.inner.folder.join(id.as_str());
        let name = record.name.clone();
        let failed = |error| ContainerError::io(format!("make the folder of `{name}`"), &error);
        base::crash::point("container: about to be made");
        fs::create_dir(&folder).map_err(failed)?;
        base::crash::point("container: folder made");
        let mut make = || {
            record.write(&folder)?;
            files::write_sources(&folder, &record).map_err(failed)?;
            base::crash::point("container: files written");
            self.make_volumes(&record, &app)?;
            base::crash::point("container: volumes made");
            self.inner.rooms.images.snapshot(&image.id, id.as_str()).map_err(|problem| {
                ContainerError::failed(format!("lay out the files of `{}`", record.name), &problem)
            })?;
            base::crash::point("container: snapshot made");
            record.stage = Stage::Whole;
            record.write(&folder)?;
            Ok(())
        };
        if let Err(error) = make() {
            self.clear_away(&record, &folder);
            return Err(error);
        }
        let cell = Arc::new(Cell::new(folder, record));
        self.index().cells.insert(id.clone(), cell);
        Ok(id.clone())
    }

    /// Reserves a name; one of our making when none is given.
    fn claim_name(
        &self,
        name: Option<ContainerName>,
        id: &ContainerId,
    ) -> Result<ContainerName, ContainerError> {
        let mut index = self.index();
        let name = match name {
            Some(name) => name,
            None => {
                let mut rng = Rng::from_kernel();
                let free = (0..64).map(|_| invented(&mut rng)).find(|name| !index.names.contains_key(name));
                let name = free.unwrap_or_else(|| format!("container-{}", id.short()));
                ContainerName::new(name).map_err(|error| ContainerError::Invalid(error.to_string()))?
            }
        };
        if let Some(by) = index.names.get(name.as_str()) {
            return Err(ContainerError::NameTaken { name, by: by.short().into() });
        }
        index.names.insert(name.to_string(), id.clone());
        Ok(name)
    }

    fn make_volumes(&self, record: &Record, app: &App) -> Result<(), ContainerError> {
        let owner = record.owner.as_ref().map(|owner| owner.app.clone());
        for (key, name) in &record.volumes {
            let mut order = VolumeOrder::named(name.clone());
            order.app = owner.clone();
            if let Some(volume) = app.volumes.get(key) {
                if volume.external && self.inner.volumes.find(name)?.is_none() {
                    return Err(crate::VolumeError::Missing(name.to_string()).into());
                }
                order.driver = volume.driver.clone();
                order.options = volume.driver_opts.clone().into_iter().collect();
                order.labels = volume.labels.clone().into_iter().collect();
            }
            self.inner.volumes.ensure(&order)?;
        }
        for name in record.anonymous.values() {
            let order =
                VolumeOrder { anonymous: true, app: owner.clone(), ..VolumeOrder::named(name.clone()) };
            self.inner.volumes.ensure(&order)?;
        }
        Ok(())
    }
}

/// A path without `.`, `..` and doubled slashes, as the words say it and whatever links there are.
fn cleaned(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `VOLUME` of the image: places that get a volume of their own unless the service mounts something there.
fn add_image_volumes<'a>(service: &mut Service, targets: impl Iterator<Item = &'a String>) {
    for target in targets {
        let clean = target.trim_end_matches('/');
        if !clean.is_empty()
            && !service.mounts.iter().any(|mount| mount.target.trim_end_matches('/') == clean)
        {
            let mount = Mount { target: clean.to_owned(), kind: MountKind::Anonymous, read_only: false };
            service.mounts.push(mount);
        }
    }
    // Outer places first, so that an inner mount is not hidden by an outer one.
    service.mounts.sort_by_key(|mount| mount.target.matches('/').count());
}

fn networks(service: &Service, app: &App) -> Result<IndexMap<String, Attachment>, ContainerError> {
    if service.network_mode != NetworkMode::Networks {
        return Ok(IndexMap::new());
    }
    let mut joined = Vec::new();
    for (key, attachment) in &service.networks {
        let name = app.networks.get(key).map(|network| network.name.to_string()).ok_or_else(|| {
            ContainerError::Invalid(format!("the service joins the network `{key}`, which nobody describes"))
        })?;
        joined.push((name, attachment.clone()));
    }
    if joined.is_empty() {
        joined.push((network::DEFAULT_NETWORK.to_owned(), Attachment::default()));
    }
    joined.sort_by_key(|(_, attachment)| std::cmp::Reverse(attachment.priority));
    Ok(joined.into_iter().collect())
}

fn volume_names(service: &Service, app: &App) -> Result<BTreeMap<String, VolumeName>, ContainerError> {
    let mut names = BTreeMap::new();
    for mount in &service.mounts {
        if let MountKind::Volume { key, .. } = &mount.kind {
            let volume = app.volumes.get(key).ok_or_else(|| {
                ContainerError::Invalid(format!(
                    "the mount at `{}` names the volume `{key}`, which nobody describes",
                    mount.target
                ))
            })?;
            names.insert(key.clone(), volume.name.clone());
        }
    }
    Ok(names)
}

fn anonymous(service: &Service) -> Result<BTreeMap<String, VolumeName>, ContainerError> {
    let mut names = BTreeMap::new();
    for mount in service.mounts.iter().filter(|mount| mount.kind == MountKind::Anonymous) {
        let digits: String = kernel_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let name = VolumeName::new(digits).map_err(|error| ContainerError::Invalid(error.to_string()))?;
        names.insert(mount.target.clone(), name);
    }
    Ok(names)
}

fn sources(service: &Service, app: &App) -> Result<Vec<FileRecord>, ContainerError> {
    let secrets = service.secrets.iter().map(|mount| (mount, "secret", &app.secrets));
    let configs = service.configs.iter().map(|mount| (mount, "config", &app.configs));
    secrets.chain(configs).map(|(mount, what, from)| source(mount, what, from)).collect()
}

fn source(
    mount: &FileMount,
    what: &str,
    from: &IndexMap<String, FileSource>,
) -> Result<FileRecord, ContainerError> {
    let content = from.get(&mount.source).and_then(|source| source.content.clone()).ok_or_else(|| {
        ContainerError::Invalid(format!("the {what} `{}` has no content here", mount.source))
    })?;
    let FileMount { target, uid, gid, mode, .. } = mount.clone();
    Ok(FileRecord { target, uid, gid, mode, content })
}

/// A name that people can say.
fn invented(rng: &mut Rng) -> String {
    const HOW: &[&str] = &[
        "able", "bold", "brisk", "calm", "clear", "eager", "fair", "fleet", "grand", "hardy", "keen",
        "lively", "mellow", "noble", "proud", "quick", "quiet", "ready", "sound", "steady", "stout", "sunny",
        "swift", "trim", "true", "warm",
    ];
    const WHAT: &[&str] = &[
        "anchor",
        "barque",
        "beacon",
        "bosun",
        "brig",
        "buoy",
        "capstan",
        "clipper",
        "compass",
        "cutter",
        "dinghy",
        "ferry",
        "frigate",
        "galley",
        "harbour",
        "jetty",
        "keel",
        "ketch",
        "lantern",
        "mast",
        "pilot",
        "rudder",
        "schooner",
        "sextant",
        "sloop",
        "spinnaker",
        "tender",
        "tug",
        "yawl",
    ];
    let word = |words: &'static [&'static str], rng: &mut Rng| rng.pick(words).copied().unwrap_or("sea");
    format!("{}-{}-{}", word(HOW, rng), word(WHAT, rng), rng.below(1000))
}
