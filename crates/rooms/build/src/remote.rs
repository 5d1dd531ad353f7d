//! What lies behind a URL: which are git's, and what files are called.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use base::{Kind, Report, percent};
use oci::{Digest, Sha256Hasher};

use crate::git::Repository;
use crate::order::Cancel;
use crate::ports::{Fetched, Fetcher, Moved};

/// Whether the text names a file behind HTTP.
pub(crate) fn is_http(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Whether the text names a git repository, as BuildKit tells them.
pub(crate) fn is_git(text: &str) -> bool {
    Repository::parse(text).is_some()
}

/// Whether the text names something that is not in the context.
pub(crate) fn is_remote(text: &str) -> bool {
    is_git(text) || is_http(text)
}

/// The name of the file that a URL names, if its path has one.
pub(crate) fn file_name(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (_, path) = rest.split_once('/')?;
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    let named = !last.is_empty() && last != "." && last != "..";
    named.then(|| percent::decode(last)).filter(|name| !name.contains(['/', '\0']))
}

/// The digest of a file's content.
pub(crate) fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256Hasher::new(io::sink());
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finish().1)
}

/// Stands where nobody handed in a fetcher.
pub(crate) struct NoFetcher;

impl Fetcher for NoFetcher {
    fn fetch(
        &self,
        url: &str,
        _most: u64,
        _to: &mut dyn Write,
        _told: &mut dyn FnMut(Moved),
        _cancel: &Cancel,
    ) -> Result<Fetched, Report> {
        let text = format!("`{url}` cannot be fetched: this builder has no way to the network");
        Err(Report::new(Kind::Unsupported, text))
    }
}

impl fmt::Debug for NoFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoFetcher")
    }
}
