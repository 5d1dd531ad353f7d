//! The daemon's hand on the edge: finds or starts the process, gives it tables, replaces it when it dies.

mod identity;
mod leaving;
mod process;
mod revival;
mod stand_in;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Cidr, Clock, Kind, Problem, Report, SystemClock, Tasks};
use plan::ports::{BoxFuture, Traffic};
use plan::tls::Issued;
use plan::traffic::{RouteShare, TrafficSeen};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;

use crate::cache::{Purge, Purged};
use crate::events;
use crate::explain::{Ask, Explanation};
use crate::files::FileStore;
use crate::handover::Handover;
use crate::protocol::{self, Reply, Request, VERSION};
use crate::server::HttpsFront;
use crate::status::EdgeStatus;
use crate::table::Document;
pub use identity::identity;
use leaving::{AllLeaving, Sums};
use process::{Edges, Found, Life, Sign};
use revival::{AT_ONCE, Death, Revival};
use stand_in::Legacy;

/// How long an operation waits for an edge that is just being replaced.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the edge may take for one answer; a table is in force within milliseconds.
const ANSWER: Duration = Duration::from_secs(30);

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
    /// Proxies whose connections open with the PROXY protocol.
    pub prefaced: Vec<Cidr>,
    /// Which program it is, as [`identity()`] says: an edge that was started from another is replaced.
    pub identity: String,
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

/// Of edges that died, or did not come to serve, since the daemon began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deaths {
    /// All of them.
    pub total: u64,
    /// How many of them died within a second of their start, one after the other; 0 once one has lived longer.
    pub early: u32,
    /// How long the next was waited with.
    pub pause: Duration,
}

/// The edge of a root, as the daemon holds it. Dropping it leaves the process alone.
#[derive(Clone)]
pub struct Edge {
    inner: Arc<Inner>,
    tasks: Tasks,
}

struct Inner {
    config: EdgeConfig,
    files: FileStore,
    state: Mutex<State>,
    /// There is a connection again.
    back: Notify,
    /// The connection broke, or the process was found dead.
    gone: Notify,
    /// Other certificates are to be issued than before.
    wishes: Notify,
    deaths: watch::Sender<Deaths>,
}

struct State {
    connection: Option<UnixStream>,
    /// What is wanted; the edge has it unless there is no connection.
    document: Document,
    /// Where the edge listens.
    http: Vec<SocketAddr>,
    /// Duplicates of its listening sockets, for the next one if it dies.
    sockets: Option<Arc<Handover>>,
    pid: u32,
    /// What it did, as of the last look.
    answered: Sums,
    leaving: AllLeaving,
}

impl Edge {
    /// Takes over the edge that runs on this root, or starts one; looks after it as long as this lives.
    pub async fn open(config: EdgeConfig) -> Result<Self, EdgeError> {
        let edges = process::find_or_start(&config, None).await?;
        let folder = config.root.join("edge");
        let state = State {
            connection: None,
            document: edges.edge.0.document.clone(),
            http: Vec::new(),
            sockets: None,
            pid: 0,
            answered: Sums::new(),
            leaving: AllLeaving::default(),
        };
        let inner = Arc::new(Inner {
            files: FileStore::under(&config.root),
            config,
            state: Mutex::new(state),
            back: Notify::new(),
            gone: Notify::new(),
            wishes: Notify::new(),
            deaths: watch::Sender::default(),
        });
        let mut watch = Watch { life: None, farewells: JoinSet::new() };
        inner.adopt(Edges { replaced: None, ..edges }, &mut watch).await?;
        // The one that was replaced just now is among them.
        for (found, life) in leaving::find(&folder).await {
            inner.see_off(found, life, &mut watch).await;
        }
        let tasks = Tasks::new();
        tasks.spawn("edge supervision", supervise(inner.clone(), watch));
        let edge = Self { inner, tasks };
        edge.trust().await?;
        Ok(edge)
    }

    /// Whose shares are in the table: after a restart of the daemon, those that it had before.
    pub async fn owners(&self) -> Vec<String> {
        self.inner.state.lock().await.document.shares.keys().cloned().collect()
    }

    /// The files that the edge serves itself.
    pub fn files(&self) -> FileStore {
        self.inner.files.clone()
    }

    /// The folders of files that a table in force names, also one of an edge that was replaced and is not done.
    pub async fn folders(&self) -> BTreeSet<String> {
        let state = self.inner.state.lock().await;
        let documents = state.leaving.documents().chain([&state.document]);
        let pools =
            documents.flat_map(|document| document.shares.values()).flat_map(|share| share.pools.values());
        pools.flat_map(|pool| &pool.policy.files).map(|files| files.tree.clone()).collect()
    }

    /// Where the edge answers HTTP by host and path.
    pub async fn http(&self) -> Vec<SocketAddr> {
        self.inner.state.lock().await.http.clone()
    }

    /// The edges that died; comes with each other one, and when the row of those that died early is over.
    pub fn deaths(&self) -> watch::Receiver<Deaths> {
        self.inner.deaths.subscribe()
    }

    /// All counters of the edge, how many others are not done, and how many died.
    pub async fn status(&self) -> Result<EdgeStatus, EdgeError> {
        let mut state = self.inner.connected().await?;
        let (leaving, died) = (state.leaving.list.len(), self.inner.deaths.borrow().total);
        match self.inner.converse(&mut state, &Request::Status).await? {
            Reply::Status { status } => Ok(EdgeStatus { leaving, died, ..*status }),
            other => Err(unexpected(&other)),
        }
    }

    /// What would happen to a request, and why; it is not sent.
    pub async fn explain(&self, ask: Ask) -> Result<Explanation, EdgeError> {
        let mut state = self.inner.connected().await?;
        match self.inner.converse(&mut state, &Request::Explain { ask }).await? {
            Reply::Explained { explanation } => Ok(*explanation),
            other => Err(unexpected(&other)),
        }
    }

    /// Throws kept answers away, also those of edges that were replaced and are not done.
    pub async fn purge(&self, which: Purge) -> Result<Vec<Purged>, EdgeError> {
        let mut state = self.inner.connected().await?;
        let request = Request::Purge { which };
        match self.inner.converse(&mut state, &request).await? {
            Reply::Purged { purged } => {
                state.leaving.purge(&request).await;
                Ok(purged)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Lets go of the edge, which serves on: it is not replaced from here any more.
    pub async fn release(self) {
        self.tasks.shutdown().await;
    }

    /// Ends the edge: it accepts nothing more and finishes what is under way. It is not replaced.
    pub async fn stop(self) -> Result<(), EdgeError> {
        // One that is just being replaced has to be there before it can be told.
        drop(self.inner.connected().await?);
        self.tasks.shutdown().await;
        let mut state = self.inner.connected().await?;
        state.sockets = None;
        state.leaving.stop().await;
        self.inner.converse(&mut state, &Request::Stop).await.map(|_| ())
    }

    /// Has the edge trust whom it is to trust, in fields and in front of connections.
    async fn trust(&self) -> Result<(), EdgeError> {
        let mut state = self.inner.connected().await?;
        let EdgeConfig { trusted, prefaced, .. } = &self.inner.config;
        if state.document.trusted == *trusted && state.document.prefaced == *prefaced {
            return Ok(());
        }
        let mut document = state.document.clone();
        document.generation += 1;
        document.trusted.clone_from(trusted);
        document.prefaced.clone_from(prefaced);
        self.put(&mut state, document).await
    }

    /// The names of certificates that are to be issued, each list for one certificate.
    pub async fn to_issue(&self) -> BTreeSet<Vec<String>> {
        let state = self.inner.state.lock().await;
        state.document.shares.values().flat_map(|share| share.tls.issue.iter().cloned()).collect()
    }

    /// Comes when there may be others to issue than before.
    pub async fn others_to_issue(&self) {
        self.inner.wishes.notified().await;
    }

    /// Has the edge show what an authority has issued, and what that wants to see.
    pub async fn issue(&self, issued: Issued) -> Result<(), EdgeError> {
        let mut state = self.inner.connected().await?;
        if state.document.issued == issued {
            return Ok(());
        }
        let mut document = state.document.clone();
        document.generation += 1;
        document.issued = issued;
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
        let issue =
            |share: Option<&RouteShare>| share.map(|share| share.tls.issue.clone()).unwrap_or_default();
        let others = issue(state.document.shares.get(owner)) != share.tls.issue;
        let mut document = state.document.clone();
        document.generation += 1;
        if empty {
            document.shares.remove(owner);
        } else {
            document.shares.insert(owner.into(), share);
        }
        self.put(&mut state, document).await?;
        if others {
            self.inner.wishes.notify_one();
        }
        Ok(())
    }

    /// Puts a document in force.
    async fn put(&self, state: &mut State, document: Document) -> Result<(), EdgeError> {
        base::crash::point("edge: table about to be sent");
        self.inner.put(state, document).await?;
        base::crash::point("edge: table in force");
        Ok(())
    }

    async fn seen(&self) -> Result<TrafficSeen, EdgeError> {
        let mut state = self.inner.connected().await?;
        match self.inner.converse(&mut state, &Request::Look).await? {
            Reply::Seen { mut seen } => {
                state.answered = seen.answered.clone();
                state.leaving.add_to(&mut seen).await;
                Ok(seen)
            }
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

    /// Has the edge go by this document, and those that it replaced.
    async fn put(&self, state: &mut State, document: Document) -> Result<(), EdgeError> {
        match self.converse(state, &Request::Apply { document: document.clone() }).await? {
            Reply::InForce { revision } => {
                state.document = document;
                state.leaving.put(&state.document).await;
                let kept = state.sockets.as_ref().is_some_and(|sockets| sockets.revision == revision);
                if !kept && !self.keep_sockets(state).await {
                    // Of ports that were closed none may stay.
                    state.sockets = None;
                }
                Ok(())
            }
            Reply::Refused { report } => Err(EdgeError::Refused(report)),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes duplicates of the edge's sockets, in place of those that it had before.
    async fn keep_sockets(&self, state: &mut State) -> bool {
        match process::take_handover(&self.config.root.join("edge")).await {
            Ok(sockets) => {
                state.sockets = Some(Arc::new(sockets));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the edge's sockets cannot be kept; connections are refused if it dies");
                false
            }
        }
    }

    /// Goes on with this edge, and has it go by our document.
    async fn adopt(&self, edges: Edges, watch: &mut Watch) -> Result<(), EdgeError> {
        let (found, life) = edges.edge;
        let mut state = self.state.lock().await;
        if found.pid != state.pid {
            let answered = std::mem::take(&mut state.answered);
            state.leaving.settle(&answered);
        }
        state.pid = found.pid;
        state.http = found.http;
        state.connection = Some(found.connection);
        if edges.sockets.is_some() {
            state.sockets = edges.sockets;
        }
        // If it is gone already, those of the edge before are the same.
        self.keep_sockets(&mut state).await;
        watch.life = Some(life);
        if found.document != state.document {
            // It may have taken a table whose answer did not reach us, so ours gets a number above both.
            let mut document = state.document.clone();
            document.generation = document.generation.max(found.document.generation) + 1;
            match self.put(&mut state, document).await {
                Err(EdgeError::Refused(report)) => {
                    tracing::error!("the edge refuses the routes that it had: {report}");
                }
                other => other?,
            }
        }
        drop(state);
        if let Some((found, life)) = edges.replaced {
            self.see_off(found, life, watch).await;
        }
        self.back.notify_waiters();
        Ok(())
    }

    /// Takes in what was heard of the edge.
    async fn note(&self, sign: Sign, watch: &mut Watch) {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        match (sign, state.connection.take(), watch.life.take()) {
            (Sign::Leaves, Some(connection), Some(life)) => {
                tracing::info!("the edge was told to end; another takes its place");
                state.answered.clear();
                let id = state.leaving.add(connection, VERSION, state.document.clone()).await;
                watch.farewells.spawn(async move { (id, life.ended().await) });
            }
            (Sign::Ended(Some(last_words)), ..) => state.answered = last_words.answered,
            (Sign::Ended(None) | Sign::Leaves, ..) => {
                tracing::warn!("the edge is gone or does not answer; it is replaced");
            }
        }
    }

    /// One more has died.
    fn mourn(&self, death: Death) {
        let Death { early, pause } = death;
        if !pause.is_zero() {
            events::dies_early(early, pause);
        }
        self.deaths.send_modify(|deaths| *deaths = Deaths { total: deaths.total + 1, early, pause });
    }

    /// Goes on counting what this edge does, which another has replaced.
    async fn see_off(&self, found: Found, life: Life, watch: &mut Watch) {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let id = state.leaving.add(found.connection, found.version, found.document).await;
        state.leaving.put(&state.document).await;
        watch.farewells.spawn(async move { (id, life.ended().await) });
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

/// The ends that are waited for.
struct Watch {
    life: Option<Life>,
    /// Of those that have left, by number, with their last words.
    farewells: JoinSet<(u64, Option<TrafficSeen>)>,
}

/// Replaces the edge when it dies or leaves, and gives the new one the table and the sockets.
async fn supervise(inner: Arc<Inner>, mut watch: Watch) {
    let mut revival = Revival::default();
    revival.serves(SystemClock.now());
    loop {
        let ending = async {
            match &mut watch.life {
                Some(life) => life.next().await,
                None => std::future::pending().await,
            }
        };
        let settled = async {
            match revival.settles_in(SystemClock.now()) {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let sign = tokio::select! {
            Some(Ok((id, last_words))) = watch.farewells.join_next() => {
                inner.state.lock().await.leaving.remove(id, last_words);
                continue;
            }
            () = settled => {
                events::lives(revival.settle());
                inner.deaths.send_modify(|deaths| (deaths.early, deaths.pause) = (0, Duration::ZERO));
                continue;
            }
            sign = ending => sign,
            () = inner.gone.notified() => Sign::Ended(None),
        };
        let death = revival.died(SystemClock.now());
        // One that was told to end has not died, and is replaced no faster all the same.
        if matches!(sign, Sign::Ended(_)) {
            inner.mourn(death);
        }
        inner.note(sign, &mut watch).await;
        revive(&inner, &mut revival, &mut watch, death).await;
    }
}

/// Has another edge serve in place of the one that died last, however many it takes.
async fn revive(inner: &Inner, revival: &mut Revival, watch: &mut Watch, mut death: Death) {
    loop {
        tokio::time::sleep(death.pause).await;
        let error = match restore(inner, watch).await {
            Ok(()) => return revival.serves(SystemClock.now()),
            Err(error) => error,
        };
        events::not_started(&Report::of(&error));
        death = revival.died(SystemClock.now());
        inner.mourn(death);
        if death.early > AT_ONCE && matches!(error, EdgeError::Ended { .. }) {
            // The sockets may be what it cannot start with; without them it opens its own, for which these must go.
            inner.state.lock().await.sockets = None;
        }
    }
}

/// Connects to the edge again, which is started if need be, and makes sure that it goes by our table.
async fn restore(inner: &Inner, watch: &mut Watch) -> Result<(), EdgeError> {
    let state = inner.state.lock().await;
    let legacy = state.sockets.as_ref().map(|sockets| Legacy {
        handover: sockets.clone(),
        document: state.document.clone(),
        http: state.http.clone(),
    });
    drop(state);
    let edges = process::find_or_start(&inner.config, legacy).await?;
    inner.adopt(edges, watch).await
}
