//! References: what people call an image, in docker's grammar, made whole by docker's rules.

use std::fmt;
use std::str::FromStr;

use base::{Kind, Problem};
use serde::{Deserialize, Serialize};

use crate::Digest;

const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const LIBRARY: &str = "library/";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// An image by name, always whole: `busybox` reads as `docker.io/library/busybox:latest`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image name: {why}")]
pub struct InvalidReference {
    text: String,
    why: &'static str,
    hint: Option<String>,
}

impl Problem for InvalidReference {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Reference {
    /// The registry's host and port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, as in `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; none only where a digest stands instead.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, without tag and digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The shortest name that people know, as in `busybox:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), self.suffix())
    }

    /// The shortest name of the repository, as in `busybox`.
    pub fn familiar_repository(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            self.path.strip_prefix(LIBRARY).unwrap_or(&self.path).to_owned()
        } else {
            self.repository()
        }
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        check_tag(tag).map_err(|why| invalid(tag, why))?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let fail = |why| invalid(text, why);
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| fail("what follows `@` is not a digest"))?))
            }
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to the registry's port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(fail)?;
        }
        if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fail("64 hexadecimal digits are an id, not a name"));
        }
        let (domain, path) = split_domain(name);
        check_domain(&domain).map_err(fail)?;
        check_path(&path).map_err(fail)?;
        if domain.len() + 1 + path.len() > MAX_NAME {
            return Err(fail("it is longer than 255 characters"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self { domain, path, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;
    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn invalid(text: &str, why: &'static str) -> InvalidReference {
    let text: String = text.chars().take(300).collect();
    let lower = text.to_ascii_lowercase();
    let hint = if why == UPPER_CASE && lower.parse::<Reference>().is_ok() {
        Some(format!("write `{lower}`"))
    } else {
        Some(
            "write `[registry[:port]/]repository[:tag][@digest]`, as in `registry.local:5000/team/web:v8`"
                .into(),
        )
    };
    InvalidReference { text, why, hint }
}

const UPPER_CASE: &str = "the repository has upper-case letters";

/// Registry and repository: the first part is a registry if it looks like a host, else docker's own is meant.
fn split_domain(name: &str) -> (String, String) {
    let looks_like_host = |part: &str| {
        part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    let library = if domain == DEFAULT_DOMAIN && !path.contains('/') { LIBRARY } else { "" };
    (domain.to_owned(), format!("{library}{path}"))
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if tag.len() > MAX_TAG {
        return Err("the tag is longer than 128 characters");
    }
    match tag.bytes().next() {
        Some(first) if word(first) && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-') => {
            Ok(())
        }
        Some(_) => {
            Err("a tag holds letters, digits, `_`, `.` and `-`, and begins with a letter, a digit or `_`")
        }
        None => Err("the tag is empty"),
    }
}

fn check_domain(domain: &str) -> Result<(), &'static str> {
    const WHY: &str = "the registry is not a host name with an optional port";
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(WHY)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| WHY)?;
            ("", if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(WHY)?) })
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    let host_fits = domain.starts_with('[') || host.split('.').all(label);
    let port_fits =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    if host_fits && port_fits { Ok(()) } else { Err(WHY) }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(UPPER_CASE);
    }
    if path.split('/').all(is_path_component) {
        return Ok(());
    }
    Err("each part of the repository is made of a-z and 0-9, joined by `.`, `_`, `__` or dashes")
}

/// `[a-z0-9]+` joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_fit =
        part.bytes().next().is_some_and(alphanumeric) && part.bytes().last().is_some_and(alphanumeric);
    let joins_fit = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|join| matches!(join, "" | "." | "_" | "__") || join.bytes().all(|byte| byte == b'-'));
    ends_fit && joins_fit
}

#[cfg(test)]
mod tests;
