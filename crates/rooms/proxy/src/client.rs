//! The daemon's hand on the edge: finds or starts the process, gives it tables, replaces it when it dies.

mod process;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Cidr, Kind, Problem, Report, Tasks};
use plan::ports::{BoxFuture, Traffic};
use plan::traffic::{RouteShare, TrafficSeen};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Notify};

use crate::explain::{Ask, Explanation};
use crate::protocol::{self, Reply, Request};
use crate::server::HttpsFront;
use crate::status::EdgeStatus;
use crate::table::Document;

/// How long an operation waits for an edge that is just being replaced.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the edge may take for one answer; a table is in force within milliseconds.
const ANSWER: Duration = Duration::from_secs(30);
/// The pauses between starts of an edge that dies again and again, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// How to find or start the edge.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The root; the edge keeps its things in `edge/` under it.
    pub root: PathBuf,
    /// The program to start.
    pub program: PathBuf,
    /// All its arguments, as in `edge --root DIR --http ADDR`.
    pub args: Vec<OsString>,
    /// The HTTP addresses among them: an edge that serves others is replaced.
    pub http: Vec<SocketAddr>,
    /// The same for HTTPS.
    pub https: HttpsFront,
    /// Proxies of ours in front of the edge, which are believed what they say of clients.
    pub trusted: Vec<Cidr>,
}

/// Why the edge did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// It could not be started.
    #[error("could not start the edge `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("the edge ended as soon as it was started: {said}")]
    Ended {
        /// The last lines of its log.
        said: String,
    },
    /// It does not answer.
    #[error("the edge does not answer")]
    Silent,
    /// The connection to it broke.
    #[error("the connection to the edge broke")]
    Broken {
        /// The reason.
        source: io::Error,
    },
    /// It refused, for this reason.
    #[error("{0}")]
    Refused(Report),
}

impl Problem for EdgeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Start { .. } | Self::Ended { .. } | Self::Silent | Self::Broken { .. } => Kind::Unavailable,
            Self::Refused(report) => report.kind,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ended { .. } => Some("`edge/edge.log` under the root tells more".into()),
            Self::Refused(report) => report.hint.clone(),
            Self::Start { .. } | Self::Silent | Self::Broken { .. } => None,
        }
    }

    fn as_report(&self) -> Option<&Report> {
        match self {
            Self::Refused(report) => Some(report),
            Self::Start { .. } | Self::Ended { .. } | Self::Silent | Self::Broken { .. } => None,
        }
    }
}

/// The edge of a root, as the daemon holds it. Dropping it leaves the process alone.
#[derive(Clone)]
pub struct Edge {
    inner: Arc<Inner>,
    tasks: Tasks,
}

struct Inner {
    config: EdgeConfig,
    state: Mutex<State>,
    /// There is a connection again.
    back: Notify,
    /// The connection broke, or the process was found dead.
    gone: Notify,
}

struct State {
    connection: Option<UnixStream>,
    /// What is wanted; the edge has it unless there is no connection.
    document: Document,
    /// Where the edge listens.
    http: Vec<SocketAddr>,
}

impl Edge {
    /// Takes over the edge that runs on this root, or starts one; looks after it as long as this lives.
    pub async fn open(config: EdgeConfig) -> Result<Self, EdgeError> {
        let found = process::find_or_start(&config).await?;
        let state = State { connection: Some(found.connection), document: found.document, http: found.http };
        let inner =
            Arc::new(Inner { config, state: Mutex::new(state), back: Notify::new(), gone: Notify::new() });
        let tasks = Tasks::new();
        tasks.spawn("edge supervision", supervise(inner.clone(), found.life));
        let edge = Self { inner, tasks };
        edge.trust().await?;
        Ok(edge)
    }

    /// Whose shares are in the table: after a restart of the daemon, those that it had before.
    pub async fn owners(&self) -> Vec<String> {
        self.inner.state.lock().await.document.shares.keys().cloned().collect()
    }

    /// Where the edge answers HTTP by host and path.
    pub async fn http(&self) -> Vec<SocketAddr> {
        self.inner.state.lock().await.http.clone()
    }

    /// All counters of the edge.
    pub async fn status(&self) -> Result<EdgeStatus, EdgeError> {
        match self.inner.ask(&Request::Status).await? {
            Reply::Status { status } => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    /// What would happen to a request, and why; it is not sent.
    pub async fn explain(&self, ask: Ask) -> Result<Explanation, EdgeError> {
        match self.inner.ask(&Request::Explain { ask }).await? {
            Reply::Explained { explanation } => Ok(*explanation),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the edge: it accepts nothing more and finishes what is under way. It is not replaced.
    pub async fn stop(self) -> Result<(), EdgeError> {
        self.tasks.shutdown().await;
        self.inner.ask(&Request::Stop).await.map(|_| ())
    }

    /// Has the edge trust whom it is to trust.
    async fn trust(&self) -> Result<(), EdgeError> {
        let mut state = self.inner.connected().await?;
        let trusted = &self.inner.config.trusted;
        if state.document.trusted == *trusted {
            return Ok(());
        }
        let mut document = state.document.clone();
        document.generation += 1;
        document.trusted.clone_from(trusted);
        self.put(&mut state, document).await
    }

    async fn replace_share(&self, owner: &str, share: RouteShare) -> Result<(), EdgeError> {
        let mut state = self.inner.connected().await?;
        let empty = share == RouteShare::default();
        if state.document.shares.get(owner) == Some(&share)
            || (empty && !state.document.shares.contains_key(owner))
        {
            return Ok(());
        }
        let mut document = state.document.clone();
        document.generation += 1;
        if empty {
            document.shares.remove(owner);
        } else {
            document.shares.insert(owner.into(), share);
        }
        self.put(&mut state, document).await
    }

    /// Puts a document in force.
    async fn put(&self, state: &mut State, document: Document) -> Result<(), EdgeError> {
        let request = Request::Apply { document: document.clone() };
        base::crash::point("edge: table about to be sent");
        match self.inner.converse(state, &request).await? {
            Reply::Done => {
                base::crash::point("edge: table in force");
                state.document = document;
                Ok(())
            }
            Reply::Refused { report } => Err(EdgeError::Refused(report)),
            other => Err(unexpected(&other)),
        }
    }

    async fn seen(&self) -> Result<TrafficSeen, EdgeError> {
        match self.inner.ask(&Request::Look).await? {
            Reply::Seen { seen } => Ok(seen),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(reply: &Reply) -> EdgeError {
    let source =
        io::Error::new(io::ErrorKind::InvalidData, format!("the answer {reply:?} was not asked for"));
    EdgeError::Broken { source }
}

impl Traffic for Edge {
    fn apply<'a>(&'a self, owner: &'a str, share: RouteShare) -> BoxFuture<'a, Result<(), Report>> {
        Box::pin(async move {
            self.replace_share(owner, share).await.map_err(|error| match error {
                EdgeError::Refused(report) => report,
                other => Report::of(&other),
            })
        })
    }

    fn look(&self) -> BoxFuture<'_, Result<TrafficSeen, Report>> {
        Box::pin(async move { self.seen().await.map_err(|error| Report::of(&error)) })
    }
}

impl Inner {
    /// The state, once there is a connection.
    async fn connected(&self) -> Result<tokio::sync::MutexGuard<'_, State>, EdgeError> {
        let wait = async {
            loop {
                let back = self.back.notified();
                let state = self.state.lock().await;
                if state.connection.is_some() {
                    return state;
                }
                drop(state);
                back.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| EdgeError::Silent)
    }

    async fn ask(&self, request: &Request) -> Result<Reply, EdgeError> {
        let mut state = self.connected().await?;
        self.converse(&mut state, request).await
    }

    /// One request and its answer. A connection that failed is never used again: its next frame could be the
    /// answer to this request.
    async fn converse(&self, state: &mut State, request: &Request) -> Result<Reply, EdgeError> {
        let mut connection = state.connection.take().ok_or(EdgeError::Silent)?;
        let talk = async {
            protocol::write(&mut connection, request).await?;
            protocol::read(&mut connection).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        match tokio::time::timeout(ANSWER, talk).await {
            Ok(Ok(reply)) => {
                state.connection = Some(connection);
                Ok(reply)
            }
            Ok(Err(source)) => {
                self.gone.notify_one();
                Err(EdgeError::Broken { source })
            }
            Err(_) => {
                self.gone.notify_one();
                Err(EdgeError::Silent)
            }
        }
    }
}

/// Replaces the edge when it dies, and gives the new one the table.
async fn supervise(inner: Arc<Inner>, mut life: process::Life) {
    let mut pause = PAUSES.0;
    loop {
        tokio::select! {
            () = life.ended() => {}
            () = inner.gone.notified() => {}
        }
        let mut state = inner.state.lock().await;
        state.connection = None;
        drop(state);
        tracing::warn!("the edge is gone or does not answer; it is replaced");
        loop {
            match restore(&inner).await {
                Ok(new) => {
                    life = new;
                    pause = PAUSES.0;
                    break;
                }
                Err(error) => {
                    let report = Report::of(&error);
                    tracing::error!("the edge could not be replaced: {report}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }
}

/// Connects to the edge again, which is started if need be, and makes sure that it goes by our table.
async fn restore(inner: &Inner) -> Result<process::Life, EdgeError> {
    let found = process::find_or_start(&inner.config).await?;
    let mut state = inner.state.lock().await;
    state.http = found.http;
    state.connection = Some(found.connection);
    if found.document != state.document {
        // It may have taken a table whose answer did not reach us, so ours gets a number above both.
        let mut document = state.document.clone();
        document.generation = document.generation.max(found.document.generation) + 1;
        let reply = inner.converse(&mut state, &Request::Apply { document: document.clone() }).await?;
        if let Reply::Refused { report } = reply {
            tracing::error!("the edge refuses the routes that it had: {report}");
        } else {
            state.document = document;
        }
    }
    drop(state);
    inner.back.notify_waiters();
    Ok(found.life)
}
