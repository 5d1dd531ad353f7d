//! The Docker Engine API, for the `docker` command, compose, Testcontainers, SDKs and whatever else speaks it.
//!
//! Served on `docker.sock` under the root. Handlers translate: a request into the words of the rooms, one call, the
//! outcome into docker's words. Each field of a request is honoured, or refused with docker's status and message.
//! What a client asked of a container is kept beside its record (`Record::asked`), so that `inspect` gives it back as it
//! was said; containers that were made otherwise are described from what they are.
//!
//! | file | endpoints |
//! | --- | --- |
//! | `version` | the prefix `/v1.…`, negotiated |
//! | `drain` | the rest of a body that nobody needed |
//! | `params`, `answer` | queries and bodies as docker reads them, errors as it writes them |
//! | `system` | `/_ping`, `/version`, `/info`, `/auth`, `/system/df` |
//! | `events` | `/events`: the journal in docker's words |
//! | `containers` | `/containers/…`, `/exec/…`, `/commit` |
//! | `images` | `/images/…`, `/distribution/…`, `/auth` |
//! | `build`, `builders` | `/build…`, `/session`, `/grpc` |
//! | `credentials` | what clients send for registries |
//! | `networks`, `volumes` | `/networks…`, `/volumes…` |
//! | `swarm` | what docker refuses where there is no swarm |

mod answer;
mod build;
mod builders;
mod containers;
mod credentials;
mod detached;
mod drain;
mod events;
mod images;
mod loose;
mod networks;
mod params;
mod patterns;
mod swarm;
mod system;
mod version;
mod volumes;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use base::{Clock, Tasks, Timestamp};

/// The most bytes of a document that is sent to us; archives and contexts are streamed and have their own bounds.
const DOCUMENT_BYTES: usize = 16 << 20;

/// What the API serves.
pub struct Docker {
    /// Containers and volumes.
    pub containers: ::containers::Containers,
    /// Images.
    pub images: ::images::Images,
    /// How registries are reached.
    pub registries: registry::Client,
    /// Networks.
    pub networks: network::Networks,
    /// Apps and releases, whose images and networks must not go.
    pub apps: control::Apps,
    /// The journal.
    pub store: store::Store,
    /// Builds of images.
    pub builder: ::build::Builder,
    /// How a build runs commands.
    pub runner: Arc<dyn ::build::Runner + Send + Sync>,
    /// How builds of the classic sort get base images with the client's logins.
    pub pullers: Arc<dyn buildkit::Pullers>,
    /// Gets archives that are imported by URL.
    pub fetcher: Arc<dyn ::build::Fetcher>,
    /// Builds by BuildKit's protocol.
    pub buildkit: buildkit::BuildKit,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Work that outlives a request.
    pub tasks: Tasks,
    /// The daemon's version.
    pub version: &'static str,
    /// Its root folder.
    pub root: PathBuf,
    /// When it was started.
    pub started: Timestamp,
}

pub(crate) type Shared = State<Arc<Docker>>;

/// All routes.
pub fn router(docker: Arc<Docker>) -> Router {
    let routes = Router::new()
        .merge(system::routes())
        .merge(swarm::routes())
        .merge(build::routes())
        .merge(events::routes())
        .merge(images::routes())
        .merge(
            Router::new()
                .merge(networks::routes())
                .merge(volumes::routes())
                .merge(containers::routes())
                .route_layer(axum::middleware::from_fn_with_state(docker.clone(), detached::to_the_end)),
        )
        .merge(builders::routes())
        .fallback(|| async { answer::unknown() })
        .method_not_allowed_fallback(|| async { answer::unknown() })
        .layer(DefaultBodyLimit::max(DOCUMENT_BYTES))
        .layer(axum::middleware::map_request(drain::to_the_end))
        .with_state(docker);
    version::negotiated(routes)
}
