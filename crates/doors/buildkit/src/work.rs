//! A result that a client asked for: first its Dockerfile alone, and the image once somebody wants it.
//!
//! As in BuildKit, a result is done when it is used, so that a client's conductor has it at once; a Dockerfile that makes
//! no sense fails before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use build::check::{self, Around, Findings, Stages};
use build::dockerfile::{self, Dockerfile};
use build::ignore::Ignore;
use build::{BuildRequest, Built, Context, DockerfileSource, RunNetwork, RunSettings};
use tokio::sync::OnceCell;

use crate::contexts::Tree;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::grpc::{Code, Status};
use crate::job::Job;
use crate::layout::{Layout, Needed};
use crate::load::{Loaded, Loader, Where};
use crate::options::{self, ContextSource, NamedContext, Options};
use crate::progress::Narrator;
use crate::proto::ops::SourceInfo;
use crate::session::{Session, SessionSecrets};

/// A result.
pub(crate) struct Work {
    options: Options,
    loaded: Loaded,
    file: Dockerfile,
    layout: Layout,
    findings: Findings,
    done: OnceCell<Result<Arc<Outcome>, Status>>,
}

/// The session of a build; a request of an old kind may come without one.
async fn session(engine: &Engine, job: &Job) -> Result<Option<Session>, Status> {
    match job.session.as_str() {
        "" => Ok(None),
        id => engine.sessions.get(id).await.map(Some),
    }
}

/// The result of another build, which is under way too: its client waits for this one before it ends that one.
async fn result(engine: &Arc<Engine>, id: &str) -> Result<(Arc<Outcome>, String), Status> {
    let reference = id.rsplit_once('-').map_or(id, |(reference, _)| reference);
    let job = engine.jobs.get(reference).await?;
    let work = job.result(id)?;
    // Boxed, as a build may wait for one that waits for another.
    let outcome = Box::pin(work.image(engine, &job)).await?;
    let image = outcome.built.image.to_string();
    Ok((outcome, image))
}

/// An image that was built.
pub(crate) struct Outcome {
    /// The image.
    pub built: Built,
    /// Keeps it until somebody has named it.
    _hold: Mutex<images::Hold>,
}

/// Where a named context is.
enum Place {
    Folder(PathBuf),
    Image(String),
}

/// The files of a build; they stay as long as this does.
struct Files {
    context: Option<Arc<Tree>>,
    contexts: BTreeMap<String, Place>,
    _others: Vec<Arc<Tree>>,
    _linked: Vec<Arc<Outcome>>,
}

impl Work {
    /// Loads the Dockerfile and sees whether it makes sense.
    pub(crate) async fn plan(engine: &Arc<Engine>, job: &Job, options: Options) -> Result<Self, Status> {
        options.check_platforms(&oci::Platform::ours())?;
        if options.network == RunNetwork::Host && !job.host_network {
            return Err(Status::failed("network.host is not allowed"));
        }
        let loader = Loader { engine, job, session: session(engine, job).await? };
        let loaded = loader.load(&options).await?;
        let file = dockerfile::parse(&loaded.text)
            .map_err(|error| Failure::parse(&error).status(&loaded.filename, &loaded.text, None))?;
        if let Some(syntax) = &file.directives.syntax {
            options::frontend_image(syntax)?;
        }
        let names: BTreeSet<String> = options.contexts.keys().cloned().collect();
        let layout = Layout::new(&file, &options.args, options.target.as_deref(), &names);
        let ignore = match &loaded.context {
            Where::Client(_, patterns) => Ignore::parse(&patterns.join("\n")).ok(),
            Where::Here(_) => None,
        };
        let stages = match (options.request.as_deref(), options.target.as_deref()) {
            (Some(crate::requests::LINT), None) => Stages::All,
            (_, target) => Stages::For(target),
        };
        let around = Around {
            args: &options.args,
            stages,
            contexts: &names,
            ignore: ignore.as_ref(),
            image: &|name| check::Base::of(&engine.images.find(name).ok()?.config),
        };
        let findings = check::check(&file, around);
        let findings =
            findings.map_err(|why| Status::failed(format!("failed to parse check options: {why}")))?;
        Ok(Self { options, loaded, file, layout, findings, done: OnceCell::new() })
    }

    /// The Dockerfile.
    pub(crate) fn file(&self) -> &Dockerfile {
        &self.file
    }

    /// What in it is probably not meant.
    pub(crate) fn findings(&self) -> &[check::Finding] {
        &self.findings.found
    }

    /// Its name and text.
    pub(crate) fn source(&self) -> SourceInfo {
        SourceInfo {
            filename: self.loaded.filename.clone(),
            data: self.loaded.text.clone().into_bytes(),
            language: "Dockerfile".into(),
        }
    }

    /// What was asked for.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The image; builds it if nobody did.
    pub(crate) async fn image(&self, engine: &Arc<Engine>, job: &Arc<Job>) -> Result<Arc<Outcome>, Status> {
        self.done.get_or_init(|| self.build(engine, job)).await.clone()
    }

    async fn build(&self, engine: &Arc<Engine>, job: &Arc<Job>) -> Result<Arc<Outcome>, Status> {
        let session = session(engine, job).await?;
        let loader = Loader { engine, job, session: session.clone() };
        let files = self.files(&loader).await?;
        for place in &self.options.cache_imports {
            self.import(engine, job, place);
        }
        let source = self.source();
        let narrator = Narrator::new(&job.reference, self.layout.clone(), source, &self.loaded.definition);
        job.hub.tell(narrator.findings(self.findings()));
        if let Some(refusal) = self.findings.refusal() {
            return Err(Status::failed(refusal));
        }
        let keeper = Arc::new(SessionSecrets::new(session));
        let request = self.request(&files, job, &keeper);
        let (hub, clock, builds) = (job.hub.clone(), engine.clock.clone(), engine.builds.clone());
        let hold = engine.images.hold();
        let building = tokio::task::spawn_blocking(move || {
            let narrator = Mutex::new(narrator);
            let tell = |progress| {
                let mut narrator = narrator.lock().unwrap_or_else(PoisonError::into_inner);
                hub.tell(narrator.tell(progress, clock.wall()));
            };
            let built = builds.build(request, keeper, &tell);
            drop(files);
            (built, narrator.into_inner().unwrap_or_else(PoisonError::into_inner))
        });
        let broken = |error: tokio::task::JoinError| {
            Status::new(Code::Internal, format!("the build broke off: {error}"))
        };
        let (built, narrator) = building.await.map_err(broken)?;
        match built {
            Ok(built) => {
                let mut hold = hold;
                if !hold.keep(&built.image) {
                    return Err(Status::failed(format!("the image {} was removed meanwhile", built.image)));
                }
                Ok(Arc::new(Outcome { built, _hold: Mutex::new(hold) }))
            }
            Err(error) => {
                let failure = Failure::build(&error, &self.file);
                let line = failure.span.map(|span| span.start);
                let (status, vertex) = narrator.failed(line, &failure.message, engine.clock.wall());
                job.hub.tell(status);
                Err(failure.status(&self.loaded.filename, &self.loaded.text, vertex.as_deref()))
            }
        }
    }

    async fn files(&self, loader: &Loader<'_>) -> Result<Files, Status> {
        let context = match &self.loaded.context {
            Where::Here(tree) => Some(tree.clone()),
            Where::Client(dir, ignore) => match &self.layout.context {
                Needed::Nothing => None,
                Needed::All => Some(loader.context(dir, ignore, Vec::new()).await?),
                Needed::Paths(paths) => {
                    Some(loader.context(dir, ignore, paths.iter().cloned().collect()).await?)
                }
            },
        };
        let (mut contexts, mut others, mut linked) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, place) in &self.options.contexts {
            let place = match place {
                NamedContext::Image(image) => Place::Image(image.clone()),
                NamedContext::Result(id) => {
                    let (outcome, image) = result(loader.engine, id).await?;
                    linked.push(outcome);
                    Place::Image(image)
                }
                NamedContext::Far(address) => {
                    let source = options::context(address)?;
                    let unpacked = loader.archive(&source, self.options.keeps_git()).await?;
                    let path = unpacked.tree.path().to_owned();
                    others.push(unpacked.tree);
                    Place::Folder(path)
                }
                NamedContext::Local(dir) => {
                    let tree = loader.context(dir, &[], Vec::new()).await?;
                    let path = tree.path().to_owned();
                    others.push(tree);
                    Place::Folder(path)
                }
            };
            contexts.insert(name.clone(), place);
        }
        Ok(Files { context, contexts, _others: others, _linked: linked })
    }

    fn request(&self, files: &Files, job: &Job, keeper: &Arc<SessionSecrets>) -> BuildRequest {
        let options = &self.options;
        let context = files.context.as_ref().map(|tree| match &options.subfolder {
            Some(sub) if !matches!(options.context, ContextSource::Local(_)) => tree.path().join(sub),
            _ => tree.path().to_owned(),
        });
        let context = context.map_or(Context::Empty, Context::Folder);
        let contexts = files.contexts.iter().map(|(name, place)| {
            let place = match place {
                Place::Folder(path) => build::NamedContext::Files(Context::Folder(path.clone())),
                Place::Image(image) => build::NamedContext::Image(image.clone()),
            };
            (name.clone(), place)
        });
        let run = RunSettings {
            network: options.network.clone(),
            shm_size: options.shm_size.map(base::Bytes),
            ulimits: options.ulimits.clone(),
            hosts: options.hosts.clone(),
            ..RunSettings::default()
        };
        BuildRequest {
            contexts: contexts.collect(),
            args: options.args.clone(),
            target: options.target.clone(),
            labels: options.labels.clone(),
            no_cache: options.no_cache.clone(),
            pull: options.pull,
            cache_from: options.cache_imports.clone(),
            secrets: keeper.clone(),
            agents: keeper.clone(),
            run,
            cancel: job.cancel.clone(),
            checks: false,
            ..BuildRequest::new(context, DockerfileSource::Text(self.loaded.text.clone()))
        }
    }

    /// Says what becomes of a place of cached results.
    fn import(&self, engine: &Engine, job: &Job, place: &str) {
        let now = engine.clock.wall();
        let name = format!("importing cache manifest from {place}");
        let chore = crate::progress::Chore::begin(&job.reference, name, now);
        job.hub.tell(chore.started());
        job.hub.tell(chore.line("the steps of this image are taken over if it is here", now));
        job.hub.tell(chore.ended(None, engine.clock.wall()));
    }
}
