//! The role that serves names, and how it is told what to serve: documents over a socket in the room's folder.
//!
//! A frame is a length in four bytes, big end first, and as many bytes of JSON. The role greets, the daemon
//! sends tables, the role confirms each.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::server::{Confirmation, Serving, serve};
use super::table::NamesTable;

/// No table of ours comes near.
const FRAME_BYTES: usize = 32 << 20;
/// How often the role looks whether its folder is still there.
const LOOK: Duration = Duration::from_secs(5);

/// What the role says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The version of the program; a daemon of another has it replaced.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
}

impl Greeting {
    /// Ours.
    pub(crate) fn ours() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() }
    }
}

/// What the role is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Serve this from now on.
    Serve(NamesTable),
    /// End.
    Stop,
}

/// Where the role listens.
pub(crate) fn socket_path(dir: &Path) -> PathBuf {
    dir.join("names.sock")
}

/// Serves names for the room's folder until it is told to stop or the folder is gone; the whole of a process.
///
/// Only one can be there for a folder: a second one ends at once.
pub fn names_main(dir: &Path) -> ExitCode {
    base::crash::arm("names");
    // A session of its own, so that what ends the daemon's terminal does not end the names.
    let _ = rustix::process::setsid();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(run(dir, Serving::default())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, dir = %dir.display(), "cannot serve names for `{}`", dir.display());
            ExitCode::FAILURE
        }
    }
}

/// The role on a runtime that is there already.
pub(crate) async fn run(dir: &Path, serving: Serving) -> io::Result<()> {
    let lock = File::create(dir.join("names.lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    let path = socket_path(dir);
    base::crash::point("names: locked");
    // The lock is ours, so nobody listens there.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    base::crash::point("names: socket bound");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let inode = std::fs::metadata(&path)?.ino();
    let (tables, seen) = watch::channel(Arc::default());
    let (confirmations, confirmed) = watch::channel(Confirmation::default());
    tokio::select! {
        () = serve(serving, seen, confirmations) => {}
        () = listen(&listener, &tables, &confirmed) => {}
        () = vanished(&path, inode) => {}
    }
    base::crash::point("names: about to end");
    drop(lock);
    if std::fs::metadata(&path).is_ok_and(|file| file.ino() == inode) {
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// Takes orders from one daemon after another; ends when one says so.
async fn listen(
    listener: &UnixListener,
    tables: &watch::Sender<Arc<NamesTable>>,
    confirmed: &watch::Receiver<Confirmation>,
) {
    let mut current: Option<UnixStream> = None;
    loop {
        let stream = match current.take() {
            Some(stream) => stream,
            None => match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        tokio::select! {
            ended = converse(stream, tables, confirmed.clone()) => {
                if let Ok(true) = ended {
                    return;
                }
            }
            // A daemon that comes now follows one that is gone, even if its end was not noticed yet.
            next = listener.accept() => current = next.ok().map(|(stream, _)| stream),
        }
    }
}

/// Speaks with one daemon; true if it wants us to end.
async fn converse(
    stream: UnixStream,
    tables: &watch::Sender<Arc<NamesTable>>,
    mut confirmed: watch::Receiver<Confirmation>,
) -> io::Result<bool> {
    let (mut input, mut output) = stream.into_split();
    write_frame(&mut output, &Greeting::ours()).await?;
    let confirm = async {
        loop {
            confirmed.changed().await.map_err(io::Error::other)?;
            let confirmation = confirmed.borrow_and_update().clone();
            write_frame(&mut output, &confirmation).await?;
            base::crash::point("names: table confirmed");
        }
    };
    let take = async {
        loop {
            match read_frame::<Order>(&mut input).await? {
                Order::Serve(table) => {
                    base::crash::point("names: table heard");
                    tables.send_replace(Arc::new(table));
                }
                Order::Stop => return Ok(true),
            }
        }
    };
    tokio::select! {
        ended = take => ended,
        ended = confirm => ended,
    }
}

/// Ends when the socket is no longer the one that we made: the root was removed, or somebody took our place.
async fn vanished(path: &Path, inode: u64) {
    loop {
        tokio::time::sleep(LOOK).await;
        if !std::fs::metadata(path).is_ok_and(|file| file.ino() == inode) {
            return;
        }
    }
}

/// Sends a document.
pub(crate) async fn write_frame(
    output: &mut (impl AsyncWrite + Unpin),
    document: &impl Serialize,
) -> io::Result<()> {
    let bytes = serde_json::to_vec(document)?;
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the document is too long for a frame"))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(bytes);
    output.write_all(&frame).await
}

/// Receives a document.
pub(crate) async fn read_frame<T: DeserializeOwned>(input: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = input.read_u32().await? as usize;
    if length > FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than any of ours"));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Tells the role what to serve and goes away, as a daemon that dies at once.
#[cfg(test)]
pub(crate) async fn tell(dir: &Path, table: &NamesTable) -> io::Result<()> {
    use base::Clock;
    let clock = base::SystemClock;
    let end = clock.now() + crate::testbed::PATIENCE;
    let mut stream = loop {
        match UnixStream::connect(socket_path(dir)).await {
            Ok(stream) => break stream,
            Err(error) if clock.now() > end => return Err(error),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let _: Greeting = read_frame(&mut stream).await?;
    write_frame(&mut stream, &Order::Serve(table.clone())).await?;
    loop {
        let confirmation: Confirmation = read_frame(&mut stream).await?;
        if confirmation.epoch == table.epoch && confirmation.unbound.is_empty() {
            return Ok(());
        }
    }
}
