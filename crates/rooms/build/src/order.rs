//! What a build is asked for, and what it gives.

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Bytes;
use images::ImageId;
use oci::Reference;

use crate::ports::{Agents, NoAgents, Secrets};
use crate::runner::{RunLimits, RunNetwork, Ulimit};

/// What to build. Begin with [`BuildRequest::new`] and set what differs.
pub struct BuildRequest {
    /// Where COPY and ADD take files from.
    pub context: Context,
    /// Where the Dockerfile is.
    pub dockerfile: DockerfileSource,
    /// `--build-context NAME=…`, in this order; archives among them are read one after the other, behind the context.
    pub contexts: Vec<(String, NamedContext)>,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// The stage to stop at; the last when none.
    pub target: Option<String>,
    /// Names for the image.
    pub tags: Vec<Reference>,
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// `--platform`; refused unless it is this machine's.
    pub platform: Option<String>,
    /// `--pull`: base images are fetched even if they are here.
    pub pull: bool,
    /// Which steps are done anew; what they make is remembered all the same.
    pub no_cache: NoCache,
    /// `--cache-from`: images whose steps may be taken over.
    pub cache_from: Vec<String>,
    /// What `RUN --mount=type=secret` can ask for.
    pub secrets: Arc<dyn Secrets>,
    /// What `RUN --mount=type=ssh` can ask for.
    pub agents: Arc<dyn Agents>,
    /// Whether the Dockerfile is checked for what is probably not meant; off where whoever asks has done so.
    pub checks: bool,
    /// The time of everything, in seconds since 1970; a build argument `SOURCE_DATE_EPOCH` says the same.
    pub epoch: Option<i64>,
    /// What holds for all commands.
    pub run: RunSettings,
    /// So many steps at once; the machine's processors when none. One makes the steps come in the file's order.
    pub jobs: Option<NonZeroUsize>,
    /// Ends the build.
    pub cancel: Cancel,
}

impl BuildRequest {
    /// A build of this Dockerfile with these files and nothing else.
    pub fn new(context: Context, dockerfile: DockerfileSource) -> Self {
        Self {
            context,
            dockerfile,
            contexts: Vec::new(),
            args: BTreeMap::new(),
            target: None,
            tags: Vec::new(),
            labels: BTreeMap::new(),
            platform: None,
            pull: false,
            no_cache: NoCache::default(),
            cache_from: Vec::new(),
            secrets: Arc::new(BTreeMap::new()),
            agents: Arc::new(NoAgents),
            checks: true,
            epoch: None,
            run: RunSettings::default(),
            jobs: None,
            cancel: Cancel::default(),
        }
    }
}

/// The files of a build.
pub enum Context {
    /// No files.
    Empty,
    /// A folder of this machine, already without what the ignore file takes. It must not change during the build.
    Folder(PathBuf),
    /// A tar archive, plain or packed with gzip or zstd; what its ignore file takes is left out here.
    Archive(Box<dyn Read + Send>),
    /// The URL of a tar archive, or of a Dockerfile alone; fetched through [`crate::Fetcher`]; or the
    /// address of a git repository.
    Url(String),
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// Its text.
    Text(String),
    /// A path in the context.
    InContext(String),
}

/// What a name of `--build-context` stands for.
pub enum NamedContext {
    /// `docker-image://NAME`.
    Image(String),
    /// Files.
    Files(Context),
}

/// Which steps are done anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// Those that were never done.
    #[default]
    Never,
    /// All.
    Always,
    /// Those of these stages (`--no-cache-filter`), and what comes behind them.
    Stages(Vec<String>),
}

/// What holds for all commands of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSettings {
    /// `--network`; a RUN may say otherwise.
    pub network: RunNetwork,
    /// The bounds of all its commands together.
    pub limits: RunLimits,
    /// `--shm-size`.
    pub shm_size: Option<Bytes>,
    /// `--ulimit`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `--add-host`: names and addresses.
    pub hosts: Vec<(String, String)>,
}

/// A build's off switch; clones switch the same build.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    above: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// Ends the build soon.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether the build is to end.
    pub fn is_cancelled(&self) -> bool {
        let set = |switch: &Arc<AtomicBool>| switch.load(Ordering::Relaxed);
        set(&self.own) || self.above.as_ref().is_some_and(set)
    }

    /// A switch that is also off when this one is.
    pub(crate) fn below(&self) -> Self {
        Self { own: Arc::default(), above: Some(self.own.clone()) }
    }
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image.
    pub image: ImageId,
    /// How many steps there were.
    pub steps: usize,
    /// How many of them came from the cache.
    pub cached: usize,
}
