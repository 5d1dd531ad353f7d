//! The collection of garbage, while pushes go on.
//!
//! A push asks whether a blob is here, relies on the answer, and names the blob a while later. So whatever somebody
//! asked for or brought within the grace is kept; and what is taken is taken in two steps, each under the lock of
//! changes: first a repository has it no more, so that whoever asks from then on is told to bring it; then, when no
//! repository has it, its file goes.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use oci::Digest;

use super::files::{OnPath as _, entries, remove};
use super::{Registry, RegistryError};

/// Files that are looked at under one lock; pushes get their turn in between.
const BATCH: usize = 64;

/// What was collected, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Blobs whose files went.
    pub blobs: usize,
    /// Bytes of them.
    pub freed: u64,
    /// Uploads that nobody went on with.
    pub uploads: usize,
}

impl Registry {
    /// Takes what no manifest names and nobody touched within the grace. Pushes go on meanwhile.
    pub async fn collect(&self) -> Result<Collected, RegistryError> {
        let mut collected = Collected::default();
        let before = base::Timestamp(
            self.now().0.saturating_sub(i64::try_from(self.0.options.grace.as_nanos()).unwrap_or(i64::MAX)),
        );
        let names: Vec<String> = self.0.index.read().keys().cloned().collect();
        for name in names {
            self.0.index.changing().await.unlink_unused(&name, before).await?;
        }
        base::crash::point("registry: blobs unlinked");
        let found = self.0.files.list()?;
        for batch in found.chunks(BATCH) {
            self.remove_unnamed(batch, before, &mut collected).await?;
        }
        self.0.index.changing().await.forget_empty();
        collected.uploads = self.give_up_uploads()?;
        if collected != Collected::default() {
            let Collected { blobs, freed, uploads } = collected;
            tracing::info!(blobs, freed, uploads, "the registry collected {blobs} blobs that nobody needed");
        }
        Ok(collected)
    }

    async fn remove_unnamed(
        &self,
        batch: &[Digest],
        before: base::Timestamp,
        collected: &mut Collected,
    ) -> Result<(), RegistryError> {
        let changing = self.0.index.changing().await;
        let going: Vec<&Digest> = {
            let state = changing.read();
            let named = |digest: &Digest| {
                state.values().any(|one| one.manifests.contains_key(digest) || one.blobs.contains_key(digest))
            };
            batch.iter().filter(|digest| !named(digest)).collect()
        };
        for digest in going {
            let path = self.0.files.blob(digest);
            let Ok(about) = fs::metadata(&path) else { continue };
            // A mirror's blob is named after it was placed; any other whose row is gone may be placed anew this moment.
            let age = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            if age.is_some_and(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX) >= before.0) {
                continue;
            }
            let trash = self.0.files.fresh();
            fs::rename(&path, &trash).on("remove", &path)?;
            base::crash::point("registry: blob moved out");
            remove(&trash)?;
            collected.blobs += 1;
            collected.freed += about.len();
        }
        Ok(())
    }

    /// Uploads and downloads that nobody goes on with.
    fn give_up_uploads(&self) -> Result<usize, RegistryError> {
        let mut given_up = 0;
        for path in entries(&self.0.files.uploads())? {
            let id = path.file_name().and_then(|id| id.to_str()).unwrap_or_default();
            // One that just begins has no bytes yet.
            let data = path.join("data");
            let idle = self.is_idle(if data.exists() { &data } else { &path });
            if idle && !self.0.uploads.is_busy(id) {
                self.0.uploads.forget(id);
                remove(&path)?;
                given_up += 1;
            }
        }
        let flying: BTreeSet<_> = self.0.flights.files();
        for path in entries(&self.0.files.incoming())? {
            let is_download = path.extension().is_some_and(|extension| extension == "part");
            if is_download && self.is_idle(&path) && !flying.contains(&path) {
                remove(&path)?;
            }
        }
        Ok(given_up)
    }

    fn is_idle(&self, path: &std::path::Path) -> bool {
        let changed = fs::metadata(path).and_then(|about| about.modified());
        let since = changed.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let now = Duration::from_nanos(u64::try_from(self.now().0).unwrap_or(0));
        since.is_some_and(|since| now.saturating_sub(since) > self.0.options.upload_idle)
    }
}
