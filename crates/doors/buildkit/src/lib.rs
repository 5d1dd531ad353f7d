//! BuildKit's control and session protocol, as docker's builders use it: `docker build`, buildx, compose.
//!
//! A client opens a session, over which it is called, and asks for a build over a second connection; or an old one asks
//! for it by `POST /build` and names its session. What they all ask for becomes a [`build::BuildRequest`] at the port [`Builds`].
//!
//! | part | does | pure |
//! | --- | --- | --- |
//! | `grpc` | gRPC over HTTP/2, both ends | |
//! | `proto` | the messages | yes |
//! | `session` | the clients' sessions and what is asked of them | |
//! | `receive`, `send` | trees of files, both ways | |
//! | `contexts` | the last context of every folder, so that only changes travel | |
//! | `options` | what a client asks of the Dockerfile frontend | yes |
//! | `layout`, `progress`, `failure` | steps, progress and failures in the clients' words | yes |
//! | `load`, `work`, `export`, `inspect`, `requests` | a build from Dockerfile to result | |
//! | `control`, `gateway`, `job`, `hub`, `legacy` | the services, and `POST /build` | |
//!
//! Two connections end in [`BuildKit::session`] and [`BuildKit::grpc`]; a request of an old client in
//! [`BuildKit::build`]. Whoever serves HTTP hands them over once the upgrade is answered.

mod contexts;
mod control;
mod engine;
mod export;
mod failure;
mod gateway;
mod grpc;
mod hub;
mod inspect;
mod job;
mod layout;
mod legacy;
mod load;
mod options;
mod order;
mod progress;
mod proto;
mod receive;
mod requests;
mod rooms;
mod send;
mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod work;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base::{Clock, Tasks, Timestamp, kernel_bytes};
use hyper::HeaderMap;
use images::Images;
use tokio::io::{AsyncRead, AsyncWrite};

use contexts::Contexts;
use engine::Engine;
use grpc::{Answer, Call, Status};
use job::Jobs;
use proto::sessions::HealthResponse;
use session::Sessions;

pub use contexts::Cached;
pub use legacy::Lines;
pub use order::{Builds, Credentials, Pullers};
pub use rooms::RoomBuilds;
pub use session::SessionError;

/// What the door stands on.
pub struct Parts {
    /// Does the builds.
    pub builds: Arc<dyn Builds>,
    /// Where images are.
    pub images: Images,
    /// The way to contexts behind URLs; such contexts are refused without one.
    pub fetcher: Option<Arc<dyn build::Fetcher>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Work that outlives a connection.
    pub tasks: Tasks,
    /// This program's version.
    pub version: String,
    /// The address at which containers reach this machine, for `--add-host name:host-gateway`.
    pub host_gateway: Option<IpAddr>,
}

/// The door for builders; clones are the same door.
#[derive(Clone)]
pub struct BuildKit {
    engine: Arc<Engine>,
}

impl BuildKit {
    /// Opens the door. `dir` is a folder of its own for contexts; nobody else writes there.
    pub fn open(dir: &Path, parts: Parts) -> io::Result<Self> {
        let Parts { builds, images, fetcher, clock, tasks, version, host_gateway } = parts;
        let worker = data_encoding::HEXLOWER.encode(&kernel_bytes::<8>());
        let engine = Engine {
            sessions: Sessions::new(),
            contexts: Contexts::open(dir, clock.clone())?,
            jobs: Jobs::new(tasks),
            bodies: legacy::Bodies::new(),
            builds,
            images,
            fetcher,
            clock,
            version,
            host_gateway,
            worker,
        };
        Ok(Self { engine: Arc::new(engine) })
    }

    /// Says whether `POST /session` with these headers can be answered with an upgrade.
    pub fn admits_session(&self, headers: &HeaderMap) -> Result<(), SessionError> {
        self.engine.sessions.admits(headers)
    }

    /// Keeps the session of a `POST /session` until it ends. `io` is the connection behind the upgrade.
    pub async fn session(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        headers: &HeaderMap,
    ) -> Result<(), SessionError> {
        self.engine.sessions.run(io, headers).await
    }

    /// The contexts that are kept for later builds: what docker counts as the build cache beside images.
    pub fn cached(&self) -> Vec<Cached> {
        self.engine.contexts.usage()
    }

    /// Forgets the contexts that no build reads and no build has made since then, and says what they were.
    pub fn prune(&self, unused_since: Timestamp) -> Vec<Cached> {
        self.engine.contexts.prune(unused_since)
    }

    /// Serves the connection behind the upgrade of a `POST /grpc` until the client closes it.
    pub async fn grpc(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(), hyper::Error> {
        let engine = self.engine.clone();
        let handle = move |call: Call| {
            let engine = engine.clone();
            async move { route(&engine, call).await }
        };
        grpc::serve(io, handle).await
    }
}

async fn route(engine: &Arc<Engine>, call: Call) -> Answer {
    let path = call.path.clone();
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match service {
        "moby.buildkit.v1.Control" => control::call(engine, method, call).await,
        "moby.buildkit.v1.frontend.LLBBridge" => gateway::call(engine, method, call).await,
        "grpc.health.v1.Health" if method == "Check" => Answer::one(&HealthResponse { status: 1 }),
        _ => Answer::failed(Status::unimplemented(format!("the service {service}"))),
    }
}
