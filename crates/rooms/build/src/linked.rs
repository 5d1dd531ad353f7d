//! `COPY --link` and `ADD --link`: a layer that is made on nothing, and laid upon whatever is below it.
//!
//! So it does not depend on what is below: with a newer base it is taken from the cache, and only laid anew. What it costs
//! is that a link in the way is not followed, and that the folders on the way are the layer's own.

use images::{LayerSource, PackOptions, Snapshot};
use oci::{Digest, ImageConfig};

use crate::build::SNAPSHOTS;
use crate::error::BuildError;
use crate::stage::{Did, Shot, StageRun};

impl StageRun<'_> {
    /// Takes the layer that these files make from an earlier build, or has it made now; then lays it upon the stage.
    pub(crate) fn linked(
        &mut self,
        files: &Digest,
        line: String,
        step: usize,
        write: impl FnOnce(&Snapshot) -> Result<(), BuildError>,
    ) -> Result<Did, BuildError> {
        let job = self.job;
        self.history(line, false);
        let files = files.to_string();
        let laid = job.key(&self.image, "linked files", &[&files]);
        if let Some(image) = self.recall(&laid) {
            self.reached(&laid, image);
            return Ok(Did::Cached);
        }
        let nothing = job.find(&job.commit_on(None, LayerSource::None, ImageConfig::scratch())?)?;
        let alone = job.key(&nothing, "linked files", &[&files]);
        // The same step of another stage or build is waited for rather than done twice.
        let _turn = job.builder.turns.take(&alone, &job.stop)?;
        let known = self.recall(&alone).map(|image| image.id);
        let did = if known.is_some() { Did::Cached } else { Did::Anew };
        let _permit = job.permits.take(&job.stop)?;
        let layer = match known {
            Some(id) => id,
            None => {
                let key = format!("{SNAPSHOTS}{}-{step}", job.scratch.key);
                let shot = Shot::new(&job.builder.images, &nothing, key)?;
                write(&shot.snapshot)?;
                let options = PackOptions { latest_mtime: job.wish.epoch };
                let source = LayerSource::Snapshot(&shot.key, options);
                let id = job.commit(&nothing, source, ImageConfig::scratch())?;
                job.remember(&alone, &id)?;
                id
            }
        };
        let mut config = self.settings.config.clone();
        config.created = Some(job.time().to_string());
        let id = job.commit(&self.image, LayerSource::LastOf(&layer), config)?;
        job.remember(&laid, &id)?;
        let image = job.find(&id)?;
        self.reached(&laid, image);
        Ok(did)
    }
}
