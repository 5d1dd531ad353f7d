//! Files that the edge serves itself: kept by what is in them, listed by folder.
//!
//! Owns `edge/files/`. A file lies there under the SHA-256 of its bytes, and a list of a folder under its own digest, as
//! `DIGEST.tree`. So a folder that a release names never changes, files that two releases share lie there once, and no
//! request names a place on the disk: it is looked up in the list, and what is opened is a digest.
//!
//! Invariant: what bears a final name is whole. It is written under `incoming/` and renamed once its digest agrees, and a
//! list is kept only when all its files are.

mod answer;
mod kinds;
mod store;
mod wanted;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base::Timestamp;
use resilience::http_date;
use spec::{FileTree, Files, Missing};

use crate::events;

pub(crate) use answer::{Answer, Conditions};
pub use store::{FileStore, FilesError, Swept};
pub(crate) use wanted::{Found, Served, Wanted};

/// The folder under the edge's own.
const FOLDER: &str = "files";

/// A file as it is served.
#[derive(Debug)]
pub(crate) struct Entry {
    name: Box<str>,
    /// With its quotes.
    pub(crate) etag: Box<str>,
    pub(crate) size: u64,
    pub(crate) modified: i64,
    /// The same moment in words.
    pub(crate) date: Box<str>,
}

/// A folder's list, ready for requests.
#[derive(Debug)]
pub(crate) struct Index {
    tree: String,
    folder: PathBuf,
    files: HashMap<Box<str>, Entry>,
}

impl Index {
    fn read(folder: &Path, tree: &str) -> io::Result<Self> {
        let bytes = std::fs::read(folder.join(store::tree_name(tree)))?;
        let list: FileTree = serde_json::from_slice(&bytes)?;
        let entry = |(path, file): (String, spec::FileEntry)| {
            let etag = format!("\"{}\"", file.sha256.get(..32).unwrap_or_default()).into();
            let date = http_date::write(Timestamp::from_secs(file.modified)).into();
            let (size, modified) = (file.size, file.modified);
            (path.into_boxed_str(), Entry { name: file.sha256.into(), etag, size, modified, date })
        };
        let files = list.files.into_iter().map(entry).collect();
        Ok(Self { tree: tree.to_owned(), folder: folder.to_owned(), files })
    }

    fn get(&self, path: &str) -> Option<&Entry> {
        self.files.get(path)
    }

    /// Where a file of the list lies.
    pub(crate) fn place(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&*entry.name)
    }
}

/// A folder and where it is found, as a service wants it.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Without a slash at its end; empty for every path.
    prefix: Box<[u8]>,
    tree: String,
    missing: Missing,
    /// The line of its answers.
    cache: Box<[u8]>,
    index: OnceLock<Arc<Index>>,
}

impl Shelf {
    /// What this wants, or what is wrong with it.
    fn of(files: &Files) -> Result<Self, String> {
        if let Some(flaw) = files.path.flaw() {
            return Err(format!("`{}` is no path: {flaw}", files.path));
        }
        if !spec::is_digest(&files.tree) {
            return Err(format!("the folder for `{}` was not taken up", files.path));
        }
        if files.cache.as_ref().is_some_and(|cache| !spec::HeaderRules::is_value(cache)) {
            return Err("`Cache-Control` cannot have this value".into());
        }
        let cache = files.cache.as_ref().map(|cache| format!("cache-control: {cache}\r\n"));
        Ok(Self {
            prefix: files.path.0.trim_end_matches('/').as_bytes().into(),
            tree: files.tree.clone(),
            missing: files.missing,
            cache: cache.unwrap_or_default().into_bytes().into(),
            index: OnceLock::new(),
        })
    }
}

/// The folders of a service, the longest path first.
#[derive(Debug)]
pub(crate) struct Shelves(Vec<Arc<Shelf>>);

impl Shelves {
    /// What a service wants, if it wants any, or what is wrong with it.
    pub(crate) fn of(files: &[Files]) -> Result<Option<Self>, String> {
        let shelf = |files| Shelf::of(files).map(Arc::new);
        let mut shelves: Vec<_> = files.iter().map(shelf).collect::<Result<_, _>>()?;
        shelves.sort_by_key(|shelf| std::cmp::Reverse(shelf.prefix.len()));
        if let Some(twice) = shelves.windows(2).find(|two| two[0].prefix == two[1].prefix) {
            return Err(format!("two folders are at `{}/`", String::from_utf8_lossy(&twice[0].prefix)));
        }
        Ok((!shelves.is_empty()).then_some(Self(shelves)))
    }

    /// Makes the lists ready: those of the table before, or as they lie on the disk. One that is not there is as good as
    /// empty, and told.
    pub(crate) fn load(&self, edge: &Path, before: &[&Self]) {
        let known = before.iter().flat_map(|shelves| &shelves.0).filter_map(|shelf| shelf.index.get());
        let known: Vec<_> = known.collect();
        for shelf in &self.0 {
            let kept = known.iter().find(|index| index.tree == shelf.tree).map(|index| Arc::clone(index));
            let read = || Index::read(&edge.join(FOLDER), &shelf.tree).map(Arc::new);
            match kept.map_or_else(read, Ok) {
                Ok(index) => drop(shelf.index.set(index)),
                Err(error) => events::no_list(&shelf.tree, &error),
            }
        }
    }
}
