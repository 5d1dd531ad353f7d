//! What lies behind a URL: which are git's, and the refusal of those.

use std::fmt;
use std::io::Write;

use base::{Kind, Report};

use crate::order::Cancel;
use crate::ports::{Fetched, Fetcher, Moved};

/// Whether the text names a file behind HTTP.
pub(crate) fn is_http(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Whether the text names a git repository, as docker's clients and BuildKit tell them.
pub(crate) fn is_git(text: &str) -> bool {
    if ["git://", "git@", "ssh://"].iter().any(|scheme| text.starts_with(scheme)) {
        return true;
    }
    if is_http(text) {
        let path = text.split(['#', '?']).next().unwrap_or(text);
        return path.ends_with(".git");
    }
    text.starts_with("github.com/")
}

/// Why a git repository is not fetched.
pub(crate) fn git_refused(url: &str) -> Report {
    Report::new(Kind::Unsupported, format!("the git repository `{url}` cannot be a source here"))
        .because("this program does not speak git")
        .hint("clone it first and build from the folder, or name a tar archive of it by its URL")
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
