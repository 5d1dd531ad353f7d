//! The edge's process: found by its socket, or started apart from us so that it outlives us.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base::Report;
use plan::traffic::TrafficSeen;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::stand_in::{self, Legacy};
use super::{EdgeConfig, EdgeError};
use crate::events;
use crate::handover::Handover;
use crate::protocol::{self, Reply, Request, VERSION};
use crate::server::HttpsFront;
use crate::table::Document;

/// The control socket of the edge that serves.
const SOCKET: &str = "edge.sock";
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
    pub(super) version: u32,
    https: Vec<SocketAddr>,
    program: String,
    pub(super) pid: u32,
}

/// The edge of the root, with the one that it has replaced just now.
pub(super) struct Edges {
    pub(super) edge: (Found, Life),
    pub(super) replaced: Option<(Found, Life)>,
    /// The sockets that it was given, should it die before it is asked for them.
    pub(super) sockets: Option<Arc<Handover>>,
}

impl Edges {
    fn one(edge: (Found, Life)) -> Self {
        Self { edge, replaced: None, sockets: None }
    }
}

/// Tells of the edge's end: a connection on which it says nothing else.
pub(super) struct Life(UnixStream);

/// What is heard of the end.
pub(super) enum Sign {
    /// It accepts nothing more; its end is still to come.
    Leaves,
    /// It has ended, with these last words if it had any.
    Ended(Option<TrafficSeen>),
}

impl Life {
    /// Waits for the next sign.
    pub(super) async fn next(&mut self) -> Sign {
        match protocol::read::<Reply>(&mut self.0).await {
            Ok(Some(Reply::Leaving)) => Sign::Leaves,
            Ok(Some(Reply::Seen { seen })) => Sign::Ended(Some(seen)),
            // It says nothing else unasked: an answer is an end, and so is an error.
            Ok(_) | Err(_) => Sign::Ended(None),
        }
    }

    /// Waits for the end itself.
    pub(super) async fn ended(mut self) -> Option<TrafficSeen> {
        loop {
            if let Sign::Ended(last_words) = self.next().await {
                return last_words;
            }
        }
    }
}

/// The edge of this root; one is started where none runs, and one that does not fit is replaced.
///
/// What was left of an edge that has died goes to the one that is started.
pub(super) async fn find_or_start(config: &EdgeConfig, legacy: Option<Legacy>) -> Result<Edges, EdgeError> {
    let folder = config.root.join("edge");
    let begin = |source| EdgeError::Start { program: config.program.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(begin)?;
    base::crash::point("edge: folder made");
    match meet(&folder, SOCKET).await {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => end_silent(&folder).await,
        Err(_) => {}
        Ok(found) if fits_all(&found.0, config) => return Ok(Edges::one(found)),
        Ok(found) => match replace(config, &folder, found).await {
            Some(edges) => return Ok(edges),
            None => dismiss(&folder).await,
        },
    }
    let line = legacy.map(line_to).transpose().map_err(begin)?;
    match launch(config, &folder, line).await {
        Ok(edge) => Ok(Edges::one(edge)),
        // A daemon that died a moment ago may have started one too, which came first.
        Err(error @ EdgeError::Ended { .. }) => match meet(&folder, SOCKET).await {
            Ok(found) if fits_all(&found.0, config) => Ok(Edges::one(found)),
            Ok(_) | Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// A line to somebody who answers in place of an edge that has died.
fn line_to(legacy: Legacy) -> io::Result<OwnedFd> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ours = UnixStream::from_std(ours)?;
    tokio::spawn(stand_in::serve(ours, legacy));
    Ok(theirs.into())
}

/// A line to the edge that runs.
async fn line_to_edge(folder: &Path) -> io::Result<OwnedFd> {
    let line = connect(folder, SOCKET).await?.into_std()?;
    line.set_nonblocking(false)?;
    Ok(line.into())
}

/// Starts an edge beside the one that runs, which gives it its place; nothing if that cannot be done.
///
/// An edge that fits but for its program serves on where it cannot be replaced.
async fn replace(config: &EdgeConfig, folder: &Path, found: (Found, Life)) -> Option<Edges> {
    let will_do = found.0.version == VERSION && has_place(&found.0, config);
    let taken = take_handover(folder).await;
    let handover = taken.map_err(|error| tracing::warn!(%error, "the edge gives no sockets")).ok()?;
    let (document, http) = (found.0.document.clone(), found.0.http.clone());
    let legacy = Legacy { handover: handover.into(), document, http };
    let sockets = Some(legacy.handover.clone());
    let begin = |source| EdgeError::Start { program: config.program.clone(), source };
    let launched = match line_to_edge(folder).await.map_err(begin) {
        Ok(line) => launch(config, folder, Some(line)).await,
        Err(error) => Err(error),
    };
    let report = match launched {
        Ok(edge) => {
            events::replaced(found.0.pid, edge.0.pid);
            return Some(Edges { edge, replaced: Some(found), sockets });
        }
        Err(error) => Report::of(&error),
    };
    events::not_replaced(&report);
    if let Ok(still) = meet(folder, SOCKET).await
        && still.0.pid == found.0.pid
    {
        return will_do.then(|| Edges::one(still));
    }
    // It has left for one that died before it served.
    let line = line_to(legacy).ok()?;
    let edge = launch(config, folder, Some(line)).await.ok()?;
    Some(Edges { edge, replaced: Some(found), sockets })
}

/// Duplicates of the sockets of the edge that runs. By a connection of its own, as this process may have no room for
/// them, and what follows on the connection then is not known.
pub(super) async fn take_handover(folder: &Path) -> io::Result<Handover> {
    let take = async {
        let (mut connection, _) = hello(folder, SOCKET).await?;
        protocol::write(&mut connection, &Request::HandOver).await?;
        match protocol::read(&mut connection).await? {
            Some(Reply::Handover { inventory }) => Handover::receive(&connection, inventory).await,
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it answers something else")),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    tokio::time::timeout(STARTING, take).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Starts an edge and waits until it has the place.
async fn launch(
    config: &EdgeConfig,
    folder: &Path,
    line: Option<OwnedFd>,
) -> Result<(Found, Life), EdgeError> {
    let begin = |source| EdgeError::Start { program: config.program.clone(), source };
    let mut child = start(config, folder, line).map_err(begin)?;
    base::crash::point("edge: started");
    let answers = async {
        loop {
            // The edge that is to be replaced has the place until then.
            if child.id().is_some()
                && listens(folder).await == child.id()
                && let Ok(found) = meet(folder, SOCKET).await
            {
                return Ok(found);
            }
            match child.try_wait() {
                Ok(Some(status)) if status.code().is_some() => {
                    return Err(EdgeError::Ended { said: last_words(folder) });
                }
                Ok(Some(_)) => return Err(EdgeError::Broken { source: io::Error::other("it was killed") }),
                Ok(None) | Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let found = tokio::time::timeout(STARTING, answers).await;
    if found.is_err() {
        // It may not come later, when nobody expects it.
        let _ = child.start_kill();
    }
    reap(child);
    found.map_err(|_| EdgeError::Silent)?
}

/// The process that has the place, without a word.
async fn listens(folder: &Path) -> Option<u32> {
    connect(folder, SOCKET).await.ok()?.peer_cred().ok()?.pid()?.try_into().ok()
}

async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let (_open, path) = protocol::socket_path(folder, name)?;
    UnixStream::connect(path).await
}

async fn hello(folder: &Path, name: &str) -> io::Result<(UnixStream, Option<Reply>)> {
    let mut stream = connect(folder, name).await?;
    protocol::write(&mut stream, &Request::Hello { version: VERSION }).await?;
    let reply = tokio::time::timeout(STARTING, protocol::read(&mut stream)).await;
    // What cannot be read is another version's answer.
    let reply = reply.map_err(|_| io::ErrorKind::TimedOut)?.unwrap_or(None);
    Ok((stream, reply))
}

/// The edge that listens there, of whatever program and version.
pub(super) async fn meet(folder: &Path, name: &str) -> io::Result<(Found, Life)> {
    let (connection, reply) = hello(folder, name).await?;
    let mut found = Found {
        connection,
        document: Document::default(),
        http: Vec::new(),
        version: 0,
        https: Vec::new(),
        program: String::new(),
        pid: 0,
    };
    // One whose words cannot be read is there all the same.
    if let Some(Reply::Welcome { version, pid, document, http, https, program, .. }) = reply {
        found = Found { document, http, version, https, program, pid, ..found };
    }
    let (mut life, _) = hello(folder, name).await?;
    protocol::write(&mut life, &Request::Farewell).await?;
    Ok((found, Life(life)))
}

/// Ends an edge that has the place and does not greet: nobody is answered, and no other can have it before.
async fn end_silent(folder: &Path) {
    let Ok(connection) = connect(folder, SOCKET).await else { return };
    let pid = connection.peer_cred().ok().and_then(|cred| cred.pid());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        events::silent(pid.as_raw_nonzero().get());
        // The connection is open, so the number is still that process's.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Whether this is the edge that is wanted.
fn fits_all(found: &Found, config: &EdgeConfig) -> bool {
    found.version == VERSION && found.program == config.identity && has_place(found, config)
}

/// Whether it answers where it is wanted.
fn has_place(found: &Found, config: &EdgeConfig) -> bool {
    let secure = match &config.https {
        HttpsFront::Never => found.https.is_empty(),
        HttpsFront::At(wanted) => same(&found.https, wanted),
        HttpsFront::WhenNeeded(wanted) => found.https.iter().all(|is| wanted.iter().any(|one| fits(is, one))),
    };
    secure && same(&found.http, &config.http)
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
    let Ok((mut stream, _)) = hello(folder, SOCKET).await else { return };
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

fn start(config: &EdgeConfig, folder: &Path, line: Option<OwnedFd>) -> io::Result<Child> {
    let path = folder.join("edge.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    if log.metadata()?.len() > LOG_BYTES {
        log.set_len(0)?;
    }
    let handover: &[_] = if line.is_some() { &["--handover", "stdin"] } else { &[] };
    Command::new(&config.program)
        .args(&config.args)
        .args(["--identity", &config.identity])
        .args(handover)
        .stdin(line.map_or_else(Stdio::null, Stdio::from))
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
