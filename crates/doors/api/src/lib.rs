//! Seaworthy's own API, under `/v1` on the daemon's socket.
//!
//! Handlers translate: wire to domain, one call, domain to wire. The wire types are in `talk`. A problem becomes its
//! [`base::Report`] with the status of its kind; a stream that has begun ends with a line or frame that carries it.

mod answer;
mod apps;
mod builds;
mod certificates;
mod containers;
mod events;
mod files;
mod images;
mod logs;
mod metrics;
mod networks;
mod prune;
mod registries;
mod routes;
mod streams;
mod views;
mod volumes;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use base::{Clock, Tasks, Timestamp};
use talk::DaemonView;

use answer::Answer;
pub use metrics::serve_metrics;

/// The most bytes of a document that is sent to us; archives and contexts are streamed and have their own bounds.
const DOCUMENT_BYTES: usize = 64 << 20;

/// What the API serves.
pub struct Daemon {
    /// Containers and volumes.
    pub containers: ::containers::Containers,
    /// Images.
    pub images: ::images::Images,
    /// The registries that images come from and go to.
    pub registries: registry::Client,
    /// Networks.
    pub networks: network::Networks,
    /// Apps and releases.
    pub apps: control::Apps,
    /// The edge.
    pub edge: proxy::Edge,
    /// Certificates by an authority.
    pub certificates: acme::Keeper,
    /// The journal.
    pub store: store::Store,
    /// Builds of images.
    pub builder: build::Builder,
    /// How a build runs commands.
    pub runner: Arc<dyn build::Runner + Send + Sync>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Work that outlives a request.
    pub tasks: Tasks,
    /// Its version.
    pub version: &'static str,
    /// Its root folder.
    pub root: PathBuf,
    /// When it was started.
    pub started: Timestamp,
    /// Where the edge answers requests by host and path.
    pub http: Vec<std::net::SocketAddr>,
}

pub(crate) type Shared = State<Arc<Daemon>>;

/// All routes.
pub fn router(daemon: Arc<Daemon>) -> Router {
    let v1 = Router::new()
        .route("/daemon", get(daemon_view))
        .merge(apps::routes())
        .merge(containers::routes())
        .merge(images::routes())
        .merge(registries::routes())
        .merge(files::routes())
        .merge(volumes::routes())
        .merge(networks::routes())
        .merge(routes::routes())
        .merge(certificates::routes())
        .route("/logs", get(logs::logs))
        .route("/metrics", get(metrics::metrics))
        .route("/events", get(events::events))
        .route("/build", post(builds::builds).layer(DefaultBodyLimit::disable()))
        .route("/build/files", get(builds::files))
        .route("/prune", post(prune::prune));
    Router::new()
        .nest("/v1", v1)
        .fallback(answer::unknown)
        .layer(DefaultBodyLimit::max(DOCUMENT_BYTES))
        .with_state(daemon)
}

/// `GET /v1/daemon`: who answers here.
async fn daemon_view(State(daemon): Shared) -> Answer<DaemonView> {
    answer::ok(DaemonView {
        version: daemon.version.into(),
        pid: std::process::id(),
        root: daemon.root.display().to_string(),
        started: daemon.started,
        http: daemon.http.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    })
}
