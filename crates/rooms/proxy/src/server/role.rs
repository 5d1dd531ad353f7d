//! The role `sea edge`: from options to a process that serves until it is told to end.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use base::Report;
use rustix::fs::FlockOperation;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify};

use super::{Addresses, Server, StartError, control};
use crate::limits::Settings;
use crate::protocol;

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
    let lock = fs::File::create(folder.join("lock")).map_err(failed)?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(StartError::Taken { root: options.root });
    }
    let threads = options.threads.unwrap_or_else(cores).clamp(1, 256);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .map_err(|source| StartError::Thread { source })?;
    let workers = runtime.block_on(async {
        let addresses = Addresses { http: options.http, https: options.https };
        let mut server = Server::start(folder.clone(), &addresses, threads, options.settings).await?;
        server.resume().await;
        serve(server, &folder).await
    })?;
    for worker in workers {
        // Its panic was reported when it happened.
        let _ = worker.join();
    }
    drop(lock);
    Ok(())
}

/// Answers on the control socket until the end is wished for; gives the workers, which then finish.
async fn serve(server: Server, folder: &Path) -> Result<Vec<std::thread::JoinHandle<()>>, StartError> {
    let failed = |source| StartError::Folder { path: folder.to_path_buf(), source };
    let listener = listen(folder).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let server = Rc::new(Mutex::new(server));
    let stop = Rc::new(Notify::new());
    tokio::select! {
        () = control::serve(listener, server.clone(), stop.clone()) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stop.notified() => {}
    }
    // A successor may listen there from now on.
    let _ = fs::remove_file(folder.join("edge.sock"));
    Ok(server.lock().await.drain())
}

/// A folder for its owner alone.
fn prepare(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// The control socket. The lock is held, so whatever stands in its place is a leftover.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let (_open, path) = protocol::socket_path(folder)?;
    match fs::remove_file(folder.join("edge.sock")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(folder.join("edge.sock"), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
