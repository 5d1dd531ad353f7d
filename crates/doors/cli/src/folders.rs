//! Folders that the edge serves itself: what is in them, and its way to the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::{Kind, Report};
use hyper::Method;
use oci::Sha256Hasher;
use spec::{App, FileEntry, FileTree};
use talk::TreeView;

use crate::images::pieces;
use crate::{Session, report};

/// Whether what is missing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The daemon is only asked how it would call the folders.
    Ask,
    /// The daemon gets them.
    Send,
}

/// A folder as it was found.
struct Found {
    list: FileTree,
    /// Where the files are, by digest.
    places: BTreeMap<String, PathBuf>,
}

impl Session {
    /// Has the daemon know the folders of an app, and notes how it calls them.
    pub(crate) async fn take_up_folders(&self, app: &mut App, way: Way) -> Result<(), Report> {
        for (name, service) in &mut app.services {
            for files in &mut service.edge.files {
                let folder = PathBuf::from(&files.folder);
                let found = tokio::task::spawn_blocking(move || look(&folder)).await;
                let found = found.map_err(report_join)?;
                let found = found.map_err(|flaw| {
                    let text = format!("the edge cannot serve `{}` for `{name}`", files.folder);
                    Report::new(Kind::Invalid, text).because(flaw.what).hint(flaw.hint)
                })?;
                files.tree = self.register(&found, way).await?;
            }
        }
        Ok(())
    }

    async fn register(&self, found: &Found, way: Way) -> Result<String, Report> {
        let ask = async || -> Result<TreeView, Report> {
            self.client.call(Method::POST, "/v1/files", &found.list).await.map_err(report)
        };
        let mut view = ask().await?;
        if way == Way::Ask || view.missing.is_empty() {
            return Ok(view.tree);
        }
        for digest in &view.missing {
            let place = found.places.get(digest).ok_or_else(|| damaged(digest))?;
            let file = tokio::fs::File::open(place).await.map_err(|error| {
                Report::new(Kind::Unavailable, format!("could not read `{}`", place.display())).because(error)
            })?;
            let target = format!("/v1/files/{digest}");
            let mut lines =
                self.client.upload(Method::PUT, &target, pieces(Box::new(file))).await.map_err(report)?;
            while lines.next::<serde_json::Value>().await.map_err(report)?.is_some() {}
        }
        view = ask().await?;
        match view.missing.first() {
            None => Ok(view.tree),
            Some(digest) => Err(damaged(digest)),
        }
    }
}

fn damaged(digest: &str) -> Report {
    Report::new(Kind::Unavailable, format!("the file `{digest}` did not arrive"))
        .hint("try again: it may have changed meanwhile")
}

fn report_join(error: tokio::task::JoinError) -> Report {
    Report::new(Kind::Internal, "the look into a folder was broken off").because(error)
}

/// Why a folder cannot be served.
#[derive(Debug)]
struct Flaw {
    what: String,
    hint: &'static str,
}

impl Flaw {
    fn new(what: impl Into<String>, hint: &'static str) -> Self {
        Self { what: what.into(), hint }
    }

    fn io(place: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => {
                "make it, or mend `x-sea.edge.files`; it counts from the project's folder"
            }
            _ => "see who may read it",
        };
        Self::new(format!("`{}`: {error}", place.display()), hint)
    }
}

/// What is in a folder; what is hidden is left out.
fn look(folder: &Path) -> Result<Found, Flaw> {
    let mut found = Found { list: FileTree::default(), places: BTreeMap::new() };
    let mut folders = BTreeSet::from([String::new()]);
    while let Some(prefix) = folders.pop_first() {
        let here = folder.join(&prefix);
        for entry in fs::read_dir(&here).map_err(|error| Flaw::io(&here, &error))? {
            let entry = entry.map_err(|error| Flaw::io(&here, &error))?;
            let place = entry.path();
            let name = entry.file_name().into_string().map_err(|name| {
                let what = format!("the name of `{}` is not UTF-8", name.to_string_lossy());
                Flaw::new(what, "give it another name")
            })?;
            if FileTree::is_hidden(&name) {
                continue;
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|error| Flaw::io(&place, &error))?;
            if kind.is_dir() {
                folders.insert(format!("{path}/"));
            } else if kind.is_file() {
                let file = read(&place)?;
                found.places.insert(file.sha256.clone(), place);
                found.list.files.insert(path, file);
            } else {
                let what = if kind.is_symlink() { "a link" } else { "no regular file" };
                let hint = "the edge serves regular files alone; put the file itself there";
                return Err(Flaw::new(format!("`{}` is {what}", place.display()), hint));
            }
            if found.list.files.len() > FileTree::MOST {
                break;
            }
        }
    }
    match found.list.flaw() {
        None => Ok(found),
        Some(flaw) => Err(Flaw::new(flaw.to_string(), "serve a smaller folder, or let the service do it")),
    }
}

fn read(place: &Path) -> Result<FileEntry, Flaw> {
    let told = |error: &io::Error| Flaw::io(place, error);
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut file = File::options().read(true).custom_flags(no_follow).open(place).map_err(|e| told(&e))?;
    let about = file.metadata().map_err(|e| told(&e))?;
    if about.len() > FileTree::FILE_BYTES.0 {
        let what = format!("`{}` has more than {}", place.display(), FileTree::FILE_BYTES);
        return Err(Flaw::new(what, "let the service send it"));
    }
    let mut sum = Sha256Hasher::new(io::sink());
    let size = io::copy(&mut file, &mut sum).map_err(|e| told(&e))?;
    let (_, digest, _) = sum.finish();
    Ok(FileEntry { sha256: digest.hex().to_owned(), size, modified: about.mtime() })
}
