//! Fetching images from registries.
//!
//! Layers arrive side by side, each in a file under `downloads/`, and are unpacked one above the other while they arrive:
//! the unpacking follows the file as it grows, so that nothing waits in memory or is read from the disk again. What
//! arrived stays there after a failure or a crash, and the next pull goes on with it. Names change at the very end.

mod errors;
mod fetching;
mod layers;

use std::sync::Arc;

use oci::{Digest, ImageConfig, Platform, Reference, chain_ids};
use registry::{BlobError, Client, Image as Remote, Keyring, Repository};

use crate::events;
use crate::image::ImageId;
use crate::journal::Happening;
use crate::load::Origin;
use crate::store::Images;

pub use errors::PullError;
pub(crate) use fetching::Fetching;
use layers::{Plan, Take};

/// Layers that arrive at the same time.
const AT_ONCE: usize = 4;

/// What to fetch.
#[derive(Debug, Clone)]
pub struct PullOrder {
    /// By tag, or by digest.
    pub image: Reference,
    /// For which machine.
    pub platform: Platform,
    /// What registries are convinced with.
    pub keys: Keyring,
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullStep {
    /// What the name means at the registry.
    Resolved {
        /// The digest of its manifest or index.
        digest: Digest,
    },
    /// A layer has come so far.
    Layer {
        /// Its blob.
        blob: Digest,
        /// How far.
        state: LayerState,
    },
}

/// How far a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerState {
    /// It was here.
    Known,
    /// It will be fetched.
    Waiting {
        /// Its bytes.
        size: u64,
    },
    /// It arrives.
    Arriving {
        /// Bytes so far.
        bytes: u64,
        /// Of so many.
        size: u64,
    },
    /// All of it is here and its digest is being compared.
    Verifying,
    /// It is whole.
    Arrived,
    /// It is being unpacked.
    Unpacking {
        /// Bytes so far, as it came.
        bytes: u64,
        /// Of so many.
        size: u64,
    },
    /// It is there.
    Done,
}

/// An image that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its id.
    pub id: ImageId,
    /// The digest of its manifest or index at the registry.
    pub digest: Digest,
    /// Whether it was here already, under this name.
    pub known: bool,
}

/// Hears how far a pull is.
pub(crate) type Tell = Arc<dyn Fn(PullStep) + Send + Sync>;

impl Images {
    /// Fetches an image and gives it the name. `tell` is called from several threads and must not wait for long.
    ///
    /// What is dropped half-way leaves what arrived for the next pull.
    pub async fn pull(
        &self,
        client: &Client,
        order: &PullOrder,
        tell: impl Fn(PullStep) + Send + Sync + 'static,
    ) -> Result<Pulled, PullError> {
        let tell: Tell = Arc::new(tell);
        let repository = Arc::new(client.repository(&order.image, order.keys.clone()));
        let which = match order.image.digest() {
            Some(digest) => digest.to_string(),
            None => order.image.tag().unwrap_or_default().to_owned(),
        };
        let remote = repository.image(&which, &order.platform).await?;
        tell(PullStep::Resolved { digest: remote.digest.clone() });
        let pulled = match self.take(&repository, order, &remote, &tell).await {
            // What an earlier pull left may have been cut by a crash of the machine; it is gone now.
            Err(PullError::Blob(BlobError::Damaged { .. })) => {
                self.take(&repository, order, &remote, &tell).await?
            }
            taken => taken?,
        };
        events::pulled(&pulled.id, &order.image.familiar());
        self.tell(&pulled.id, Happening::Pulled { name: order.image.familiar() });
        Ok(pulled)
    }

    async fn take(
        &self,
        repository: &Arc<Repository>,
        order: &PullOrder,
        remote: &Remote,
        tell: &Tell,
    ) -> Result<Pulled, PullError> {
        let limits = &self.0.limits;
        let described = &remote.manifest.config;
        let bytes = repository.blob(&described.digest, described.size, limits.json_bytes).await?;
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|source| PullError::Config { image: order.image.clone(), source })?;
        let (layers, listed) = (remote.manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != listed {
            return Err(crate::LoadError::LayerCount { layers, listed }.into());
        }
        if layers > limits.layers {
            return Err(crate::LoadError::TooManyLayers { layers, most: limits.layers }.into());
        }
        let chain = chain_ids(&config.rootfs.diff_ids);
        let wanted = chain.into_iter().zip(config.rootfs.diff_ids).zip(&remote.manifest.layers);
        let plans = wanted.map(|((chain_id, diff_id), blob)| Plan { chain_id, diff_id, blob: blob.clone() });
        let take = Take {
            images: self.clone(),
            repository: repository.clone(),
            tell: tell.clone(),
            plans: plans.collect(),
        };
        let id = ImageId(Digest::sha256(&bytes));
        let known = self.0.means(&order.image, &id);
        let called = order.image.repository();
        let called: Reference =
            format!("{called}@{}", remote.digest).parse().map_err(crate::LoadError::Name)?;
        let image = layers::Whole {
            id: id.clone(),
            config: bytes.to_vec(),
            // One that was asked for by digest is named by it.
            name: if order.image.digest().is_some() { called.clone() } else { order.image.clone() },
            origin: Origin { manifest: remote.raw.bytes.to_vec(), called },
        };
        take.run(image).await?;
        Ok(Pulled { id, digest: remote.digest.clone(), known })
    }
}

impl crate::store::Inner {
    /// Whether a name means this image already.
    fn means(&self, name: &Reference, id: &ImageId) -> bool {
        self.state().record.names.get(name) == Some(id)
    }
}

#[cfg(test)]
pub(crate) mod tests;
