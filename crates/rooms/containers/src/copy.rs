//! Copying files out of containers and into them, whether they run or not; and whole roots out of them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base::{ContainerId, Kind, Problem, Timestamp};
use rustix::fs::FileType;
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::record::Record;
use crate::root::pack::{Packing, pack};
use crate::root::unpack::{UnpackError, Unpacking, unpack};
use crate::root::{Last, Node, Root, off_thread, path_of};
use crate::{Containers, events};

/// What a path in a container leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// Its last name; `.` where the path ends so, `/` for the root.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Kind and permissions, as `stat` has them.
    pub mode: u32,
    /// When it was changed.
    pub modified: Timestamp,
    /// Where a link leads in the end, as far as that is there; empty for what is no link.
    pub link_target: String,
}

/// Files that are about to be packed.
pub struct Packed {
    root: Root,
    what: Packing,
}

impl Packed {
    /// Writes the archive. Waits for a disk and for the reader.
    pub fn write(self, out: impl Write) -> io::Result<()> {
        pack(&self.root, self.what, out)
    }
}

/// How an archive goes into a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extraction {
    /// A folder never takes the place of something else, nor something else that of a folder.
    pub keep_kinds: bool,
    /// What is new belongs to whom the container runs as.
    pub own: bool,
}

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no such container, or it cannot be looked into.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Nothing is at this path.
    #[error("nothing is at `{0}`")]
    Missing(String),
    /// The path cannot be followed.
    #[error("lstat {path}: {}", plain_words(source))]
    Path {
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It goes to no folder.
    #[error("extraction point is not a directory")]
    NotAFolder,
    /// The container's root may not be written to.
    #[error("container rootfs is marked read-only")]
    SealedRoot,
    /// The volume may not be written to.
    #[error("mounted volume is marked read-only")]
    SealedVolume,
    /// The archive was not unpacked whole.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

impl Problem for CopyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Container(error) => error.kind(),
            Self::Missing(_) => Kind::NotFound,
            Self::NotAFolder => Kind::Invalid,
            Self::SealedRoot | Self::SealedVolume => Kind::Denied,
            Self::Path { .. } | Self::Unpack(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Container(error) => error.hint(),
            Self::Missing(_)
            | Self::NotAFolder
            | Self::SealedRoot
            | Self::SealedVolume
            | Self::Path { .. }
            | Self::Unpack(_) => None,
        }
    }
}

/// What the system says, in its own words and without a number.
pub fn plain_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.chars().take(1).flat_map(char::to_lowercase).chain(text.chars().skip(1)).collect()
}

impl Containers {
    /// What a path leads to; a link is told of, and not followed.
    pub async fn path_stat(&self, id: &ContainerId, path: &str) -> Result<FileStat, CopyError> {
        let cell = self.cell(id)?;
        let root = self.root_to_read(&cell).await?;
        let path = path.to_owned();
        run(move || {
            let (node, _) = found(&root, &path, Last::Stay)?;
            stat(&root, &path, &node)
        })
        .await
    }

    /// Prepares an archive of a file or folder, under its own name.
    pub async fn archive(&self, id: &ContainerId, path: &str) -> Result<(FileStat, Packed), CopyError> {
        let cell = self.cell(id)?;
        let root = self.root_to_read(&cell).await?;
        let path = plain(path);
        let (told, packed) = run(move || {
            let (node, way) = found(&root, &path, Last::Stay)?;
            let told = stat(&root, &path, &node)?;
            // Of the root the name is empty, and a slash stands before each name in it.
            let name = if told.name == "/" { Vec::new() } else { told.name.clone().into_bytes() };
            let what = Packing { node, way, name, itself: true };
            Ok((told, Packed { root, what }))
        })
        .await?;
        events::noted(self, &cell.record(), "ContainerArchived", "took files");
        Ok((told, packed))
    }

    /// Unpacks an archive, plain or packed, into a folder of a container.
    pub async fn extract(
        &self,
        id: &ContainerId,
        path: &str,
        how: Extraction,
        archive: impl Read + Send + 'static,
    ) -> Result<(), CopyError> {
        let cell = self.cell(id)?;
        let (containers, path) = (self.clone(), path.to_owned());
        let (sender, done) = oneshot::channel();
        // Its layers must stay its own until all is written, also when nobody waits for the answer any more.
        let task = format!("unpack into {}", cell.id.short());
        self.inner.tasks.spawn(task, async move {
            let outcome = containers.extract_now(&cell, path, how, archive).await;
            if outcome.is_ok() {
                events::noted(&containers, &cell.record(), "ContainerExtracted", "put files");
            }
            let _ = sender.send(outcome);
        });
        done.await.unwrap_or_else(|_| {
            Err(ContainerError::Invalid("the unpacking of an archive broke off".into()).into())
        })
    }

    async fn extract_now(
        &self,
        cell: &Arc<Cell>,
        path: String,
        how: Extraction,
        archive: impl Read + Send + 'static,
    ) -> Result<(), CopyError> {
        let live = self.live_root(cell).await;
        let turn = if live.is_some() { None } else { Some(cell.turn.lock().await) };
        // It may have been started while we waited for our turn.
        let live = if live.is_some() { live } else { self.live_root(cell).await };
        let (containers, cell) = (self.clone(), cell.clone());
        let done = run(move || {
            let root = match live {
                Some(root) => root,
                None => containers.writable_root(&cell)?,
            };
            containers.extract_into(&root, &cell.record(), &path, how, archive)
        })
        .await;
        drop(turn);
        done
    }

    fn extract_into(
        &self,
        root: &Root,
        record: &Record,
        path: &str,
        how: Extraction,
        archive: impl Read,
    ) -> Result<(), CopyError> {
        let (node, way) = found(root, &plain(path), Last::Follow)?;
        if !node.is_folder() {
            return Err(CopyError::NotAFolder);
        }
        writable(root, record, &way, &node)?;
        let owner = if how.own { self.user_in(root, record)? } else { None };
        let (_, archive) =
            images::unpacked(archive, &images::Limits::default()).map_err(UnpackError::Read)?;
        base::crash::point("container: about to unpack an archive");
        unpack(root, &way, Unpacking { keep_kinds: how.keep_kinds, owner }, archive)?;
        base::crash::point("container: archive unpacked");
        Ok(())
    }

    /// Prepares an archive of a container's whole root, without what is mounted in it.
    pub async fn export(&self, id: &ContainerId) -> Result<Packed, CopyError> {
        let cell = self.cell(id)?;
        let (containers, here) = (self.clone(), cell.clone());
        let root = off_thread(move || containers.layers(&here)).await?;
        let what = Packing { node: root.top().clone(), way: Vec::new(), name: Vec::new(), itself: false };
        events::noted(self, &cell.record(), "ContainerExported", "exported the root");
        Ok(Packed { root, what })
    }

    async fn root_to_read(&self, cell: &Arc<Cell>) -> Result<Root, ContainerError> {
        match self.live_root(cell).await {
            Some(root) => Ok(root),
            None => match self.resting_root(cell).await {
                // It was started meanwhile.
                Err(ContainerError::Running(name)) => {
                    self.live_root(cell).await.ok_or(ContainerError::NotRunning(name))
                }
                root => root,
            },
        }
    }

    /// Whom a container runs as, by its own lists of users; none for root.
    fn user_in(&self, root: &Root, record: &Record) -> Result<Option<(u32, u32)>, CopyError> {
        let image = self.inner.rooms.images.find(&record.image_id).ok();
        let user = record.service.user.clone().or_else(|| Some(image?.config.config.user.clone()));
        let Some(user) = user.filter(|user| !user.is_empty()) else { return Ok(None) };
        Ok(Some(ids_in(root, &user)?))
    }

    /// Whether a container knows a user, `user[:group]` by name or number; an error says what it does not know.
    pub async fn knows_user(&self, id: &ContainerId, user: &str) -> Result<(), CopyError> {
        let cell = self.cell(id)?;
        let root = self.root_to_read(&cell).await?;
        let user = user.to_owned();
        run(move || ids_in(&root, &user).map(drop)).await
    }
}

/// A user by the lists in a container's own files.
fn ids_in(root: &Root, user: &str) -> Result<(u32, u32), CopyError> {
    let list = |path: &str| {
        let node = root.find(path.as_bytes(), Last::Follow).ok()?.node?;
        if node.kind() != FileType::RegularFile {
            return None;
        }
        let mut text = String::new();
        node.open().ok()?.take(LIST_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    };
    let lists = (list("/etc/passwd").unwrap_or_default(), list("/etc/group").unwrap_or_default());
    ids_of(user, &lists.0, &lists.1).map_err(|why| ContainerError::Invalid(why).into())
}

/// The most of a list of users that is read.
const LIST_BYTES: u64 = 8 << 20;

/// `user[:group]`, by name or number, as numbers; else what is not known.
fn ids_of(user: &str, passwd: &str, group: &str) -> Result<(u32, u32), String> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let line = |text: &str, name: &str| -> Option<(u32, u32)> {
        text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let id: u32 = fields.get(2)?.parse().ok()?;
            (fields[0] == name || fields[2] == name)
                .then(|| (id, fields.get(3).and_then(|gid| gid.parse().ok()).unwrap_or(0)))
        })
    };
    let user = if user.is_empty() { "0" } else { user };
    let (uid, own_gid) = line(passwd, user)
        .or_else(|| Some((user.parse().ok()?, 0)))
        .ok_or_else(|| format!("unable to find user {user}: no matching entries in passwd file"))?;
    let gid = match wanted_group {
        None => own_gid,
        Some(name) => line(group, name)
            .map(|(gid, _)| gid)
            .or_else(|| name.parse().ok())
            .ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?,
    };
    Ok((uid, gid))
}

/// Whether an archive may go into a folder: by the volume that it lies in, else by the root.
fn writable(root: &Root, record: &Record, way: &[OsString], node: &Node) -> Result<(), CopyError> {
    let path = path_of(way);
    let mounts = record.service.mounts.iter().filter(|mount| path.starts_with(&mount.target));
    match mounts.max_by_key(|mount| mount.target.len()) {
        Some(mount) if !matches!(mount.kind, spec::MountKind::Tmpfs(_)) => {
            return if mount.read_only { Err(CopyError::SealedVolume) } else { Ok(()) };
        }
        Some(_) | None => {}
    }
    // Memory that is mounted in a sealed root is not sealed.
    let open = || {
        rustix::fs::fstatvfs(node.fd())
            .is_ok_and(|told| !told.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    };
    if root.sealed() && (!root.lives() || !open()) { Err(CopyError::SealedRoot) } else { Ok(()) }
}

fn found(root: &Root, path: &str, last: Last) -> Result<(Node, Vec<OsString>), CopyError> {
    let found = root.find(path.as_bytes(), last).and_then(crate::root::Found::there);
    found.map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::NOENT) => CopyError::Missing(path.to_owned()),
        _ => CopyError::Path { path: path.to_owned(), source },
    })
}

fn stat(root: &Root, path: &str, node: &Node) -> Result<FileStat, CopyError> {
    let stat = &node.stat;
    let link_target = if node.kind() == FileType::Symlink {
        let led = root.find(path.as_bytes(), Last::Follow);
        led.map(|led| path_of(&led.way).to_string_lossy().into_owned())
            .map_err(|source| CopyError::Path { path: path.to_owned(), source })?
    } else {
        String::new()
    };
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let modified = Timestamp(stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos));
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(FileStat { name: last_name(path), size, mode: stat.st_mode, modified, link_target })
}

/// The last part of a path, which may be `.` or `..`.
fn last_name(path: &str) -> String {
    let bare = path.trim_end_matches('/');
    match bare.rsplit('/').next() {
        Some("") | None => {
            if path.is_empty() {
                ".".into()
            } else {
                "/".into()
            }
        }
        Some(name) => name.to_owned(),
    }
}

/// An absolute path without `..` and doubled slashes, as the words say it; a slash or dot at its end stays.
fn plain(path: &str) -> String {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    let clean: PathBuf = std::iter::once(OsStr::new("/")).chain(parts).collect();
    let mut text = String::from_utf8_lossy(clean.as_os_str().as_bytes()).into_owned();
    let last = path.trim_end_matches('/');
    let dot = last == "." || last.ends_with("/.");
    if (dot || path.ends_with('/')) && !text.ends_with('/') {
        text.push('/');
    }
    if dot {
        text.push('.');
    }
    text
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
) -> Result<T, CopyError> {
    off_thread(move || Ok(work())).await?
}

#[cfg(test)]
mod tests;
