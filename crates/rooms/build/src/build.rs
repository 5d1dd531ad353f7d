//! A build from request to image: reads, plans, and has the stages done in the order of their needs.
//!
//! Owns the `build/` data folder:
//!
//! ```text
//! build/
//!   scratch/<key>/   contexts and copies of one build under way; gone when it ends, or at the next start
//!   caches/<hash>/   folders of `RUN --mount=type=cache`, which live on
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use base::{Clock, Problem, Timestamp, kernel_bytes};
use images::{Hold, Image, ImageId, Images, LayerSource};
use oci::{Digest, ImageConfig};

use crate::context;
use crate::dockerfile::{self, Dockerfile, Span, Warning};
use crate::error::{BuildError, StepFault};
use crate::graph::Graph;
use crate::order::{BuildRequest, Built, Context, Progress, Runner};
use crate::scope::Global;
use crate::tree::Tree;

/// In front of the keys of our snapshots, so that stale ones are known.
pub(crate) const SNAPSHOTS: &str = "build-";

/// Builds images. Clones share the folder.
#[derive(Clone)]
pub struct Builder {
    pub(crate) images: Images,
    pub(crate) clock: Arc<dyn Clock>,
    dir: PathBuf,
    /// One build at a time writes to a cache folder: programs rarely expect another writer there.
    pub(crate) caches: Arc<Mutex<()>>,
}

impl Builder {
    /// Opens the folder and removes what builds left that did not end.
    pub fn open(dir: impl Into<PathBuf>, images: Images, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let dir = dir.into();
        let scratch = dir.join("scratch");
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BuildError::scratch("clear", &scratch, error));
            }
            Ok(()) | Err(_) => {}
        }
        for folder in [&scratch, &dir.join("caches")] {
            fs::create_dir_all(folder).map_err(|error| BuildError::scratch("create", folder, error))?;
        }
        for (key, _) in images.snapshots() {
            if key.starts_with(SNAPSHOTS) {
                images
                    .drop_snapshot(&key)
                    .map_err(|error| BuildError::store("drop a stale snapshot")(&error))?;
            }
        }
        Ok(Self { images, clock, dir, caches: Arc::default() })
    }

    /// Builds an image. Blocks until it is done: call it where blocking is fine.
    pub fn build(
        &self,
        request: BuildRequest,
        runner: &dyn Runner,
        progress: &dyn Fn(Progress),
    ) -> Result<Built, BuildError> {
        let text = request.dockerfile.clone();
        let file = dockerfile::parse(&text)?;
        let global = Global::new(&file, &request.args).map_err(|(index, fault)| {
            let span = file.instructions.get(index).map_or(Span::line(1), |one| one.span);
            BuildError::step(span, &text, fault.into())
        })?;
        let graph = Graph::new(&file, &global, request.target.as_deref())
            .map_err(|fault| BuildError::stages(fault, &text))?;
        for Warning { span, message } in &file.warnings {
            progress(Progress::Warning { line: span.start, message: message.clone() });
        }
        for name in global.unused(&file) {
            let message = format!("the build argument `{name}` is declared by no ARG");
            progress(Progress::Warning { line: 0, message });
        }
        let scratch = Scratch::new(&self.dir.join("scratch"))?;
        base::crash::point("build: scratch made");
        let context = self.context(request.context, &scratch)?;
        let total = graph.order.iter().map(|stage| graph.stages[*stage].instructions.len() + 1).sum();
        let job = Job {
            builder: self,
            wish: Wish {
                labels: request.labels,
                no_cache: request.no_cache,
                epoch: request.epoch,
                limits: request.limits,
                cancel: request.cancel,
            },
            text,
            file,
            global,
            graph,
            context,
            scratch,
            runner,
            progress,
            hold: RefCell::new(self.images.hold()),
            step: Cell::new(0),
            total: Cell::new(total),
            cached: Cell::new(0),
        };
        base::crash::point("build: context taken in");
        let image = job.all()?;
        base::crash::point("build: image made");
        for tag in &request.tags {
            self.images
                .tag(&image.to_string(), tag)
                .map_err(|error| BuildError::store("name the image")(&error))?;
        }
        Ok(Built { image, steps: job.step.get(), cached: job.cached.get() })
    }

    /// Where cache mounts live.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.join("caches")
    }

    /// Removes all folders of cache mounts and says how many there were; waits for builds that use one.
    pub fn prune_caches(&self) -> Result<usize, BuildError> {
        let dir = self.cache_dir();
        let _turn = self.caches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fail = |error| BuildError::scratch("clear", &dir, error);
        let mut folders = 0;
        for entry in fs::read_dir(&dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(fail)?;
                folders += 1;
            } else {
                fs::remove_file(&path).map_err(fail)?;
            }
        }
        Ok(folders)
    }

    fn context(&self, context: Context, scratch: &Scratch) -> Result<Tree, BuildError> {
        let dir = match context {
            Context::Folder(dir) => dir,
            Context::Empty => scratch.folder("context")?,
            Context::Archive(reader) => {
                let dir = scratch.folder("context")?;
                context::unpack(reader, &dir, context::Limits::default())?;
                dir
            }
        };
        Tree::open([&dir]).map_err(|error| BuildError::scratch("open", &dir, error))
    }
}

/// What the request says of all steps.
pub(crate) struct Wish {
    labels: BTreeMap<String, String>,
    pub no_cache: bool,
    pub epoch: Option<i64>,
    pub limits: crate::order::RunLimits,
    pub cancel: crate::order::Cancel,
}

/// One build under way.
pub(crate) struct Job<'a> {
    pub builder: &'a Builder,
    pub wish: Wish,
    pub text: String,
    pub file: Dockerfile,
    pub global: Global,
    pub graph: Graph,
    pub context: Tree,
    pub scratch: Scratch,
    pub runner: &'a dyn Runner,
    pub progress: &'a dyn Fn(Progress),
    /// Keeps what was made so far from being collected.
    pub hold: RefCell<Hold>,
    step: Cell<usize>,
    total: Cell<usize>,
    cached: Cell<usize>,
}

/// A stage that is done.
#[derive(Clone)]
pub(crate) struct Done {
    /// Its layers; the configuration is the one beside it.
    pub image: Image,
    pub config: ImageConfig,
}

impl Job<'_> {
    fn all(&self) -> Result<ImageId, BuildError> {
        let mut done: BTreeMap<usize, Done> = BTreeMap::new();
        for stage in &self.graph.order {
            let made = self.stage(*stage, &done)?;
            done.insert(*stage, made);
        }
        let wanted = done.remove(&self.graph.target());
        let wanted = wanted.expect("the wanted stage is the last of the order");
        self.finish(wanted)
    }

    /// The image of the wanted stage. One with the same layers and settings that a cached build made is taken as it
    /// is, so that building the same again gives the same image.
    fn finish(&self, done: Done) -> Result<ImageId, BuildError> {
        let Done { image, mut config } = done;
        config.config.labels.extend(self.wish.labels.clone());
        let key = self.image_key(&image, &config);
        if !self.wish.no_cache
            && let Some(known) = self.builder.images.cache_get(&key)
            && self.hold.borrow_mut().keep(&known)
        {
            return Ok(known);
        }
        config.created = Some(self.time().to_string());
        let made = self.commit(&image, LayerSource::None, config)?;
        self.remember(&key, &made)?;
        Ok(made)
    }

    fn image_key(&self, image: &Image, config: &ImageConfig) -> String {
        let mut timeless = config.clone();
        timeless.created = None;
        timeless.history.iter_mut().for_each(|step| step.created = None);
        timeless.rootfs.diff_ids.clear();
        let text = serde_json::to_string(&timeless).unwrap_or_default();
        self.key(image, "image", &[&text])
    }

    /// The key of a step: the layers below it, its kind, all that decides what it does, and the time it is given.
    pub(crate) fn key(&self, below: &Image, kind: &str, parts: &[&str]) -> String {
        let below = below.chain.last().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let mut text = format!("1\n{kind}\n{below}\n{:?}\n", self.wish.epoch);
        for part in parts {
            text.push_str(&format!("{}:{part}\n", part.len()));
        }
        format!("build-{}", Digest::sha256(text.as_bytes()).hex())
    }

    /// The layers that a step with this key led to before.
    pub(crate) fn recall(&self, key: &str) -> Option<Image> {
        if self.wish.no_cache {
            return None;
        }
        let images = &self.builder.images;
        let id = images.cache_get(key)?;
        let kept = self.hold.borrow_mut().keep(&id);
        images.find(&id.to_string()).ok().filter(|_| kept)
    }

    pub(crate) fn remember(&self, key: &str, image: &ImageId) -> Result<(), BuildError> {
        let put = self.builder.images.cache_put(key, image);
        put.map_err(|error| BuildError::store("remember a step")(&error))
    }

    pub(crate) fn commit(
        &self,
        parent: &Image,
        layer: LayerSource<'_>,
        config: ImageConfig,
    ) -> Result<ImageId, BuildError> {
        let hold = &mut self.hold.borrow_mut();
        let made = self.builder.images.commit(hold, Some(&parent.id), layer, config);
        made.map_err(|error| BuildError::store("keep what a step made")(&error))
    }

    pub(crate) fn find(&self, id: &ImageId) -> Result<Image, BuildError> {
        let found = self.builder.images.find(&id.to_string());
        found.map_err(|error| BuildError::store("find what a step made")(&error))
    }

    /// The time that things are made at.
    pub(crate) fn time(&self) -> Timestamp {
        self.wish.epoch.map_or_else(|| self.builder.clock.wall(), Timestamp::from_secs)
    }

    /// An image by its name.
    pub(crate) fn image(&self, name: &str, span: Span) -> Result<Image, BuildError> {
        match self.builder.images.find(name) {
            Ok(image) => {
                self.hold.borrow_mut().keep(&image.id);
                Ok(image)
            }
            Err(error) if error.kind() == base::Kind::NotFound => {
                Err(self.fault(span, StepFault::NoImage(name.to_owned())))
            }
            Err(error) => Err(BuildError::store("find the base image")(&error)),
        }
    }

    pub(crate) fn fault(&self, span: Span, fault: StepFault) -> BuildError {
        BuildError::step(span, &self.text, fault)
    }

    /// Says that a step begins and gives its number; ends the build if somebody wants that.
    pub(crate) fn begin(&self, stage: &str, text: &str, line: u32) -> Result<usize, BuildError> {
        if self.wish.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let step = self.step.get() + 1;
        self.step.set(step);
        let (stage, text) = (stage.to_owned(), text.chars().take(500).collect());
        (self.progress)(Progress::Started { step, total: self.total.get(), stage, text, line });
        Ok(step)
    }

    pub(crate) fn more_steps(&self, more: usize) {
        self.total.set(self.total.get() + more);
    }

    pub(crate) fn was_cached(&self, step: usize) {
        self.cached.set(self.cached.get() + 1);
        (self.progress)(Progress::Cached { step });
    }
}

/// A folder that goes when the build ends, however it ends.
pub(crate) struct Scratch {
    pub key: String,
    path: PathBuf,
}

impl Scratch {
    fn new(parent: &Path) -> Result<Self, BuildError> {
        let key: String = kernel_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = parent.join(&key);
        fs::create_dir(&path).map_err(|error| BuildError::scratch("create", &path, error))?;
        Ok(Self { key, path })
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(|error| BuildError::scratch("create", &path, error))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            tracing::warn!(path = %path, error = %error, "could not remove the scratch folder `{path}`; the next start does");
        }
    }
}
