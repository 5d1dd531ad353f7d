//! The edge's process: found by its socket, or started apart from us so that it outlives us.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::{EdgeConfig, EdgeError};
use crate::protocol::{self, Reply, Request, VERSION};
use crate::server::HttpsFront;
use crate::table::Document;

/// How long a new edge may take until it answers.
const STARTING: Duration = Duration::from_secs(10);
/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(5);
/// Where its own messages are cut off when a new one starts.
const LOG_BYTES: u64 = 1024 * 1024;

/// A running edge that has greeted us.
pub(super) struct Found {
    pub(super) connection: UnixStream,
    pub(super) document: Document,
    pub(super) http: Vec<SocketAddr>,
    pub(super) life: Life,
}

/// Tells when the edge ends: a connection on which nothing is said.
pub(super) struct Life(UnixStream);

impl Life {
    /// Waits for the end.
    pub(super) async fn ended(&mut self) {
        // The edge says nothing unasked: an answer is an end, and so is an error.
        let _ = protocol::read::<Reply>(&mut self.0).await;
    }
}

/// The edge of this root; one is started when none of our version and addresses runs.
pub(super) async fn find_or_start(config: &EdgeConfig) -> Result<Found, EdgeError> {
    let folder = config.root.join("edge");
    let begin = |source| EdgeError::Start { program: config.program.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(begin)?;
    base::crash::point("edge: folder made");
    match greet(&folder, config).await {
        Ok(found) => return Ok(found),
        Err(Unfit::Nobody) => {}
        Err(Unfit::Other) => dismiss(&folder).await,
    }
    let mut child = start(config, &folder).map_err(begin)?;
    base::crash::point("edge: started");
    let answers = async {
        loop {
            if let Ok(found) = greet(&folder, config).await {
                return Ok(found);
            }
            if let Ok(Some(_)) = child.try_wait() {
                return Err(EdgeError::Ended { said: last_words(&folder) });
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let found = tokio::time::timeout(STARTING, answers).await.map_err(|_| EdgeError::Silent)?;
    reap(child);
    found
}

/// Why the edge that is there will not do.
enum Unfit {
    Nobody,
    /// Its version or its addresses are not ours.
    Other,
}

async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let (_open, path) = protocol::socket_path(folder)?;
    UnixStream::connect(path).await
}

async fn hello(folder: &Path) -> io::Result<(UnixStream, Option<Reply>)> {
    let mut stream = connect(folder).await?;
    protocol::write(&mut stream, &Request::Hello { version: VERSION }).await?;
    let reply = tokio::time::timeout(STARTING, protocol::read(&mut stream)).await;
    // What cannot be read is another version's answer.
    let reply = reply.map_err(|_| io::ErrorKind::TimedOut)?.unwrap_or(None);
    Ok((stream, reply))
}

async fn greet(folder: &Path, config: &EdgeConfig) -> Result<Found, Unfit> {
    let (connection, reply) = hello(folder).await.map_err(|_| Unfit::Nobody)?;
    let Some(Reply::Welcome { version: VERSION, document, http, https, .. }) = reply else {
        return Err(Unfit::Other);
    };
    let secure = match &config.https {
        HttpsFront::Never => https.is_empty(),
        HttpsFront::At(wanted) => same(&https, wanted),
        HttpsFront::WhenNeeded(wanted) => https.iter().all(|is| wanted.iter().any(|one| fits(is, one))),
    };
    if !secure || !same(&http, &config.http) {
        return Err(Unfit::Other);
    }
    let (life, _) = hello(folder).await.map_err(|_| Unfit::Nobody)?;
    Ok(Found { connection, document, http, life: Life(life) })
}

/// Whether these addresses are what these wishes became.
fn same(are: &[SocketAddr], wanted: &[SocketAddr]) -> bool {
    are.len() == wanted.len() && are.iter().zip(wanted).all(|(is, wanted)| fits(is, wanted))
}

fn fits(is: &SocketAddr, wanted: &SocketAddr) -> bool {
    is.ip() == wanted.ip() && (wanted.port() == 0 || is.port() == wanted.port())
}

/// Has an edge that will not do accept nothing more, and waits until its place is free.
async fn dismiss(folder: &Path) {
    let Ok((mut stream, _)) = hello(folder).await else { return };
    let pid = stream.peer_cred().ok().and_then(|cred| cred.pid());
    let told = protocol::write(&mut stream, &Request::Stop).await;
    let heard = protocol::read::<Reply>(&mut stream).await;
    if told.is_err() || !matches!(heard, Ok(Some(Reply::Done))) {
        // It does not know our words; every version knows SIGTERM.
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
    drop(stream);
    let free = async {
        while !is_free(folder) {
            tokio::time::sleep(LOOK).await;
        }
    };
    // It may have long requests; after that its successor says that the root is taken.
    let _ = tokio::time::timeout(Duration::from_secs(35), free).await;
}

fn is_free(folder: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    File::open(folder.join("lock"))
        .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_ok())
}

fn start(config: &EdgeConfig, folder: &Path) -> io::Result<Child> {
    let path = folder.join("edge.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    if log.metadata()?.len() > LOG_BYTES {
        log.set_len(0)?;
    }
    Command::new(&config.program)
        .args(&config.args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/")
        .kill_on_drop(false)
        .spawn()
}

/// Takes the exit status when it comes, so that no zombie stays.
fn reap(mut child: Child) {
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await {
            tracing::warn!(%status, "the edge ended");
        }
    });
}

/// The end of the edge's own messages, on one line.
fn last_words(folder: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(folder.join("edge.log"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2048)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(4).collect();
    let said = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
    if said.is_empty() { "it said nothing".into() } else { said }
}
