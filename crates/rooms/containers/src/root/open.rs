//! Opening a container's files: of one that runs through its process, of one at rest by its layers.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime::Phase;
use runtime::order::Rootfs;
use rustix::fs::{Mode, OFlags};

use super::{Last, Node, Place, Root};
use crate::Containers;
use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::record::Record;

const FOLDER: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// A file or folder of the host that is mounted in a container.
struct Source {
    target: String,
    from: From,
}

/// Where a source is.
enum From {
    /// A path of the host, and the part of it that is meant.
    Host(PathBuf, Option<PathBuf>),
    /// An image's layers, and the part of them that is meant.
    Layers(Vec<PathBuf>, Option<PathBuf>),
}

impl Containers {
    /// The files of a container that runs, with all that is mounted in it; none where it does not run.
    pub(crate) async fn live_root(&self, cell: &Cell) -> Option<Root> {
        let shim = cell.shim()?;
        let pid = shim.pid();
        let top = rustix::fs::open(format!("/proc/{pid}/root"), FOLDER, Mode::empty()).ok()?;
        // As long as its shim has it, no other process can have its number: so it was its root that we opened.
        let seen = shim.state().await.ok()?;
        if seen.pid != pid || seen.phase == Phase::Exited {
            return None;
        }
        let sealed = cell.live().record.service.read_only;
        Some(Root { top: Node::of(top).ok()?, mounts: Vec::new(), sealed, lives: true })
    }

    /// The files of a container at rest, to read. What starts meanwhile is not disturbed.
    pub(crate) async fn resting_root(&self, cell: &Arc<Cell>) -> Result<Root, ContainerError> {
        let (containers, cell) = (self.clone(), cell.clone());
        let ready = off_thread({
            let (containers, cell) = (containers.clone(), cell.clone());
            move || containers.resting_now(&cell, false)
        });
        match ready.await? {
            Laid::Whole(root) => Ok(root),
            // Places that nothing was mounted at yet have to be made, for which it must not start.
            Laid::Lacking => {
                let _turn = cell.turn.lock().await;
                if cell.live().record.state.runs() {
                    return Err(ContainerError::Running(cell.record().name));
                }
                let (again, here) = (containers.clone(), cell.clone());
                drop(off_thread(move || again.resting_now(&here, true)).await?);
                let here = cell.clone();
                match off_thread(move || containers.resting_now(&here, false)).await? {
                    Laid::Whole(root) => Ok(root),
                    Laid::Lacking => Err(ContainerError::Invalid("its mounts have no places".into())),
                }
            }
        }
    }

    /// The same to write to; for whoever holds its turn.
    pub(crate) fn writable_root(&self, cell: &Cell) -> Result<Root, ContainerError> {
        match self.resting_now(cell, true)? {
            Laid::Whole(root) => Ok(root),
            Laid::Lacking => Err(ContainerError::Invalid("its mounts have no places".into())),
        }
    }

    /// The layers of a container alone, to read.
    pub(crate) fn layers(&self, cell: &Cell) -> Result<Root, ContainerError> {
        let rootfs = self.rootfs(&cell.record())?;
        let top = runtime::seen_layers(&rootfs, &cell.folder.join("aside"));
        top.and_then(Root::bare).map_err(|error| look(&cell.record(), &error))
    }

    pub(crate) fn rootfs(&self, record: &Record) -> Result<Rootfs, ContainerError> {
        let failed = |problem: &dyn base::Problem| {
            ContainerError::failed(format!("find the files of `{}`", record.name), problem)
        };
        let image = self.inner.rooms.images.find(&record.image_id).map_err(|problem| failed(&problem))?;
        let snapshot = self.inner.rooms.images.snapshot(&image.id, record.id.as_str());
        let snapshot = snapshot.map_err(|problem| failed(&problem))?;
        let volatile = record.auto_remove;
        Ok(Rootfs { lower: snapshot.lower, upper: snapshot.upper, work: snapshot.work, volatile })
    }

    fn resting_now(&self, cell: &Cell, writable: bool) -> Result<Laid, ContainerError> {
        let record = cell.record();
        let failed = |error: io::Error| look(&record, &error);
        let rootfs = self.rootfs(&record)?;
        let aside = cell.folder.join("aside");
        let top = if writable {
            runtime::writable_layers(&rootfs, &aside)
        } else {
            runtime::seen_layers(&rootfs, &aside)
        };
        let mut root = top.and_then(Root::bare).map_err(failed)?;
        root.sealed = record.service.read_only;
        for source in self.sources(&record, &cell.folder)? {
            // What is not there any more is missed when it starts, and by nobody here.
            let Ok(from) = open_source(&source.from, &aside) else { continue };
            let node = Node::of(from).map_err(failed)?;
            if !root.lay(&source.target, node, writable).map_err(failed)? {
                return Ok(Laid::Lacking);
            }
        }
        Ok(Laid::Whole(root))
    }

    /// What of the host is mounted in a container, outer places first.
    fn sources(&self, record: &Record, folder: &Path) -> Result<Vec<Source>, ContainerError> {
        let mut all = Vec::new();
        let volume = |name: &base::VolumeName| -> Result<Option<PathBuf>, ContainerError> {
            Ok(self.inner.volumes.find(name)?.map(|volume| volume.mountpoint))
        };
        for mount in &record.service.mounts {
            let from = match &mount.kind {
                spec::MountKind::Bind { source, .. } => Some(From::Host(source.into(), None)),
                spec::MountKind::Volume { key, subpath, .. } => match record.volumes.get(key) {
                    Some(name) => {
                        let part = crate::order::part(subpath.as_deref(), &mount.target)?;
                        volume(name)?.map(|home| From::Host(home, part))
                    }
                    None => None,
                },
                spec::MountKind::Anonymous => match record.anonymous.get(&mount.target) {
                    Some(name) => volume(name)?.map(|home| From::Host(home, None)),
                    None => None,
                },
                spec::MountKind::Image { image, subpath } => {
                    let part = crate::order::part(subpath.as_deref(), &mount.target)?;
                    let found = self.inner.rooms.images.find(image).ok();
                    found.map(|image| From::Layers(image.lower, part))
                }
                // Memory holds nothing at rest.
                spec::MountKind::Tmpfs(_) => None,
            };
            all.extend(from.map(|from| Source { target: mount.target.clone(), from }));
        }
        let secrets = record.files.iter().enumerate();
        all.extend(secrets.map(|(number, file)| Source {
            target: file.target.clone(),
            from: From::Host(folder.join("files").join(number.to_string()), None),
        }));
        for name in crate::files::OURS {
            let target = format!("/etc/{name}");
            if !all.iter().any(|source| source.target == target) {
                all.push(Source { target, from: From::Host(folder.join(name), None) });
            }
        }
        Ok(all)
    }
}

/// A root of a container at rest.
enum Laid {
    Whole(Root),
    /// A place to mount at is missing.
    Lacking,
}

impl Root {
    /// Files without anything mounted over them.
    pub(crate) fn bare(top: OwnedFd) -> io::Result<Self> {
        Ok(Self { top: Node::of(top)?, mounts: Vec::new(), sealed: false, lives: false })
    }

    /// Lays a mount over the files; false where its place is missing and not to be made.
    pub(super) fn lay(&mut self, target: &str, node: Node, make: bool) -> io::Result<bool> {
        let found = self.find(target.as_bytes(), Last::Follow)?;
        if found.node.is_none() {
            if !make {
                return Ok(false);
            }
            self.make_place(&found.way, node.is_folder())?;
        }
        self.mounts.push(Place { way: found.way, node });
        Ok(true)
    }

    /// Makes an empty folder or file to mount at, and the folders above it.
    fn make_place(&self, way: &[std::ffi::OsString], folder: bool) -> io::Result<()> {
        let mut here = self.top.clone();
        for (depth, name) in way.iter().enumerate() {
            let last = depth + 1 == way.len();
            if self.child(&here, &way[..depth], name)?.is_none() {
                if last && !folder {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    rustix::fs::openat(here.fd(), name.as_os_str(), flags, Mode::from_raw_mode(0o644))?;
                } else {
                    rustix::fs::mkdirat(here.fd(), name.as_os_str(), Mode::from_raw_mode(0o755))?;
                }
            }
            match self.child(&here, &way[..depth], name)? {
                Some(node) => here = node,
                None => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        Ok(())
    }

    /// Whether the root itself must not be written to.
    pub(crate) fn sealed(&self) -> bool {
        self.sealed
    }

    /// Whether a container runs in it.
    pub(crate) fn lives(&self) -> bool {
        self.lives
    }
}

fn open_source(source: &From, aside: &Path) -> io::Result<OwnedFd> {
    let (whole, part) = match source {
        From::Host(path, part) => {
            // Sources are of the host, where links mean what they say.
            let flags = (OFlags::PATH | OFlags::CLOEXEC).bits() as i32;
            (OpenOptions::new().read(true).custom_flags(flags).open(path)?.into(), part)
        }
        From::Layers(layers, part) => (runtime::image_layers(layers, aside)?, part),
    };
    match part {
        Some(part) => runtime::open_beneath(&whole, part),
        None => Ok(whole),
    }
}

fn look(record: &Record, error: &io::Error) -> ContainerError {
    ContainerError::io(format!("look at the files of `{}`", record.name), error)
}

/// Work that waits for a disk.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContainerError> + Send + 'static,
) -> Result<T, ContainerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ContainerError::Invalid(format!("the work on a container's files broke off: {error}")))
    })
}
