//! COPY and ADD: which files, to which places, as whom; then their digest, then the copy.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;

use crate::archive::{self, Packing, Reason};
use crate::chmod::Chmod;
use crate::dockerfile::Transfer;
use crate::error::StepFault;
use crate::git::Repository;
use crate::ignore::Ignore;
use crate::ports::Fetched;
use crate::remote;
use crate::settings::Settings;
use crate::source;
use crate::tree::{Node, Tree, kind};
use crate::upper::{Attributes, How, Upper};
use crate::users::{Owner, owner};

/// A COPY or ADD whose variables are expanded and whose sources are found.
pub(crate) struct Plan {
    items: Vec<Item>,
    /// The absolute path in the image; a slash at its end asks for a folder.
    target: String,
    owner: Option<Owner>,
    mode: Option<Chmod>,
    exclude: Option<Ignore>,
    unpack: bool,
    parents: bool,
    /// What the history says.
    pub line: String,
    /// Sources that mean no file.
    pub empty: Vec<String>,
}

enum Item {
    /// A path in the source's tree: with `--parents`, what is above the cut, and what is kept; else all in `kept`.
    Path { above: PathBuf, kept: PathBuf },
    /// A file whose text stands in the Dockerfile.
    Text { name: String, text: String },
    /// A repository that was checked out, and all that decides what it holds.
    Repository { folder: PathBuf, is: String },
    /// A file that was fetched.
    Fetched { name: String, file: PathBuf, mtime_secs: i64, unpack: bool },
}

/// Where a transfer takes its files from, and where it puts them.
pub(crate) struct Ends<'a> {
    /// Where sources are.
    pub from: &'a Tree,
    /// What that is called.
    pub place: &'a str,
    /// The stage itself.
    pub here: &'a Tree,
}

/// A file that was fetched, and what came along with it.
pub(crate) type Got = Result<(PathBuf, Fetched), StepFault>;

/// Gets what is in no tree.
pub(crate) trait Fetch {
    /// What a URL names, with the digest that it must have.
    fn url(&self, url: &str, wanted: Option<&Digest>) -> Got;

    /// A folder with what a repository holds, and its commit.
    fn repository(&self, repository: &Repository, keep_git: bool) -> Result<(PathBuf, String), StepFault>;
}

impl Plan {
    /// Expands, finds, and fetches.
    pub(crate) fn new(
        transfer: &Transfer,
        add: bool,
        settings: &Settings,
        ends: &Ends<'_>,
        fetch: &dyn Fetch,
    ) -> Result<Self, StepFault> {
        let flags = &transfer.flags;
        let mut line = if add { "ADD" } else { "COPY" }.to_owned();
        if flags.parents {
            line.push_str(" --parents");
        }
        let mut owned = None;
        if let Some(text) = &flags.chown {
            let text = settings.expand(text)?;
            owned = Some(owner(&text, ends.here)?);
            line.push_str(&format!(" --chown={text}"));
        }
        let mut mode = None;
        if let Some(text) = &flags.chmod {
            let text = settings.expand(text)?;
            mode = Some(Chmod::parse(&text)?);
            line.push_str(&format!(" --chmod={text}"));
        }
        let exclude = match flags.exclude.as_slice() {
            [] => None,
            patterns => {
                let patterns: Vec<String> =
                    patterns.iter().map(|text| settings.expand(text)).collect::<Result<_, _>>()?;
                Some(Ignore::from_flags(&patterns).map_err(StepFault::Exclude)?)
            }
        };
        let target = settings.expand(&transfer.target)?;
        let mut plan = Self {
            items: Vec::new(),
            target: settings.absolute(&target),
            owner: owned,
            mode,
            exclude,
            unpack: flags.unpack.unwrap_or(add),
            parents: flags.parents,
            line,
            empty: Vec::new(),
        };
        let sources: Vec<String> =
            transfer.sources.iter().map(|text| settings.expand(text)).collect::<Result<_, _>>()?;
        let checksum = checksum(transfer, &sources, settings)?;
        for source in sources {
            plan.line.push_str(&format!(" {source}"));
            match Repository::parse(&source).filter(|_| add) {
                Some(repository) => plan.repository(&source, repository, transfer, &checksum, fetch)?,
                None => {
                    plan.source(source, add, flags.unpack, ends, &|url| fetch.url(url, checksum.digest()))?
                }
            }
        }
        for heredoc in &transfer.heredocs {
            let text =
                if heredoc.expand { settings.expand_heredoc(&heredoc.text)? } else { heredoc.text.clone() };
            plan.line.push_str(&format!(" <<{}", heredoc.name));
            plan.items.push(Item::Text { name: heredoc.name.clone(), text });
        }
        plan.line.push_str(&format!(" {target}"));
        if plan.items.len() > 1 && !plan.target.ends_with('/') && !plan.parents {
            return Err(StepFault::TargetIsFile { sources: plan.items.len(), target });
        }
        Ok(plan)
    }

    /// Checks a repository out.
    fn repository(
        &mut self,
        source: &str,
        repository: Result<Repository, String>,
        transfer: &Transfer,
        checksum: &Checksum,
        fetch: &dyn Fetch,
    ) -> Result<(), StepFault> {
        let failed = |report| StepFault::Fetch(source.to_owned(), report);
        let mut repository = repository.map_err(|why| failed(crate::git::wrong(source, &why)))?;
        let keep = match (transfer.flags.keep_git_dir, repository.keep_git) {
            (Some(flag), Some(own)) if flag != own => {
                return Err(failed(crate::git::wrong(source, "inconsistent keep-git-dir configuration")));
            }
            (flag, own) => own.or(flag).unwrap_or(false),
        };
        if let Checksum::Commit(commit) = checksum {
            if repository.commit.as_ref().is_some_and(|own| own != commit) {
                return Err(failed(crate::git::wrong(
                    source,
                    "the checksum and the address name other commits",
                )));
            }
            repository.commit = Some(commit.clone());
        }
        let (folder, commit) = fetch.repository(&repository, keep)?;
        let Repository { remote, reference, folder: inside, submodules, .. } = &repository;
        // Whoever keeps the repository keeps its address too.
        let kept = keep.then_some((remote, reference));
        self.items
            .push(Item::Repository { folder, is: format!("{commit} {inside:?} {submodules} {kept:?}") });
        Ok(())
    }

    /// Finds or fetches one source.
    fn source(
        &mut self,
        source: String,
        add: bool,
        unpack: Option<bool>,
        ends: &Ends<'_>,
        fetch: &dyn Fn(&str) -> Got,
    ) -> Result<(), StepFault> {
        if remote::is_git(&source) || remote::is_http(&source) {
            if !add {
                let instead = "COPY takes files of the context, of a stage or of an image; ADD fetches";
                return Err(StepFault::Unsupported { what: format!("COPY of `{source}`"), instead });
            }
            let (file, fetched) = fetch(&source)?;
            let name = remote::file_name(&source).or(fetched.file_name);
            self.items.push(Item::Fetched {
                name: name.unwrap_or_else(|| "__unnamed__".into()),
                file,
                mtime_secs: fetched.modified_secs.unwrap_or(0),
                // What was fetched stays as it is, unless somebody asks.
                unpack: unpack.unwrap_or(false),
            });
            return Ok(());
        }
        let found: Vec<Item> = if self.parents {
            let found = source::resolve_parents(ends.from, &source, ends.place)?;
            found.into_iter().map(|(above, kept)| Item::Path { above, kept }).collect()
        } else {
            let found = source::resolve(ends.from, &source, ends.place)?;
            found.into_iter().map(|kept| Item::Path { above: PathBuf::new(), kept }).collect()
        };
        if found.is_empty() {
            self.empty.push(source);
        }
        self.items.extend(found);
        Ok(())
    }

    fn how(&self, mtime_secs: Option<i64>) -> How<'_> {
        How { owner: self.owner, mode: self.mode.as_ref(), mtime_secs, exclude: self.exclude.as_ref() }
    }

    /// All that decides what the layer will hold, beyond the layers below it.
    pub(crate) fn digest(&self, from: &Tree) -> Result<Digest, StepFault> {
        let mut text = format!(
            "{} {:?} {:?} unpack={} parents={}\n",
            self.target, self.owner, self.mode, self.unpack, self.parents
        );
        for item in &self.items {
            match item {
                Item::Path { above, kept } => {
                    let path = above.join(kept);
                    let read = |error| unreadable(&path, error);
                    let Some(node) = from.find(&path, true).map_err(read)?.node else { continue };
                    let content = source::digest(&node, self.how(None)).map_err(read)?;
                    let name =
                        if self.parents { Some(kept.as_path()) } else { path.file_name().map(Path::new) };
                    text.push_str(&format!("{name:?} {content}\n"));
                }
                Item::Text { name, text: content } => {
                    text.push_str(&format!("{name:?} {}\n", Digest::sha256(content.as_bytes())));
                }
                Item::Repository { is, .. } => {
                    text.push_str(&format!("repository {is} {:?}\n", self.exclude))
                }
                Item::Fetched { name, file, mtime_secs, unpack } => {
                    let content = remote::digest(file).map_err(|error| unreadable(file, error))?;
                    text.push_str(&format!("{name:?} {content} {mtime_secs} {unpack}\n"));
                }
            }
        }
        Ok(Digest::sha256(text.as_bytes()))
    }

    /// Writes the files into the layer. `epoch` is the time of all files if it is given; those whose text stands in
    /// the Dockerfile are of `now` otherwise.
    pub(crate) fn write(
        &self,
        from: &Tree,
        upper: &Upper,
        epoch: Option<i64>,
        now: i64,
    ) -> Result<(), StepFault> {
        for item in &self.items {
            match item {
                Item::Path { above, kept } => {
                    let path = above.join(kept);
                    let found = from.find(&path, true).map_err(|error| unreadable(&path, error))?;
                    let Some(node) = found.node else { continue };
                    if self.parents {
                        self.write_below(from, (above, kept), &node, upper, epoch)?;
                    } else {
                        self.write_path(&path, &node, upper, epoch)?;
                    }
                }
                Item::Text { name, text } => {
                    let like = self.like(0o644, epoch.unwrap_or(now));
                    self.put_bytes(text.as_bytes(), name, &like, upper)?;
                }
                Item::Repository { folder, .. } => self.write_repository(folder, upper, epoch)?,
                Item::Fetched { name, file: path, mtime_secs, unpack } => {
                    let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
                    let packing = if *unpack { archive::packing(&mut file) } else { Ok(None) };
                    match packing.map_err(|error| unreadable(path, error))? {
                        Some(packing) => self.unpack(Path::new(name), &file, packing, upper)?,
                        None => {
                            let like = self.like(0o600, epoch.unwrap_or(*mtime_secs));
                            self.put_bytes(file, name, &like, upper)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn write_repository(&self, folder: &Path, upper: &Upper, epoch: Option<i64>) -> Result<(), StepFault> {
        let read = |error| unreadable(folder, error);
        let tree = Tree::open([folder]).map_err(read)?;
        let Some(Node::Folder(all, _)) = tree.find(Path::new(""), false).map_err(read)?.node else {
            return Ok(());
        };
        let (into, real) = upper.folder(Path::new(&self.target), self.owner.unwrap_or_default())?;
        Ok(upper.put_all(&all, &into, &real, Path::new(""), self.how(epoch))?)
    }

    /// The attributes of a file that is copied from no tree.
    fn like(&self, mode: u32, mtime_secs: i64) -> Attributes {
        let mode = self.mode.as_ref().map_or(mode, |chmod| chmod.apply(mode, false));
        Attributes { owner: self.owner.unwrap_or_default(), mode, mtime_secs }
    }

    fn put_bytes(
        &self,
        bytes: impl io::Read,
        name: &str,
        like: &Attributes,
        upper: &Upper,
    ) -> Result<(), StepFault> {
        let (folder, path) = self.place(name.as_ref(), upper)?;
        Ok(upper.put_bytes(bytes, &folder, &path, like)?)
    }

    /// Writes what `--parents` keeps, with folders on the way that are like the source's.
    fn write_below(
        &self,
        from: &Tree,
        (above, kept): (&Path, &Path),
        node: &Node,
        upper: &Upper,
        epoch: Option<i64>,
    ) -> Result<(), StepFault> {
        let how = self.how(epoch);
        let below = match node {
            Node::Folder(..) => kept,
            Node::Link(..) | Node::Other(..) => kept.parent().unwrap_or(Path::new("")),
        };
        let like = |path: &Path| {
            let found = from.find(&above.join(path), true)?;
            Ok(found.node.map(|node| *node.stat()))
        };
        let (into, real) = upper.folders_like(Path::new(&self.target), below, how, like)?;
        match node {
            Node::Folder(folder, _) => Ok(upper.put_all(folder, &into, &real, Path::new(""), how)?),
            Node::Link(..) | Node::Other(..) => {
                let place = real.join(kept.file_name().unwrap_or_default());
                Ok(upper.put(node, &into, &place, how)?)
            }
        }
    }

    fn write_path(
        &self,
        path: &Path,
        node: &Node,
        upper: &Upper,
        epoch: Option<i64>,
    ) -> Result<(), StepFault> {
        let target = Path::new(&self.target);
        if let Node::Folder(folder, _) = node {
            let there = upper.tree.find(target, true).map_err(|error| unreadable(target, error))?;
            if there.node.is_none() && there.path.file_name().is_some() {
                let parent = there.path.parent().unwrap_or(Path::new(""));
                let (into, _) = upper.folder(parent, self.owner.unwrap_or_default())?;
                return Ok(upper.put(node, &into, &there.path, self.how(epoch))?);
            }
            let (into, real) = upper.folder(target, self.owner.unwrap_or_default())?;
            return Ok(upper.put_all(folder, &into, &real, Path::new(""), self.how(epoch))?);
        }
        if self.unpack && kind(node.stat()) == rustix::fs::FileType::RegularFile {
            let mut file = node.open().map_err(|error| unreadable(path, error))?;
            if let Some(packing) = archive::packing(&mut file).map_err(|error| unreadable(path, error))? {
                return self.unpack(path, &file, packing, upper);
            }
        }
        let (folder, place) = self.place(path.file_name().unwrap_or_default().as_ref(), upper)?;
        Ok(upper.put(node, &folder, &place, self.how(epoch))?)
    }

    fn unpack(&self, path: &Path, file: &File, packing: Packing, upper: &Upper) -> Result<(), StepFault> {
        let (_, real) = upper.folder(Path::new(&self.target), self.owner.unwrap_or_default())?;
        archive::unpack(file, packing, upper, &real, self.owner).map_err(|reason| match reason {
            Reason::Refused(why) => StepFault::Archive { archive: path.display().to_string(), why },
            Reason::Fault(fault) => fault,
        })
    }

    /// The folder and path of one file: below the target if that is a folder, else the target itself.
    fn place(&self, name: &Path, upper: &Upper) -> Result<(std::os::fd::OwnedFd, PathBuf), StepFault> {
        let target = Path::new(&self.target);
        let there = upper.tree.find(target, true).map_err(|error| unreadable(target, error))?;
        let owner = self.owner.unwrap_or_default();
        if self.target.ends_with('/') || matches!(there.node, Some(Node::Folder(..))) {
            let (folder, real) = upper.folder(target, owner)?;
            return Ok((folder, real.join(name)));
        }
        let (folder, real) = upper.folder(target.parent().unwrap_or(target), owner)?;
        Ok((folder, real.join(target.file_name().unwrap_or_default())))
    }
}

fn unreadable(path: &Path, error: io::Error) -> StepFault {
    StepFault::Put(format!("could not read `{}`", path.display()), Some(error))
}

/// What `--checksum` says.
enum Checksum {
    None,
    /// Of a file.
    Digest(Digest),
    /// Of a repository.
    Commit(String),
}

impl Checksum {
    fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::None | Self::Commit(_) => None,
        }
    }
}

/// What `--checksum` says, which is for one URL alone.
fn checksum(transfer: &Transfer, sources: &[String], settings: &Settings) -> Result<Checksum, StepFault> {
    if transfer.flags.keep_git_dir == Some(true) && !sources.iter().any(|source| remote::is_git(source)) {
        let what = "`--keep-git-dir` without a git repository".to_owned();
        return Err(StepFault::Unsupported { what, instead: "leave it out" });
    }
    let Some(text) = &transfer.flags.checksum else { return Ok(Checksum::None) };
    let refused = |what: &str, instead| Err(StepFault::Unsupported { what: what.to_owned(), instead });
    if sources.len() != 1 || !transfer.heredocs.is_empty() {
        return refused("`--checksum` for several sources", "write an ADD for each");
    }
    if remote::is_git(&sources[0]) {
        return Ok(Checksum::Commit(settings.expand(text)?));
    }
    if !remote::is_http(&sources[0]) {
        return refused("`--checksum`", "it is for ADD of a URL; check a local file in a RUN");
    }
    let text = settings.expand(text)?;
    let digest = text.parse::<Digest>().map_err(|_| StepFault::Value {
        value: text,
        what: "a checksum",
        allowed: "a digest, as in `sha256:` and 64 hexadecimal digits",
    })?;
    Ok(Checksum::Digest(digest))
}
