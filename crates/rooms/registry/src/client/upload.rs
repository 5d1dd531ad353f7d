//! Uploads: a blob goes into its repository in one stream, and goes on where a broken connection stopped.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use hyper::{Method, StatusCode};
use oci::{Digest, Sha256Hasher};
use tokio::sync::{mpsc, watch};

use super::answer::Answer;
use super::auth::form;
use super::repository::{Action, Repository};
use super::transport::{Call, Content, Origin};
use super::{CallError, PushError};
use crate::ranges;

/// So many pieces wait for the network.
const WAITING: usize = 8;

/// The bytes of such a piece.
const PIECE: usize = 256 << 10;

const BYTES: &str = "application/octet-stream";

/// What makes a blob's bytes: it writes them all, on a thread of its own.
pub type Source = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A blob that was made while it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Of its bytes.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
}

/// Where an upload goes on.
type Place = (Origin, String);

/// A blob in a file.
struct Stored<'a> {
    digest: &'a Digest,
    size: u64,
    path: &'a Path,
}

impl Repository {
    /// Asks the registry to take a blob over from another of its repositories; false if it would rather have it sent.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, CallError> {
        let target = format!(
            "/v2/{}/blobs/uploads/?{}",
            self.path,
            form(&[("mount", &digest.to_string()), ("from", from)])
        );
        let scopes = [Action::Push.scope(&self.path), Action::Pull.scope(from)];
        let call = || Call::new(Method::POST, &target).header(CONTENT_LENGTH, "0");
        let answer = match self.ask_again(self.home(), &scopes, &call).await {
            // Whoever may not read there can still send it.
            Err(CallError::Refused { .. }) => return Ok(false),
            answer => answer?,
        };
        if answer.status == StatusCode::CREATED {
            return answer.done().await.map(|()| true);
        }
        // It began an upload instead, which nobody will use.
        let origin = self.client.0.origin_of(self.home()).await?;
        let place = self.location(self.home(), &origin, &target, &answer, &LOCATION);
        answer.done().await?;
        if let Ok(place) = place {
            let call = Call::new(Method::DELETE, place.1.clone());
            // It goes by itself in time.
            let _ = self.send_to(&place, Action::Push, call).await;
        }
        Ok(false)
    }

    /// Sends a file as a blob. `told` is given the bytes so far.
    pub async fn upload(
        &self,
        digest: &Digest,
        size: u64,
        path: &Path,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), PushError> {
        let blob = Stored { digest, size, path };
        let mut place: Option<Place> = None;
        let (mut at, mut tries) = (0, 0);
        loop {
            let before = at;
            let sent = self.send_rest(&blob, &mut place, &mut at, told).await;
            let error = match sent {
                Ok(()) => return Ok(()),
                Err(PushError::Call(error)) if passes(&error) && tries < self.client.settings().retries => {
                    error
                }
                Err(error) => return Err(error),
            };
            tracing::debug!(registry = %self.registry(), %digest, at, "going on with the upload: {error}");
            self.pause(tries).await;
            tries += 1;
            // How far it came only the registry knows; one that does not say has it sent anew.
            match self.received(place.as_ref()).await {
                Some((next, received)) if received <= size => {
                    (place, at) = (Some(next), received);
                    // As long as it comes further it may be tried as often as at first.
                    tries = if received > before { 0 } else { tries };
                }
                Some(_) | None => (place, at) = (None, 0),
            }
        }
    }

    async fn send_rest(
        &self,
        blob: &Stored<'_>,
        place: &mut Option<Place>,
        at: &mut u64,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), PushError> {
        let size = blob.size;
        let begun = match place.take() {
            Some(place) => place,
            None => self.begin_upload().await?,
        };
        *place = Some(begun.clone());
        let next = if *at < size {
            let source = read_from(blob.path.to_owned(), *at, size);
            let mut headers = vec![(CONTENT_LENGTH, (size - *at).to_string())];
            if *at > 0 {
                headers.push((CONTENT_RANGE, format!("{at}-{}", size - 1)));
            }
            self.patch(&begun, source, headers, *at, told).await?
        } else {
            begun
        };
        *place = Some(next.clone());
        *at = size;
        self.commit(&next, blob.digest).await
    }

    /// Sends what `make` writes as a blob, without keeping it anywhere.
    pub async fn upload_made(
        &self,
        make: Source,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Uploaded, PushError> {
        let place = self.begin_upload().await?;
        let (done, made) = tokio::sync::oneshot::channel();
        let source: Source = Box::new(move |out| {
            let mut hasher = Sha256Hasher::new(out);
            make(&mut hasher)?;
            let (_, digest, size) = hasher.finish();
            // Whoever waited may have gone.
            let _ = done.send(Uploaded { digest, size });
            Ok(())
        });
        let next = self.patch(&place, source, Vec::new(), 0, told).await?;
        let made = made.await.map_err(|_| PushError::Source {
            what: "a layer".into(),
            source: io::Error::other("it was not made whole"),
        })?;
        self.commit(&next, &made.digest).await?;
        Ok(made)
    }

    async fn begin_upload(&self) -> Result<Place, PushError> {
        let target = format!("/v2/{}/blobs/uploads/", self.path);
        let call = || Call::new(Method::POST, &target).header(CONTENT_LENGTH, "0");
        let answer = self.write(Action::Push, call).await?;
        let origin = self.client.0.origin_of(self.home()).await?;
        let place = self.location(self.home(), &origin, &target, &answer, &LOCATION)?;
        answer.done().await?;
        Ok(place)
    }

    /// Streams bytes to an upload; where it goes on. A registry that takes nothing for a while is given up.
    async fn patch(
        &self,
        place: &Place,
        make: Source,
        headers: Vec<(hyper::header::HeaderName, String)>,
        begins: u64,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Place, PushError> {
        let (body, pipe, failed) = stream(make);
        let mut call = Call::new(Method::PATCH, place.1.clone()).header(CONTENT_TYPE, BYTES).body(body);
        for (name, value) in headers {
            call = call.header(name, &value);
        }
        // The bytes take as long as they take; only standing still is too long.
        let call = call.patience(std::time::Duration::from_secs(24 * 3600));
        let sending = self.send_to(place, Action::Push, call);
        tokio::pin!(sending);
        let (stall, mut sent) = (self.client.settings().timeouts.stall, pipe);
        let answer = loop {
            let wait = if sent.ended() { self.client.settings().timeouts.commit } else { stall };
            tokio::select! {
                answer = &mut sending => break answer,
                moved = tokio::time::timeout(wait, sent.moved()) => match moved {
                    Ok(bytes) => told(begins + bytes),
                    Err(_) => {
                        let (registry, doing) = (self.registry().to_owned(), "take more of the upload");
                        return Err(CallError::TimedOut { registry, doing, after: wait }.into());
                    }
                },
            }
        };
        // What could not be read is the better reason.
        if let Some(source) = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            return Err(PushError::Source { what: "what is to be sent".into(), source });
        }
        let answer = answer?;
        told(begins + sent.so_far());
        self.next_place(place, answer).await
    }

    async fn next_place(&self, place: &Place, answer: Answer) -> Result<Place, PushError> {
        let next = match answer.header(&LOCATION) {
            Some(_) => self.location(self.home(), &place.0, &place.1, &answer, &LOCATION)?,
            None => place.clone(),
        };
        answer.done().await?;
        Ok(next)
    }

    async fn commit(&self, place: &Place, digest: &Digest) -> Result<(), PushError> {
        let joint = if place.1.contains('?') { '&' } else { '?' };
        let target = format!("{}{joint}{}", place.1, form(&[("digest", &digest.to_string())]));
        let call = Call::new(Method::PUT, target)
            .header(CONTENT_LENGTH, "0")
            .header(CONTENT_TYPE, BYTES)
            .patience(self.client.settings().timeouts.commit);
        let answer = self.send_to(place, Action::Push, call).await?;
        let got = answer.content_digest();
        answer.done().await?;
        match got {
            Some(got) if got != *digest && got.algorithm() == digest.algorithm() => Err(PushError::Changed {
                registry: self.registry().to_owned(),
                want: digest.clone(),
                got: got.to_string(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// How much of an upload the registry has, and where it goes on.
    async fn received(&self, place: Option<&Place>) -> Option<(Place, u64)> {
        let place = place?;
        let answer = self.send_to(place, Action::Push, Call::new(Method::GET, place.1.clone())).await.ok()?;
        let received = answer.header(&RANGE).and_then(ranges::received)?;
        Some((self.next_place(place, answer).await.ok()?, received))
    }
}

/// Whether an upload may go on after this. A registry that lost it, or disagrees on how far it is, is asked anew.
fn passes(error: &CallError) -> bool {
    error.may_pass() || matches!(error, CallError::Answered { status: 404 | 416, .. })
}

fn read_from(path: PathBuf, at: u64, end: u64) -> Source {
    Box::new(move |out| {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(at))?;
        let copied = io::copy(&mut file.take(end - at), out)?;
        if copied < end - at {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        Ok(())
    })
}

type Failed = Arc<Mutex<Option<io::Error>>>;

/// A body that is written on a thread of its own, and how far it was taken.
fn stream(make: Source) -> (Content, Sent, Failed) {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let (progress, watched) = watch::channel(0);
    let failed = Failed::default();
    let told = failed.clone();
    let thread_progress = Arc::new(AtomicU64::new(0));
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PIECE, Pipe(sender.clone()));
        let made = make(&mut out).and_then(|()| out.flush());
        if let Err(error) = made {
            // A network that takes no more is told by the network.
            if error.kind() != io::ErrorKind::BrokenPipe {
                *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
            }
            let _ = sender.blocking_send(Err(io::ErrorKind::Interrupted.into()));
        }
    });
    let body = futures_util::stream::unfold(
        (receiver, progress, thread_progress),
        |(mut receiver, progress, sum)| async {
            let piece = receiver.recv().await?;
            let length = piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
            progress.send_replace(sum.fetch_add(length, Ordering::Relaxed) + length);
            Some((piece.map(Frame::data), (receiver, progress, sum)))
        },
    );
    let body = StreamBody::new(body).boxed_unsync();
    (Content::Stream(Mutex::new(Some(body))), Sent { watched, ended: false }, failed)
}

/// How far a body was taken.
struct Sent {
    watched: watch::Receiver<u64>,
    ended: bool,
}

impl Sent {
    /// Waits until more was taken, and says how much in all; at the end it waits on.
    async fn moved(&mut self) -> u64 {
        if self.watched.changed().await.is_err() && !std::mem::replace(&mut self.ended, true) {
            return self.so_far();
        }
        if self.ended {
            std::future::pending::<()>().await;
        }
        self.so_far()
    }

    fn ended(&self) -> bool {
        self.ended
    }

    fn so_far(&self) -> u64 {
        *self.watched.borrow()
    }
}

/// Hands what is written to a request's body.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
