//! Files that the edge serves itself (`x-sea.edge.files`), and the list of what is in a folder of them.

use std::collections::BTreeMap;

use base::Bytes;
use serde::{Deserialize, Serialize};

use crate::PathPrefix;

/// A folder of files, and where in the paths of requests it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The path of requests in front of the names of its files, by whole segments.
    pub path: PathPrefix,
    /// The folder, absolute. It is for whoever takes it up, and goes nowhere with the app.
    #[serde(skip)]
    pub folder: String,
    /// What is in it, as the daemon calls it; empty until it was taken up.
    pub tree: String,
    /// What becomes of requests for what is not in it.
    #[serde(default)]
    pub missing: Missing,
    /// `Cache-Control` of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
}

/// What becomes of a request for a file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The service is asked.
    #[default]
    App,
    /// 404.
    NotFound,
    /// Who asks for a page gets the folder's `index.html`, others 404.
    Index,
}

/// The files of a folder, by their paths in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileTree {
    /// As in `css/site.css`.
    pub files: BTreeMap<String, FileEntry>,
}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The SHA-256 of its bytes, as hexadecimal text.
    pub sha256: String,
    /// How many bytes.
    pub size: u64,
    /// When it was changed last, in seconds since 1970.
    pub modified: i64,
}

/// Why a folder cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeFlaw {
    /// Too many files.
    #[error("it has {count} files, and {most} are the most", most = FileTree::MOST)]
    Count {
        /// So many.
        count: usize,
    },
    /// A long file.
    #[error("`{path}` has {size}, and {most} are the most", most = FileTree::FILE_BYTES)]
    Long {
        /// The file.
        path: String,
        /// Its size.
        size: Bytes,
    },
    /// All together are too long.
    #[error("all files have {size} together, and {most} are the most", most = FileTree::ALL_BYTES)]
    LongInAll {
        /// Their size.
        size: Bytes,
    },
    /// No name that a request can have.
    #[error("`{path}` is no name that a request could have")]
    Name {
        /// The file.
        path: String,
    },
    /// No digest.
    #[error("`{path}` has no SHA-256")]
    Digest {
        /// The file.
        path: String,
    },
}

impl FileTree {
    /// The most files of a folder.
    pub const MOST: usize = 10_000;
    /// The longest file.
    pub const FILE_BYTES: Bytes = Bytes(256 << 20);
    /// All files of a folder.
    pub const ALL_BYTES: Bytes = Bytes(1 << 30);

    /// What is wrong with it.
    pub fn flaw(&self) -> Option<TreeFlaw> {
        let count = self.files.len();
        if count > Self::MOST {
            return Some(TreeFlaw::Count { count });
        }
        let all = self.files.values().fold(0u64, |sum, file| sum.saturating_add(file.size));
        let one = |(path, file): (&String, &FileEntry)| {
            let path = || path.clone();
            if !is_name(&path()) {
                Some(TreeFlaw::Name { path: path() })
            } else if file.size > Self::FILE_BYTES.0 {
                Some(TreeFlaw::Long { path: path(), size: Bytes(file.size) })
            } else {
                (!is_digest(&file.sha256)).then(|| TreeFlaw::Digest { path: path() })
            }
        };
        let long = (all > Self::ALL_BYTES.0).then_some(TreeFlaw::LongInAll { size: Bytes(all) });
        self.files.iter().find_map(one).or(long)
    }

    /// Whether a file or folder of this name is left out: what begins with a dot is nobody's business but that of tools.
    pub fn is_hidden(name: &str) -> bool {
        name.starts_with('.') && name != ".well-known"
    }
}

/// A path as it stands in a list: segments that lead down, without hidden ones.
fn is_name(path: &str) -> bool {
    let segment = |part: &str| !part.is_empty() && part != ".." && part != "." && !FileTree::is_hidden(part);
    (1..=1024).contains(&path.len())
        && path.split('/').all(segment)
        && !path.chars().any(|c| c.is_control() || c == '\\')
}

/// Whether this is a SHA-256 as hexadecimal text.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
