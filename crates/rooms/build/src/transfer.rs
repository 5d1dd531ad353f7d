//! COPY and ADD: which files, to which places, as whom; then their digest, then the copy.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;

use crate::archive::{self, Packing, Reason};
use crate::dockerfile::Transfer;
use crate::error::StepFault;
use crate::ignore::Ignore;
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
    mode: Option<u32>,
    exclude: Option<Ignore>,
    unpack: bool,
    parents: bool,
    /// What the history says.
    pub line: String,
    /// Sources that mean no file.
    pub empty: Vec<String>,
}

enum Item {
    /// A path in the source's tree.
    Path(PathBuf),
    /// A file whose text stands in the Dockerfile.
    Text { name: String, text: String },
}

impl Plan {
    /// Expands and finds. `from` is where sources are, `place` its name, `here` the stage itself.
    pub(crate) fn new(
        transfer: &Transfer,
        add: bool,
        settings: &Settings,
        from: &Tree,
        place: &str,
        here: &Tree,
    ) -> Result<Self, StepFault> {
        let flags = &transfer.flags;
        refuse(transfer, add)?;
        let mut line = if add { "ADD" } else { "COPY" }.to_owned();
        let mut owned = None;
        if let Some(text) = &flags.chown {
            let text = settings.expand(text)?;
            owned = Some(owner(&text, here)?);
            line.push_str(&format!(" --chown={text}"));
        }
        let mut mode = None;
        if let Some(text) = &flags.chmod {
            let text = settings.expand(text)?;
            mode = Some(octal(&text)?);
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
        let (mut items, mut empty) = (Vec::new(), Vec::new());
        for source in &transfer.sources {
            let source = settings.expand(source)?;
            refuse_remote(&source, add)?;
            let found = source::resolve(from, &source, place)?;
            line.push_str(&format!(" {source}"));
            if found.is_empty() {
                empty.push(source);
            }
            items.extend(found.into_iter().map(Item::Path));
        }
        for heredoc in &transfer.heredocs {
            let text =
                if heredoc.expand { settings.expand_heredoc(&heredoc.text)? } else { heredoc.text.clone() };
            line.push_str(&format!(" {}", heredoc.mark));
            items.push(Item::Text { name: heredoc.name.clone(), text });
        }
        let target = settings.expand(&transfer.target)?;
        line.push_str(&format!(" {target}"));
        let unpack = add && flags.unpack.unwrap_or(true);
        let plan = Self {
            items,
            target: settings.absolute(&target),
            owner: owned,
            mode,
            exclude,
            unpack,
            parents: flags.parents,
            line,
            empty,
        };
        if plan.items.len() > 1 && !plan.target.ends_with('/') && !plan.parents {
            return Err(StepFault::TargetIsFile { sources: plan.items.len(), target });
        }
        Ok(plan)
    }

    fn how(&self, mtime_secs: Option<i64>) -> How<'_> {
        How { owner: self.owner, mode: self.mode, mtime_secs, exclude: self.exclude.as_ref() }
    }

    /// All that decides what the layer will hold, beyond the layers below it.
    pub(crate) fn digest(&self, from: &Tree) -> Result<Digest, StepFault> {
        let mut text = format!(
            "{} {:?} {:?} unpack={} parents={}\n",
            self.target, self.owner, self.mode, self.unpack, self.parents
        );
        for item in &self.items {
            match item {
                Item::Path(path) => {
                    let read = |error| unreadable(path, error);
                    let Some(node) = from.find(path, true).map_err(read)?.node else { continue };
                    let content = source::digest(&node, self.how(None)).map_err(read)?;
                    text.push_str(&format!(
                        "{:?} {content}\n",
                        if self.parents { Some(path.as_path()) } else { path.file_name().map(Path::new) }
                    ));
                }
                Item::Text { name, text: content } => {
                    text.push_str(&format!("{name:?} {}\n", Digest::sha256(content.as_bytes())));
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
                Item::Path(path) => {
                    let found = from.find(path, true).map_err(|error| unreadable(path, error))?;
                    if let Some(node) = found.node {
                        self.write_path(path, &node, upper, epoch)?;
                    }
                }
                Item::Text { name, text } => {
                    let (folder, path) = self.place(name.as_ref(), upper)?;
                    let owner = self.owner.unwrap_or_default();
                    let like = Attributes {
                        owner,
                        mode: self.mode.unwrap_or(0o644),
                        mtime_secs: epoch.unwrap_or(now),
                    };
                    upper.put_bytes(text.as_bytes(), &folder, &path, &like)?;
                }
            }
        }
        Ok(())
    }

    fn write_path(
        &self,
        path: &Path,
        node: &Node,
        upper: &Upper,
        epoch: Option<i64>,
    ) -> Result<(), StepFault> {
        let parents;
        let target = if self.parents {
            // The folders on the way to the source are made below the target.
            let inside = if matches!(node, Node::Folder(..)) { Some(path) } else { path.parent() };
            parents = Path::new(&self.target).join(inside.unwrap_or(Path::new("")));
            upper.folder(&parents, self.owner.unwrap_or_default())?;
            parents.as_path()
        } else {
            Path::new(&self.target)
        };
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
        let name = path.file_name().unwrap_or_default();
        let (folder, place) = if self.parents {
            let (folder, real) = upper.folder(target, self.owner.unwrap_or_default())?;
            (folder, real.join(name))
        } else {
            self.place(name.as_ref(), upper)?
        };
        Ok(upper.put(node, &folder, &place, self.how(epoch))?)
    }

    fn unpack(&self, path: &Path, file: &File, packing: Packing, upper: &Upper) -> Result<(), StepFault> {
        if let Packing::Foreign(name) = packing {
            return Err(StepFault::Unsupported {
                what: format!("ADD of `{}`, which is packed with {name},", path.display()),
                instead: "pack it with gzip or zstd, or COPY it and unpack it in a RUN",
            });
        }
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

/// What this program does not do is said, never passed over.
fn refuse(transfer: &Transfer, add: bool) -> Result<(), StepFault> {
    let refused = |what: &str, instead| Err(StepFault::Unsupported { what: what.to_owned(), instead });
    if add && transfer.flags.checksum.is_some() {
        return refused("`--checksum`", "it is for ADD of a URL; check a local file in a RUN");
    }
    if add && transfer.flags.keep_git_dir {
        return refused("`--keep-git-dir`", "clone into the context before the build");
    }
    Ok(())
}

fn refuse_remote(source: &str, add: bool) -> Result<(), StepFault> {
    let url = ["http://", "https://"].iter().any(|scheme| source.starts_with(scheme));
    let git = ["git://", "git@", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
        || (url && source.split('#').next().is_some_and(|path| path.ends_with(".git")));
    match (add, url || git) {
        (true, true) => Err(StepFault::Unsupported {
            what: format!("ADD of `{source}`"),
            instead: "fetch it into the context before the build, or in a RUN",
        }),
        (false, true) => Err(StepFault::Unsupported {
            what: format!("COPY of `{source}`"),
            instead: "COPY takes files of the context, of a stage or of an image",
        }),
        (true | false, false) => Ok(()),
    }
}

/// Permissions in octal digits.
fn octal(text: &str) -> Result<u32, StepFault> {
    let read = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    read.ok_or_else(|| StepFault::Value {
        value: text.to_owned(),
        what: "permissions",
        allowed: "octal digits up to 7777, as in `0755`",
    })
}
