//! One upload: its folder, its length, and the hash of what came so far.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use oci::{Algorithm, Digest, Sha256Hasher, Verifier};
use tokio::sync::mpsc;

use crate::server::RegistryError;
use crate::server::files::{Files, OnPath as _, remove};

/// A client that sends nothing for so long has gone.
const STALL: Duration = Duration::from_secs(60);

/// So many pieces wait for the disk.
const WAITING: usize = 8;

/// An upload under way.
pub(super) struct Session {
    id: String,
    repository: String,
    folder: PathBuf,
    /// None once the upload has ended. A thread that writes holds it, also when its request was cut off.
    file: Arc<Mutex<Option<Sha256Hasher<File>>>>,
    length: Arc<AtomicU64>,
}

/// Why bytes were not taken. Those that came before the failure stay.
pub(super) enum TakeError {
    TooLong,
    Broke(String),
    Disk(RegistryError),
}

impl Session {
    pub(super) fn begin(files: &Files, repository: &str) -> Result<Self, RegistryError> {
        let id: String = base::kernel_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = files.uploads().join(&id);
        fs::create_dir(&folder).on("create", &folder)?;
        let name = folder.join("repository");
        fs::write(&name, repository).on("write", &name)?;
        let data = folder.join("data");
        let file = File::create_new(&data).on("create", &data)?;
        Ok(Self::new(id, repository.into(), folder, Sha256Hasher::new(file)))
    }

    fn new(id: String, repository: String, folder: PathBuf, file: Sha256Hasher<File>) -> Self {
        let length = Arc::new(AtomicU64::new(file.bytes()));
        Self { id, repository, folder, file: Arc::new(Mutex::new(Some(file))), length }
    }

    /// An upload from before a restart: what came is hashed again.
    pub(super) fn find(files: &Files, id: &str) -> Option<Self> {
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let folder = files.uploads().join(id);
        let repository = fs::read_to_string(folder.join("repository")).ok()?;
        let file = OpenOptions::new().read(true).write(true).open(folder.join("data")).ok()?;
        let mut file = Sha256Hasher::new(file);
        io::copy(&mut file, &mut io::sink()).ok()?;
        Some(Self::new(id.into(), repository, folder, file))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    /// Takes a body behind what is there, up to so many bytes in all.
    pub(super) async fn append(&mut self, body: Body, most: u64) -> Result<(), TakeError> {
        let path = self.folder.join("data");
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let (file, length) = (self.file.clone(), self.length.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let file = file.as_mut().ok_or_else(ended)?;
            while let Some(bytes) = waiting.blocking_recv() {
                file.write_all(&bytes)?;
                length.store(file.bytes(), Ordering::Relaxed);
            }
            Ok::<(), io::Error>(())
        });
        let came = feed(body, &pieces, most.saturating_sub(self.length())).await;
        drop(pieces);
        let written = thread.await.map_err(|error| TakeError::Broke(error.to_string()))?;
        written.on("write", &path).map_err(TakeError::Disk)?;
        came
    }

    /// Brings it to the disk; the file if it is what its digest says, else what it is.
    pub(super) async fn seal(&mut self, digest: Digest) -> Result<Result<PathBuf, Digest>, RegistryError> {
        let path = self.folder.join("data");
        let (at, file) = (path.clone(), self.file.clone());
        let sealed = tokio::task::spawn_blocking(move || {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (file, got, _) = file.ok_or_else(ended).on("close", &at)?.finish();
            match digest.algorithm() {
                Algorithm::Sha256 if got == digest => {}
                Algorithm::Sha256 => return Ok(Err(got)),
                Algorithm::Sha512 => {
                    let mut verifier = Verifier::new(File::open(&at).on("open", &at)?, digest);
                    io::copy(&mut verifier, &mut io::sink()).on("read", &at)?;
                    if let Err(mismatch) = verifier.finish() {
                        return Ok(Err(mismatch.got));
                    }
                }
            }
            file.sync_data().on("sync", &at)?;
            Ok(Ok(at))
        });
        sealed.await.map_err(io::Error::other).on("sync", &path)?
    }

    /// Takes its folder away.
    pub(super) fn remove(&self) -> Result<(), RegistryError> {
        remove(&self.folder)
    }
}

/// Hands a body to the thread that writes it.
async fn feed(mut body: Body, pieces: &mpsc::Sender<Bytes>, most: u64) -> Result<(), TakeError> {
    let mut left = most;
    loop {
        let frame = tokio::time::timeout(STALL, body.frame()).await;
        let Ok(frame) = frame else {
            return Err(TakeError::Broke(format!("nothing came for {} s", STALL.as_secs())));
        };
        let data = match frame {
            None => return Ok(()),
            Some(Err(error)) => return Err(TakeError::Broke(error.to_string())),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let length = data.len() as u64;
        if length > left {
            return Err(TakeError::TooLong);
        }
        left -= length;
        // A thread that takes no more has failed; it says why when it ends.
        if !data.is_empty() && pieces.send(data).await.is_err() {
            return Ok(());
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the upload has ended")
}
