//! A stage: its base, then its instructions, each a step that the cache knows or that is done now.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use base::Problem;
use images::{Image, Images, LayerSource, PackOptions, Snapshot};
use oci::{Digest, History, ImageConfig, Platform};

use crate::build::{Done, Job, SNAPSHOTS};
use crate::dockerfile::{Command, Instruction, Span, Transfer, parse_trigger};
use crate::error::{BuildError, StepFault};
use crate::git::{Checkout, Repository};
use crate::graph::{Base, Stage};
use crate::intake::{Files, Named};
use crate::ports::{Fetched, Moved};
use crate::progress::{Progress, Step};
use crate::remote;
use crate::settings::Settings;
use crate::steps::{self, CONTEXT};
use crate::transfer;
use crate::tree::{Node, Tree};
use crate::upper::Upper;
use crate::users::{Owner, owner};

/// What BuildKit writes beside each step of a history.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The longest file that ADD fetches.
const MAX_FETCHED: u64 = 16 << 30;

/// Whether a step was done or known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    Anew,
    Cached,
}

/// A stage under way.
pub(crate) struct StageRun<'a> {
    pub job: &'a Job<'a>,
    number: usize,
    /// The layers so far.
    pub image: Image,
    pub settings: Settings,
    /// Whether its steps may come from the cache.
    recalls: bool,
    /// The keys of its steps, each with the number of layers behind it.
    steps: Vec<(String, usize)>,
}

/// Files that a step takes: a folder's, or those of a stage or an image.
pub(crate) enum Place<'a> {
    Folder(&'a Files),
    Layers(Tree),
}

impl Place<'_> {
    pub(crate) fn tree(&self) -> &Tree {
        match self {
            Self::Folder(files) => &files.tree,
            Self::Layers(tree) => tree,
        }
    }

    /// Where they lie, if in one folder.
    pub(crate) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Folder(files) => Some(&files.dir),
            Self::Layers(_) => None,
        }
    }
}

impl Job<'_> {
    /// Does a stage, waiting for what it needs of others.
    pub(crate) fn stage(&self, number: usize) -> Result<Done, BuildError> {
        let stage = &self.graph.stages[number];
        let steps = self.plan.stages.get(&number).map(Vec::as_slice).unwrap_or_default();
        let from = steps.first().copied().unwrap_or(CONTEXT);
        let (mut run, triggers) = self.within(from, || self.begin_stage(number, from))?;
        let triggers = self.plan_triggers(number, &triggers)?;
        for (step, one) in &triggers {
            self.within(*step, || run.instruction(one, *step))?;
        }
        for (step, one) in steps.iter().skip(1).zip(&stage.instructions) {
            self.within(*step, || run.instruction(one, *step))?;
        }
        Ok(Done { image: run.image, config: run.settings.config, steps: run.steps })
    }

    fn begin_stage(&self, number: usize, step: usize) -> Result<(StageRun<'_>, Vec<String>), BuildError> {
        let stage = &self.graph.stages[number];
        let began = self.builder.clock.now();
        self.check_platform(stage)?;
        let escape = self.file.directives.escape;
        let Done { image, mut config, steps: base_steps } = self.base(stage, step)?;
        crate::inline::forget(&mut config);
        let triggers = config.config.on_build.clone();
        let settings = if stage.base == Base::Scratch {
            Settings::scratch(escape)
        } else {
            Settings::new(config, escape)
        };
        let recalls = self.may_recall(number);
        let run = StageRun { job: self, number, image, settings, recalls, steps: base_steps };
        self.builder.finished(&self.teller, step, began, run.id());
        Ok((run, triggers))
    }

    /// The triggers of a base image as steps of their own.
    fn plan_triggers(
        &self,
        number: usize,
        texts: &[String],
    ) -> Result<Vec<(usize, Instruction)>, BuildError> {
        let stage = &self.graph.stages[number];
        let mut read = Vec::with_capacity(texts.len());
        for text in texts {
            let one = parse_trigger(text).map_err(|error| {
                self.fault(stage.span, StepFault::Trigger(format!("{} (`{text}`)", error.fault)))
            })?;
            read.push(Instruction { span: stage.span, ..one });
        }
        let steps = read.iter().map(|one| Step {
            number: 0,
            kind: steps::kind(&one.command),
            text: format!("ONBUILD {}", one.text),
            line: stage.span.start,
            stage: stage.title(number),
            several_stages: self.graph.order.len() > 1,
            place: None,
            count: None,
            digest: Digest::sha256(format!("{number} {}", one.text).as_bytes()),
            inputs: self
                .plan
                .stages
                .get(&number)
                .and_then(|steps| steps.first())
                .copied()
                .into_iter()
                .collect(),
        });
        let numbers = self.teller.plan(steps.collect());
        Ok(numbers.into_iter().zip(read).collect())
    }

    fn base(&self, stage: &Stage, step: usize) -> Result<Done, BuildError> {
        match &stage.base {
            Base::Stage(number) => self.board.wait(*number, &self.stop),
            Base::Image(name) => self.base_image(name, stage, step),
            Base::Context(name) => match self.sources.named.get(name) {
                Some(Named::Files(files)) => self.base_folder(files),
                Some(Named::Image(image)) => self.base_image(image, stage, step),
                None => self.base_image(name, stage, step),
            },
            Base::Scratch => {
                let id = self.commit_on(None, LayerSource::None, ImageConfig::scratch())?;
                Ok(Done { image: self.find(&id)?, config: ImageConfig::scratch(), steps: Vec::new() })
            }
        }
    }

    fn base_image(&self, name: &str, stage: &Stage, step: usize) -> Result<Done, BuildError> {
        let image = self.image(name, stage.span, step)?;
        let config = ImageConfig::clone(&image.config);
        Ok(Done { image, config, steps: Vec::new() })
    }

    /// A folder as the one layer of an image.
    fn base_folder(&self, files: &Files) -> Result<Done, BuildError> {
        let options = PackOptions { latest_mtime: self.wish.epoch };
        let layer = LayerSource::Dir(&files.dir, options);
        let id = self.commit_on(None, layer, ImageConfig::scratch())?;
        Ok(Done { image: self.find(&id)?, config: ImageConfig::scratch(), steps: Vec::new() })
    }

    /// We build for the machine that we run on, and say so when somebody asks for another.
    fn check_platform(&self, stage: &Stage) -> Result<(), BuildError> {
        let Some(wanted) = stage.platform.as_ref().or(self.wish.platform.as_ref()) else { return Ok(()) };
        let ours = Platform::ours();
        let mut parts = wanted.split('/');
        let same = parts.next() == Some(&ours.os)
            && parts.next().is_none_or(|arch| same_architecture(arch, &ours.architecture))
            && parts.next().is_none_or(|variant| ours.variant.as_deref().is_none_or(|own| own == variant));
        if same {
            return Ok(());
        }
        let what = format!("`--platform={wanted}` on a machine of {ours}");
        let instead = "build on a machine of that kind; nothing is emulated";
        Err(self.fault(stage.span, StepFault::Unsupported { what, instead }))
    }
}

impl Job<'_> {
    /// Fetches what a URL names, and checks its digest if one is wanted.
    fn fetch(
        &self,
        url: &str,
        wanted: Option<&Digest>,
        step: usize,
    ) -> Result<(PathBuf, Fetched), StepFault> {
        let put =
            |path: &Path, error| StepFault::Put(format!("could not write `{}`", path.display()), Some(error));
        let scratch = self.scratch.path();
        let folder = self.scratch.fresh(&format!("fetched-{step}")).map_err(|error| put(scratch, error))?;
        let path = folder.join("file");
        let mut file = File::create_new(&path).map_err(|error| put(&path, error))?;
        let mut told = |Moved { what, bytes, of }: Moved| {
            self.teller.tell(Progress::Moved { step, what, bytes, of, done: of == Some(bytes) });
        };
        let fetched = self.builder.fetcher().fetch(url, MAX_FETCHED, &mut file, &mut told, &self.stop);
        let fetched = fetched.map_err(|report| StepFault::Fetch(url.to_owned(), report))?;
        if let Some(wanted) = wanted {
            let got = remote::digest(&path).map_err(|error| put(&path, error))?;
            if got != *wanted {
                let (wanted, got) = (wanted.to_string(), got.to_string());
                return Err(StepFault::Checksum { url: url.to_owned(), wanted, got });
            }
        }
        Ok((path, fetched))
    }
}

/// Fetches for a step.
struct Fetching<'a> {
    job: &'a Job<'a>,
    step: usize,
}

impl transfer::Fetch for Fetching<'_> {
    fn url(&self, url: &str, wanted: Option<&Digest>) -> transfer::Got {
        self.job.fetch(url, wanted, self.step)
    }

    fn repository(&self, repository: &Repository, keep_git: bool) -> Result<(PathBuf, String), StepFault> {
        let (job, scratch) = (self.job, &self.job.scratch);
        let folder = scratch.fresh(&format!("repository-{}", self.step)).map_err(|error| {
            StepFault::Put(format!("could not write `{}`", scratch.path().display()), Some(error))
        })?;
        let checkout = Checkout {
            repository,
            keep_git,
            secrets: &*job.wish.secrets,
            agents: &job.wish.agents,
            cancel: &job.stop,
        };
        let commit = job.builder.checkout(&checkout, &folder);
        let commit = commit.map_err(|report| StepFault::Fetch(repository.shown(), report))?;
        Ok((folder, commit))
    }
}

/// Names of one kind of machine, as people write them.
fn same_architecture(written: &str, ours: &str) -> bool {
    let plain = match written {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    plain == ours
}

impl<'a> StageRun<'a> {
    fn instruction(&mut self, one: &Instruction, step: usize) -> Result<(), BuildError> {
        let job = self.job;
        let began = job.builder.clock.now();
        let did = match &one.command {
            Command::Run(run) => self.run(run, one.span, step)?,
            Command::Copy(copy) => self.transfer(copy, false, one.span, step)?,
            Command::Add(add) => self.transfer(add, true, one.span, step)?,
            Command::Workdir(path) => self.workdir(path, one.span, step)?,
            other => {
                let line =
                    self.settings.apply(other, &job.global).map_err(|fault| job.fault(one.span, fault))?;
                if let Some(line) = line {
                    self.history(line, true);
                }
                self.only_settings()
            }
        };
        match did {
            Did::Cached => job.teller.cached(step, self.id()),
            Did::Anew => job.builder.finished(&job.teller, step, began, self.id()),
        }
        Ok(())
    }

    /// Whether an image with these settings over these layers was made before. There is nothing to do in any case.
    fn only_settings(&self) -> Did {
        let job = self.job;
        let key = job.key(&self.image, "settings", &[&timeless(&self.settings.config)]);
        let known = self.recalls && job.builder.images.cache_get(&key).is_some();
        job.settings.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        if known { Did::Cached } else { Did::Anew }
    }

    /// What an image of all up to here would be named.
    fn id(&self) -> Option<Digest> {
        let mut config = self.settings.config.clone();
        config.rootfs.clone_from(&self.image.config.rootfs);
        serde_json::to_vec(&config).ok().map(|bytes| Digest::sha256(&bytes))
    }

    pub(crate) fn history(&mut self, line: String, empty_layer: bool) {
        let created = Some(self.job.time().to_string());
        let (created_by, comment) = (Some(line), Some(COMMENT.to_owned()));
        let step = History { created, created_by, comment, empty_layer, ..History::default() };
        self.settings.config.history.push(step);
    }

    /// The files of this stage so far.
    pub(crate) fn here(&self) -> Result<Tree, BuildError> {
        tree(&self.image)
    }

    /// Takes the layer of an earlier build, or has it made now.
    pub(crate) fn layer(
        &mut self,
        key: &str,
        line: String,
        step: usize,
        make: impl FnOnce(&Self, &Snapshot) -> Result<(), BuildError>,
    ) -> Result<Did, BuildError> {
        let job = self.job;
        self.history(line, false);
        if let Some(image) = self.recall(key) {
            self.reached(key, image);
            return Ok(Did::Cached);
        }
        // The same step of another stage or build is waited for rather than done twice.
        let _turn = job.builder.turns.take(key, &job.stop)?;
        if let Some(image) = self.recall(key) {
            self.reached(key, image);
            return Ok(Did::Cached);
        }
        let _permit = job.permits.take(&job.stop)?;
        let shot =
            Shot::new(&job.builder.images, &self.image, format!("{SNAPSHOTS}{}-{step}", job.scratch.key))?;
        make(self, &shot.snapshot)?;
        let mut config = self.settings.config.clone();
        config.created = Some(job.time().to_string());
        let options = PackOptions { latest_mtime: job.wish.epoch };
        let id = job.commit(&self.image, LayerSource::Snapshot(&shot.key, options), config)?;
        job.remember(key, &id)?;
        let image = job.find(&id)?;
        self.reached(key, image);
        Ok(Did::Anew)
    }

    pub(crate) fn reached(&mut self, key: &str, image: Image) {
        self.steps.push((key.to_owned(), image.chain.len()));
        self.image = image;
    }

    pub(crate) fn recall(&self, key: &str) -> Option<Image> {
        if self.recalls { self.job.recall(key) } else { None }
    }

    fn transfer(
        &mut self,
        transfer: &Transfer,
        add: bool,
        span: Span,
        step: usize,
    ) -> Result<Did, BuildError> {
        let job = self.job;
        let from = transfer.flags.from.as_deref();
        let from = from.map(|text| self.settings.expand(text)).transpose();
        let from = from.map_err(|why| job.fault(span, why.into()))?;
        let place = self.place(from.as_deref(), span, step)?;
        let called = from.map_or_else(|| "the context".to_owned(), |name| format!("`{name}`"));
        let tree = place.tree();
        let here = self.here()?;
        let fault = |fault| job.fault(span, fault);
        let ends = transfer::Ends { from: tree, place: &called, here: &here };
        let fetch = Fetching { job, step };
        let plan = transfer::Plan::new(transfer, add, &self.settings, &ends, &fetch).map_err(fault)?;
        let line = format!("{} # buildkit", plan.line);
        for source in &plan.empty {
            job.teller.warn(span.start, format!("`{source}` means no file in {called}"));
        }
        let digest = plan.digest(tree).map_err(fault)?;
        let write = |snapshot: &Snapshot| {
            let upper = Upper::open(&snapshot.upper, &snapshot.lower)
                .map_err(|error| BuildError::scratch("open", &snapshot.upper, error))?;
            plan.write(tree, &upper, job.wish.epoch, job.time().secs()).map_err(fault)
        };
        if transfer.flags.link {
            return self.linked(&digest, line, step, write);
        }
        let key = job.key(&self.image, "files", &[&digest.to_string()]);
        self.layer(&key, line, step, |_, snapshot| write(snapshot))
    }

    /// The files that `--from=name` means; those of the context without a name. Waits for a stage.
    pub(crate) fn place(&self, name: Option<&str>, span: Span, step: usize) -> Result<Place<'a>, BuildError> {
        let job = self.job;
        let Some(name) = name else { return Ok(Place::Folder(&job.sources.context)) };
        let image = match job.graph.source(self.number, name) {
            Base::Stage(number) if job.graph.order.contains(&number) => {
                job.board.wait(number, &job.stop)?.image
            }
            // Only a base image's trigger can name a stage that nothing else needs.
            Base::Stage(_) => {
                return Err(job.fault(
                    span,
                    StepFault::Unsupported {
                        what: format!("a trigger that takes files from the stage `{name}`"),
                        instead: "name that stage in a COPY of this Dockerfile, too",
                    },
                ));
            }
            Base::Context(name) => match job.sources.named.get(&name) {
                Some(Named::Files(files)) => return Ok(Place::Folder(files)),
                Some(Named::Image(image)) => job.image(image, span, step)?,
                None => job.image(&name, span, step)?,
            },
            Base::Image(name) => job.image(&name, span, step)?,
            Base::Scratch => {
                let what = "a source";
                let fault = StepFault::Value { value: name.to_owned(), what, allowed: "a stage or an image" };
                return Err(job.fault(span, fault));
            }
        };
        Ok(Place::Layers(tree(&image)?))
    }

    fn workdir(&mut self, text: &str, span: Span, step: usize) -> Result<Did, BuildError> {
        let job = self.job;
        let text = self.settings.expand(text).map_err(|why| job.fault(span, why.into()))?;
        let path = match self.settings.absolute(&text).trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let line = format!("WORKDIR {path}");
        let here = self.here()?;
        let wrong = |why: String, error| job.fault(span, StepFault::Put(why, error));
        let found = here
            .find(Path::new(&path), true)
            .map_err(|error| wrong(format!("could not read `{path}`"), Some(error)))?;
        self.settings.config.config.working_dir.clone_from(&path);
        match found.node {
            Some(Node::Folder(..)) => {
                self.history(line, true);
                Ok(self.only_settings())
            }
            Some(Node::Link(..) | Node::Other(..)) => {
                Err(wrong(format!("`{path}` is there and is no folder"), None))
            }
            None => {
                let user = &self.settings.config.config.user;
                let owned = if user.is_empty() { Ok(Owner::default()) } else { owner(user, &here) };
                let owned = owned.map_err(|why| job.fault(span, why.into()))?;
                let key = job.key(&self.image, "folder", &[&path, &format!("{owned:?}")]);
                self.layer(&key, line, step, |_, snapshot| {
                    let upper = Upper::open(&snapshot.upper, &snapshot.lower)
                        .map_err(|error| BuildError::scratch("open", &snapshot.upper, error))?;
                    let made = upper.folder(Path::new(&path), owned);
                    made.map(drop).map_err(|why| job.fault(span, why.into()))
                })
            }
        }
    }
}

/// A configuration without the times in it.
pub(crate) fn timeless(config: &ImageConfig) -> String {
    let mut timeless = config.clone();
    timeless.created = None;
    timeless.history.iter_mut().for_each(|step| step.created = None);
    timeless.rootfs.diff_ids.clear();
    serde_json::to_string(&timeless).unwrap_or_default()
}

/// The files of an image.
fn tree(image: &Image) -> Result<Tree, BuildError> {
    Tree::open(&image.lower).map_err(|error| {
        let first = image.lower.first().cloned().unwrap_or_default();
        BuildError::scratch("open the layer", &first, error)
    })
}

/// A snapshot that goes unless it became a layer.
pub(crate) struct Shot<'a> {
    images: &'a Images,
    pub(crate) key: String,
    pub(crate) snapshot: Snapshot,
}

impl<'a> Shot<'a> {
    pub(crate) fn new(images: &'a Images, image: &Image, key: String) -> Result<Self, BuildError> {
        let snapshot = images.snapshot(&image.id, &key);
        let snapshot = snapshot.map_err(|error| BuildError::store("prepare a layer")(&error))?;
        Ok(Self { images, key, snapshot })
    }
}

impl Drop for Shot<'_> {
    fn drop(&mut self) {
        // One that became a layer is gone already, and dropping it again does nothing.
        if let Err(error) = self.images.drop_snapshot(&self.key) {
            let key = &self.key;
            tracing::warn!(key, error = %error, hint = error.hint(), "could not drop the snapshot `{key}`; the next start does");
        }
    }
}
