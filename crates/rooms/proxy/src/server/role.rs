//! The role `sea edge`: from options to a process that serves until it is told to end.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use base::{Clock, Kind, Report, SystemClock};
use rustix::fs::FlockOperation;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, watch};

use super::heir::Line;
use super::{Addresses, Server, StartError, control};
use crate::handover::{Handover, Talk};
use crate::limits::Settings;
use crate::protocol;
use crate::worker::Manner;

/// Between two looks whether the lock is free.
const LOOK: Duration = Duration::from_millis(2);
/// How long an edge that has died may have the lock.
const LOCKED: Duration = Duration::from_secs(1);
/// How long the last words may take to be written.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Where HTTPS is answered by host and path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HttpsFront {
    /// Nowhere.
    #[default]
    Never,
    /// At these addresses, whether there are certificates or not.
    At(Vec<SocketAddr>),
    /// At the first of these that can be had, from the first table on that needs it.
    WhenNeeded(Vec<SocketAddr>),
}

/// What the role is told on its command line.
#[derive(Debug, Clone, Default)]
pub struct EdgeOptions {
    /// The root; the edge keeps its things in `edge/` under it.
    pub root: PathBuf,
    /// Where HTTP is answered by host and path.
    pub http: Vec<SocketAddr>,
    /// Where HTTPS is.
    pub https: HttpsFront,
    /// One thread a core unless this says otherwise.
    pub threads: Option<usize>,
    /// How it behaves; the defaults suit most.
    pub settings: Settings,
    /// Which program this is, in any words: a daemon whose program has others replaces this edge.
    pub program: String,
    /// Standard input is a line to whoever has the sockets of this root.
    pub handover: bool,
}

/// Serves until SIGTERM, SIGINT or a word on the control socket, then lets what is under way finish.
pub fn edge_main(options: EdgeOptions) -> ExitCode {
    // Its own session, so that a signal to the daemon's terminal does not reach it. It fails for the leader of a
    // group, which has left its terminal's others already.
    let _ = rustix::process::setsid();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let report = Report::of(&error);
            // Standard error is the edge's own log, which the daemon shows when a start fails.
            let _ = writeln!(io::stderr(), "the edge did not start: {report}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: EdgeOptions) -> Result<(), StartError> {
    let folder = options.root.join("edge");
    let failed = |source| StartError::Folder { path: folder.clone(), source };
    prepare(&folder).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .map_err(|source| StartError::Thread { source })?;
    let workers = runtime.block_on(async {
        let place = if options.handover { inherit(options).await? } else { begin(options).await? };
        serve(Rc::new(place)).await
    })?;
    for worker in workers {
        // Its panic was reported when it happened.
        let _ = worker.join();
    }
    Ok(())
}

/// Begins alone, with the routes that are on the disk.
async fn begin(options: EdgeOptions) -> Result<Place, StartError> {
    let folder = options.root.join("edge");
    let lock = lock(&folder, &options.root).await?;
    let program = options.program.clone();
    let mut server = start(&folder, options, Handover::default()).await?;
    server.resume().await;
    server.open_doors(Vec::new()).await?;
    Ok(Place::new(folder, program, server, lock))
}

/// Takes the place of the edge at the other end of standard input. Until that has left, all here can fail without
/// harm; from then on connections wait in the sockets for at most as long as the lock and the workers take.
async fn inherit(options: EdgeOptions) -> Result<Place, StartError> {
    let folder = options.root.join("edge");
    let mut line = Line::of_stdin().map_err(|source| StartError::Handover { source })?;
    let (before, document) = line.greet().await?;
    let (revision, generation, tickets) = (before.revision, document.generation, before.tickets.clone());
    let (root, program) = (options.root.clone(), options.program.clone());
    let mut server = start(&folder, options, before).await?;
    server.take_tickets(tickets);
    server.apply(document).await.map_err(|error| StartError::Refused { report: Report::of(&error) })?;
    base::crash::point("edge: ready to take over");
    let talks = line.take_over(revision, generation).await?;
    base::crash::point("edge: took over");
    let lock = lock(&folder, &root).await?;
    server.open_doors(talks).await?;
    // Those who wait in the sockets come first. It is on the disk already unless this edge has changed something.
    if let Err(error) = server.keep() {
        let report = Report::of(&error);
        tracing::error!("the routes are in force and not on the disk: {report}");
    }
    Ok(Place::new(folder, program, server, lock))
}

async fn start(folder: &Path, options: EdgeOptions, before: Handover) -> Result<Server, StartError> {
    let threads = options.threads.unwrap_or_else(cores).clamp(1, 256);
    let addresses = Addresses { http: options.http, https: options.https };
    Server::start(folder.to_path_buf(), &addresses, threads, options.settings, before).await
}

/// The lock on the root's edge, when no other has it.
async fn lock(folder: &Path, root: &Path) -> Result<fs::File, StartError> {
    let failed = |source| StartError::Folder { path: folder.to_path_buf(), source };
    let lock = fs::File::create(folder.join("lock")).map_err(failed)?;
    let began = SystemClock.now();
    while rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        // Another that was killed has it for as long as the kernel needs to close its files.
        if SystemClock.now().since(began) >= LOCKED {
            return Err(StartError::Taken { root: root.to_path_buf() });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(lock)
}

/// Where an edge is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// It accepts nothing more, and another may have its place.
    Leaving,
    Over,
}

/// A root's edge: what it has until it leaves, and what those ask for who talk with it.
pub(super) struct Place {
    folder: PathBuf,
    pub(super) program: String,
    pub(super) server: Mutex<Server>,
    pub(super) stage: watch::Sender<Stage>,
    /// The end is wished for.
    pub(super) stop: Notify,
    lock: Cell<Option<fs::File>>,
    /// Where it is asked when it has left.
    aside: Cell<Option<Aside>>,
}

/// The control socket of an edge that has left; its file goes with it.
struct Aside {
    listener: UnixListener,
    file: Leftover,
}

struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // A file that stays is removed by the daemon that finds nobody there.
        let _ = fs::remove_file(&self.0);
    }
}

impl Place {
    fn new(folder: PathBuf, program: String, server: Server, lock: fs::File) -> Self {
        Self {
            folder,
            program,
            server: Mutex::new(server),
            stage: watch::Sender::new(Stage::Serving),
            stop: Notify::new(),
            lock: Cell::new(Some(lock)),
            aside: Cell::default(),
        }
    }

    /// Leaves the place to another edge that goes by the same routes with the same sockets; gives it the UDP clients.
    pub(super) async fn give_up(
        &self,
        revision: u64,
        generation: u64,
    ) -> Result<Vec<(Talk, OwnedFd)>, Report> {
        let mut server = self.server.lock().await;
        let same = server.revision() == revision && server.document().generation == generation;
        if !same || *self.stage.borrow() != Stage::Serving {
            return Err(Report::new(Kind::Conflict, "the routes changed before the edge could be replaced"));
        }
        self.step_aside()
            .map_err(|error| Report::new(Kind::Unavailable, "the edge cannot leave").because(error))?;
        let talks = server.leave(Manner::Replaced).await;
        base::crash::point("edge: left");
        self.lock.take();
        self.stage.send_replace(Stage::Leaving);
        Ok(talks)
    }

    /// Leaves the place to whoever comes.
    async fn go(&self) {
        let mut server = self.server.lock().await;
        if *self.stage.borrow() == Stage::Serving {
            if let Err(error) = self.step_aside() {
                tracing::warn!(%error, "this edge cannot be asked any more while it ends");
            }
            // A successor may listen there from now on.
            let _ = fs::remove_file(self.folder.join("edge.sock"));
        }
        server.leave(Manner::Told).await;
        self.lock.take();
        self.stage.send_replace(Stage::Leaving);
    }

    /// Listens where edges are found that have left. Names sort by the time of leaving.
    fn step_aside(&self) -> io::Result<()> {
        let folder = self.folder.join(protocol::LEAVING_FOLDER);
        prepare(&folder)?;
        let name = format!("{:020}-{}.sock", SystemClock.wall().0, std::process::id());
        let listener = listen(&folder, &name)?;
        self.aside.set(Some(Aside { listener, file: Leftover(folder.join(name)) }));
        Ok(())
    }
}

/// Answers on the control socket until the end is wished for or another has the place, then until all is done; gives the
/// workers, which have finished.
async fn serve(place: Rc<Place>) -> Result<Vec<std::thread::JoinHandle<()>>, StartError> {
    let failed = |source| StartError::Folder { path: place.folder.clone(), source };
    let listener = listen(&place.folder, "edge.sock").map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut stage = place.stage.subscribe();
    tokio::select! {
        () = control::serve(listener, place.clone()) => {}
        _ = terminate.recv() => place.go().await,
        _ = interrupt.recv() => place.go().await,
        () = place.stop.notified() => place.go().await,
        _ = stage.wait_for(|stage| *stage != Stage::Serving) => {}
    }
    drop(stage);
    let aside = place.aside.take();
    let (listener, file) = aside.map_or((None, None), |aside| (Some(aside.listener), Some(aside.file)));
    let answering = async {
        match listener {
            Some(listener) => control::serve(listener, place.clone()).await,
            None => std::future::pending().await,
        }
    };
    let workers = place.server.lock().await.workers();
    let finished = async {
        for worker in &workers {
            worker.closed().await;
        }
    };
    let (mut answering, mut finished) = (pin!(answering), pin!(finished));
    loop {
        tokio::select! {
            () = &mut answering => {}
            () = &mut finished => break,
            _ = terminate.recv() => place.go().await,
            _ = interrupt.recv() => place.go().await,
            () = place.stop.notified() => place.go().await,
        }
    }
    base::crash::point("edge: done");
    // Whoever is told the end finds nothing left of it.
    drop(file);
    place.stage.send_replace(Stage::Over);
    // Those who wait for the last word get it.
    let _ = tokio::time::timeout(LAST_WORD, place.stage.closed()).await;
    Ok(place.server.lock().await.threads())
}

/// A folder for its owner alone.
fn prepare(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// A control socket. It takes the place of whatever is there: a leftover, or the socket of an edge that leaves.
fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let fresh = format!("{name}.new");
    let (_open, path) = protocol::socket_path(folder, &fresh)?;
    match fs::remove_file(folder.join(&fresh)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(folder.join(&fresh), fs::Permissions::from_mode(0o600))?;
    fs::rename(folder.join(&fresh), folder.join(name))?;
    Ok(listener)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
