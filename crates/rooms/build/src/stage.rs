//! A stage: its base, then its instructions, each a step that the cache knows or that is done now.

use std::collections::BTreeMap;
use std::path::Path;

use base::Problem;
use images::{Image, Images, LayerSource, PackOptions, Snapshot};
use oci::{History, ImageConfig, Platform};

use crate::build::{Done, Job, SNAPSHOTS};
use crate::dockerfile::{Command, Instruction, Span, Transfer, parse_trigger};
use crate::error::{BuildError, StepFault};
use crate::graph::{Base, Stage};
use crate::order::Progress;
use crate::settings::Settings;
use crate::transfer;
use crate::tree::{Node, Tree};
use crate::upper::Upper;
use crate::users::{Owner, owner};

/// What BuildKit writes beside each step of a history.
const COMMENT: &str = "buildkit.dockerfile.v0";

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
    title: String,
    /// The stages that are done.
    done: &'a BTreeMap<usize, Done>,
    /// The layers so far.
    pub image: Image,
    pub settings: Settings,
}

impl Job<'_> {
    /// Does a stage whose needs are done.
    pub(crate) fn stage(&self, number: usize, done: &BTreeMap<usize, Done>) -> Result<Done, BuildError> {
        let stage = &self.graph.stages[number];
        let title = stage.name.clone().unwrap_or_else(|| format!("stage-{number}"));
        let began = self.builder.clock.now();
        let step = self.begin(&title, &stage.text, stage.span.start)?;
        self.check_platform(stage)?;
        let escape = self.file.directives.escape;
        let (image, config) = self.base(stage, done)?;
        let triggers = config.config.on_build.clone();
        let settings = if stage.base == Base::Scratch {
            Settings::scratch(escape)
        } else {
            Settings::new(config, escape)
        };
        self.finished(step, began);
        let mut run = StageRun { job: self, number, title, done, image, settings };
        self.more_steps(triggers.len());
        for text in triggers {
            let read = parse_trigger(&text).map_err(|error| {
                self.fault(stage.span, StepFault::Trigger(format!("{} (`{text}`)", error.fault)))
            })?;
            run.instruction(&Instruction { span: stage.span, ..read })?;
        }
        for one in &stage.instructions {
            run.instruction(one)?;
        }
        Ok(Done { image: run.image, config: run.settings.config })
    }

    fn base(&self, stage: &Stage, done: &BTreeMap<usize, Done>) -> Result<(Image, ImageConfig), BuildError> {
        match &stage.base {
            Base::Stage(number) => {
                let base = done.get(number).expect("a stage comes behind those that it needs").clone();
                Ok((base.image, base.config))
            }
            Base::Image(name) => {
                let image = self.image(name, stage.span)?;
                let config = ImageConfig::clone(&image.config);
                Ok((image, config))
            }
            Base::Scratch => {
                let hold = &mut self.hold.borrow_mut();
                let made = self.builder.images.commit(hold, None, LayerSource::None, ImageConfig::scratch());
                let id = made.map_err(|error| BuildError::store("begin with nothing")(&error))?;
                Ok((self.find(&id)?, ImageConfig::scratch()))
            }
        }
    }

    /// We build for the machine that we run on, and say so when somebody asks for another.
    fn check_platform(&self, stage: &Stage) -> Result<(), BuildError> {
        let Some(wanted) = &stage.platform else { return Ok(()) };
        let ours = Platform::ours();
        let mut parts = wanted.split('/');
        let same = parts.next() == Some(&ours.os)
            && parts.next() == Some(&ours.architecture)
            && parts.next().is_none_or(|variant| ours.variant.as_deref().is_none_or(|own| own == variant));
        if same {
            return Ok(());
        }
        let what = format!("`--platform={wanted}` on a machine of {ours}");
        let instead = "build on a machine of that kind; nothing is emulated";
        Err(self.fault(stage.span, StepFault::Unsupported { what, instead }))
    }

    pub(crate) fn finished(&self, step: usize, began: base::Instant) {
        let took = self.builder.clock.now().since(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        (self.progress)(Progress::Finished { step, took_ms });
    }
}

impl<'a> StageRun<'a> {
    fn instruction(&mut self, one: &Instruction) -> Result<(), BuildError> {
        let job = self.job;
        let began = job.builder.clock.now();
        let step = job.begin(&self.title, &one.text, one.span.start)?;
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
                Did::Anew
            }
        };
        match did {
            Did::Cached => job.was_cached(step),
            Did::Anew => job.finished(step, began),
        }
        Ok(())
    }

    fn history(&mut self, line: String, empty_layer: bool) {
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
        if let Some(image) = job.recall(key) {
            self.image = image;
            return Ok(Did::Cached);
        }
        let shot =
            Shot::new(&job.builder.images, &self.image, format!("{SNAPSHOTS}{}-{step}", job.scratch.key))?;
        make(self, &shot.snapshot)?;
        let mut config = self.settings.config.clone();
        config.created = Some(job.time().to_string());
        let options = PackOptions { latest_mtime: job.wish.epoch };
        let id = job.commit(&self.image, LayerSource::Snapshot(&shot.key, options), config)?;
        job.remember(key, &id)?;
        self.image = job.find(&id)?;
        Ok(Did::Anew)
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
        let other = from.map(|name| self.source(name, span)).transpose()?;
        let (tree, place) = match (&other, from) {
            (Some(tree), Some(name)) => (tree, format!("`{name}`")),
            (None, _) | (_, None) => (&job.context, "the context".to_owned()),
        };
        let here = self.here()?;
        let fault = |fault| job.fault(span, fault);
        let plan = transfer::Plan::new(transfer, add, &self.settings, tree, &place, &here).map_err(fault)?;
        for source in &plan.empty {
            let message = format!("`{source}` means no file in {place}");
            (job.progress)(Progress::Warning { line: span.start, message });
        }
        let digest = plan.digest(tree).map_err(fault)?;
        let key = job.key(&self.image, "files", &[&digest.to_string()]);
        let line = format!("{} # buildkit", plan.line);
        self.layer(&key, line, step, |_, snapshot| {
            let upper = Upper::open(&snapshot.upper, &snapshot.lower)
                .map_err(|error| BuildError::scratch("open", &snapshot.upper, error))?;
            plan.write(tree, &upper, job.wish.epoch, job.time().secs()).map_err(fault)
        })
    }

    /// The files of a stage or an image.
    pub(crate) fn source(&self, name: &str, span: Span) -> Result<Tree, BuildError> {
        let job = self.job;
        match job.graph.source(self.number, name) {
            Base::Stage(number) => match self.done.get(&number) {
                Some(done) => tree(&done.image),
                // Only a base image's trigger can name a stage that nothing else needs.
                None => Err(job.fault(
                    span,
                    StepFault::Unsupported {
                        what: format!("a trigger that takes files from the stage `{name}`"),
                        instead: "name that stage in a COPY of this Dockerfile, too",
                    },
                )),
            },
            Base::Image(name) => tree(&job.image(&name, span)?),
            Base::Scratch => {
                let what = "a source";
                let fault = StepFault::Value { value: name.to_owned(), what, allowed: "a stage or an image" };
                Err(job.fault(span, fault))
            }
        }
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
                Ok(Did::Anew)
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

/// The files of an image.
fn tree(image: &Image) -> Result<Tree, BuildError> {
    Tree::open(&image.lower).map_err(|error| {
        let first = image.lower.first().cloned().unwrap_or_default();
        BuildError::scratch("open the layer", &first, error)
    })
}

/// A snapshot that goes unless it became a layer.
struct Shot<'a> {
    images: &'a Images,
    key: String,
    snapshot: Snapshot,
}

impl<'a> Shot<'a> {
    fn new(images: &'a Images, image: &Image, key: String) -> Result<Self, BuildError> {
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
