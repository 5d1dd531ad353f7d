//! The apps of a daemon: what the doors ask of them, each answered by the app's own loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use base::{AppName, Clock, Kind, Problem, ReleaseNumber, Report, ServiceName, Tasks};
use plan::ports::{Driver, ImageFacts, Images, Traffic};
use plan::seen::{Seen, State};
use plan::{Cause, Draft, Ledger, Outcome, Preview, Release, RequestError};
use spec::App;
use store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::act::Rooms;
use crate::records;
use crate::run::{Ask, Common, Loop, Picture, WISHES, Wish};

/// Why a wish was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It makes no sense for this app.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// An image could not be found.
    #[error("could not resolve the image of `{service}`")]
    Image {
        /// The service.
        service: ServiceName,
        /// Why.
        source: Report,
    },
    /// It could not be written down.
    #[error("could not write down the wish")]
    Store(#[source] StoreError),
    /// The instances could not be looked at.
    #[error("could not look at the instances of `{app}`")]
    Look {
        /// The app.
        app: AppName,
        /// Why.
        source: Report,
    },
    /// The app's loop is ending.
    #[error("`{0}` is closing")]
    Closing(AppName),
}

impl Problem for AskError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(error) => error.kind(),
            Self::Image { source, .. } | Self::Look { source, .. } => source.kind(),
            Self::Store(error) => error.kind(),
            Self::Closing(_) => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(error) => error.hint(),
            Self::Image { source, .. } | Self::Look { source, .. } => source.hint(),
            Self::Store(error) => error.hint(),
            Self::Closing(_) => Some("try again in a moment".into()),
        }
    }
}

/// How a deploy is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployOptions {
    /// `Up` or `Deploy`.
    pub cause: Cause,
    /// What people say of it.
    pub message: Option<String>,
    /// Make a release even if nothing changed.
    pub force: bool,
}

/// What an image that is not here means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// There is nothing to run.
    IsAnError,
    /// A service that is built here has it built before it runs.
    IsBuiltFirst,
}

impl Missing {
    fn is_built(self, service: &spec::Service, report: &Report) -> bool {
        self == Self::IsBuiltFirst && service.build.is_some() && report.kind == Kind::NotFound
    }
}

/// The apps of a daemon. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Apps {
    inner: Arc<Inner>,
}

struct Inner {
    common: Common,
    images: Arc<dyn Images>,
    handles: Mutex<BTreeMap<AppName, Handle>>,
}

#[derive(Clone)]
struct Handle {
    asks: mpsc::Sender<Ask>,
    pictures: watch::Receiver<Picture>,
}

impl Apps {
    /// Finds the apps in the store, and starts a loop for each.
    pub fn open(
        store: Store,
        driver: Arc<dyn Driver>,
        traffic: Arc<dyn Traffic>,
        images: Arc<dyn Images>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Result<Self, StoreError> {
        let ledgers = records::load(&store)?;
        let rooms = Rooms { driver, traffic };
        let common = Common { rooms, store, clock, tasks };
        let apps = Self { inner: Arc::new(Inner { common, images, handles: Mutex::default() }) };
        for ledger in ledgers.into_values() {
            apps.handle_of(ledger);
        }
        Ok(apps)
    }

    /// Wants this app from now on. Answers once that is written down, with the release that brings it; follow it with
    /// [`wait`](Self::wait).
    pub async fn deploy(&self, app: App, options: DeployOptions) -> Result<ReleaseNumber, AskError> {
        let name = app.name.clone();
        let draft = self.draft(app, options, Missing::IsAnError).await?;
        let wish: Wish = Box::new(move |ledger, now| {
            ledger.deploy(draft, now).map(|(number, change)| (Some(number), change))
        });
        let number = self.ask_or_make(&name, wish).await?;
        number.ok_or(AskError::Closing(name))
    }

    /// What a deploy of this app would do.
    pub async fn preview(&self, app: App) -> Result<Preview, AskError> {
        let name = app.name.clone();
        let options = DeployOptions { cause: Cause::Deploy, message: None, force: false };
        let draft = self.draft(app, options, Missing::IsBuiltFirst).await?;
        let ledger = self.picture(&name).map_or_else(|| Arc::new(Ledger::new(name.clone())), |it| it.ledger);
        let look = self.inner.common.rooms.driver.look(&name).await;
        let seen = look.map_err(|source| AskError::Look { app: name, source })?;
        Ok(plan::preview(&ledger, &draft, &seen)?)
    }

    /// Wants other numbers of instances.
    pub async fn scale(
        &self,
        app: &AppName,
        counts: BTreeMap<ServiceName, u32>,
    ) -> Result<ReleaseNumber, AskError> {
        self.ask_release(app, move |ledger, now| ledger.scale(&counts, now)).await
    }

    /// Wants the instances of these services, or of all, made anew.
    pub async fn restart(
        &self,
        app: &AppName,
        services: Vec<ServiceName>,
    ) -> Result<ReleaseNumber, AskError> {
        self.ask_release(app, move |ledger, now| ledger.restart(&services, now)).await
    }

    /// Wants an earlier release again: this one, or the last that ran before.
    pub async fn rollback(
        &self,
        app: &AppName,
        to: Option<ReleaseNumber>,
    ) -> Result<ReleaseNumber, AskError> {
        self.ask_release(app, move |ledger, now| ledger.rollback(to, now)).await
    }

    /// Wants these services, or all, not to run until somebody starts them.
    pub async fn stop(&self, app: &AppName, services: Vec<ServiceName>) -> Result<(), AskError> {
        self.ask(app, Box::new(move |ledger, _| Ok((None, ledger.stop(&services)?)))).await.map(drop)
    }

    /// Wants these services, or all, to run again.
    pub async fn start(&self, app: &AppName, services: Vec<ServiceName>) -> Result<(), AskError> {
        self.ask(app, Box::new(move |ledger, _| Ok((None, ledger.start(&services)?)))).await.map(drop)
    }

    /// Wants everything of the app gone; the volumes only if asked. Follow it with
    /// [`wait_gone`](Self::wait_gone).
    pub async fn down(&self, app: &AppName, volumes: bool) -> Result<(), AskError> {
        self.ask(app, Box::new(move |ledger, _| Ok((None, ledger.down(volumes)?)))).await.map(drop)
    }

    /// The apps that are here.
    pub fn names(&self) -> Vec<AppName> {
        let handles = self.inner.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let here = handles.iter().filter(|(_, handle)| is_here(&handle.pictures.borrow()));
        here.map(|(name, _)| name.clone()).collect()
    }

    /// How an app stands; none if it is not here.
    pub fn picture(&self, app: &AppName) -> Option<Picture> {
        let picture = self.handle(app)?.pictures.borrow().clone();
        is_here(&picture).then_some(picture)
    }

    /// How an app stands, and word of every change.
    pub fn watch(&self, app: &AppName) -> Option<watch::Receiver<Picture>> {
        self.handle(app).map(|handle| handle.pictures)
    }

    /// The kept releases of an app, the oldest first.
    pub fn releases(&self, app: &AppName) -> Option<Vec<Arc<Release>>> {
        self.picture(app).map(|picture| picture.ledger.releases.values().cloned().collect())
    }

    /// Waits for the end of a release.
    pub async fn wait(&self, app: &AppName, number: ReleaseNumber) -> Outcome {
        let left = || Outcome::Inconclusive { why: "the app left".into() };
        let Some(mut pictures) = self.watch(app) else { return left() };
        let ended = pictures.wait_for(|it| it.gone || it.ledger.outcome(number).is_some()).await;
        match ended {
            Ok(picture) if !picture.gone => picture.ledger.outcome(number).unwrap_or_else(left),
            Ok(_) | Err(_) => left(),
        }
    }

    /// Waits until nothing is to be done for this app and nothing is on its way: what is wanted runs, or cannot.
    pub async fn wait_at_rest(&self, app: &AppName) {
        let moves = |seen: &Seen| matches!(seen.state, State::Created | State::Starting | State::Stopping);
        if let Some(mut pictures) = self.watch(app) {
            // An error means that its loop has ended, so nothing more is done.
            let _ = pictures.wait_for(|it| it.gone || (it.at_rest && !it.instances.iter().any(moves))).await;
        }
    }

    /// Waits until nothing of the app is left.
    pub async fn wait_gone(&self, app: &AppName) {
        if let Some(mut pictures) = self.watch(app) {
            // An error means that its loop has ended, as it does when the app is gone.
            let _ = pictures.wait_for(|it| it.gone).await;
        }
    }

    /// The digests of the images that kept releases need: never garbage.
    pub fn kept_images(&self) -> BTreeSet<String> {
        let handles = self.inner.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.values().flat_map(|handle| handle.pictures.borrow().ledger.images()).collect()
    }

    /// Finds out what a service's image means now.
    async fn facts(&self, spec: &spec::Service, missing: Missing) -> Result<ImageFacts, Report> {
        let facts = self.inner.images.resolve(&spec.image, spec.pull_policy).await;
        facts.or_else(
            |report| if missing.is_built(spec, &report) { Ok(ImageFacts::default()) } else { Err(report) },
        )
    }

    /// Finds out what the names of images that are mounted mean now: a release has them by their digests.
    async fn settle_mounts(&self, app: &mut App, missing: Missing) -> Result<(), AskError> {
        let built: BTreeSet<String> =
            app.services.values().filter(|one| one.build.is_some()).map(|one| one.image.clone()).collect();
        for (service, spec) in &mut app.services {
            for mount in &mut spec.mounts {
                let spec::MountKind::Image { image, .. } = &mut mount.kind else { continue };
                match self.inner.images.resolve(image, spec.pull_policy).await {
                    Ok(facts) => *image = facts.digest,
                    Err(report)
                        if missing == Missing::IsBuiltFirst
                            && report.kind == Kind::NotFound
                            && built.contains(image) => {}
                    Err(source) => return Err(AskError::Image { service: service.clone(), source }),
                }
            }
        }
        Ok(())
    }

    /// Finds out what the app's images mean now.
    async fn draft(&self, mut app: App, options: DeployOptions, missing: Missing) -> Result<Draft, AskError> {
        self.settle_mounts(&mut app, missing).await?;
        let mut by_name: BTreeMap<&str, ImageFacts> = BTreeMap::new();
        let mut images = BTreeMap::new();
        for (service, spec) in &app.services {
            let facts = match by_name.get(spec.image.as_str()) {
                Some(facts) => facts.clone(),
                None => self
                    .facts(spec, missing)
                    .await
                    .map_err(|source| AskError::Image { service: service.clone(), source })?,
            };
            by_name.insert(&spec.image, facts.clone());
            images.insert(service.clone(), facts);
        }
        let DeployOptions { cause, message, force } = options;
        Ok(Draft { app, images, cause, message, force })
    }

    async fn ask_release(
        &self,
        app: &AppName,
        wish: impl FnOnce(&mut Ledger, base::Timestamp) -> Result<(ReleaseNumber, plan::Change), RequestError>
        + Send
        + 'static,
    ) -> Result<ReleaseNumber, AskError> {
        let wish: Wish =
            Box::new(move |ledger, now| wish(ledger, now).map(|(number, change)| (Some(number), change)));
        self.ask(app, wish).await?.ok_or_else(|| AskError::Closing(app.clone()))
    }

    /// Asks the loop of an app that is here.
    async fn ask(&self, app: &AppName, wish: Wish) -> Result<Option<ReleaseNumber>, AskError> {
        let handle = self.handle(app).filter(|handle| is_here(&handle.pictures.borrow()));
        let handle = handle.ok_or_else(|| RequestError::NoApp(app.clone()))?;
        send(app, &handle, wish).await
    }

    /// Asks the loop of an app, which may be new.
    async fn ask_or_make(&self, app: &AppName, wish: Wish) -> Result<Option<ReleaseNumber>, AskError> {
        let handle = match self.handle(app).filter(|handle| !handle.asks.is_closed()) {
            Some(handle) => handle,
            None => self.handle_of(Ledger::new(app.clone())),
        };
        send(app, &handle, wish).await
    }

    fn handle(&self, app: &AppName) -> Option<Handle> {
        self.inner.handles.lock().unwrap_or_else(PoisonError::into_inner).get(app).cloned()
    }

    /// The handle of this app's loop, which is started if there is none.
    fn handle_of(&self, ledger: Ledger) -> Handle {
        let mut handles = self.inner.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let app = ledger.record.name.clone();
        if let Some(handle) = handles.get(&app).filter(|handle| !handle.asks.is_closed()) {
            return handle.clone();
        }
        let (asks, receiver) = mpsc::channel(WISHES);
        let (looping, pictures) = Loop::new(self.inner.common.clone(), ledger, receiver);
        self.inner.common.tasks.spawn(format!("loop of {app}"), looping.run());
        let handle = Handle { asks, pictures };
        handles.insert(app, handle.clone());
        handle
    }
}

/// Whether there is anything of the app.
fn is_here(picture: &Picture) -> bool {
    !picture.gone && picture.ledger.target().is_some()
}

async fn send(app: &AppName, handle: &Handle, wish: Wish) -> Result<Option<ReleaseNumber>, AskError> {
    let (answer, answered) = oneshot::channel();
    let closing = || AskError::Closing(app.clone());
    handle.asks.send(Ask { wish, answer }).await.map_err(|_| closing())?;
    answered.await.map_err(|_| closing())?
}

#[cfg(test)]
mod tests;
