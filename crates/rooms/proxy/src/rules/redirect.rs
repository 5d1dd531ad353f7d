//! Requests that are sent to another place.

use spec::Redirect;

use super::Incoming;
use crate::refusal::Refusal;

/// Where requests are sent.
pub(crate) struct Away {
    status: u16,
    /// `https://host`, or nothing where the scheme and host stay.
    site: Box<[u8]>,
    /// In the place of the route's prefix, or nothing where the whole path stays.
    path: Option<Box<[u8]>>,
    keep_path: bool,
    keep_query: bool,
}

impl Away {
    pub(crate) fn of(redirect: &Redirect) -> Result<Self, String> {
        if !Redirect::STATUSES.contains(&redirect.status) {
            return Err(format!("{} is no status of a redirect", redirect.status));
        }
        let site = match (redirect.scheme.as_deref(), &redirect.host) {
            (Some(scheme @ ("http" | "https")), Some(host))
                if crate::head::request::is_host(host.as_bytes()) =>
            {
                format!("{scheme}://{host}")
            }
            (None, None) if redirect.path.is_some() => String::new(),
            _ => return Err("a redirect leads to a scheme and a host, or to a path".into()),
        };
        if let Some((path, flaw)) = redirect.path.as_ref().and_then(|path| Some((path, path.flaw()?))) {
            return Err(format!("`{path}` is no path: {flaw}"));
        }
        Ok(Self {
            status: redirect.status,
            site: site.into_bytes().into(),
            path: redirect.path.as_ref().map(|path| path.0.as_bytes().into()),
            keep_path: redirect.keep_path,
            keep_query: redirect.keep_query,
        })
    }

    /// Sends a request away: writes where to, and gives the answer.
    pub(crate) fn send(&self, asked: &Incoming<'_>, lines: &mut Vec<u8>) -> Refusal {
        let (target, path) = (asked.head.target.of(asked.buf), asked.head.path.of(asked.buf));
        let query = if self.keep_query { &target[path.len()..] } else { b"" };
        // `*` asks about the server itself, which has no path to keep.
        let path = if path == b"*" { b"/" } else { path };
        let begin = if self.path.is_some() { asked.prefix.min(path.len()) } else { 0 };
        let mut rest = if self.keep_path { &path[begin..] } else { b"" };
        let mut front: &[u8] = self.path.as_deref().unwrap_or_default();
        if !rest.is_empty() {
            front = front.strip_suffix(b"/").unwrap_or(front);
        }
        // Without a host in front, `//x/` would name one.
        while self.site.is_empty() && front.is_empty() && rest.starts_with(b"//") {
            rest = &rest[1..];
        }
        lines.extend_from_slice(b"location: ");
        lines.extend_from_slice(&self.site);
        lines.extend_from_slice(front);
        lines.extend_from_slice(rest);
        if front.is_empty() && rest.is_empty() {
            lines.push(b'/');
        }
        lines.extend_from_slice(query);
        lines.extend_from_slice(b"\r\n");
        Refusal { status: self.status, ..Refusal::ELSEWHERE }
    }
}
