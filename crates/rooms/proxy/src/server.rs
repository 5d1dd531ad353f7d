//! The edge's control: puts tables in force on all workers, keeps the last one on disk, and tells what is going on.
//!
//! Owns `edge/table.json`, `edge/edge.sock` and `edge/lock` under the root. A table is in force when every worker
//! has said so; until then the answer to it is not given.

mod control;
mod fronts;
mod instances;
mod role;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Clock, Kind, Problem, SystemClock};
use plan::traffic::TrafficSeen;
use serde::{Deserialize, Serialize};
use spec::Protocol;
use tokio::sync::{mpsc, oneshot};

use crate::access_log::{self, Line};
use crate::explain::{self, Ask, Explanation, Seen};
use crate::limits::Settings;
use crate::listen::{self, ListenError};
use crate::protocol::{READ, VERSION};
use crate::status::{EdgeStatus, EndpointStatus, PoolStatus, TlsStatus};
use crate::table::{Document, HTTPS_PORT, Table, TableFlaw};
use crate::tls::{Keeper, TlsFlaw};
use crate::worker::{self, Command, Gauges, Plan, Socket};
use instances::Instances;

pub use role::{EdgeOptions, HttpsFront, edge_main};

/// Where requests by host and path are answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    pub(crate) http: Vec<SocketAddr>,
    pub(crate) https: HttpsFront,
}

/// Why a table is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("the routes contradict themselves")]
    Flaw { source: TableFlaw },
    #[error("the routes cannot be served")]
    Listen { source: ListenError },
    #[error("the hosts of the routes cannot be answered over TLS")]
    Tls { source: TlsFlaw },
    #[error("HTTPS cannot be answered")]
    Https { source: StartError },
    #[error("a thread of the edge has died")]
    Worker,
    #[error("the routes are old: number {got} came after number {have}")]
    Old { got: u64, have: u64 },
    #[error("could not write `{}`", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

impl Problem for ApplyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Flaw { .. } | Self::Old { .. } => Kind::Conflict,
            Self::Tls { source: TlsFlaw::NameTwice { .. } } => Kind::Conflict,
            Self::Tls { source: TlsFlaw::NoKeys { .. } } => Kind::Unavailable,
            Self::Tls { .. } => Kind::Invalid,
            Self::Https { source } => source.kind(),
            Self::Listen { source } => source.kind(),
            Self::Worker => Kind::Internal,
            Self::Keep { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source } => source.hint(),
            Self::Https { source } => source.hint(),
            Self::Flaw { .. } | Self::Tls { .. } | Self::Worker | Self::Old { .. } | Self::Keep { .. } => {
                None
            }
        }
    }
}

/// `table.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    document: Document,
}

/// The edge of one root, as its control thread sees it.
pub(crate) struct Server {
    folder: PathBuf,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    instances: Instances,
    table: Arc<Table>,
    document: Document,
    /// Published ports that are open.
    open: BTreeSet<(SocketAddr, bool)>,
    http: Vec<SocketAddr>,
    /// Where HTTPS is answered now.
    https: Vec<SocketAddr>,
    /// One of these is opened when HTTPS is first needed.
    https_spare: Vec<SocketAddr>,
    tls: Keeper,
    gauges: Vec<Arc<Gauges>>,
    dropped: Arc<AtomicU64>,
}

impl Server {
    /// Starts the workers and opens the HTTP addresses; no route is served yet.
    pub(crate) async fn start(
        folder: PathBuf,
        addresses: &Addresses,
        threads: usize,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let (http, https) = (folder.join("http.json"), folder.join("https.json"));
        let fronts = fronts::open(&http, &addresses.http, threads, fronts::PATIENCE).await?;
        let (at, https_spare) = match &addresses.https {
            HttpsFront::Never => (&[][..], Vec::new()),
            HttpsFront::At(addresses) => (&addresses[..], Vec::new()),
            HttpsFront::WhenNeeded(addresses) => (&[][..], addresses.clone()),
        };
        let secure = fronts::open(&https, at, threads, fronts::PATIENCE).await?;
        let mut instances = Instances::new(threads);
        let empty = Document::default();
        let mut table = Table::build(&empty, None, |i, a| instances.state(i, a))
            .expect("a table without rules has no flaw");
        let mut tls = Keeper::new(&folder);
        if !secure.is_empty() {
            table.tls = Arc::new(tls.build(&empty).map_err(|source| StartError::Tls { source })?);
        }
        let table = Arc::new(table);
        let log = if settings.access_log {
            Some(
                access_log::start(&folder)
                    .map_err(|source| StartError::Folder { path: folder.clone(), source })?,
            )
        } else {
            None
        };
        let mut server = Self {
            folder,
            workers: Vec::new(),
            threads: Vec::new(),
            instances,
            table: table.clone(),
            document: empty,
            open: BTreeSet::new(),
            http: fronts.iter().map(|(address, _)| *address).collect(),
            https: secure.iter().map(|(address, _)| *address).collect(),
            https_spare,
            tls,
            gauges: (0..threads).map(|_| Arc::default()).collect(),
            dropped: Arc::new(AtomicU64::new(0)),
        };
        let settings = Arc::new(settings);
        for index in 0..threads {
            let plan = Plan {
                index,
                settings: settings.clone(),
                table: table.clone(),
                log: Line::new(log.clone(), server.dropped.clone()),
                most_connections: most_connections() / threads,
                gauges: server.gauges[index].clone(),
            };
            server.spawn(plan).map_err(|source| StartError::Thread { source })?;
        }
        let mut sockets: Vec<Vec<(SocketAddr, Socket)>> = (0..threads).map(|_| Vec::new()).collect();
        fronts.into_iter().for_each(|front| share_out(&mut sockets, front, Socket::Front));
        secure.into_iter().for_each(|front| share_out(&mut sockets, front, Socket::Secure));
        server.tell(sockets, &[]).await.map_err(|_| StartError::Worker)?;
        Ok(server)
    }

    fn spawn(&mut self, plan: Plan) -> io::Result<()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let name = format!("edge-{}", plan.index);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = worker::run(plan, receiver) {
                tracing::error!(%error, "a thread of the edge could not start");
            }
        })?;
        self.workers.push(sender);
        self.threads.push(thread);
        Ok(())
    }

    /// Puts a document in force, on all threads or not at all.
    pub(crate) async fn apply(&mut self, document: Document) -> Result<(), ApplyError> {
        if document.generation < self.document.generation {
            let (got, have) = (document.generation, self.document.generation);
            return Err(ApplyError::Old { got, have });
        }
        let mut table = Table::build(&document, Some(&self.table), |instance, address| {
            self.instances.state(instance, address)
        })
        .map_err(|source| ApplyError::Flaw { source })?;
        let needed = Keeper::is_needed(&document);
        if needed || !self.https.is_empty() {
            let hosts = self.tls.build(&document).map_err(|source| ApplyError::Tls { source })?;
            table.tls = Arc::new(hosts);
        }
        let mut opened = self.open_new(&table).map_err(|source| ApplyError::Listen { source })?;
        if needed && let Some(front) = self.open_https().await? {
            self.https = vec![front.0];
            share_out(&mut opened, front, Socket::Secure);
        }
        table.https_port = self.https.first().map_or(HTTPS_PORT, SocketAddr::port);
        let gone: Vec<_> =
            self.open.iter().filter(|key| !table.listeners.contains_key(key)).copied().collect();
        self.open = table.listeners.keys().copied().collect();
        self.table = Arc::new(table);
        self.instances.keep_only(&self.table);
        self.tell(opened, &gone).await?;
        self.document = document;
        self.keep()
    }

    /// Opens the first HTTPS address that can be had, if none is open and some may be.
    async fn open_https(&self) -> Result<Option<fronts::Front>, ApplyError> {
        let mut refused = None;
        let candidates = if self.https.is_empty() { &self.https_spare[..] } else { &[] };
        for address in candidates {
            let path = self.folder.join("https.json");
            match fronts::open(&path, &[*address], self.workers.len(), fronts::PATIENCE).await {
                Ok(mut fronts) => return Ok(fronts.pop()),
                Err(error) => refused = Some(error),
            }
        }
        refused.map_or(Ok(None), |source| Err(ApplyError::Https { source }))
    }

    /// Opens the ports that are new; when one cannot be opened, none is.
    fn open_new(&self, table: &Table) -> Result<Vec<Vec<(SocketAddr, Socket)>>, ListenError> {
        let count = self.workers.len();
        let mut sockets: Vec<Vec<(SocketAddr, Socket)>> = (0..count).map(|_| Vec::new()).collect();
        let new = table.listeners.iter().filter(|(key, _)| !self.open.contains(key));
        for (place, ((address, _), (protocol, _))) in new.enumerate() {
            match protocol {
                // One thread keeps the clients of a UDP port apart.
                Protocol::Udp => {
                    let socket = Socket::Datagram(listen::datagrams(*address)?);
                    sockets[place % count].push((*address, socket));
                }
                Protocol::Auto | Protocol::Tcp | Protocol::Http => {
                    let (_, listeners) = listen::streams(*address, count)?;
                    for (listener, own) in listeners.into_iter().zip(&mut sockets) {
                        own.push((*address, Socket::Stream(listener)));
                    }
                }
            }
        }
        Ok(sockets)
    }

    /// Gives the present table to all workers and waits until each goes by it.
    async fn tell(
        &self,
        sockets: Vec<Vec<(SocketAddr, Socket)>>,
        close: &[(SocketAddr, bool)],
    ) -> Result<(), ApplyError> {
        let mut waiting = Vec::new();
        for (worker, open) in self.workers.iter().zip(sockets) {
            let (done, told) = oneshot::channel();
            let command = Command::Table { table: self.table.clone(), open, close: close.to_vec(), done };
            worker.send(command).map_err(|_| ApplyError::Worker)?;
            waiting.push(told);
        }
        for told in waiting {
            told.await.map_err(|_| ApplyError::Worker)?;
        }
        Ok(())
    }

    /// Writes the document down, so that an edge that starts while the daemon is away serves it.
    fn keep(&self) -> Result<(), ApplyError> {
        let path = self.folder.join("table.json");
        let kept = Kept { version: VERSION, document: self.document.clone() };
        let write = || -> io::Result<()> {
            let fresh = self.folder.join("table.json.new");
            // It holds keys.
            let options = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
            let mut file = options.open(&fresh)?;
            file.write_all(&serde_json::to_vec(&kept)?)?;
            file.sync_all()?;
            base::crash::point("edge: table beside");
            fs::rename(&fresh, &path)?;
            base::crash::point("edge: table written");
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| ApplyError::Keep { path, source })
    }

    /// Serves what the last edge of this root served.
    pub(crate) async fn resume(&mut self) {
        let path = self.folder.join("table.json");
        match read_kept(&path) {
            Ok(None) => {}
            Ok(Some(document)) => {
                if let Err(error) = self.apply(document).await {
                    let report = base::Report::of(&error);
                    tracing::error!("the last routes are not in force: {report}");
                }
            }
            // The daemon brings the routes again; until then there are none.
            Err(error) => tracing::error!(%error, "could not read `{}`", path.display()),
        }
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    pub(crate) fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    pub(crate) fn https(&self) -> &[SocketAddr] {
        &self.https
    }

    /// What happens at this moment.
    pub(crate) fn look(&self) -> TrafficSeen {
        self.instances.look(&self.table)
    }

    /// All counters.
    pub(crate) fn status(&self) -> EdgeStatus {
        let now = SystemClock.now();
        let pools = self.table.pools.iter().map(|pool| PoolStatus {
            owner: pool.key.0.clone(),
            name: pool.key.1.clone(),
            service: pool.service.clone(),
            endpoints: pool.endpoints.iter().map(|e| EndpointStatus::of(e, now)).collect(),
        });
        let mut tls = TlsStatus::default();
        self.gauges.iter().for_each(|gauges| gauges.tls.add_to(&mut tls));
        EdgeStatus {
            https: self.https.clone(),
            tls,
            pid: std::process::id(),
            generation: self.table.generation,
            http: self.http.clone(),
            connections: self.gauges.iter().map(|g| g.connections.load(Ordering::Relaxed)).sum(),
            held: self.gauges.iter().map(|g| g.held.load(Ordering::Relaxed)).sum(),
            log_lines_dropped: self.dropped.load(Ordering::Relaxed),
            pools: pools.collect(),
            rules: self.document.rules().collect(),
            ports: self.document.ports().collect(),
        }
    }

    /// What would happen to a request.
    pub(crate) fn explain(&self, ask: &Ask) -> Explanation {
        explain::explain(&Seen { table: &self.table, http: &self.http, https: &self.https }, ask)
    }

    /// Lets all workers finish; they accept nothing more.
    pub(crate) fn drain(&mut self) -> Vec<std::thread::JoinHandle<()>> {
        for worker in &self.workers {
            // A worker that is gone has nothing to finish.
            let _ = worker.send(Command::Drain);
        }
        std::mem::take(&mut self.threads)
    }
}

/// Gives each thread its listener.
fn share_out(
    threads: &mut [Vec<(SocketAddr, Socket)>],
    (address, listeners): fronts::Front,
    socket: impl Fn(TcpListener) -> Socket,
) {
    for (listener, own) in listeners.into_iter().zip(threads) {
        own.push((address, socket(listener)));
    }
}

fn read_kept(path: &Path) -> io::Result<Option<Document>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let kept: Kept = serde_json::from_slice(&bytes)?;
    if READ.contains(&kept.version) {
        return Ok(Some(kept.document));
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("its version is {}, not {VERSION}", kept.version)))
}

/// Connections that the file descriptors of this process allow: each may need two.
fn most_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Up to the hard limit is ours to take; a refusal leaves the soft one.
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let files = usize::try_from(files.unwrap_or(1 << 20)).unwrap_or(1 << 20).min(1 << 20);
    (files.saturating_sub(256) / 2).max(64)
}

/// Why the edge could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("could not use the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another edge runs on this root.
    #[error("another edge serves the root `{}`", root.display())]
    Taken {
        /// The root.
        root: PathBuf,
    },
    /// An HTTP address cannot be listened on.
    #[error("the edge cannot listen")]
    Listen {
        /// The reason.
        source: ListenError,
    },
    /// The kernel gives no thread.
    #[error("could not start a thread")]
    Thread {
        /// The reason.
        source: io::Error,
    },
    /// TLS cannot be spoken.
    #[error("the edge cannot speak TLS")]
    Tls {
        /// The reason.
        source: TlsFlaw,
    },
    /// A thread ended at once.
    #[error("a thread of the edge has died")]
    Worker,
}

impl Problem for StartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Folder { .. } | Self::Thread { .. } | Self::Tls { .. } => Kind::Unavailable,
            Self::Taken { .. } => Kind::Conflict,
            Self::Listen { source } => source.kind(),
            Self::Worker => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source } => source.hint(),
            Self::Folder { .. }
            | Self::Thread { .. }
            | Self::Taken { .. }
            | Self::Tls { .. }
            | Self::Worker => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
