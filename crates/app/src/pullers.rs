//! Base images for builds: fetched by the image store, with the logins of whoever asked for the build.

use std::sync::Arc;
use std::time::Duration;

use base::Report;
use build::{Cancel, Moved, Puller};
use buildkit::{Credentials, Pullers};
use images::{Images, LayerState, PullOrder, PullStep};
use oci::{Platform, Reference};
use registry::{Client, Keyring, Login};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// So often we look whether the build was given up.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many steps wait to be told.
const WAITING: usize = 256;
/// What docker's clients call docker's own registry.
const DOCKERS: &str = "https://index.docker.io/v1/";

/// Fetches what builds begin with.
#[derive(Clone)]
pub(crate) struct BasePullers {
    images: Images,
    registries: Client,
    handle: Handle,
}

impl BasePullers {
    /// To be called where the runtime is known.
    pub(crate) fn new(images: Images, registries: Client) -> Self {
        Self { images, registries, handle: Handle::current() }
    }

    /// What anybody may have, for builds whose client keeps no logins for them.
    pub(crate) fn anonymous(&self) -> Arc<dyn Puller> {
        Arc::new(BasePuller { from: self.clone(), credentials: None })
    }
}

impl Pullers for BasePullers {
    fn puller(&self, credentials: Arc<dyn Credentials>) -> Arc<dyn Puller> {
        Arc::new(BasePuller { from: self.clone(), credentials: Some(credentials) })
    }
}

struct BasePuller {
    from: BasePullers,
    credentials: Option<Arc<dyn Credentials>>,
}

impl BasePuller {
    fn keys(&self, registry: &str) -> Result<Keyring, Report> {
        let Some(credentials) = &self.credentials else { return Ok(Keyring::anonymous()) };
        let host = if registry == "docker.io" { DOCKERS } else { registry };
        let login = credentials.credentials(host)?.map(|(user, password)| match user.as_str() {
            "" => Login::Identity { user, token: password },
            _ => Login::Password { user, password },
        });
        Ok(login.map_or_else(Keyring::anonymous, |login| Keyring::anonymous().with(registry, login)))
    }
}

impl Puller for BasePuller {
    fn pull(&self, name: &str, told: &mut dyn FnMut(Moved), cancel: &Cancel) -> Result<(), Report> {
        let image: Reference = name.parse().map_err(|error| Report::of(&error))?;
        let keys = self.keys(image.domain())?;
        let order = PullOrder { image, platform: Platform::ours(), keys };
        let (steps, mut heard) = mpsc::channel(WAITING);
        let tell = move |step| {
            // Only how far a layer has come is shown, and the next piece says it as well as this one.
            if let Some(moved) = moved(step) {
                let _ = steps.try_send(moved);
            }
        };
        self.from.handle.block_on(async {
            let pulling = self.from.images.pull(&self.from.registries, &order, tell);
            tokio::pin!(pulling);
            loop {
                tokio::select! {
                    outcome = &mut pulling => return outcome.map(drop).map_err(|error| Report::of(&error)),
                    Some(moved) = heard.recv() => told(moved),
                    () = tokio::time::sleep(LOOK_EVERY) => if cancel.is_cancelled() {
                        return Err(Report::new(base::Kind::Unavailable, "the build was given up"));
                    },
                }
            }
        })
    }
}

fn moved(step: PullStep) -> Option<Moved> {
    let PullStep::Layer { blob, state } = step else { return None };
    let (bytes, of) = match state {
        LayerState::Waiting { size } => (0, size),
        LayerState::Arriving { bytes, size } => (bytes, size),
        LayerState::Known
        | LayerState::Verifying
        | LayerState::Arrived
        | LayerState::Unpacking { .. }
        | LayerState::Done => return None,
    };
    Some(Moved { what: blob.to_string(), bytes, of: Some(of) })
}
