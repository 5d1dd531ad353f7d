//! The edge's control: puts tables in force on all workers, keeps the last one on disk, and tells what is going on.
//!
//! Owns `edge/table.json`, `edge/edge.sock` and `edge/lock` under the root. A table is in force when every worker
//! has said so; until then the answer to it is not given.

mod control;
mod fronts;
mod heir;
mod instances;
mod listening;
mod role;
mod secret;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Clock, Kind, Problem, Report, SystemClock};
use plan::traffic::TrafficSeen;
use serde::{Deserialize, Serialize};
use spec::Protocol;
use tokio::sync::{mpsc, oneshot};

use crate::access_log::{self, Line};
use crate::cache::{self, Purge, Purged};
use crate::explain::{self, Ask, Explanation, Present, Seen, Threads};
use crate::handover::{Handover, Place, Purpose, Talk, TicketKeys};
use crate::limits::{LogFormat, Settings};
use crate::listen::ListenError;
use crate::protocol::{READ, VERSION};
use crate::status::{
    CacheStatus, ClassStatus, EdgeStatus, EndpointStatus, MirrorStatus, PoolStatus, SideStatus, StickStatus,
    TlsStatus,
};
use crate::table::{Document, HTTPS_PORT, PoolKey, Table, TableFlaw};
use crate::tls::{Keeper, TlsFlaw};
use crate::worker::{self, Command, Decided, Gauges, Manner, Plan, Socket};
use instances::Instances;
use listening::{Dealt, Listening};
use secret::Marks;

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
    /// Addresses of services that cannot be listened on.
    unopened: BTreeSet<SocketAddr>,
    listening: Listening,
    /// What waits for the doors to be opened.
    closed: Option<Dealt>,
    /// Another edge has its place.
    left: bool,
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
    /// Starts the workers and opens the HTTP addresses; nobody is served before [`Self::open_doors`].
    pub(crate) async fn start(
        folder: PathBuf,
        addresses: &Addresses,
        threads: usize,
        settings: Settings,
        before: Handover,
    ) -> Result<Self, StartError> {
        let mut listening = Listening::new(threads, before.sockets, before.revision);
        let (http, https) = (folder.join("http.json"), folder.join("https.json"));
        let fronts =
            fronts::open(&http, &addresses.http, Purpose::Front, &mut listening, fronts::PATIENCE).await?;
        let (at, https_spare) = secure_addresses(&addresses.https, &listening);
        let secure = fronts::open(&https, &at, Purpose::Secure, &mut listening, fronts::PATIENCE).await?;
        let mut instances = Instances::new(threads, Marks::of(&folder));
        let empty = Document::default();
        let mut table = Table::build(&empty, None, threads, |i, a| instances.state(i, a))
            .expect("a table without rules has no flaw");
        let mut tls = Keeper::new(&folder);
        if !secure.is_empty() {
            table.tls = Arc::new(tls.build(&empty).map_err(|source| StartError::Tls { source })?);
        }
        let table = Arc::new(table);
        let log = match settings.access_log {
            LogFormat::Off => None,
            LogFormat::Json | LogFormat::Common | LogFormat::Combined => Some(access_log::start(&folder)),
        };
        let log = log.transpose().map_err(|source| StartError::Folder { path: folder.clone(), source })?;
        let mut server = Self {
            folder,
            workers: Vec::new(),
            threads: Vec::new(),
            instances,
            table: table.clone(),
            document: empty,
            open: BTreeSet::new(),
            unopened: BTreeSet::new(),
            listening,
            closed: None,
            left: false,
            http: fronts.iter().map(|(address, _)| *address).collect(),
            https: secure.iter().map(|(address, _)| *address).collect(),
            https_spare,
            tls,
            gauges: (0..threads).map(|_| Arc::default()).collect(),
            dropped: Arc::new(AtomicU64::new(0)),
        };
        let settings = Arc::new(settings);
        let most = most_connections().min(settings.connections);
        for index in 0..threads {
            let plan = Plan {
                index,
                settings: settings.clone(),
                table: table.clone(),
                log: Line::new(log.clone(), server.dropped.clone(), settings.access_log),
                most_connections: (most / threads).max(1),
                gauges: server.gauges[index].clone(),
            };
            server.spawn(plan).map_err(|source| StartError::Thread { source })?;
        }
        let fronts = fronts.into_iter().map(|front| (Purpose::Front, front));
        let secure = secure.into_iter().map(|front| (Purpose::Secure, front));
        let mut dealt = nobody(threads);
        for (purpose, front) in fronts.chain(secure) {
            let dealing = server.listening.deal(purpose, front, &mut dealt, 0);
            dealing.map_err(|source| StartError::Listen { source })?;
        }
        server.closed = Some(dealt);
        Ok(server)
    }

    /// Begins to serve, with the UDP clients of the edge before.
    pub(crate) async fn open_doors(&mut self, talks: Vec<(Talk, OwnedFd)>) -> Result<(), StartError> {
        let mut dealt = self.closed.take().unwrap_or_else(|| nobody(self.workers.len()));
        self.listening.forget_rest();
        for (talk, socket) in talks {
            let ports = dealt.iter_mut().flatten().filter(|(address, _)| *address == talk.port);
            for (_, port) in ports {
                if let Socket::Datagram(_, talks) = port {
                    talks.push((talk, socket));
                    break;
                }
            }
        }
        self.tell(dealt, &[]).await.map_err(|_| StartError::Worker)
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
        let mut table = Table::build(&document, Some(&self.table), self.gauges.len(), |instance, address| {
            self.instances.state(instance, address)
        })
        .map_err(|source| ApplyError::Flaw { source })?;
        table.load_files(&self.folder, &self.table);
        let needed = Keeper::is_needed(&document);
        if needed || !self.https.is_empty() {
            let hosts = self.tls.build(&document).map_err(|source| ApplyError::Tls { source })?;
            table.tls = Arc::new(hosts);
        }
        let mut opened = nobody(self.workers.len());
        if !self.left {
            opened = self.open_new(&table).map_err(|source| ApplyError::Listen { source })?;
            if needed {
                self.open_https(&mut opened).await?;
            }
        }
        table.https_port = self.https.first().map_or(HTTPS_PORT, SocketAddr::port);
        let gone: Vec<_> =
            self.open.iter().filter(|key| !table.listeners.contains_key(key)).copied().collect();
        self.open =
            table.listeners.keys().filter(|(address, _)| !self.unopened.contains(address)).copied().collect();
        self.table = Arc::new(table);
        self.instances.keep_only(&self.table);
        let pools = self.table.pools.iter().map(|pool| &pool.key).collect();
        self.gauges.iter().for_each(|gauges| gauges.decided.keep(&pools));
        if let Some(closed) = &mut self.closed {
            closed.iter_mut().zip(&mut opened).for_each(|(waiting, opened)| waiting.append(opened));
        }
        self.tell(opened, &gone).await?;
        self.listening.close(&gone);
        self.document = document;
        // Who takes over keeps it once it serves.
        if self.left || self.closed.is_some() { Ok(()) } else { self.keep() }
    }

    /// Opens the first HTTPS address that can be had, if none is open and some may be.
    async fn open_https(&mut self, opened: &mut Dealt) -> Result<(), ApplyError> {
        let mut refused = None;
        let candidates = if self.https.is_empty() { self.https_spare.clone() } else { Vec::new() };
        for address in candidates {
            let path = self.folder.join("https.json");
            let asked = [address];
            let opening =
                fronts::open(&path, &asked, Purpose::Secure, &mut self.listening, fronts::PATIENCE).await;
            match opening {
                Ok(fronts) => {
                    for front in fronts {
                        self.https = vec![front.0];
                        let dealing = self.listening.deal(Purpose::Secure, front, opened, 0);
                        dealing.map_err(|source| ApplyError::Listen { source })?;
                    }
                    return Ok(());
                }
                Err(error) => refused = Some(error),
            }
        }
        refused.map_or(Ok(()), |source| Err(ApplyError::Https { source }))
    }

    /// Opens the ports that are new; when one cannot be opened, none is.
    fn open_new(&mut self, table: &Table) -> Result<Dealt, ListenError> {
        let new = table.listeners.iter().filter(|(key, _)| !self.open.contains(key));
        let places = new.map(|((address, _), (protocol, _))| {
            let purpose = match protocol {
                Protocol::Udp => Purpose::Datagram,
                Protocol::Auto | Protocol::Tcp | Protocol::Http => Purpose::Stream,
            };
            Place { purpose, address: *address }
        });
        let places: Vec<_> = places.collect();
        let (services, published): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| table.is_between(&place.address));
        let opened: Result<Vec<_>, _> =
            published.into_iter().map(|place| Ok((place, self.listening.open(place)?))).collect();
        let mut opened = opened?;
        let before = std::mem::take(&mut self.unopened);
        for place in services {
            match self.listening.open_ahead(place) {
                Ok(sockets) => opened.push((place, sockets)),
                // What comes there goes straight to instances, which is better than a release that fails.
                Err(error) => {
                    if !before.contains(&place.address) {
                        let report = Report::of(&error);
                        tracing::warn!("connections to {} go straight to instances: {report}", place.address);
                    }
                    self.unopened.insert(place.address);
                }
            }
        }
        let mut dealt = nobody(self.workers.len());
        for (turn, (place, sockets)) in opened.into_iter().enumerate() {
            // One thread keeps the clients of a UDP port apart; ports are spread over all threads.
            let turn = if place.purpose == Purpose::Datagram { turn } else { 0 };
            self.listening.deal(place.purpose, sockets, &mut dealt, turn)?;
        }
        Ok(dealt)
    }

    /// Gives the present table to all workers and waits until each goes by it.
    async fn tell(&self, sockets: Dealt, close: &[(SocketAddr, bool)]) -> Result<(), ApplyError> {
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
    pub(crate) fn keep(&self) -> Result<(), ApplyError> {
        let path = self.folder.join("table.json");
        let kept = Kept { version: VERSION, document: self.document.clone() };
        let write = || -> io::Result<()> {
            let bytes = serde_json::to_vec(&kept)?;
            // An edge that takes over has nothing to change, and no time.
            if fs::read(&path).is_ok_and(|before| before == bytes) {
                return Ok(());
            }
            let fresh = self.folder.join("table.json.new");
            // It holds keys.
            let options = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
            let mut file = options.open(&fresh)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            base::crash::point("edge: table beside");
            fs::rename(&fresh, &path)?;
            base::crash::point("edge: table written");
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| ApplyError::Keep { path, source })
    }

    /// Goes by what the last edge of this root went by.
    pub(crate) async fn resume(&mut self) {
        let path = self.folder.join("table.json");
        match read_kept(&path) {
            Ok(None) => {}
            Ok(Some(document)) => {
                if let Err(error) = self.apply(document).await {
                    let report = Report::of(&error);
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
        let mut decisions = Decided::default();
        self.gauges.iter().for_each(|gauges| gauges.decided.add_to(&mut decisions));
        let pools = self.table.pools.iter().map(|pool| PoolStatus {
            owner: pool.key.0.clone(),
            name: pool.key.1.clone(),
            service: pool.service.clone(),
            replaced: decisions.replaced.get(&pool.key).copied().unwrap_or_default(),
            files: decisions.served.get(&pool.key).copied().unwrap_or_default(),
            breaker_opened: decisions.opened.get(&pool.key).copied().unwrap_or_default(),
            endpoints: pool.endpoints.iter().map(|e| EndpointStatus::of(e, now)).collect(),
            sides: SideStatus::of(pool.fork.as_deref()),
            mirror: MirrorStatus::of(pool.fork.as_deref()),
            sticky: StickStatus::of(pool.stick.as_deref()),
            classes: ClassStatus::of(pool.gate.as_deref()),
            hedges: pool.policy.hedge.map(|_| decisions.hedges.get(&pool.key).copied().unwrap_or_default()),
            cache: CacheStatus::of(pool.cache.as_ref()),
        });
        let pools = pools.collect();
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
            leaving: 0,
            died: 0,
            log_lines_dropped: self.dropped.load(Ordering::Relaxed),
            refused: decisions.refused(),
            pools,
            rules: self.table.told(self.document.rules()),
            ports: self.document.ports().collect(),
        }
    }

    /// What would happen to a request.
    pub(crate) async fn explain(&self, ask: &Ask) -> Explanation {
        let (http, https, now) = (&self.http[..], &self.https[..], SystemClock.now());
        let seen = Seen { table: &self.table, http, https, now, threads: None };
        let Some(key) = explain::destination(&seen, ask) else { return explain::explain(&seen, ask) };
        let all = self.present(&key).await;
        let threads = Some(Threads { key: &key, all: &all });
        explain::explain(&Seen { threads, now: SystemClock.now(), ..seen }, ask)
    }

    /// Throws kept answers away, which all threads share.
    pub(crate) fn purge(&self, which: &Purge) -> Vec<Purged> {
        cache::purge(&self.table.pools, which)
    }

    /// What all threads know of a pool.
    async fn present(&self, key: &PoolKey) -> Vec<Present> {
        let mut waiting = Vec::new();
        for worker in &self.workers {
            let (told, present) = oneshot::channel();
            // One that is gone knows nothing.
            if worker.send(Command::Tell { key: key.clone(), told }).is_ok() {
                waiting.push(present);
            }
        }
        let mut all = Vec::new();
        for present in waiting {
            all.extend(present.await.ok().flatten());
        }
        all
    }

    /// Goes on with the tickets of the edge before.
    pub(crate) fn take_tickets(&mut self, tickets: Vec<TicketKeys>) {
        self.tls.take_tickets(tickets);
    }

    /// What another edge needs to serve in place of this one.
    pub(crate) fn handover(&self) -> io::Result<Handover> {
        self.listening.handover(self.tls.tickets())
    }

    /// The revision of its sockets.
    pub(crate) fn revision(&self) -> u64 {
        self.listening.revision()
    }

    /// Has all workers accept nothing more and finish in this manner; gives the clients that another edge can take.
    pub(crate) async fn leave(&mut self, manner: Manner) -> Vec<(Talk, OwnedFd)> {
        self.left = true;
        self.listening.leave();
        let mut waiting = Vec::new();
        for worker in &self.workers {
            let (done, left) = oneshot::channel();
            // A worker that is gone has nothing to finish.
            if worker.send(Command::Leave { manner, done }).is_ok() {
                waiting.push(left);
            }
        }
        let mut talks = Vec::new();
        for left in waiting {
            talks.extend(left.await.unwrap_or_default());
        }
        talks
    }

    /// The workers' ends of what they are told: each is closed when its worker has finished.
    pub(crate) fn workers(&self) -> Vec<mpsc::UnboundedSender<Command>> {
        self.workers.clone()
    }

    /// The workers' threads, to be waited for.
    pub(crate) fn threads(&mut self) -> Vec<std::thread::JoinHandle<()>> {
        std::mem::take(&mut self.threads)
    }
}

/// Where HTTPS is answered from the start, and where it may be later.
fn secure_addresses(front: &HttpsFront, listening: &Listening) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    match front {
        HttpsFront::Never => (Vec::new(), Vec::new()),
        HttpsFront::At(addresses) => (addresses.clone(), Vec::new()),
        HttpsFront::WhenNeeded(addresses) => {
            // Where the edge before answers it stays open.
            let open = addresses.iter().find(|a| listening.before(Purpose::Secure, **a).is_some());
            (open.copied().into_iter().collect(), addresses.clone())
        }
    }
}

/// No sockets for anybody.
fn nobody(threads: usize) -> Dealt {
    (0..threads).map(|_| Vec::new()).collect()
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
    /// The sockets of the edge before cannot be had.
    #[error("the edge before could not be asked for its sockets")]
    Handover {
        /// The reason.
        source: io::Error,
    },
    /// The edge before, or this one, would not.
    #[error("{report}")]
    Refused {
        /// The reason.
        report: Report,
    },
}

impl Problem for StartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Folder { .. } | Self::Thread { .. } | Self::Tls { .. } => Kind::Unavailable,
            Self::Taken { .. } => Kind::Conflict,
            Self::Listen { source } => source.kind(),
            Self::Worker => Kind::Internal,
            Self::Handover { .. } => Kind::Unavailable,
            Self::Refused { report } => report.kind,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source } => source.hint(),
            Self::Refused { report } => report.hint.clone(),
            Self::Handover { .. }
            | Self::Folder { .. }
            | Self::Thread { .. }
            | Self::Taken { .. }
            | Self::Tls { .. }
            | Self::Worker => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
