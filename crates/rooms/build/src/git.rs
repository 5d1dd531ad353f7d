//! Git repositories as contexts and as sources of ADD, fetched by the program `git` of this machine.
//!
//! As with BuildKit, a branch goes before a tag of the same name, one commit is fetched and not all, and what is checked
//! out has the permissions that git keeps. Nothing is asked of a terminal, no configuration but ours is read, and only
//! `http`, `https`, `git` and `ssh` are spoken, also by repositories within repositories.

mod program;
mod repository;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Bytes, Kind, Report, kernel_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::context::Limits;
use crate::mounts::Access;
use crate::order::Cancel;
use crate::ports::{Agents, Secrets};
use crate::private::{Agent, Private};
use program::{Failed, Git, Variables};
use repository::is_commit;

pub use repository::Repository;

/// What a checkout takes along.
pub struct Checkout<'a> {
    /// Which repository.
    pub repository: &'a Repository,
    /// Whether `.git` stays.
    pub keep_git: bool,
    /// Where logins for repositories are: `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER`, also with `.HOST` behind.
    pub secrets: &'a dyn Secrets,
    /// The agent for repositories over ssh.
    pub agents: &'a Arc<dyn Agents>,
    /// Ends it.
    pub cancel: &'a Cancel,
}

/// What the reference of a repository means.
struct Resolved {
    /// Its whole name; none for a commit.
    name: Option<String>,
    /// The object that it names.
    object: String,
    /// The commit behind it, if it is a tag with a text of its own.
    peeled: Option<String>,
}

/// Checks a repository out into an empty folder, and gives the commit. `kept` is a folder for what is remembered of hosts.
pub(crate) fn checkout(order: &Checkout<'_>, kept: &Path, into: &Path) -> Result<String, Report> {
    let repository = order.repository;
    let shown = repository.shown();
    let failed = |error: io::Error| {
        Report::new(Kind::Unavailable, format!("could not keep the repository `{shown}`")).because(error)
    };
    let home = Private::new(kept).map_err(failed)?;
    let mut variables = login(repository, order.secrets)?;
    let _agent = if repository.is_ssh() {
        let (agent, more) = ssh(order, home.path(), kept)?;
        variables.extend(more);
        Some(agent)
    } else {
        None
    };
    let git = Git::new(home.path(), variables, order.cancel);
    let work = if repository.folder.is_empty() {
        into.to_owned()
    } else {
        into.join(format!(".checkout-{:x}", u64::from_le_bytes(kernel_bytes())))
    };
    fs::create_dir_all(&work).map_err(failed)?;
    let fetching = Fetching { git: &git, repository, shown: &shown, work: &work };
    let commit = fetching.all()?;
    let keep = order.keep_git;
    if !keep {
        fs::remove_dir_all(work.join(".git")).map_err(failed)?;
    }
    settle(&work, keep, &mut Limits::default()).map_err(failed)?;
    if work != into {
        only(&work, into, &repository.folder, &shown)?;
    }
    Ok(commit)
}

/// An address that makes no sense.
pub(crate) fn wrong(address: &str, why: &str) -> Report {
    Report::new(Kind::Invalid, format!("`{address}` is no address of a git repository"))
        .because(why)
        .hint("write it as `https://host/repository.git#branch:folder`")
}

/// What is done for one repository.
struct Fetching<'a> {
    git: &'a Git<'a>,
    repository: &'a Repository,
    shown: &'a str,
    work: &'a Path,
}

impl Fetching<'_> {
    fn all(&self) -> Result<String, Report> {
        self.run(&["init", "-q", "--template="])?;
        let resolved = self.resolve()?;
        self.check(&resolved)?;
        self.run(&["remote", "add", "origin", &self.repository.remote])?;
        self.fetch(&resolved)?;
        let object = resolved.name.as_ref().map_or(resolved.object.as_str(), |_| "FETCH_HEAD");
        let commit = self.run(&["rev-parse", "--verify", &format!("{object}^{{commit}}")])?.trim().to_owned();
        let wanted = resolved.peeled.as_ref().unwrap_or(&resolved.object);
        // A branch may have moved between the two questions; a commit that is wanted must be it all the same.
        if *wanted != commit && self.repository.commit.is_some() {
            self.check(&Resolved { name: None, object: commit.clone(), peeled: None })?;
        }
        self.run(&["-c", "core.logAllRefUpdates=false", "checkout", "-q", "--force", "--detach", &commit])?;
        if self.repository.submodules && self.work.join(".gitmodules").exists() {
            let update = ["submodule", "update", "-q", "--init", "--recursive"];
            self.shallow(&[&update[..], &["--depth=1"]].concat(), &update)?;
        }
        Ok(commit)
    }

    fn run(&self, arguments: &[&str]) -> Result<String, Report> {
        self.git.run(self.work, arguments).map_err(|failed| self.report(failed))
    }

    fn report(&self, failed: Failed) -> Report {
        match failed {
            Failed::Over(report) => report,
            Failed::Said(complaint) => {
                let text = format!("could not fetch the git repository `{}`", self.shown);
                let complaint = complaint.replace(&self.repository.remote, self.shown);
                Report::new(Kind::Unavailable, text).because(complaint.lines().collect::<Vec<_>>().join("; ")).hint(
                    "see that the address is right; logins are the secrets GIT_AUTH_TOKEN and GIT_AUTH_HEADER, or an ssh agent (`--ssh default`)",
                )
            }
        }
    }

    /// What the reference means now.
    fn resolve(&self) -> Result<Resolved, Report> {
        let remote = &self.repository.remote;
        let reference = match &self.repository.reference {
            Some(commit) if is_commit(commit) => {
                return Ok(Resolved { name: None, object: commit.clone(), peeled: None });
            }
            Some(reference) => reference.clone(),
            None => {
                let said = self.run(&["ls-remote", "--symref", "--", remote, "HEAD"])?;
                let head = said.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
                head.unwrap_or("HEAD").to_owned()
            }
        };
        let said = self.run(&["ls-remote", "--", remote, &reference, &format!("{reference}^{{}}")])?;
        found(&said, &reference).ok_or_else(|| {
            let text = format!("the git repository `{}` has no `{reference}`", self.shown);
            Report::new(Kind::NotFound, text).hint("name a branch, a tag or a whole commit behind `#`")
        })
    }

    /// It must be the commit that the address asks for.
    fn check(&self, resolved: &Resolved) -> Result<(), Report> {
        let Some(wanted) = &self.repository.commit else { return Ok(()) };
        if wanted.is_empty() || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let text = format!("invalid checksum {wanted} for Git URL, expected hex commit hash");
            return Err(Report::new(Kind::Invalid, text));
        }
        let has = |object: &String| object.starts_with(wanted.to_ascii_lowercase().as_str());
        if has(&resolved.object) || resolved.peeled.as_ref().is_some_and(has) {
            return Ok(());
        }
        let got = resolved.peeled.as_ref().map_or(String::new(), |peeled| format!(" or {peeled}"));
        let text = format!("expected checksum to match {wanted}, got {}{got}", resolved.object);
        Err(Report::new(Kind::Invalid, text)
            .hint("name the commit that you mean, if the repository moved on rightly"))
    }

    /// Fetches one commit; all of them where the server gives no single one.
    fn fetch(&self, resolved: &Resolved) -> Result<(), Report> {
        let wanted = match &resolved.name {
            // A tag stays one, for whoever keeps the repository.
            Some(tag) if tag.starts_with("refs/tags/") => format!("+{tag}:{tag}"),
            Some(name) => name.clone(),
            None => resolved.object.clone(),
        };
        let whole = ["fetch", "-q", "--no-tags", "origin", "--", &wanted];
        let one = ["fetch", "-q", "--no-tags", "--depth=1", "origin", "--", &wanted];
        match (self.shallow(&one, &whole), &resolved.name) {
            (Ok(()), _) => Ok(()),
            (Err(report), Some(_)) => Err(report),
            (Err(_), None) => self.run(&["fetch", "-q", "--tags", "origin"]).map(drop),
        }
    }

    /// Runs the first, and the second where a server knows no commits without what was before them.
    fn shallow(&self, first: &[&str], second: &[&str]) -> Result<(), Report> {
        match self.git.run(self.work, first) {
            Ok(_) => Ok(()),
            Err(Failed::Said(complaint))
                if complaint.contains("shallow") || complaint.contains("--depth") =>
            {
                self.run(second).map(drop)
            }
            Err(failed) => Err(self.report(failed)),
        }
    }
}

/// What a reference means in a server's list: its whole name first, then a branch, then a tag.
fn found(list: &str, reference: &str) -> Option<Resolved> {
    let object = |name: &str| list.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix('\t'));
    let whole = format!("refs/{}", reference.trim_start_matches("refs/"));
    let branch = format!("refs/heads/{}", reference.trim_start_matches("refs/heads/"));
    let tag = format!("refs/tags/{}", reference.trim_start_matches("refs/tags/"));
    let name = [reference.to_owned(), whole, branch, tag]
        .into_iter()
        .find(|name| (name.starts_with("refs/") || name == "HEAD") && object(name).is_some())?;
    let peeled = object(&format!("{name}^{{}}")).map(str::to_owned);
    Some(Resolved { object: object(&name)?.to_owned(), name: Some(name), peeled })
}

/// What is seen of logins for repositories over HTTP; the secrets stand in no list of processes.
fn login(repository: &Repository, secrets: &dyn Secrets) -> Result<Variables, Report> {
    let Some((host, scope)) = repository.web() else { return Ok(Vec::new()) };
    for (name, is_token) in [
        (format!("GIT_AUTH_HEADER.{host}"), false),
        (format!("GIT_AUTH_TOKEN.{host}"), true),
        ("GIT_AUTH_HEADER".to_owned(), false),
        ("GIT_AUTH_TOKEN".to_owned(), true),
    ] {
        let Some(secret) = secrets.secret(&name)? else { continue };
        let text = String::from_utf8_lossy(&secret.0).trim().to_owned();
        let value = match is_token {
            true => format!("basic {}", STANDARD.encode(format!("x-access-token:{text}"))),
            false => text,
        };
        return Ok(vec![
            ("GIT_CONFIG_COUNT", "1".into()),
            ("GIT_CONFIG_KEY_0", format!("http.{scope}.extraheader").into()),
            ("GIT_CONFIG_VALUE_0", format!("Authorization: {value}").into()),
        ]);
    }
    Ok(Vec::new())
}

/// The way over ssh: by the client's agent, and by no key of this machine.
fn ssh(order: &Checkout<'_>, home: &Path, kept: &Path) -> Result<(Agent, Variables), Report> {
    const ID: &str = "default";
    if !order.agents.has(ID) {
        let text =
            format!("no SSH key {ID:?} was given for the git repository `{}`", order.repository.shown());
        return Err(Report::new(Kind::NotFound, text).hint("give the build an agent, with `--ssh default`"));
    }
    let socket = home.join("agent");
    let access = Access { uid: 0, gid: 0, mode: 0o600 };
    let agent = Agent::listen(&socket, ID, order.agents, access).map_err(|error| {
        Report::new(Kind::Unavailable, "could not lend the ssh agent to `git`").because(error)
    })?;
    let hosts = kept.join("known_hosts").display().to_string().replace('\'', "'\\''");
    let command = format!(
        "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o StrictHostKeyChecking=accept-new \
         -o 'UserKnownHostsFile=\"{hosts}\"'"
    );
    Ok((agent, vec![("SSH_AUTH_SOCK", socket.into()), ("GIT_SSH_COMMAND", command.into())]))
}

/// Gives files the permissions that git keeps, takes what leads to the repository out, and minds what is left of the bounds.
fn settle(folder: &Path, keep: bool, left: &mut Limits) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, meta) = (entry.path(), entry.metadata()?);
        if entry.file_name() == ".git" {
            match (keep, meta.is_dir()) {
                (true, _) => {}
                (false, true) => fs::remove_dir_all(&path)?,
                (false, false) => fs::remove_file(&path)?,
            }
            continue;
        }
        let less = left.bytes.checked_sub(meta.len()).zip(left.entries.checked_sub(1));
        let all = Limits::default();
        let too_much =
            || io::Error::other(format!("it holds more than {} or {} files", Bytes(all.bytes), all.entries));
        (left.bytes, left.entries) = less.ok_or_else(too_much)?;
        if meta.is_dir() {
            settle(&path, keep, left)?;
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Leaves only a folder of what was checked out. Links do not lead out of it.
fn only(work: &Path, into: &Path, folder: &str, shown: &str) -> Result<(), Report> {
    let missing = |why: &str| {
        let text = format!("the git repository `{shown}` has no folder `{folder}`");
        Report::new(Kind::NotFound, text).because(why)
    };
    let failed = |error: io::Error| missing(&error.to_string());
    let root = work.canonicalize().map_err(failed)?;
    let real: PathBuf = root.join(folder).canonicalize().map_err(failed)?;
    if !real.starts_with(&root) {
        return Err(missing("a link leads out of the repository"));
    }
    if !real.is_dir() {
        return Err(missing("it is a file"));
    }
    for entry in fs::read_dir(&real).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        fs::rename(entry.path(), into.join(entry.file_name())).map_err(failed)?;
    }
    fs::remove_dir_all(work).map_err(failed)
}
