//! The address of a git repository, as docker's clients and BuildKit write it: `REMOTE[?QUERY][#REF[:FOLDER]]`. Pure.

use base::path::clean;

/// A repository, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Where it is, as git takes it.
    pub remote: String,
    /// A branch, a tag, or a commit; the repository's own choice when none.
    pub reference: Option<String>,
    /// Only this folder of it, relative and without `..`; all when empty.
    pub folder: String,
    /// The beginning of the commit that it must be.
    pub commit: Option<String>,
    /// Whether `.git` stays, if the address says so.
    pub keep_git: Option<bool>,
    /// Whether the repositories within it are fetched too.
    pub submodules: bool,
}

impl Repository {
    /// Reads an address: none if it is not one of a git repository, or why it makes no sense.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = before.split_once('?').unwrap_or((before, ""));
        is_remote(remote).then(|| Self::new(remote, query, fragment))
    }

    /// The same of a context, where `github.com/…` is one too.
    pub fn parse_context(text: &str) -> Option<Result<Self, String>> {
        match text.strip_prefix("github.com/") {
            Some(rest) => {
                let (before, fragment) = rest.split_once('#').unwrap_or((rest, ""));
                let (path, query) = before.split_once('?').unwrap_or((before, ""));
                Some(Self::new(&format!("https://github.com/{path}"), query, fragment))
            }
            None => Self::parse(text),
        }
    }

    fn new(remote: &str, query: &str, fragment: &str) -> Result<Self, String> {
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut read = Self {
            remote: remote.to_owned(),
            reference: Some(reference.to_owned()).filter(|text| !text.is_empty()),
            folder: inside(folder),
            commit: None,
            keep_git: None,
            submodules: true,
        };
        let mut seen: Vec<&str> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&name) {
                return Err(format!("query \"{name}\" has multiple values"));
            }
            seen.push(name);
            read.query(name, &base::percent::decode(value))?;
        }
        if seen.contains(&"tag") && seen.contains(&"branch") {
            return Err("branch conflicts with tag".to_owned());
        }
        match &read.reference {
            Some(reference) if reference.starts_with('-') || reference.contains(char::is_whitespace) => {
                Err(format!("invalid refspec: {reference}"))
            }
            Some(_) | None => Ok(read),
        }
    }

    fn query(&mut self, name: &str, value: &str) -> Result<(), String> {
        let truth = || match value {
            "" | "1" | "t" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(false),
            other => Err(format!("invalid {name} value: {other:?}")),
        };
        match name {
            "keep-git-dir" => self.keep_git = Some(truth()?),
            "submodules" => self.submodules = truth()?,
            "ref" | "tag" | "branch" | "subdir" | "checksum" | "commit" if value.is_empty() => {
                return Err(format!("query {name:?} has no value"));
            }
            "ref" => self.refer(value.to_owned())?,
            "tag" => self.refer(format!("refs/tags/{}", value.trim_start_matches("refs/tags/")))?,
            "branch" => self.refer(format!("refs/heads/{}", value.trim_start_matches("refs/heads/")))?,
            "subdir" => {
                let folder = inside(value);
                if !self.folder.is_empty() && self.folder != folder {
                    return Err(format!("subdir conflicts: {:?} vs {value:?}", self.folder));
                }
                self.folder = folder;
            }
            "checksum" | "commit" => self.commit = Some(value.to_owned()),
            other => return Err(format!("unexpected query {other:?}")),
        }
        Ok(())
    }

    fn refer(&mut self, reference: String) -> Result<(), String> {
        match &self.reference {
            Some(other) if *other != reference => Err(format!("ref conflicts: {other:?} vs {reference:?}")),
            Some(_) | None => {
                self.reference = Some(reference);
                Ok(())
            }
        }
    }

    /// The address without a password that may be in it, for people.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.remote.split_once("://") else { return self.remote.clone() };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        match authority.rsplit_once('@') {
            Some((_, host)) if authority.contains(':') => format!("{scheme}://xxxxx@{host}/{path}"),
            Some(_) | None => self.remote.clone(),
        }
    }

    /// Whether it is reached over ssh.
    pub(super) fn is_ssh(&self) -> bool {
        !self.remote.contains("://") || self.remote.starts_with("ssh://")
    }

    /// Its host over HTTP, and the part of its address that a login is for.
    pub(super) fn web(&self) -> Option<(&str, String)> {
        let (scheme, rest) =
            self.remote.split_once("://").filter(|(scheme, _)| scheme.starts_with("http"))?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let host = authority.rsplit('@').next().unwrap_or(authority);
        Some((host, format!("{scheme}://{host}/")))
    }
}

/// Whether git fetches from there.
fn is_remote(remote: &str) -> bool {
    match remote.split_once("://") {
        Some(("http" | "https", rest)) => {
            rest.split_once('/').is_some_and(|(host, path)| !host.is_empty() && path.ends_with(".git"))
        }
        Some(("git" | "ssh", rest)) => !rest.is_empty() && !rest.starts_with('-'),
        Some(_) => false,
        None => is_scp(remote),
    }
}

/// `user@host:path`.
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let plain = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
    };
    plain(user, "-_") && plain(host, "-.") && !path.is_empty()
}

/// A folder within the repository, whatever is written.
fn inside(text: &str) -> String {
    clean(&format!("/{text}")).trim_start_matches('/').to_owned()
}

/// Whether this is a whole commit's name.
pub(super) fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    //! Tests of addresses.

    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(text: &str, read: Expect) {
        let shown = match Repository::parse(text) {
            None => "none".to_owned(),
            Some(Err(why)) => why,
            Some(Ok(it)) => format!(
                "{} {:?} {:?} {:?} keep={:?} submodules={}",
                it.remote, it.reference, it.folder, it.commit, it.keep_git, it.submodules
            ),
        };
        read.assert_eq(&shown);
    }

    #[test]
    fn addresses_say_where_and_what() {
        check("https://h/r.git", expect![[r#"https://h/r.git None "" None keep=None submodules=true"#]]);
        check(
            "http://h:80/a/r.git#v1:sub/../d",
            expect![[r#"http://h:80/a/r.git Some("v1") "d" None keep=None submodules=true"#]],
        );
        check(
            "git@h.example:a/r#:../../x",
            expect![[r#"git@h.example:a/r None "x" None keep=None submodules=true"#]],
        );
        check("git://h/r#main", expect![[r#"git://h/r Some("main") "" None keep=None submodules=true"#]]);
        check(
            "ssh://me@h:22/r?tag=v1&keep-git-dir&submodules=false&commit=abc&subdir=a%2Fb",
            expect![[
                r#"ssh://me@h:22/r Some("refs/tags/v1") "a/b" Some("abc") keep=Some(true) submodules=false"#
            ]],
        );
        assert_eq!(
            Repository::parse_context("github.com/a/b#c").unwrap().unwrap().remote,
            "https://github.com/a/b"
        );
    }

    #[test]
    fn what_is_none_is_no_repository() {
        for text in [
            "https://h/r.tar",
            "https://.git",
            "file:///r.git",
            "ext::sh",
            "a/b",
            "github.com/a/b.git",
            "./a@b:c",
            "a@-b:c",
        ] {
            check(text, expect!["none"]);
        }
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        check("git://h/r#-x", expect!["invalid refspec: -x"]);
        check("git://h/r?ref=a#b", expect![[r#"ref conflicts: "b" vs "a""#]]);
        check("git://h/r?tag=a&branch=b", expect![[r#"ref conflicts: "refs/tags/a" vs "refs/heads/b""#]]);
        check("git://h/r?ref=", expect![[r#"query "ref" has no value"#]]);
        check("git://h/r?depth=1", expect![[r#"unexpected query "depth""#]]);
        check("git://h/r?ref=a&ref=a", expect![[r#"query "ref" has multiple values"#]]);
        check("git://h/r?keep-git-dir=x", expect![[r#"invalid keep-git-dir value: "x""#]]);
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = |text: &str| Repository::parse(text).unwrap().unwrap().shown();
        assert_eq!(shown("https://me:secret@h/r.git"), "https://xxxxx@h/r.git");
        assert_eq!(shown("https://me@h/r.git"), "https://me@h/r.git");
        let repository = Repository::parse("https://me:x@h:1/r.git").unwrap().unwrap();
        assert_eq!(repository.web(), Some(("h:1", "https://h:1/".to_owned())));
    }
}
