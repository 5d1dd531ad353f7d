//! The layers of a pull: which are here, which arrive, and how they are unpacked one above the other.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::{Algorithm, Descriptor, Digest, Reference, Sha256Hasher};
use registry::{BlobError, Follower, Growing, Repository};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{AT_ONCE, LayerState, PullError, PullStep, Tell};
use crate::archive::Spooled;
use crate::disk::OnPath as _;
use crate::image::ImageId;
use crate::load::{LoadError, NewImage, NewLayer, Origin, Shelf};
use crate::state::LayerRecord;
use crate::store::{Hold, Images};

/// Progress is told after so many more bytes, or after a hundredth.
const TELL_EVERY: u64 = 256 << 10;

/// A layer that the image needs.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) chain_id: Digest,
    pub(super) diff_id: Digest,
    pub(super) blob: Descriptor,
}

/// The taking of an image.
pub(super) struct Take {
    pub(super) images: Images,
    pub(super) repository: Arc<Repository>,
    pub(super) tell: Tell,
    /// The lowest first.
    pub(super) plans: Vec<Plan>,
}

/// What the image is, beside its layers.
pub(super) struct Whole {
    pub(super) id: ImageId,
    pub(super) config: Vec<u8>,
    pub(super) name: Reference,
    pub(super) origin: Origin,
}

/// A layer on its way to being there.
enum Step {
    Known(LayerRecord),
    /// Unpacked from a file that grows, or is whole already.
    Unpack {
        plan: Box<Plan>,
        from: PathBuf,
        reader: Follower,
    },
}

/// A blob that arrives, for all layers that it is.
struct Arrival {
    path: PathBuf,
    growing: Growing,
    fetched: bool,
}

impl Take {
    pub(super) async fn run(self, whole: Whole) -> Result<(), PullError> {
        let inner = &*self.images.0;
        let mut hold = self.images.hold();
        let unknown: Vec<Digest> = self
            .plans
            .iter()
            .filter(|plan| inner.known_layer(&plan.chain_id, &mut hold).is_none())
            .map(|plan| plan.blob.digest.clone())
            .collect();
        // While we wait another pull may bring them.
        let leave = inner.fetching.wait(unknown).await;
        let mut arrivals: BTreeMap<Digest, Arrival> = BTreeMap::new();
        let mut steps = Vec::with_capacity(self.plans.len());
        for plan in &self.plans {
            steps.push(self.step(plan, &mut hold, &mut arrivals)?);
        }
        let mut downloads = self.begin(&arrivals);
        let (images, tell) = (self.images.clone(), self.tell.clone());
        let mut unpacking = tokio::task::spawn_blocking(move || finish(&images, &tell, hold, steps, whole));
        let finished = loop {
            tokio::select! {
                finished = &mut unpacking => break finished,
                Some(done) = downloads.join_next() => if let Some(error) = failure(done) {
                    // Whoever waits for one that was not begun must not wait for ever.
                    arrivals.values().for_each(|arrival| arrival.growing.fail("another layer did not arrive"));
                    drop(unpacking.await);
                    return Err(error);
                },
            }
        };
        // An unpacking that failed because a layer did not arrive has the lesser reason.
        downloads.abort_all();
        while let Some(done) = downloads.join_next().await {
            if let Some(error @ PullError::Blob(_)) = failure(done) {
                return Err(error);
            }
        }
        drop(leave);
        finished.map_err(PullError::BrokeOff)?
    }

    fn step(
        &self,
        plan: &Plan,
        hold: &mut Hold,
        arrivals: &mut BTreeMap<Digest, Arrival>,
    ) -> Result<Step, PullError> {
        let inner = &*self.images.0;
        let (digest, size) = (&plan.blob.digest, plan.blob.size);
        let told = |state| (self.tell)(PullStep::Layer { blob: digest.clone(), state });
        if let Some(record) = inner.known_layer(&plan.chain_id, hold) {
            told(LayerState::Known);
            return Ok(Step::Known(record));
        }
        told(LayerState::Waiting { size });
        if !arrivals.contains_key(digest) {
            let arrival = match inner.whole_blob(digest, size, hold) {
                Some(path) => Arrival { path, growing: Growing::begin(size), fetched: false },
                None => {
                    Arrival { path: inner.download_file(digest)?, growing: Growing::begin(0), fetched: true }
                }
            };
            if !arrival.fetched {
                arrival.growing.complete();
            }
            arrivals.insert(digest.clone(), arrival);
        }
        let arrival = &arrivals[digest];
        let reader = arrival.growing.follow(&arrival.path).on("open", &arrival.path)?;
        Ok(Step::Unpack { plan: Box::new(plan.clone()), from: arrival.path.clone(), reader })
    }

    /// Begins the downloads, the lowest layer first.
    fn begin(&self, arrivals: &BTreeMap<Digest, Arrival>) -> JoinSet<Result<(), BlobError>> {
        let mut downloads = JoinSet::new();
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut begun = std::collections::BTreeSet::new();
        for plan in &self.plans {
            let digest = plan.blob.digest.clone();
            let Some(arrival) = arrivals.get(&digest).filter(|arrival| arrival.fetched) else { continue };
            if !begun.insert(digest.clone()) {
                continue;
            }
            let (repository, tell, turns) = (self.repository.clone(), self.tell.clone(), turns.clone());
            let (path, growing, size) = (arrival.path.clone(), arrival.growing.clone(), plan.blob.size);
            downloads.spawn(async move {
                let turn = turns.acquire().await;
                let told = |state| tell(PullStep::Layer { blob: digest.clone(), state });
                let paced = Paced::new(size);
                let arriving = |bytes| {
                    if paced.is_due(bytes) {
                        told(LayerState::Arriving { bytes, size });
                    }
                    if bytes == size {
                        told(LayerState::Verifying);
                    }
                };
                repository.fetch(&digest, size, &path, &growing, &arriving).await?;
                base::crash::point("image: layer arrived");
                told(LayerState::Arrived);
                drop(turn);
                Ok(())
            });
        }
        downloads
    }
}

/// Why a download failed, if it did.
fn failure(done: Result<Result<(), BlobError>, tokio::task::JoinError>) -> Option<PullError> {
    match done {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(PullError::Blob(error)),
        Err(error) => Some(PullError::BrokeOff(error)),
    }
}

/// Unpacks what is not here, one layer above the other, and brings the image in.
fn finish(images: &Images, tell: &Tell, hold: Hold, steps: Vec<Step>, whole: Whole) -> Result<(), PullError> {
    let inner = &*images.0;
    let work = inner.work()?;
    let mut hold = hold;
    let mut layers: Vec<NewLayer> = Vec::with_capacity(steps.len());
    // The topmost first, as whoever applies the next one wants them.
    let mut lower: Vec<PathBuf> = Vec::new();
    for step in steps {
        let layer = match step {
            Step::Known(record) => {
                lower.insert(0, inner.diff_path(&record.chain_id));
                NewLayer { record, blob: None, folder: None }
            }
            Step::Unpack { plan, from, reader } => {
                let layer =
                    unpack(images, tell, &plan, &from, reader, &Shelf { lower: &lower, work: &work.path })?;
                lower.insert(0, work.path.join(plan.chain_id.hex()).join("diff"));
                layer
            }
        };
        layers.push(layer);
    }
    base::crash::point("image: pull unpacked");
    let Whole { id, config, name, origin } = whole;
    let image = NewImage { id, config, layers, names: vec![name], parent: None, origin: Some(origin) };
    inner.publish(&work.path, &mut hold, vec![image])?;
    Ok(())
}

fn unpack(
    images: &Images,
    tell: &Tell,
    plan: &Plan,
    from: &Path,
    reader: Follower,
    shelf: &Shelf<'_>,
) -> Result<NewLayer, PullError> {
    let (digest, size) = (plan.blob.digest.clone(), plan.blob.size);
    let counted = Counted {
        reader,
        bytes: 0,
        size,
        digest: digest.clone(),
        paced: Paced::new(size),
        tell: tell.clone(),
    };
    let mut counted = counted;
    let blob = Spooled { path: from.to_owned(), digest: digest.clone(), size };
    let inner = &*images.0;
    let taken = inner.unpack_from(&mut counted, &blob, plan.chain_id.clone(), plan.diff_id.clone(), shelf);
    let taken = match taken {
        // The tar's end need not be the blob's, whose own end is where its digest is known.
        Ok(layer) => {
            io::copy(&mut counted, &mut io::sink()).on("read", from).map(|_| layer).map_err(LoadError::Disk)
        }
        failed => failed,
    };
    let mut layer = taken?;
    if digest.algorithm() == Algorithm::Sha512 {
        // Here blobs are named by the other algorithm.
        let mut hasher = Sha256Hasher::new(std::fs::File::open(from).on("open", from)?);
        io::copy(&mut hasher, &mut io::sink()).on("read", from)?;
        layer.record.blob = hasher.finish().1;
    }
    tell(PullStep::Layer { blob: digest, state: LayerState::Done });
    Ok(layer)
}

impl crate::store::Inner {
    /// A blob that is here, for a layer that is not; kept until the hold ends.
    fn whole_blob(&self, digest: &Digest, size: u64, hold: &mut Hold) -> Option<PathBuf> {
        let mut state = self.state();
        let path = self.blob_path(digest);
        let suspect = state.suspect.contains(&(crate::store::Place::Blob, digest.clone()));
        let whole = !suspect && std::fs::metadata(&path).is_ok_and(|about| about.len() == size);
        if whole {
            hold.pin(&mut state, digest);
        }
        whole.then_some(path)
    }
}

/// Says when progress is worth telling.
struct Paced {
    step: u64,
    next: AtomicU64,
}

impl Paced {
    fn new(size: u64) -> Self {
        Self { step: TELL_EVERY.max(size / 100), next: AtomicU64::new(0) }
    }

    fn is_due(&self, bytes: u64) -> bool {
        let due = bytes >= self.next.load(Ordering::Relaxed);
        if due {
            self.next.store(bytes + self.step, Ordering::Relaxed);
        }
        due
    }
}

/// Tells how much of a layer was unpacked.
struct Counted {
    reader: Follower,
    bytes: u64,
    size: u64,
    digest: Digest,
    paced: Paced,
    tell: Tell,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf)?;
        self.bytes += read as u64;
        if read > 0 && self.paced.is_due(self.bytes) {
            let state = LayerState::Unpacking { bytes: self.bytes, size: self.size };
            (self.tell)(PullStep::Layer { blob: self.digest.clone(), state });
        }
        Ok(read)
    }
}
