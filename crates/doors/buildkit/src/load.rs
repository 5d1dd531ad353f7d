//! Loads what a build begins with from its client: the Dockerfile, the ignore file, the context.

mod archive;
mod ignore;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use base::Timestamp;
use build::git::{Checkout, Repository};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::contexts::Tree;
use crate::engine::Engine;
use crate::grpc::{Code, Status};
use crate::job::Job;
use crate::options::{ContextSource, Options};
use crate::progress::Chore;
use crate::receive::{self, Limits};
use crate::session::{Session, SessionSecrets, Wanted};

pub(crate) use archive::Pieces;
use archive::Unpacked;
pub(crate) use ignore::patterns;

/// A transfer is told of this often, in bytes.
const TELL_EVERY: u64 = 256 << 10;
/// The most bytes of an ignore file.
const IGNORE_BYTES: u64 = 1 << 20;

/// The Dockerfile, and where its files are.
pub(crate) struct Loaded {
    /// Its name as it is shown.
    pub filename: String,
    /// Its text.
    pub text: String,
    /// The digest of the vertex that loaded it.
    pub definition: String,
    /// Where the context is.
    pub context: Where,
}

/// Where a context is.
pub(crate) enum Where {
    /// With the client still: a folder of this name, without these.
    Client(String, Vec<String>),
    /// Here.
    Here(Arc<Tree>),
}

/// One loading: for this build, with this client.
pub(crate) struct Loader<'a> {
    pub engine: &'a Arc<Engine>,
    pub job: &'a Job,
    pub session: Option<Session>,
}

impl Loader<'_> {
    fn now(&self) -> Timestamp {
        self.engine.clock.wall()
    }

    /// Loads the Dockerfile and the ignore file.
    pub(crate) async fn load(&self, options: &Options) -> Result<Loaded, Status> {
        let uploaded = match &options.context {
            ContextSource::Local(_) => None,
            other => Some(self.archive(other, options.keeps_git()).await?),
        };
        let name = base_name(&options.filename);
        let chore = self.begin(format!("[internal] load build definition from {name}"));
        let found = match &uploaded {
            // What is no archive is a Dockerfile.
            Some(Unpacked { tree, alone: true }) => self.definition_in(tree.path(), archive::ALONE),
            Some(Unpacked { tree, alone: false }) if !options.dockerfile_apart => {
                self.definition_in(tree.path(), &options.filename)
            }
            Some(_) | None => self.definition_of_client(options, &chore).await,
        };
        let found = self.end(&chore, found)?;
        let context = match (uploaded, &options.context) {
            (Some(unpacked), _) => Where::Here(unpacked.tree),
            (None, ContextSource::Local(dir)) => {
                let ignore = match found.ignore {
                    Some(own) => own,
                    None => self.ignore_file(dir).await?,
                };
                Where::Client(dir.clone(), patterns(&ignore))
            }
            (None, _) => return Err(Status::failed("the context is gone")),
        };
        let definition = chore.digest().to_owned();
        Ok(Loaded { filename: found.filename, text: found.text, definition, context })
    }

    /// Takes the context in: these paths of it, all when none.
    pub(crate) async fn context(
        &self,
        dir: &str,
        exclude: &[String],
        follow: Vec<String>,
    ) -> Result<Arc<Tree>, Status> {
        let shown = if dir == "context" {
            "load build context".to_owned()
        } else {
            format!("load from context {dir}")
        };
        let chore = self.begin(format!("[internal] {shown}"));
        let wanted = Wanted { dir: dir.to_owned(), follow, exclude: exclude.to_vec() };
        let tree = self.transfer(&wanted, dir, "transferring context:", &chore).await;
        self.end(&chore, tree)
    }

    async fn ignore_file(&self, dir: &str) -> Result<String, Status> {
        let chore = self.begin("[internal] load .dockerignore".to_owned());
        let wanted =
            Wanted { dir: dir.to_owned(), follow: vec![".dockerignore".into()], exclude: Vec::new() };
        let hint = format!("{dir}-.dockerignore");
        let loaded = async {
            let tree = self.transfer(&wanted, &hint, "transferring context:", &chore).await?;
            read(tree.path(), ".dockerignore", IGNORE_BYTES).map(Option::unwrap_or_default)
        };
        let loaded = loaded.await;
        self.end(&chore, loaded)
    }

    async fn definition_of_client(&self, options: &Options, chore: &Chore) -> Result<Definition, Status> {
        let filename = &options.filename;
        let mut follow = vec![filename.clone(), format!("{filename}.dockerignore")];
        if base_name(filename) == "Dockerfile" {
            follow.push(lower_case(filename));
        }
        let dir = options.dockerfile_dir.clone();
        let wanted = Wanted { dir: dir.clone(), follow, exclude: Vec::new() };
        let tree = self.transfer(&wanted, &dir, "transferring dockerfile:", chore).await?;
        self.definition_in(tree.path(), filename)
    }

    fn definition_in(&self, folder: &Path, filename: &str) -> Result<Definition, Status> {
        let most = build::dockerfile::MAX_SIZE_BYTES as u64;
        let lower = lower_case(filename);
        let (shown, text) = match read(folder, filename, most)? {
            Some(text) => (filename.to_owned(), text),
            None if base_name(filename) == "Dockerfile" => {
                let text = read(folder, &lower, most)?;
                (lower, text.ok_or_else(|| missing(filename))?)
            }
            None => return Err(missing(filename)),
        };
        let ignore = read(folder, &format!("{filename}.dockerignore"), IGNORE_BYTES)?;
        Ok(Definition { filename: shown, text, ignore })
    }

    /// Takes files in, and keeps them for the next build that asks for the same.
    async fn transfer(
        &self,
        wanted: &Wanted,
        hint: &str,
        shown: &str,
        chore: &Chore,
    ) -> Result<Arc<Tree>, Status> {
        let session = self.session()?;
        let stream = session.files(wanted)?;
        let owner = match session.shared_key() {
            "" => &self.job.session,
            key => key,
        };
        let incoming =
            self.engine.contexts.begin(&format!("{owner}\0{hint}")).map_err(|error| disk(&error))?;
        let (hub, clock, telling, name) =
            (self.job.hub.clone(), self.engine.clock.clone(), chore.clone(), shown.to_owned());
        let mut next = 0;
        let mut told = move |bytes: u64| {
            if bytes >= next {
                hub.tell(telling.part(&name, bytes, 0, false, clock.wall()));
                next = bytes + TELL_EVERY;
            }
        };
        let handle = tokio::runtime::Handle::current();
        let taking = tokio::task::spawn_blocking(move || {
            let taken = handle.block_on(receive::receive(
                stream,
                incoming.path(),
                incoming.earlier(),
                Limits::default(),
                &mut told,
            ));
            taken.map(|received| (incoming, received))
        });
        let (incoming, received) =
            taking.await.map_err(|error| Status::new(Code::Internal, error.to_string()))??;
        if received.skipped > 0 {
            tracing::debug!(
                skipped = received.skipped,
                "sockets, pipes and devices of a context were left out"
            );
        }
        self.job.hub.tell(chore.part(shown, received.transferred, 0, true, self.now()));
        self.tell_end(wanted, received.transferred, received.shared, received.sent);
        let tree = self.engine.contexts.keep(incoming, received.bytes).map_err(|error| disk(&error))?;
        Ok(tree)
    }

    /// What comes whole, as the context: through the session, with a request, or from the web.
    pub(crate) async fn archive(&self, source: &ContextSource, keep_git: bool) -> Result<Unpacked, Status> {
        let title = match source {
            ContextSource::Git(address) => format!("[internal] load git source {}", hidden(address)),
            _ => "[internal] load remote build context".to_owned(),
        };
        let chore = self.begin(title);
        let tree = async {
            match source {
                ContextSource::Upload(path) => {
                    archive::take(self.engine, self.session()?.upload(path)?).await
                }
                ContextSource::Request(name) => {
                    archive::unpack(self.engine, self.engine.bodies.take(name).await?).await
                }
                ContextSource::Url(url) => archive::fetch(self.engine, url, self.job.cancel.clone()).await,
                ContextSource::Git(address) => self.repository(address, keep_git).await,
                ContextSource::Local(_) => Err(Status::failed("a folder is no archive")),
            }
        };
        let tree = tree.await;
        self.end(&chore, tree)
    }

    /// A git repository, with the logins and the agent of the client.
    async fn repository(&self, address: &str, keep_git: bool) -> Result<Unpacked, Status> {
        let lost = |error: io::Error| Status::failed(format!("the context cannot be kept: {error}"));
        let repository = Repository::parse_context(address)
            .unwrap_or_else(|| Err("it is none".to_owned()))
            .map_err(|why| Status::failed(format!("invalid git context: {why}")))?;
        // Nobody asks for the same again: each has a key of its own.
        let key = format!("repository\0{}", u64::from_le_bytes(base::kernel_bytes()));
        let incoming = self.engine.contexts.begin(&key).map_err(lost)?;
        let keeper = Arc::new(SessionSecrets::new(self.session.clone()));
        let (builds, cancel) = (self.engine.builds.clone(), self.job.cancel.clone());
        let work = tokio::task::spawn_blocking(move || {
            let agents: Arc<dyn build::Agents> = keeper.clone();
            let keep_git = repository.keep_git.unwrap_or(keep_git);
            let order = Checkout {
                repository: &repository,
                keep_git,
                secrets: &*keeper,
                agents: &agents,
                cancel: &cancel,
            };
            builds.checkout(&order, incoming.path()).map(|()| incoming)
        });
        let done = work.await.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let incoming = done.map_err(|report| {
            let text = report.because.iter().fold(report.message, |sum, next| format!("{sum}: {next}"));
            Status::failed(report.hint.map_or(text.clone(), |hint| format!("{text} ({hint})")))
        })?;
        let bytes = size(incoming.path()).map_err(lost)?;
        let tree = self.engine.contexts.keep_once(incoming, bytes).map_err(lost)?;
        Ok(Unpacked { tree, alone: false })
    }

    fn session(&self) -> Result<&Session, Status> {
        self.session
            .as_ref()
            .ok_or_else(|| Status::failed("the build has no session to ask its client for files"))
    }

    fn begin(&self, name: String) -> Chore {
        let chore = Chore::begin(&self.job.reference, name, self.now());
        self.job.hub.tell(chore.started());
        chore
    }

    fn end<T>(&self, chore: &Chore, result: Result<T, Status>) -> Result<T, Status> {
        let error = result.as_ref().err().map(|status| status.message.as_str());
        self.job.hub.tell(chore.ended(error, self.now()));
        result
    }

    fn tell_end(&self, wanted: &Wanted, transferred: u64, shared: u64, sent: u64) {
        tracing::debug!(
            build = %self.job.reference, dir = %wanted.dir, transferred, shared, sent,
            "took `{}` of a client: {sent} files came, {shared} were here", wanted.dir
        );
    }
}

struct Definition {
    filename: String,
    text: String,
    ignore: Option<String>,
}

fn missing(filename: &str) -> Status {
    Status::failed(format!("failed to read dockerfile: open {filename}: no such file or directory"))
}

fn disk(error: &io::Error) -> Status {
    Status::failed(format!("the context cannot be kept: {error}"))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `dir/Dockerfile` as `dir/dockerfile`.
fn lower_case(path: &str) -> String {
    let base = base_name(path);
    format!("{}{}", &path[..path.len() - base.len()], base.to_lowercase())
}

/// A file's text, if it is there; links lead to no place outside the folder.
fn read(folder: &Path, name: &str, most: u64) -> Result<Option<String>, Status> {
    let fail = |error: io::Error| Status::failed(format!("`{name}` cannot be read: {error}"));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(folder, flags, Mode::empty()).map_err(|error| fail(error.into()))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat2(&root, name, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(fail(error.into())),
    };
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(Status::failed(format!("failed to read dockerfile: read {name}: is a directory")));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(Status::failed(format!("`{name}` has more than {most} bytes")));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Status::failed(format!("`{name}` is not text in UTF-8")))?;
    Ok(Some(text))
}

/// The bytes of all files of a folder.
fn size(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { size(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

/// An address without the password that may be in it.
fn hidden(address: &str) -> String {
    match Repository::parse_context(address) {
        Some(Ok(repository)) => repository.shown(),
        Some(Err(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests;
