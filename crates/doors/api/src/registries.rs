//! `/v1/images/pull`, `/v1/images/push` and `/v1/registries/login`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use base::{Bytes, Report};
use images::{LayerState, PullOrder, PullStep, PushOrder, PushState, PushStep};
use oci::{Platform, Reference};
use registry::{Keyring, Login};
use talk::{Credential, LayerStage, LoginOrder, PullImage, Pulling, PushImage, Pushing, Secret};
use tokio::sync::mpsc;

use crate::answer::{Answer, Lines, Refusal, ok};
use crate::{Daemon, Shared};

/// Steps that wait to be told. Of a layer's bytes more are not told; every other step waits.
const WAITING: usize = 256;

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/images/pull", post(pull))
        .route("/images/push", post(push))
        .route("/registries/login", post(login))
}

/// `POST /v1/images/pull`: answers with lines. It ends when nobody reads them any more.
async fn pull(State(daemon): Shared, Json(order): Json<PullImage>) -> Result<Response, Refusal> {
    let image: Reference = order.image.parse()?;
    let platform = match &order.platform {
        Some(text) => text.parse::<Platform>()?,
        None => Platform::ours(),
    };
    let order = PullOrder { image, platform, keys: keyring(&order.credentials) };
    let (lines, response) = Lines::begin();
    tokio::spawn(async move {
        let (steps, heard) = mpsc::unbounded_channel();
        let (tell, waiting) = telling(steps, pulling);
        let work = daemon.images.pull(&daemon.registries, &order, tell);
        let last = match carried(work, heard, &waiting, &lines).await {
            None => return,
            Some(Ok(pulled)) => Pulling::Pulled {
                id: pulled.id.to_string(),
                name: order.image.familiar(),
                digest: pulled.digest.to_string(),
                known: pulled.known,
            },
            Some(Err(error)) => Pulling::Failed { report: Report::of(&error) },
        };
        lines.send(&last).await;
    });
    Ok(response)
}

/// `POST /v1/images/push`: answers with lines. It ends when nobody reads them any more.
async fn push(State(daemon): Shared, Json(order): Json<PushImage>) -> Result<Response, Refusal> {
    let image: Reference = order.image.parse()?;
    daemon.images.find(&image.to_string())?;
    let order = PushOrder { image, keys: keyring(&order.credentials) };
    let (lines, response) = Lines::begin();
    tokio::spawn(async move {
        let (steps, heard) = mpsc::unbounded_channel();
        let (tell, waiting) = telling(steps, pushing);
        let work = daemon.images.push(&daemon.registries, &order, tell);
        let last = match carried(work, heard, &waiting, &lines).await {
            None => return,
            Some(Ok(pushed)) => Pushing::Pushed {
                name: order.image.familiar(),
                digest: pushed.digest.to_string(),
                size: Bytes(pushed.size),
            },
            Some(Err(error)) => Pushing::Failed { report: Report::of(&error) },
        };
        lines.send(&last).await;
    });
    Ok(response)
}

/// `POST /v1/registries/login`: asks the registry, and keeps nothing.
async fn login(State(daemon): Shared, Json(order): Json<LoginOrder>) -> Answer<()> {
    let LoginOrder { credential } = order;
    let login = login_of(&credential.secret);
    ok(daemon.registries.login(&credential.registry, Some(login)).await?)
}

/// Carries work to its end and its steps to whoever reads; nothing when nobody does any more.
async fn carried<T>(
    work: impl Future<Output = T>,
    mut heard: mpsc::UnboundedReceiver<impl serde::Serialize>,
    waiting: &AtomicUsize,
    lines: &Lines,
) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                while let Ok(step) = heard.try_recv() {
                    lines.send(&step).await;
                }
                return Some(done);
            }
            Some(step) = heard.recv() => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                if !lines.send(&step).await {
                    return None;
                }
            }
            () = lines.closed() => return None,
        }
    }
}

/// Hands steps over without making the work wait. Those that only count bytes are left out while many wait; of the
/// others there are a handful a layer, and an image has few layers.
fn telling<S, L: Send + 'static>(
    steps: mpsc::UnboundedSender<L>,
    line: impl Fn(S) -> (L, bool) + Send + Sync + 'static,
) -> (impl Fn(S) + Send + Sync + 'static, Arc<AtomicUsize>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = waiting.clone();
    let tell = move |step| {
        let (line, counts) = line(step);
        if counts && counted.load(Ordering::Relaxed) > WAITING {
            return;
        }
        counted.fetch_add(1, Ordering::Relaxed);
        // A reader that is gone ends the work by itself.
        let _ = steps.send(line);
    };
    (tell, waiting)
}

fn pulling(step: PullStep) -> (Pulling, bool) {
    let (blob, state) = match step {
        PullStep::Resolved { digest } => return (Pulling::Resolved { digest: digest.to_string() }, false),
        PullStep::Layer { blob, state } => (blob, state),
    };
    let (stage, bytes, size) = match state {
        LayerState::Known => (LayerStage::Known, 0, 0),
        LayerState::Waiting { size } => (LayerStage::Waiting, 0, size),
        LayerState::Arriving { bytes, size } => (LayerStage::Downloading, bytes, size),
        LayerState::Verifying => (LayerStage::Verifying, 0, 0),
        LayerState::Arrived => (LayerStage::Downloaded, 0, 0),
        LayerState::Unpacking { bytes, size } => (LayerStage::Unpacking, bytes, size),
        LayerState::Done => (LayerStage::Done, 0, 0),
    };
    let counts = bytes > 0;
    (Pulling::Layer { layer: blob.to_string(), stage, bytes: Bytes(bytes), size: Bytes(size) }, counts)
}

fn pushing(step: PushStep) -> (Pushing, bool) {
    let (stage, bytes, size, from) = match step.state {
        PushState::Waiting => (LayerStage::Waiting, 0, 0, None),
        PushState::Sending { bytes, size } => (LayerStage::Uploading, bytes, size, None),
        PushState::Known => (LayerStage::Known, 0, 0, None),
        PushState::Mounted { from } => (LayerStage::Mounted, 0, 0, Some(from)),
        PushState::Done => (LayerStage::Done, 0, 0, None),
    };
    let layer = step.layer.to_string();
    (Pushing::Layer { layer, stage, bytes: Bytes(bytes), size: Bytes(size), from }, bytes > 0)
}

fn keyring(credentials: &[Credential]) -> Keyring {
    let with = |keys: Keyring, one: &Credential| keys.with(&one.registry, login_of(&one.secret));
    credentials.iter().fold(Keyring::anonymous(), with)
}

fn login_of(secret: &Secret) -> Login {
    match secret.clone() {
        Secret::Password { user, password } => Login::Password { user, password },
        Secret::Identity { user, token } => Login::Identity { user, token },
        Secret::Registry { token } => Login::Registry { token },
    }
}
