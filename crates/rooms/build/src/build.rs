//! A build from request to image: reads, plans, and has the stages done in the order of their needs.
//!
//! Owns the `build/` data folder:
//!
//! ```text
//! build/
//!   scratch/<key>/   contexts and copies of one build under way; gone when it ends, or at the next start
//!   caches/<hash>/   folders of `RUN --mount=type=cache`, which live on
//!   git/             keys of hosts of git repositories, which live on; what a fetch is lent, while it goes on
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use base::{Clock, Problem, Report, Timestamp, kernel_bytes};
use images::{Happening, Hold, Image, ImageId, Images, LayerSource};
use oci::{Digest, ImageConfig};

use crate::board::{Board, Permits, Turns};
use crate::check::{self, Around, Stages};
use crate::dockerfile::{self, Dockerfile, Span};
use crate::error::{BuildError, StepFault};
use crate::git::Checkout;
use crate::graph::Graph;
use crate::intake::{Intake, Sources};
use crate::order::{
    BuildRequest, Built, Cancel, Context, DockerfileSource, NamedContext, NoCache, RunSettings,
};
use crate::ports::{Agents, Fetcher, Moved, Puller, Secrets};
use crate::progress::{Progress, Teller};
use crate::remote::NoFetcher;
use crate::runner::Runner;
use crate::scope::Global;
use crate::steps::{self, CONTEXT};

/// The build argument by which the `.git` of a context stays.
const KEEP_GIT: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
/// In front of the keys of our snapshots, so that stale ones are known.
pub(crate) const SNAPSHOTS: &str = "build-";
/// The folder of what is remembered of hosts of git repositories.
const GIT: &str = "git";
/// So many stages are under way at once; most of them wait for others.
const MAX_STAGES: usize = 32;
/// The stack of a stage: commands may make folders within folders, which are packed one within the other.
const STACK: usize = 32 << 20;

/// Builds images. Clones share the folder.
#[derive(Clone)]
pub struct Builder {
    pub(crate) images: Images,
    pub(crate) clock: Arc<dyn Clock>,
    dir: PathBuf,
    /// A folder in memory, if the machine has some mounted.
    memory: Option<PathBuf>,
    fetcher: Arc<dyn Fetcher>,
    pub(crate) puller: Option<Arc<dyn Puller>>,
    /// Read by steps that use a cache folder, written by whoever removes these.
    pub(crate) caches: Arc<RwLock<()>>,
    /// Keys of steps that some build does now, and cache folders that one step at a time may use.
    pub(crate) turns: Arc<Turns>,
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
        for folder in [&scratch, &dir.join("caches"), &dir.join(GIT)] {
            fs::create_dir_all(folder).map_err(|error| BuildError::scratch("create", folder, error))?;
        }
        let lent = dir.join(GIT);
        for entry in fs::read_dir(&lent).map_err(|error| BuildError::scratch("read", &lent, error))?.flatten()
        {
            if entry.path().is_dir() {
                let removed = fs::remove_dir_all(entry.path());
                removed.map_err(|error| BuildError::scratch("clear", &entry.path(), error))?;
            }
        }
        for (key, _) in images.snapshots() {
            if key.starts_with(SNAPSHOTS) {
                images
                    .drop_snapshot(&key)
                    .map_err(|error| BuildError::store("drop a stale snapshot")(&error))?;
            }
        }
        let memory = crate::memory::place(&dir)
            .map_err(|error| BuildError::scratch("make memory for", &dir, error))?;
        Ok(Self {
            images,
            clock,
            dir,
            memory,
            fetcher: Arc::new(NoFetcher),
            puller: None,
            caches: Arc::default(),
            turns: Arc::default(),
        })
    }

    /// The same with a way to what URLs name.
    #[must_use]
    pub fn with_fetcher(self, fetcher: Arc<dyn Fetcher>) -> Self {
        Self { fetcher, ..self }
    }

    /// The same with a way to images that are not here.
    #[must_use]
    pub fn with_puller(self, puller: Arc<dyn Puller>) -> Self {
        Self { puller: Some(puller), ..self }
    }

    /// Its folder in memory.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> Option<&Path> {
        self.memory.as_deref()
    }

    pub(crate) fn fetcher(&self) -> &dyn Fetcher {
        &*self.fetcher
    }

    /// Builds an image. Blocks until it is done: call it where blocking is fine.
    ///
    /// `progress` is called from several threads, and what it does holds the step up that it is told about.
    pub fn build(
        &self,
        mut request: BuildRequest,
        runner: &dyn Runner,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Built, BuildError> {
        let teller = Teller::new(progress);
        let scratch = Scratch::new(&self.dir.join("scratch"), self.memory.as_deref())?;
        base::crash::point("build: scratch made");
        let stop = request.cancel.below();
        let (sources, text, understood) = self.begin(&mut request, (&scratch, &teller), &stop)?;
        let Understood { file, global, graph } = understood;
        let epoch = match request.epoch {
            Some(epoch) => Some(epoch),
            None => crate::scope::epoch(&request.args)?,
        };
        if request.pull && self.puller.is_none() {
            teller.warn(0, "no registry can be reached, so the images that are here are taken".to_owned());
        }
        let (plan, planned) = steps::plan(&graph, &text);
        teller.plan(planned);
        let others = crate::inline::read(self, &request.cache_from, request.pull, &teller, &stop);
        let inline = request.args.get("BUILDKIT_INLINE_CACHE").is_some_and(|value| value == "1");
        let here = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let job = Job {
            builder: self,
            wish: Wish {
                labels: request.labels,
                tags: request.tags,
                platform: request.platform,
                pull: request.pull,
                no_cache: request.no_cache,
                secrets: request.secrets,
                agents: request.agents,
                epoch,
                run: request.run,
                cancel: request.cancel,
            },
            text,
            file,
            global,
            graph,
            plan,
            sources,
            scratch,
            runner,
            teller,
            stop,
            board: Board::new(),
            permits: Permits::new(request.jobs.map_or(here, NonZeroUsize::get)),
            holds: Mutex::default(),
            settings: Mutex::default(),
            others,
            inline,
        };
        let image = job.all();
        job.runner.over(&job.scratch.key);
        let image = image?;
        let (steps, cached) = job.teller.totals();
        Ok(Built { image, steps, cached })
    }

    /// Takes all in that the build is made of, and sees whether it makes sense.
    fn begin(
        &self,
        request: &mut BuildRequest,
        (scratch, teller): (&Scratch, &Teller<'_>),
        stop: &Cancel,
    ) -> Result<(Sources, String, Understood), BuildError> {
        let context = std::mem::replace(&mut request.context, Context::Empty);
        let contexts = std::mem::take(&mut request.contexts);
        let intake = Intake {
            builder: self,
            scratch,
            teller,
            cancel: stop,
            secrets: &*request.secrets,
            agents: &request.agents,
            keep_git: request.args.get(KEEP_GIT).is_some_and(|value| value == "1" || value == "true"),
        };
        let taken = self.take_in(&intake, context, contexts, &request.dockerfile);
        let (sources, text) = taken.map_err(|error| called_off(stop, error))?;
        let understood = understand(&text, &request.args, request.target.as_deref(), &sources, teller)?;
        if request.checks {
            let args = (&request.args, request.target.as_deref());
            self.check(&understood.file, args, (&sources, &request.dockerfile), teller)?;
        }
        Ok((sources, text, understood))
    }

    /// Tells of what is probably not meant, and refuses it where the Dockerfile says so.
    fn check(
        &self,
        file: &Dockerfile,
        (args, target): (&BTreeMap<String, String>, Option<&str>),
        (sources, dockerfile): (&Sources, &DockerfileSource),
        teller: &Teller<'_>,
    ) -> Result<(), BuildError> {
        let ignore = crate::intake::ignore(&sources.context.tree, dockerfile);
        let around = Around {
            args,
            stages: Stages::For(target),
            contexts: &sources.names(),
            ignore: ignore.as_ref(),
            image: &|name| check::Base::of(&self.images.find(name).ok()?.config),
        };
        let checked = check::check(file, around).map_err(BuildError::CheckOption)?;
        let refusal = checked.refusal();
        for one in checked.found {
            let message = format!("{}: {}", one.rule, one.message);
            teller.tell(Progress::Warning { rule: Some(one.rule), line: one.line, message });
        }
        refusal.map_or(Ok(()), |text| Err(BuildError::Checks(text)))
    }

    /// Takes the context in, which is the first step.
    fn take_in(
        &self,
        intake: &Intake<'_>,
        context: Context,
        named: Vec<(String, NamedContext)>,
        dockerfile: &DockerfileSource,
    ) -> Result<(Sources, String), BuildError> {
        let began = self.clock.now();
        intake.teller.plan(vec![steps::context_step()]);
        intake.teller.started(CONTEXT);
        let taken = intake.take(context, named, dockerfile)?;
        self.finished(intake.teller, CONTEXT, began, None);
        base::crash::point("build: context taken in");
        Ok(taken)
    }

    pub(crate) fn finished(
        &self,
        teller: &Teller<'_>,
        step: usize,
        began: base::Instant,
        image: Option<Digest>,
    ) {
        let took = self.clock.now().since(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        teller.tell(Progress::Finished { step, took_ms, image });
    }

    /// Checks a git repository out into an empty folder, and gives the commit. Blocks.
    pub fn checkout(&self, order: &Checkout<'_>, into: &Path) -> Result<String, Report> {
        crate::git::checkout(order, &self.dir.join(GIT), into)
    }

    /// Where cache mounts live.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.join("caches")
    }

    /// Removes all folders of cache mounts and says how many there were; waits for builds that use one.
    pub fn prune_caches(&self) -> Result<usize, BuildError> {
        let dir = self.cache_dir();
        let _turn = self.caches.write().unwrap_or_else(PoisonError::into_inner);
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
}

/// A Dockerfile that makes sense with the arguments of its build.
struct Understood {
    file: Dockerfile,
    global: Global,
    graph: Graph,
}

fn understand(
    text: &str,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
    sources: &Sources,
    teller: &Teller<'_>,
) -> Result<Understood, BuildError> {
    let file = dockerfile::parse(text)?;
    let global = Global::new(&file, args, target).map_err(|(index, fault)| {
        let span = file.instructions.get(index).map_or(Span::line(1), |one| one.span);
        BuildError::step(span, text, fault.into())
    })?;
    let graph = Graph::new(&file, &global, target, &sources.names())
        .map_err(|fault| BuildError::stages(fault, text))?;
    for name in global.unused(&file) {
        teller.warn(0, format!("the build argument `{name}` is declared by no ARG"));
    }
    Ok(Understood { file, global, graph })
}

/// What ends because the build was called off says just that.
fn called_off(cancel: &Cancel, error: BuildError) -> BuildError {
    if cancel.is_cancelled() { BuildError::Cancelled } else { error }
}

/// What the request says of all steps.
pub(crate) struct Wish {
    labels: BTreeMap<String, String>,
    tags: Vec<oci::Reference>,
    pub platform: Option<String>,
    pub pull: bool,
    no_cache: NoCache,
    pub secrets: Arc<dyn Secrets>,
    pub agents: Arc<dyn Agents>,
    pub epoch: Option<i64>,
    pub run: RunSettings,
    cancel: Cancel,
}

/// One build under way.
pub(crate) struct Job<'a> {
    pub builder: &'a Builder,
    pub wish: Wish,
    pub text: String,
    pub file: Dockerfile,
    pub global: Global,
    pub graph: Graph,
    pub plan: steps::Plan,
    pub sources: Sources,
    pub scratch: Scratch,
    pub runner: &'a dyn Runner,
    pub teller: Teller<'a>,
    /// Off when the build is called off, or one of its stages failed.
    pub stop: Cancel,
    /// The stages that are done.
    pub board: Board<Done>,
    /// Steps that work at once.
    pub permits: Permits,
    /// Keep what was made so far from being collected.
    holds: Mutex<Vec<Hold>>,
    /// The keys of settings that were seen.
    pub settings: Mutex<Vec<String>>,
    /// Steps of images of `--cache-from`, by their keys: the image, and how many of its layers.
    others: BTreeMap<String, (Image, usize)>,
    /// Whether the image tells of its steps, for the `--cache-from` of others.
    inline: bool,
}

/// A stage that is done.
#[derive(Clone)]
pub(crate) struct Done {
    /// Its layers; the configuration is the one beside it.
    pub image: Image,
    pub config: ImageConfig,
    /// The keys of the steps that led to it, each with the number of layers behind it.
    pub steps: Vec<(String, usize)>,
}

impl Job<'_> {
    /// Does all stages, as many at once as their needs and the permits allow.
    fn all(&self) -> Result<ImageId, BuildError> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<BuildError>> = Mutex::new(None);
        let work = || {
            // Stages are begun in an order in which what a stage needs was begun before it, so none waits for ever.
            while let Some(stage) = self.graph.order.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.stage(*stage) {
                    Ok(done) => self.board.put(*stage, done),
                    Err(error) => {
                        self.stop.cancel();
                        let mut first = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        // What was stopped because of another is no reason.
                        if first.is_none() || matches!(*first, Some(BuildError::Cancelled)) {
                            *first = Some(error);
                        }
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.graph.order.len().min(MAX_STAGES) {
                let thread = std::thread::Builder::new().name("build stage".into()).stack_size(STACK);
                // The others take its stages, and at last this thread does.
                if let Err(error) = thread.spawn_scoped(scope, work) {
                    tracing::warn!("could not begin a thread for a build: {error}");
                }
            }
        });
        work();
        if self.wish.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let wanted = self.board.wait(self.graph.target(), &self.stop)?;
        self.export(wanted)
    }

    /// Makes the image of the wanted stage and names it.
    fn export(&self, wanted: Done) -> Result<ImageId, BuildError> {
        let began = self.builder.clock.now();
        let step = self.plan.export;
        self.teller.started(step);
        let image = self.finish(wanted)?;
        base::crash::point("build: image made");
        self.remember_settings(&image);
        self.builder.images.tell(&image, Happening::Created);
        for tag in &self.wish.tags {
            self.builder
                .images
                .tag(&image.to_string(), tag)
                .map_err(|error| BuildError::store("name the image")(&error))?;
        }
        self.builder.finished(&self.teller, step, began, Some(image.0.clone()));
        Ok(image)
    }

    /// The image of the wanted stage. One with the same layers and settings that a cached build made is taken as it
    /// is, so that building the same again gives the same image.
    fn finish(&self, done: Done) -> Result<ImageId, BuildError> {
        let Done { image, mut config, steps: wanted_steps } = done;
        config.config.labels.extend(self.wish.labels.clone());
        let key = self.image_key(&image, &config);
        if self.wish.no_cache != NoCache::Always
            && let Some(known) = self.builder.images.cache_get(&key)
            && self.keep(&known)
        {
            return Ok(known);
        }
        config.created = Some(self.time().to_string());
        if self.inline {
            crate::inline::write(&mut config, &wanted_steps);
        }
        let made = self.commit(&image, LayerSource::None, config)?;
        self.remember(&key, &made)?;
        Ok(made)
    }

    fn image_key(&self, image: &Image, config: &ImageConfig) -> String {
        let text = crate::stage::timeless(config);
        let inline = if self.inline { "inline" } else { "" };
        self.key(image, "image", &[&text, inline])
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

    /// Whether the steps of this stage may come from the cache.
    pub(crate) fn may_recall(&self, stage: usize) -> bool {
        match &self.wish.no_cache {
            NoCache::Never => true,
            NoCache::Always => false,
            NoCache::Stages(names) => {
                let title = self.graph.stages[stage].title(stage);
                !names.iter().any(|name| name.eq_ignore_ascii_case(&title) || *name == stage.to_string())
            }
        }
    }

    /// The layers that a step with this key led to before, here or in an image of `--cache-from`.
    pub(crate) fn recall(&self, key: &str) -> Option<Image> {
        let images = &self.builder.images;
        let id = images.cache_get(key).or_else(|| self.taken_over(key))?;
        let kept = self.keep(&id);
        images.find(&id.to_string()).ok().filter(|_| kept)
    }

    /// The layers of an image of `--cache-from` up to this step, as an image of their own.
    fn taken_over(&self, key: &str) -> Option<ImageId> {
        let (image, layers) = self.others.get(key)?;
        let mut hold = self.builder.images.hold();
        let config = ImageConfig::clone(&image.config);
        let cut = self.builder.images.cut(&mut hold, &image.id, *layers, config);
        self.holds().push(hold);
        // Losing it costs time only.
        let cut = cut.inspect_err(|error| tracing::warn!("could not take a step over: {error}")).ok()?;
        self.remember(key, &cut).ok()?;
        Some(cut)
    }

    /// Remembers that the image came of these settings, so that they count as known.
    fn remember_settings(&self, image: &ImageId) {
        let keys = std::mem::take(&mut *self.settings.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.builder.images.cache_put_all(keys, image) {
            // Losing it costs time only.
            tracing::warn!("could not remember the settings of a build: {error}");
        }
    }

    pub(crate) fn remember(&self, key: &str, image: &ImageId) -> Result<(), BuildError> {
        let put = self.builder.images.cache_put(key, image);
        put.map_err(|error| BuildError::store("remember a step")(&error))
    }

    fn holds(&self) -> MutexGuard<'_, Vec<Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an image until the build ends; false if it is not here.
    fn keep(&self, image: &ImageId) -> bool {
        let mut hold = self.builder.images.hold();
        let kept = hold.keep(image);
        self.holds().push(hold);
        kept
    }

    pub(crate) fn commit(
        &self,
        parent: &Image,
        layer: LayerSource<'_>,
        config: ImageConfig,
    ) -> Result<ImageId, BuildError> {
        self.commit_on(Some(&parent.id), layer, config)
    }

    pub(crate) fn commit_on(
        &self,
        parent: Option<&ImageId>,
        layer: LayerSource<'_>,
        config: ImageConfig,
    ) -> Result<ImageId, BuildError> {
        // A hold of its own, so that stages do not wait for each other while they pack.
        let mut hold = self.builder.images.hold();
        let made = self.builder.images.commit(&mut hold, parent, layer, config);
        self.holds().push(hold);
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

    /// An image by its name; fetched if it is not here and somebody can.
    pub(crate) fn image(&self, name: &str, span: Span, step: usize) -> Result<Image, BuildError> {
        let images = &self.builder.images;
        let found = images.find(name);
        let missing = matches!(&found, Err(error) if error.kind() == base::Kind::NotFound);
        let found = match &self.builder.puller {
            Some(puller) if missing || self.wish.pull => {
                let mut told = |Moved { what, bytes, of }| {
                    let done = of == Some(bytes);
                    self.teller.tell(Progress::Moved { step, what, bytes, of, done });
                };
                puller
                    .pull(name, &mut told, &self.stop)
                    .map_err(|report| self.fault(span, StepFault::Pull(name.to_owned(), report)))?;
                images.find(name)
            }
            Some(_) | None => found,
        };
        match found {
            Ok(image) => {
                self.keep(&image.id);
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

    /// Does a step, and tells of its beginning and of a bad end.
    pub(crate) fn within<T>(
        &self,
        step: usize,
        act: impl FnOnce() -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        if self.stop.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        self.teller.started(step);
        let outcome = act();
        outcome.map_err(|error| {
            let error = called_off(&self.stop, error);
            let why = Report::of(&error).message.lines().next().unwrap_or_default().to_owned();
            self.teller.tell(Progress::Failed { step, why });
            error
        })
    }
}

/// Folders that go when the build ends, however it ends: one on the disk, and one in memory.
pub(crate) struct Scratch {
    pub key: String,
    path: PathBuf,
    memory: Option<PathBuf>,
}

impl Scratch {
    fn new(parent: &Path, memory: Option<&Path>) -> Result<Self, BuildError> {
        let key: String = kernel_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = parent.join(&key);
        fs::create_dir(&path).map_err(|error| BuildError::scratch("create", &path, error))?;
        // Where memory takes no more folders the disk does.
        let memory = memory.and_then(|memory| crate::memory::folder(memory, &key).ok());
        Ok(Self { key, path, memory })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder in memory, or the one on the disk where there is none.
    pub(crate) fn unwritten(&self) -> &Path {
        self.memory.as_deref().unwrap_or(&self.path)
    }

    /// A new folder in it whose name begins like this.
    pub(crate) fn fresh(&self, name: &str) -> io::Result<PathBuf> {
        for number in 0.. {
            let path = self.path.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| path),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        made(self.path.join(name))
    }

    /// A new folder for files that are few and small: in memory, if there is room.
    pub(crate) fn light_folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        let memory = self.memory.as_deref().filter(|memory| crate::memory::has_room(memory));
        made(memory.unwrap_or(&self.path).join(name))
    }
}

fn made(path: PathBuf) -> Result<PathBuf, BuildError> {
    fs::create_dir(&path).map_err(|error| BuildError::scratch("create", &path, error))?;
    Ok(path)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let told = |path: &Path, removed: io::Result<()>| {
            if let Err(error) = removed {
                let path = path.display();
                tracing::warn!(path = %path, error = %error, "could not remove the scratch folder `{path}`; the next start does");
            }
        };
        if let Some(memory) = &self.memory {
            told(memory, crate::memory::remove(memory));
        }
        told(&self.path, fs::remove_dir_all(&self.path));
    }
}
