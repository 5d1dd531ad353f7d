//! Blobs: looked for, read whole when small, and fetched into a file that others read while it grows.
//!
//! A fetch goes on where an earlier one stopped, and where a broken connection did. Every byte is hashed on its way to
//! the file; what turns out not to be what its digest says is taken away.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use hyper::{Method, StatusCode};
use oci::{Digest, Verifier};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::repository::{Action, Repository};
use super::transport::Call;
use super::{BlobError, CallError};
use crate::growing::Growing;
use crate::ranges;

/// So many pieces wait for the disk.
const WAITING: usize = 8;

/// Progress of so many bytes lets a broken connection be tried as often as at first.
const PROGRESS: u64 = 1 << 20;

/// What a fetch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes of the blob.
    pub size: u64,
    /// Of those, what was there already.
    pub kept: u64,
}

impl Repository {
    /// Whether the registry has a blob in this repository, and how long it is.
    pub async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>, CallError> {
        let target = self.blob_target(digest);
        match self.write(Action::Push, || Call::new(Method::HEAD, &target)).await {
            Err(error) if error.is_missing() => Ok(None),
            answer => {
                let answer = answer?;
                let length = answer.length().unwrap_or(0);
                answer.done().await.map(|()| Some(length))
            }
        }
    }

    /// A small blob as a whole.
    pub async fn blob(&self, digest: &Digest, size: u64, most: u64) -> Result<Bytes, BlobError> {
        if size > most {
            let registry = self.registry().to_owned();
            return Err(CallError::TooLong { registry, what: "a configuration", most }.into());
        }
        let target = self.blob_target(digest);
        let mut answer =
            self.read(|| Call::new(Method::GET, &target)).await.map_err(|e| self.no_blob(digest, e))?;
        let bytes = answer.collect(usize::try_from(most).unwrap_or(usize::MAX), "a configuration").await?;
        if bytes.len() as u64 != size {
            return Err(BlobError::Length { digest: digest.clone(), want: size, got: bytes.len() as u64 });
        }
        let mut verifier = Verifier::new(io::sink(), digest.clone());
        let hashed = verifier.write_all(&bytes);
        debug_assert!(hashed.is_ok(), "a sink takes everything");
        match verifier.finish() {
            Ok(_) => Ok(bytes),
            Err(mismatch) => Err(BlobError::Damaged { want: mismatch.want, got: mismatch.got }),
        }
    }

    /// Fetches a blob into a file, after what the file holds already. `growing` tells how far it is; `told` is given the
    /// bytes so far. After a failure the file holds what arrived, unless that is damaged; then it is gone.
    pub async fn fetch(
        &self,
        digest: &Digest,
        size: u64,
        path: &Path,
        growing: &Growing,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Fetched, BlobError> {
        let fetched = self.fetch_from(digest, size, path, growing, told).await;
        match &fetched {
            Ok(_) => growing.complete(),
            Err(error) => growing.fail(&error.to_string()),
        }
        fetched
    }

    async fn fetch_from(
        &self,
        digest: &Digest,
        size: u64,
        path: &Path,
        growing: &Growing,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Fetched, BlobError> {
        let (kept, sink) = Sink::begin(path.to_owned(), digest.clone(), size, growing.clone()).await?;
        growing.reached(kept);
        told(kept);
        let mut source: Option<Answer> = None;
        let (mut tries, mut at, mut last_progress) = (0, kept, kept);
        while at < size {
            match self.step(digest, size, at, &mut source).await {
                Ok(bytes) => {
                    at += bytes.len() as u64;
                    if at > size {
                        drop(sink.end().await);
                        remove(path);
                        return Err(BlobError::Length { digest: digest.clone(), want: size, got: at });
                    }
                    if sink.pieces.send(bytes).await.is_err() {
                        return Err(sink.failure().await);
                    }
                    told(at);
                }
                Err(error) if !passes(&error) || tries >= self.client.settings().retries => {
                    drop(sink.end().await);
                    return Err(error);
                }
                Err(error) => {
                    tracing::debug!(registry = %self.registry(), %digest, at, "going on with the blob: {error}");
                    source = None;
                    if at > last_progress + PROGRESS {
                        (tries, last_progress) = (0, at);
                    }
                    self.pause(tries).await;
                    tries += 1;
                }
            }
        }
        if let Some(answer) = source {
            // Only so that the connection can be used again: all that was wanted is here.
            drop(answer.done().await);
        }
        sink.end().await?.map_err(|mismatch| {
            remove(path);
            BlobError::Damaged { want: mismatch.want, got: mismatch.got }
        })?;
        Ok(Fetched { size: at, kept })
    }

    /// The next bytes, from an answer under way or a new one.
    async fn step(
        &self,
        digest: &Digest,
        size: u64,
        at: u64,
        source: &mut Option<Answer>,
    ) -> Result<Bytes, BlobError> {
        let answer = match source {
            Some(answer) => answer,
            None => source.insert(self.open_at(digest, size, at).await?),
        };
        let early = || BlobError::Length { digest: digest.clone(), want: size, got: at };
        answer.chunk().await?.ok_or_else(early)
    }

    /// An answer whose body goes on at this byte.
    async fn open_at(&self, digest: &Digest, size: u64, at: u64) -> Result<Answer, BlobError> {
        let target = self.blob_target(digest);
        let call = || {
            // Packed once more on the way, its bytes would not be the ones that were asked for.
            let call = Call::new(Method::GET, &target).header(ACCEPT_ENCODING, "identity");
            if at > 0 { call.header(RANGE, &format!("bytes={at}-")) } else { call }
        };
        let mut answer = self.read(call).await.map_err(|error| self.no_blob(digest, error))?;
        let announced = match (answer.status, answer.header(&CONTENT_RANGE).and_then(ranges::part)) {
            (StatusCode::PARTIAL_CONTENT, Some((first, total))) if first == at => {
                total.or(answer.length().map(|length| at + length))
            }
            (StatusCode::PARTIAL_CONTENT, _) => {
                let why = "it sends another part than was asked for".into();
                return Err(CallError::Nonsense { registry: answer.registry, why }.into());
            }
            _ => {
                let length = answer.length();
                // A registry that knows no ranges sends what we have once more.
                if length.is_none_or(|length| length == size) && !answer.skip(at).await? {
                    return Err(BlobError::Length { digest: digest.clone(), want: size, got: 0 });
                }
                length
            }
        };
        match announced {
            Some(got) if got != size => Err(BlobError::Length { digest: digest.clone(), want: size, got }),
            Some(_) | None => Ok(answer),
        }
    }

    /// How long a blob is that may be read here; none if there is no such blob.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, CallError> {
        let target = self.blob_target(digest);
        match self.read(|| Call::new(Method::HEAD, &target)).await {
            Err(error) if error.is_missing() => Ok(None),
            answer => {
                let answer = answer?;
                let length = answer.length();
                answer.done().await.map(|()| length)
            }
        }
    }

    fn blob_target(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{digest}", self.path)
    }

    fn no_blob(&self, digest: &Digest, error: CallError) -> BlobError {
        if error.is_missing() {
            return BlobError::Missing { digest: digest.clone(), registry: self.registry().to_owned() };
        }
        BlobError::Call(error)
    }
}

/// Whether going on may help: the connection broke, or was closed too early.
fn passes(error: &BlobError) -> bool {
    match error {
        BlobError::Call(call) => call.may_pass(),
        BlobError::Length { want, got, .. } => got < want,
        BlobError::Missing { .. } | BlobError::Damaged { .. } | BlobError::Disk { .. } => false,
    }
}

/// What is no part of the blob must not be gone on with.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), "could not remove a damaged download: {error}");
    }
}

type Verdict = Result<(), oci::Mismatch>;

/// The file, on a thread that hashes and writes.
struct Sink {
    pieces: mpsc::Sender<Bytes>,
    thread: JoinHandle<Result<Verdict, BlobError>>,
    path: PathBuf,
}

impl Sink {
    /// Opens the file, and hashes what it holds already; how much that is.
    async fn begin(
        path: PathBuf,
        digest: Digest,
        size: u64,
        growing: Growing,
    ) -> Result<(u64, Self), BlobError> {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let (began, begun) = tokio::sync::oneshot::channel();
        let at = path.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let failed = |doing, source| BlobError::Disk { doing, path: at.clone(), source };
            let (kept, mut verifier) = open(&at, &digest, size).map_err(|error| failed("open", error))?;
            let mut written = kept;
            // Whoever asked may have gone.
            let _ = began.send(kept);
            while let Some(bytes) = waiting.blocking_recv() {
                verifier.write_all(&bytes).map_err(|error| failed("write", error))?;
                written += bytes.len() as u64;
                growing.reached(written);
            }
            Ok(verifier.finish().map(drop))
        });
        let sink = Self { pieces, thread, path };
        match begun.await {
            Ok(kept) => Ok((kept, sink)),
            Err(_) => Err(sink.failure().await),
        }
    }

    /// Waits until all is written; whether it is what its digest says.
    async fn end(self) -> Result<Verdict, BlobError> {
        drop(self.pieces);
        let broke_off = |error: tokio::task::JoinError| BlobError::Disk {
            doing: "write",
            path: self.path.clone(),
            source: io::Error::other(error),
        };
        self.thread.await.map_err(broke_off)?
    }

    /// Why the thread takes no more.
    async fn failure(self) -> BlobError {
        let path = self.path.clone();
        match self.end().await {
            Err(error) => error,
            Ok(_) => {
                BlobError::Disk { doing: "write", path, source: io::Error::other("the writer ended early") }
            }
        }
    }
}

/// The file at its end, with what it holds hashed. One that is longer than the blob begins anew.
fn open(path: &Path, digest: &Digest, size: u64) -> io::Result<(u64, Verifier<File>)> {
    let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path)?;
    let length = file.metadata()?.len();
    let kept = if length <= size { length } else { 0 };
    file.set_len(kept)?;
    file.seek(SeekFrom::Start(0))?;
    let mut verifier = Verifier::new(file, digest.clone());
    let mut buffer = vec![0; 256 << 10];
    let mut left = kept;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
        let read = verifier.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= read as u64;
    }
    Ok((kept, verifier))
}
