//! Sending images to registries.
//!
//! A layer goes as it came, if it came packed; one that was made here is packed while it is sent. Equal layers are packed
//! alike, so what a registry has once is known there the next time. An image that was pulled goes with its own manifest
//! and stays the same image everywhere.

mod errors;
mod gzip;
mod packed;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use oci::{Compression, Descriptor, Digest, Manifest, MediaType, Reference};
use registry::{Client, Keyring, Repository};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::disk::DiskError;
use crate::events;
use crate::find::resolve;
use crate::image::ImageId;
use crate::journal::Happening;
use crate::state::{LayerRecord, Packing};
use crate::store::{Hold, Images};

pub use errors::PushError;
use packed::Packed;

/// Layers that are sent at the same time.
const AT_ONCE: usize = 4;

/// Other repositories of a registry that are asked to lend a layer.
const LENDERS: usize = 3;

/// How thoroughly layers are packed: beyond this it takes much longer for little.
const LEVEL: u32 = 3;

/// What to send.
#[derive(Debug, Clone)]
pub struct PushOrder {
    /// The image's name, which is where it goes.
    pub image: Reference,
    /// What registries are convinced with.
    pub keys: Keyring,
}

/// How far a push is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushStep {
    /// Which layer, by its diff id.
    pub layer: Digest,
    /// How far.
    pub state: PushState,
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushState {
    /// It waits for its turn.
    Waiting,
    /// It is sent.
    Sending {
        /// Bytes so far.
        bytes: u64,
        /// Of so many; of the unpacked layer where it is packed meanwhile.
        size: u64,
    },
    /// The registry had it.
    Known,
    /// The registry took it over from another repository.
    Mounted {
        /// Which.
        from: String,
    },
    /// It is there.
    Done,
}

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
}

type Tell = Arc<dyn Fn(PushStep) + Send + Sync>;

/// What is sent of an image.
struct Parcel {
    id: ImageId,
    config: Vec<u8>,
    layers: Vec<LayerRecord>,
    /// Its own manifest, with its type.
    manifest: Option<(MediaType, Vec<u8>, Manifest)>,
    /// Repositories of the same registry that have some of its layers.
    lenders: Vec<(String, BTreeSet<Digest>)>,
    /// Keeps all of it from being collected.
    _hold: Hold,
}

/// A push under way.
struct Sender {
    images: Images,
    repository: Repository,
    tell: Tell,
    lenders: Vec<(String, BTreeSet<Digest>)>,
    turns: Semaphore,
}

impl Images {
    /// Sends an image to the registry that its name says.
    pub async fn push(
        &self,
        client: &Client,
        order: &PushOrder,
        tell: impl Fn(PushStep) + Send + Sync + 'static,
    ) -> Result<Pushed, PushError> {
        let Some(tag) = order.image.tag() else { return Err(PushError::NoTag(order.image.clone())) };
        let parcel = self.parcel(&order.image)?;
        let sender = Arc::new(Sender {
            images: self.clone(),
            repository: client.repository(&order.image, order.keys.clone()),
            tell: Arc::new(tell),
            lenders: parcel.lenders.clone(),
            turns: Semaphore::new(AT_ONCE),
        });
        let layers = sender.send_layers(&parcel.layers).await?;
        let config = Descriptor::new(MediaType::OciConfig, parcel.id.0.clone(), parcel.config.len() as u64);
        sender.send_config(&config, &parcel.config).await?;
        let (media_type, bytes) = match parcel.manifest {
            Some((media_type, bytes, own)) if is_of(&own, &config, &layers) => (media_type, bytes),
            Some(_) | None => {
                let manifest = Manifest::new(config, layers);
                let bytes = serde_json::to_vec(&manifest)
                    .map_err(std::io::Error::other)
                    .map_err(PushError::Document)?;
                (MediaType::OciManifest, bytes)
            }
        };
        let size = bytes.len() as u64;
        let digest = sender.repository.put_manifest(tag, &media_type, bytes.into()).await?;
        self.remember(&parcel.id, &order.image, &digest)?;
        events::pushed(&parcel.id, &order.image.familiar());
        self.tell(&parcel.id, Happening::Pushed { name: order.image.familiar() });
        Ok(Pushed { digest, size })
    }

    fn parcel(&self, name: &Reference) -> Result<Parcel, PushError> {
        let inner = &*self.0;
        let mut hold = self.hold();
        let mut state = inner.state();
        let (id, _) = resolve(&state, &name.to_string())?;
        inner.image(&mut state, &id)?;
        let record = state.record.images.get(&id).cloned();
        let record = record.ok_or_else(|| crate::FindError::NoImage { name: name.to_string() })?;
        hold.pin(&mut state, &id.0);
        record.manifest.iter().for_each(|manifest| hold.pin(&mut state, manifest));
        for layer in &record.layers {
            hold.pin(&mut state, &layer.blob);
        }
        let wanted: BTreeSet<&Digest> = record.layers.iter().map(|layer| &layer.blob).collect();
        let mut lenders = Vec::new();
        for other in state.record.images.values() {
            let shared: BTreeSet<Digest> = other
                .layers
                .iter()
                .map(|layer| &layer.blob)
                .filter(|blob| wanted.contains(blob))
                .cloned()
                .collect();
            let near =
                other.digests.iter().filter(|own| own.domain() == name.domain() && own.path() != name.path());
            lenders.extend(
                near.filter(|_| !shared.is_empty()).map(|own| (own.path().to_owned(), shared.clone())),
            );
        }
        drop(state);
        let read = |digest: &Digest| {
            let path = inner.blob_path(digest);
            std::fs::read(&path).map_err(|source| DiskError { doing: "read", path, source })
        };
        let manifest = record.manifest.as_ref().and_then(|digest| {
            let bytes = read(digest).ok().filter(|bytes| Digest::sha256(bytes) == *digest)?;
            let own: Manifest = serde_json::from_slice(&bytes).ok()?;
            Some((own.media_type.clone().unwrap_or(MediaType::OciManifest), bytes, own))
        });
        Ok(Parcel { config: read(&id.0)?, id, layers: record.layers, manifest, lenders, _hold: hold })
    }

    /// Notes what the image is called at the registry.
    fn remember(&self, id: &ImageId, name: &Reference, digest: &Digest) -> Result<(), PushError> {
        let Ok(called) = format!("{}@{digest}", name.repository()).parse::<Reference>() else {
            return Ok(());
        };
        let mut state = self.0.state();
        self.0.change::<_, DiskError>(&mut state, |record| {
            // It may have been removed meanwhile.
            if let Some(image) = record.images.get_mut(id) {
                image.digests.insert(called);
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Whether a manifest is of exactly these parts.
fn is_of(own: &Manifest, config: &Descriptor, layers: &[Descriptor]) -> bool {
    let same = |a: &Descriptor, b: &Descriptor| (&a.digest, a.size) == (&b.digest, b.size);
    same(&own.config, config)
        && own.layers.len() == layers.len()
        && own.layers.iter().zip(layers).all(|(a, b)| same(a, b))
}

impl Sender {
    async fn send_layers(self: &Arc<Self>, layers: &[LayerRecord]) -> Result<Vec<Descriptor>, PushError> {
        let mut sending = JoinSet::new();
        let mut sent: Vec<Option<Descriptor>> = vec![None; layers.len()];
        let mut first: std::collections::BTreeMap<Digest, usize> = std::collections::BTreeMap::new();
        for (number, layer) in layers.iter().enumerate() {
            // A layer that an image has twice is sent once.
            if first.contains_key(&layer.diff_id) {
                continue;
            }
            first.insert(layer.diff_id.clone(), number);
            (self.tell)(PushStep { layer: layer.diff_id.clone(), state: PushState::Waiting });
            let (sender, layer) = (self.clone(), layer.clone());
            sending.spawn(async move { (number, sender.send_layer(&layer).await) });
        }
        while let Some(done) = sending.join_next().await {
            let (number, descriptor) = done.map_err(PushError::BrokeOff)?;
            sent[number] = Some(descriptor?);
        }
        let of = |layer: &LayerRecord| first.get(&layer.diff_id).and_then(|number| sent[*number].clone());
        Ok(layers.iter().filter_map(of).collect())
    }

    async fn send_layer(&self, layer: &LayerRecord) -> Result<Descriptor, PushError> {
        // The semaphore is never closed; without a turn all are sent at once.
        let _turn = self.turns.acquire().await;
        if layer.packing != Packing::Tar {
            let kind = MediaType::OciLayer(Compression::from(layer.packing));
            let descriptor = Descriptor::new(kind, layer.blob.clone(), layer.blob_size);
            let path = self.images.0.blob_path(&layer.blob);
            self.send_blob(&layer.diff_id, &descriptor, path).await?;
            return Ok(descriptor);
        }
        let kind = MediaType::OciLayer(Compression::Gzip);
        let packed = self.images.0.packed(&layer.diff_id);
        if let Some(Packed { digest, size }) = packed
            && self.has(&layer.diff_id, &digest).await?
        {
            return Ok(Descriptor::new(kind, digest, size));
        }
        let (path, size) = (self.images.0.blob_path(&layer.blob), layer.blob_size);
        let told = self.telling(&layer.diff_id, size);
        let read = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = read.clone();
        let sending = move |_| told(counted.load(std::sync::atomic::Ordering::Relaxed));
        let made =
            self.repository.upload_made(Box::new(move |out| pack(&path, out, &read)), &sending).await?;
        self.images
            .0
            .remember_packed(&layer.diff_id, Packed { digest: made.digest.clone(), size: made.size });
        self.done(&layer.diff_id, PushState::Done);
        Ok(Descriptor::new(kind, made.digest, made.size))
    }

    async fn send_blob(&self, layer: &Digest, blob: &Descriptor, path: PathBuf) -> Result<(), PushError> {
        if self.has(layer, &blob.digest).await? {
            return Ok(());
        }
        let lenders = self.lenders.iter().filter(|(_, blobs)| blobs.contains(&blob.digest));
        for (from, _) in lenders.take(LENDERS) {
            if self.repository.mount(&blob.digest, from).await.map_err(registry::PushError::Call)? {
                self.done(layer, PushState::Mounted { from: from.clone() });
                return Ok(());
            }
        }
        let told = self.telling(layer, blob.size);
        self.repository.upload(&blob.digest, blob.size, &path, &told).await?;
        self.done(layer, PushState::Done);
        Ok(())
    }

    async fn has(&self, layer: &Digest, blob: &Digest) -> Result<bool, PushError> {
        let has = self.repository.has_blob(blob).await.map_err(registry::PushError::Call)?.is_some();
        if has {
            self.done(layer, PushState::Known);
        }
        Ok(has)
    }

    async fn send_config(&self, config: &Descriptor, bytes: &[u8]) -> Result<(), PushError> {
        if self.repository.has_blob(&config.digest).await.map_err(registry::PushError::Call)?.is_some() {
            return Ok(());
        }
        let path = self.images.0.blob_path(&config.digest);
        self.repository.upload(&config.digest, bytes.len() as u64, &path, &|_| {}).await?;
        Ok(())
    }

    fn telling(&self, layer: &Digest, size: u64) -> impl Fn(u64) + Send + Sync + 'static {
        let (tell, layer) = (self.tell.clone(), layer.clone());
        let next = std::sync::atomic::AtomicU64::new(0);
        let step = (256 << 10).max(size / 100);
        move |bytes| {
            if bytes >= next.load(std::sync::atomic::Ordering::Relaxed) {
                next.store(bytes + step, std::sync::atomic::Ordering::Relaxed);
                tell(PushStep { layer: layer.clone(), state: PushState::Sending { bytes, size } });
            }
        }
    }

    fn done(&self, layer: &Digest, state: PushState) {
        (self.tell)(PushStep { layer: layer.clone(), state });
    }
}

/// Packs a plain tar, always alike; `read` tells how far it is.
fn pack(
    path: &std::path::Path,
    out: &mut dyn std::io::Write,
    read: &std::sync::atomic::AtomicU64,
) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    gzip::pack(&mut file, out, LEVEL, &|bytes| {
        read.fetch_add(bytes as u64, std::sync::atomic::Ordering::Relaxed);
    })
}

#[cfg(test)]
mod tests;
