//! A mirror: hands on another registry's images, and keeps what it handed on.
//!
//! What a tag means is asked again once it is old; when the other registry does not answer, what we have counts. A blob
//! is fetched once, however many ask for it, and goes to all of them while it arrives; the last byte only when it has
//! turned out whole.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use base::Instant;
use oci::Digest;

use super::answer::{Answer, Refusal, with};
use super::files::OnPath as _;
use super::index::ManifestRow;
use super::manifests::{read_manifest, unknown};
use super::{Registry, RegistryError};
use crate::client::{CallError, Client, ManifestError, Repository};
use crate::endpoint::Endpoint;
use crate::growing::Growing;
use crate::login::Keyring;
use crate::words::Code;

/// What is sent at once.
const PIECE: usize = 256 << 10;

/// Tags that we remember to have asked about.
const REMEMBERED: usize = 100_000;

/// Whose images are handed on.
#[derive(Clone)]
pub struct Mirror {
    /// How it is reached.
    pub client: Client,
    /// The other registry.
    pub of: Endpoint,
    /// What it is convinced with.
    pub keys: Keyring,
    /// What a tag means is asked again after so long.
    pub fresh: Duration,
}

impl Mirror {
    fn repository(&self, name: &str) -> Repository {
        // Docker's registry has official images under a name that people leave out.
        let is_official = self.of.domain() == "docker.io" && !name.contains('/');
        let path = if is_official { format!("library/{name}") } else { name.to_owned() };
        self.client.repository_at(self.of.clone(), &path, self.keys.clone())
    }

    /// All tags that the other registry has.
    pub(super) async fn tags(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let listing = self.repository(name).tags().await.map_err(|error| self.refusal(name, &error))?;
        Ok(listing.names)
    }

    fn refusal(&self, name: &str, error: &CallError) -> Refusal {
        match error {
            CallError::Refused { .. } => {
                // Its credentials are ours, and none of the client's business.
                let text = format!("`{}` does not let this mirror have `{name}`", self.of);
                Refusal::new(StatusCode::NOT_FOUND, Code::NameUnknown, text)
            }
            error if error.is_missing() => Refusal::new(
                StatusCode::NOT_FOUND,
                Code::NameUnknown,
                format!("`{}` has no `{name}`", self.of),
            ),
            error => {
                tracing::warn!("the mirrored registry gave no answer: {error}");
                let text = format!("the mirrored registry `{}` gave no answer", self.of);
                Refusal::new(StatusCode::BAD_GATEWAY, Code::Unavailable, text)
            }
        }
    }
}

/// Blobs on their way, and tags that were asked about.
#[derive(Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<Digest, Arc<Flight>>>,
    asked: Mutex<HashMap<String, Instant>>,
}

struct Flight {
    growing: Growing,
    file: File,
    path: PathBuf,
    size: u64,
}

impl Flights {
    /// The files that grow at this moment.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        let flights = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        flights.values().map(|flight| flight.path.clone()).collect()
    }

    fn was_asked(&self, key: &str, now: Instant, fresh: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(key).is_some_and(|at| now.since(*at) < fresh)
    }

    fn asked_now(&self, key: String, now: Instant) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= REMEMBERED {
            asked.clear();
        }
        asked.insert(key, now);
    }
}

impl Registry {
    fn mirror(&self) -> Result<&Mirror, Refusal> {
        let none = || {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, "this registry mirrors nothing")
        };
        self.0.options.mirror.as_ref().ok_or_else(none)
    }

    /// What a tag or digest means, by the other registry's word if ours is old.
    pub(super) async fn mirrored_manifest(
        &self,
        name: &str,
        which: &str,
    ) -> Result<(Digest, ManifestRow), Refusal> {
        let mirror = self.mirror()?;
        let here =
            self.0.index.manifest(name, which).filter(|(digest, _)| self.0.files.length(digest).is_some());
        let (key, now) = (format!("{name}:{which}"), self.0.options.clock.now());
        let is_digest = which.parse::<Digest>().is_ok();
        if let Some(here) = &here
            && (is_digest || self.0.flights.was_asked(&key, now, mirror.fresh))
        {
            return Ok(here.clone());
        }
        let repository = mirror.repository(name);
        let there = match &here {
            Some((digest, _)) => match repository.digest(which).await {
                Ok(Some(there)) if there == *digest => {
                    self.0.flights.asked_now(key, now);
                    return here.ok_or_else(|| unknown(name, which));
                }
                Ok(_) => repository.manifest(which).await,
                Err(error) => Err(error),
            },
            None => repository.manifest(which).await,
        };
        match (there, here) {
            (Ok(raw), _) => {
                let row = read_manifest(&raw.bytes, Some(raw.media_type.as_str().into()), self.now())?;
                let fresh = self.0.files.write(&raw.bytes)?;
                let changing = self.0.index.changing().await;
                self.0.files.place(&fresh, &raw.digest)?;
                changing.put(name, &raw.digest, row.clone(), (!is_digest).then_some(which)).await?;
                self.0.flights.asked_now(key, now);
                Ok((raw.digest, row))
            }
            (Err(ManifestError::Missing { .. }), _) => Err(unknown(name, which)),
            // An old answer is better than none.
            (Err(error), Some(here)) => {
                tracing::warn!("`{name}:{which}` is served as it was: {error}");
                Ok(here)
            }
            (Err(ManifestError::Call(error)), None) => Err(mirror.refusal(name, &error)),
            (Err(error @ ManifestError::Damaged { .. }), None) => {
                Err(Refusal::new(StatusCode::BAD_GATEWAY, Code::Unavailable, error.to_string()))
            }
        }
    }

    /// A blob that this repository does not have yet.
    pub(super) async fn mirrored_blob(
        &self,
        name: &str,
        digest: &Digest,
        head: bool,
        range: Option<&str>,
    ) -> Answer {
        let mirror = self.mirror()?;
        let listed = {
            let state = self.0.index.read();
            state
                .get(name)
                .and_then(|one| one.manifests.values().find_map(|row| row.blobs.get(digest).copied()))
        };
        let size = match listed {
            Some(size) => size,
            // Nothing that we handed on names it; the other registry knows whether it may be had.
            None => {
                let there = mirror.repository(name).blob_size(digest).await;
                let there = there.map_err(|error| mirror.refusal(name, &error))?;
                there.ok_or_else(|| Refusal::no_blob(digest))?
            }
        };
        if self.0.files.length(digest) == Some(size) {
            self.0.index.changing().await.link(name, digest, size).await?;
            return self.serve_blob(digest, size, head, range);
        }
        if head {
            let (text, length) = (digest.to_string(), size.to_string());
            let headers = [
                ("docker-content-digest", text.as_str()),
                ("content-type", "application/octet-stream"),
                ("content-length", length.as_str()),
            ];
            return Ok(with(StatusCode::OK, &headers, Body::empty()));
        }
        let flight = self.flight(name, digest, size)?;
        let follower = flight.growing.follow_file(flight.file.try_clone().on("open", &flight.path)?);
        // Whoever asks for a part gets the whole, as anybody may: the part may not be there yet.
        let stream = futures_util::stream::try_unfold(follower, |mut follower| async move {
            Ok::<_, std::io::Error>(follower.piece(PIECE).await?.map(|piece| (piece, follower)))
        });
        let (text, length) = (digest.to_string(), flight.size.to_string());
        let headers = [
            ("docker-content-digest", text.as_str()),
            ("content-type", "application/octet-stream"),
            ("content-length", length.as_str()),
        ];
        Ok(with(StatusCode::OK, &headers, Body::from_stream(stream)))
    }

    /// The fetching of a blob: the one that is under way, or a new one.
    fn flight(&self, name: &str, digest: &Digest, size: u64) -> Result<Arc<Flight>, Refusal> {
        let mirror = self.mirror()?;
        let mut flights = self.0.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(digest).filter(|flight| flight.size == size) {
            return Ok(flight.clone());
        }
        let path = self.0.files.download(digest);
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.on("create", &path)?;
        let flight = Arc::new(Flight { growing: Growing::begin(0), file, path, size });
        flights.insert(digest.clone(), flight.clone());
        let (registry, repository) = (self.clone(), mirror.repository(name));
        let (name, digest, flying) = (name.to_owned(), digest.clone(), flight.clone());
        tokio::spawn(async move {
            let fetched = repository.fetch(&digest, size, &flying.path, &flying.growing, &|_| {}).await;
            let kept = match fetched {
                Ok(_) => registry.keep(&name, &digest, &flying).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = kept {
                tracing::warn!("a blob of `{name}` was not kept: {why}");
            }
            registry.0.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        });
        Ok(flight)
    }

    async fn keep(&self, name: &str, digest: &Digest, flight: &Flight) -> Result<(), RegistryError> {
        let (file, path) = (flight.file.try_clone().on("open", &flight.path)?, flight.path.clone());
        let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
        synced.map_err(std::io::Error::other).and_then(|synced| synced).on("sync", &path)?;
        let changing = self.0.index.changing().await;
        self.0.files.place(&path, digest)?;
        changing.link(name, digest, flight.size).await
    }
}
