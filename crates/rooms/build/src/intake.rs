//! Taking in what a build is made of: its context, its named contexts, and the Dockerfile's text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::AtFlags;

use crate::archive::{packing_of, unpacked};
use crate::build::{Builder, Scratch};
use crate::context::{self, ContextError};
use crate::error::BuildError;
use crate::git::{Checkout, Repository};
use crate::graph::context_name;
use crate::ignore::Ignore;
use crate::order::{Cancel, Context, DockerfileSource, NamedContext};
use crate::ports::{Agents, Secrets};
use crate::progress::{Progress, Teller};
use crate::steps::CONTEXT;
use crate::tree::{Folder, Node, Tree};
use crate::upper::included;

/// The longest file that is fetched as a context.
const MAX_FETCHED: u64 = 4 << 30;
/// A context of so many bytes, with the headers of its archive, is light: it is unpacked in memory.
const LIGHT: usize = 32 << 20;
/// What a Dockerfile is called where nobody says.
const DOCKERFILE: &str = "Dockerfile";

/// A folder of files that does not change while the build goes on.
pub(crate) struct Files {
    pub tree: Tree,
    pub dir: PathBuf,
}

/// What a name of `--build-context` stands for, taken in.
pub(crate) enum Named {
    Image(String),
    Files(Files),
}

/// All files that a build can take.
pub(crate) struct Sources {
    pub context: Files,
    /// By [`context_name`].
    pub named: BTreeMap<String, Named>,
}

impl Sources {
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.named.keys().cloned().collect()
    }
}

/// Takes contexts in.
pub(crate) struct Intake<'a> {
    pub builder: &'a Builder,
    pub scratch: &'a Scratch,
    pub teller: &'a Teller<'a>,
    pub cancel: &'a Cancel,
    pub secrets: &'a dyn Secrets,
    pub agents: &'a Arc<dyn Agents>,
    /// Whether `.git` of repositories stays.
    pub keep_git: bool,
}

impl Intake<'_> {
    /// Takes all in, in the order in which it arrives, and gives the Dockerfile's text too.
    pub(crate) fn take(
        &self,
        context: Context,
        named: Vec<(String, NamedContext)>,
        dockerfile: &DockerfileSource,
    ) -> Result<(Sources, String), BuildError> {
        let ours = matches!(context, Context::Archive(_) | Context::Url(_));
        let context = self.files(context, "context")?;
        let text = match dockerfile {
            DockerfileSource::Text(text) => text.clone(),
            DockerfileSource::InContext(path) => read_dockerfile(&context.tree, path)?,
        };
        if let (DockerfileSource::InContext(path), true) = (dockerfile, ours) {
            leave_out(&context, path)?;
        }
        let mut sources = Sources { context, named: BTreeMap::new() };
        for (index, (name, one)) in named.into_iter().enumerate() {
            let one = match one {
                NamedContext::Image(image) => Named::Image(image),
                NamedContext::Files(files) => Named::Files(self.files(files, &format!("context-{index}"))?),
            };
            sources.named.insert(context_name(&name), one);
        }
        Ok((sources, text))
    }

    fn files(&self, context: Context, name: &str) -> Result<Files, BuildError> {
        let dir = match context {
            Context::Folder(dir) => dir,
            Context::Empty => self.scratch.folder(name)?,
            Context::Archive(reader) => self.unpack(reader, name)?,
            Context::Url(url) => self.fetch(&url, name)?,
        };
        let tree = Tree::open([&dir]).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return ContextError::Missing { path: dir.clone(), source: error }.into();
            }
            BuildError::scratch("open", &dir, error)
        })?;
        Ok(Files { tree, dir })
    }

    /// Unpacks an archive, plain or packed, into a new folder.
    fn unpack(&self, reader: impl Read, name: &str) -> Result<PathBuf, BuildError> {
        let counted = Counted { reader, intake: self, name, bytes: 0, told: 0 };
        let mut reader = BufReader::with_capacity(256 << 10, counted);
        let broken = |source| ContextError::Archive { source };
        let head = reader.fill_buf().map_err(broken)?;
        let dir = match packing_of(head) {
            // An empty body is an empty context.
            _ if head.is_empty() => self.scratch.folder(name)?,
            None => self.unpack_plain(&mut reader, name)?,
            Some(packing) => self.unpack_plain(unpacked(&mut reader, packing).map_err(broken)?, name)?,
        };
        let bytes = reader.get_ref().bytes;
        self.moved(name, bytes, true);
        Ok(dir)
    }

    /// Unpacks a plain archive: a small one in memory, since a disk is slow at making many files that soon go again.
    fn unpack_plain(&self, mut reader: impl Read, name: &str) -> Result<PathBuf, BuildError> {
        let mut begun = Vec::new();
        let read = reader.by_ref().take(LIGHT as u64).read_to_end(&mut begun);
        read.map_err(|source| ContextError::Archive { source })?;
        let dir =
            if begun.len() < LIGHT { self.scratch.light_folder(name)? } else { self.scratch.folder(name)? };
        context::unpack(io::Cursor::new(begun).chain(reader), &dir, context::Limits::default())?;
        Ok(dir)
    }

    fn moved(&self, name: &str, bytes: u64, done: bool) {
        let what = format!("transferring {name}:");
        self.teller.tell(Progress::Moved { step: CONTEXT, what, bytes, of: None, done });
    }

    /// Fetches an archive, or a single file that is the Dockerfile.
    fn fetch(&self, url: &str, name: &str) -> Result<PathBuf, BuildError> {
        if let Some(repository) = Repository::parse_context(url) {
            return self.checkout(url, repository, name);
        }
        let kept = self.scratch.folder(&format!("{name}-fetched"))?.join("file");
        let mut file =
            fs::File::create_new(&kept).map_err(|error| BuildError::scratch("create", &kept, error))?;
        let mut told = |moved: crate::ports::Moved| {
            let (what, bytes, of) = (moved.what, moved.bytes, moved.of);
            self.teller.tell(Progress::Moved { step: CONTEXT, what, bytes, of, done: false });
        };
        self.builder
            .fetcher()
            .fetch(url, MAX_FETCHED, &mut file, &mut told, self.cancel)
            .map_err(BuildError::Remote)?;
        let mut file = fs::File::open(&kept).map_err(|error| BuildError::scratch("open", &kept, error))?;
        let packing =
            crate::archive::packing(&mut file).map_err(|error| BuildError::scratch("read", &kept, error))?;
        if packing.is_some() {
            return self.unpack(file, name);
        }
        let dir = self.scratch.folder(name)?;
        let place = dir.join(DOCKERFILE);
        fs::rename(&kept, &place).map_err(|error| BuildError::scratch("create", &place, error))?;
        Ok(dir)
    }
}

impl Intake<'_> {
    /// Checks a git repository out.
    fn checkout(
        &self,
        url: &str,
        repository: Result<Repository, String>,
        name: &str,
    ) -> Result<PathBuf, BuildError> {
        let repository = repository.map_err(|why| BuildError::Remote(crate::git::wrong(url, &why)))?;
        let dir = self.scratch.folder(name)?;
        let checkout = Checkout {
            repository: &repository,
            keep_git: repository.keep_git.unwrap_or(self.keep_git),
            secrets: self.secrets,
            agents: self.agents,
            cancel: self.cancel,
        };
        self.builder.checkout(&checkout, &dir).map_err(BuildError::Remote)?;
        self.moved(name, 0, true);
        Ok(dir)
    }
}

/// Tells how far an archive has come, once a MiB.
struct Counted<'a, R> {
    reader: R,
    intake: &'a Intake<'a>,
    name: &'a str,
    bytes: u64,
    told: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.intake.cancel.is_cancelled() {
            return Err(io::Error::other("the build was called off"));
        }
        let got = self.reader.read(buf)?;
        self.bytes += got as u64;
        if self.bytes - self.told >= 1 << 20 {
            self.told = self.bytes;
            self.intake.moved(self.name, self.bytes, false);
        }
        Ok(got)
    }
}

fn read_dockerfile(tree: &Tree, path: &str) -> Result<String, BuildError> {
    let path = if path.is_empty() { DOCKERFILE } else { path };
    let read = |path: &str| {
        tree.read(path)
            .map_err(|source| BuildError::from(ContextError::Read { path: PathBuf::from(path), source }))
    };
    if let Some(text) = read(path)? {
        return Ok(text);
    }
    // Clients of old look for the small name too.
    if path == DOCKERFILE
        && let Some(text) = read("dockerfile")?
    {
        return Ok(text);
    }
    Err(BuildError::NoDockerfile { path: path.to_owned() })
}

/// Removes what the ignore file takes from a context that was unpacked here.
fn leave_out(Files { tree, dir }: &Files, dockerfile: &str) -> Result<(), BuildError> {
    let dockerfile = if dockerfile.is_empty() { DOCKERFILE } else { dockerfile };
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
        let path = PathBuf::from(&name);
        let fail = |source| ContextError::Read { path: path.clone(), source };
        let Some(text) = tree.read(&name).map_err(fail)? else { continue };
        let ignore = Ignore::parse(&text).map_err(|source| ContextError::Ignore { path, source })?;
        if let Some(Node::Folder(root, _)) =
            tree.find(Path::new(""), false).map_err(|error| BuildError::scratch("read", dir, error))?.node
        {
            remove_taken(&root, Path::new(""), &ignore)
                .map_err(|error| BuildError::scratch("leave files out of", dir, error))?;
        }
        return Ok(());
    }
    Ok(())
}

/// The ignore file of a context, if it is there and can be read.
pub(crate) fn ignore(tree: &Tree, dockerfile: &DockerfileSource) -> Option<Ignore> {
    let own = match dockerfile {
        DockerfileSource::InContext(path) if !path.is_empty() => Some(format!("{path}.dockerignore")),
        DockerfileSource::InContext(_) => Some(format!("{DOCKERFILE}.dockerignore")),
        DockerfileSource::Text(_) => None,
    };
    let mut names = own.into_iter().chain([".dockerignore".to_owned()]);
    names.find_map(|name| Ignore::parse(&tree.read(&name).ok()??).ok())
}

fn remove_taken(folder: &Folder, below: &Path, ignore: &Ignore) -> io::Result<()> {
    for name in folder.names()? {
        let path = below.join(&name);
        let Some(node) = folder.get(&name)? else { continue };
        let stays = included(&node, &path, Some(ignore))?;
        if let Node::Folder(inner, _) = &node {
            // What is taken back below it must stay, and so must it.
            remove_taken(inner, &path, ignore)?;
            if !stays {
                rustix::fs::unlinkat(folder.top(), &name, AtFlags::REMOVEDIR)?;
            }
        } else if !stays {
            rustix::fs::unlinkat(folder.top(), &name, AtFlags::empty())?;
        }
    }
    Ok(())
}
