//! Tests of pulling, against a registry of our own on this machine.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use base::Problem as _;
use oci::{Descriptor, Digest, Index, Manifest, MediaType};
use testkit::{Entry, TestImage, tar};

use super::*;
use crate::tests::{Fixture, names, small};
use crate::{Keep, PushOrder};

/// A registry, and a store to pull into.
pub(crate) struct World {
    pub(crate) fixture: Fixture,
    pub(crate) registry: registry::Registry,
    pub(crate) host: String,
    pub(crate) client: Client,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry::Registry::open(folder.path(), registry::Options::default()).unwrap();
        let serving = registry::serve("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let host = serving.address.to_string();
        let served = registry.clone();
        let running =
            tokio::spawn(async move { serving.run(&served, std::future::pending()).await.unwrap() });
        let settings = registry::Settings { retries: 0, ..registry::Settings::default() };
        let client = Client::new(settings).unwrap();
        Self { fixture: Fixture::new(), registry, host, client, running, _folder: folder }
    }

    pub(crate) fn name(&self, image: &str) -> Reference {
        format!("{}/{image}", self.host).parse().unwrap()
    }

    /// Puts an image of these layers, packed by `pack`, under a name.
    pub(crate) async fn put(
        &self,
        image: &str,
        of: &TestImage,
        pack: fn(&[u8]) -> (Compression, Vec<u8>),
    ) -> Vec<u8> {
        let name = self.name(image);
        let repository = self.client.repository(&name, Keyring::anonymous());
        let folder = tempfile::tempdir().unwrap();
        let mut layers = Vec::new();
        for layer in &of.layers {
            let (compression, bytes) = pack(layer);
            layers.push(blob(&repository, folder.path(), MediaType::OciLayer(compression), &bytes).await);
        }
        let config = blob(&repository, folder.path(), MediaType::OciConfig, &of.config_bytes()).await;
        let bytes = serde_json::to_vec(&Manifest::new(config, layers)).unwrap();
        let tag = name.tag().unwrap();
        repository.put_manifest(tag, &MediaType::OciManifest, bytes.clone().into()).await.unwrap();
        bytes
    }

    pub(crate) async fn pull(&self, image: &str) -> Result<(Pulled, Vec<PullStep>), PullError> {
        self.pull_into(&self.fixture.images, image).await
    }

    pub(crate) async fn pull_into(
        &self,
        images: &Images,
        image: &str,
    ) -> Result<(Pulled, Vec<PullStep>), PullError> {
        let order =
            PullOrder { image: self.name(image), platform: Platform::ours(), keys: Keyring::anonymous() };
        let steps: Arc<Mutex<Vec<PullStep>>> = Arc::default();
        let heard = steps.clone();
        let pulled = images.pull(&self.client, &order, move |step| heard.lock().unwrap().push(step)).await?;
        let steps = steps.lock().unwrap().clone();
        Ok((pulled, steps))
    }
}

use oci::Compression;

async fn blob(
    repository: &Repository,
    folder: &std::path::Path,
    kind: MediaType,
    bytes: &[u8],
) -> Descriptor {
    let digest = Digest::sha256(bytes);
    let path = folder.join(digest.hex());
    std::fs::write(&path, bytes).unwrap();
    repository.upload(&digest, bytes.len() as u64, &path, &|_| {}).await.unwrap();
    Descriptor::new(kind, digest, bytes.len() as u64)
}

pub(crate) fn gzip(bytes: &[u8]) -> (Compression, Vec<u8>) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    (Compression::Gzip, encoder.finish().unwrap())
}

fn zstd(bytes: &[u8]) -> (Compression, Vec<u8>) {
    (Compression::Zstd, zstd::encode_all(bytes, 1).unwrap())
}

fn plain(bytes: &[u8]) -> (Compression, Vec<u8>) {
    (Compression::None, bytes.to_vec())
}

/// An image of one layer with so many bytes that do not pack.
fn large(name: &str, bytes: usize) -> TestImage {
    let mut rng = base::Rng::seeded(bytes as u64);
    let noise: Vec<u8> = (0..bytes).map(|_| (rng.next_u64() >> 32) as u8).collect();
    TestImage::new(name, vec![tar(&[Entry::file("noise", noise)])])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_every_packing_becomes_the_same_one() {
    let world = World::start().await;
    for (number, pack) in [gzip, zstd, plain].into_iter().enumerate() {
        let (image, fixture) = (small("web"), Fixture::new());
        let manifest = world.put("team/web:v1", &image, pack).await;
        let (pulled, steps) = world.pull_into(&fixture.images, "team/web:v1").await.unwrap();
        assert_eq!(
            (pulled.id.0, &pulled.digest, pulled.known),
            (image.id(), &Digest::sha256(&manifest), false)
        );
        assert_eq!(steps[0], PullStep::Resolved { digest: Digest::sha256(&manifest) });
        let found = fixture.images.find(&world.name("team/web:v1").to_string()).unwrap();
        assert_eq!(std::fs::read_to_string(found.lower[0].join("name")).unwrap(), "web", "{number}");
        assert_eq!(found.digests.len(), 1);
        assert_eq!(found.digests[0].to_string(), format!("{}/team/web@{}", world.host, pulled.digest));
        assert!(found.pulled.is_some());
        let by_digest = format!("{}/team/web@{}", world.host, pulled.digest);
        assert_eq!(fixture.images.find(&by_digest).unwrap().id, found.id);
        assert_eq!(fixture.images.fsck().unwrap().damage, []);
        assert!(names(&fixture.path("downloads")).is_empty() && fixture.strays().is_empty());
        let collected = fixture.images.collect(&Keep::default(), false).unwrap();
        assert_eq!((collected.blobs.len(), collected.layers.len()), (0, 0), "the manifest is needed too");
        let fixture = fixture.reopened();
        assert!(world.pull_into(&fixture.images, "team/web:v1").await.unwrap().0.known);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_layer_are_told_in_their_order() {
    let world = World::start().await;
    let image = large("big", 900_000);
    world.put("big:1", &image, gzip).await;
    let (_, steps) = world.pull("big:1").await.unwrap();
    let words: Vec<String> = steps
        .iter()
        .map(|step| match step {
            PullStep::Resolved { .. } => "resolved".into(),
            PullStep::Layer { state, .. } => {
                format!("{state:?}").split([' ', '{']).next().unwrap().to_lowercase()
            }
        })
        .collect();
    let at =
        |word: &str| words.iter().position(|own| own == word).unwrap_or_else(|| panic!("{word}: {words:?}"));
    assert!(
        at("resolved") < at("waiting") && at("waiting") < at("arriving") && at("arriving") < at("verifying")
    );
    assert!(at("verifying") < at("arrived") && at("unpacking") < at("done"));
    let mut last = 0;
    for step in &steps {
        if let PullStep::Layer { state: LayerState::Arriving { bytes, size }, .. } = step {
            assert!(*bytes >= last && bytes <= size);
            last = *bytes;
        }
    }
    let (_, again) = world.pull("big:1").await.unwrap();
    let known = |step: &PullStep| matches!(step, PullStep::Layer { state: LayerState::Known, .. });
    assert!(again.iter().any(known) && again.len() == 2, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_by_digest_keeps_that_as_its_name() {
    let world = World::start().await;
    let manifest = world.put("web:v1", &small("web"), gzip).await;
    let which = format!("web@{}", Digest::sha256(&manifest));
    let (pulled, _) = world.pull(&which).await.unwrap();
    let name = format!("{}/{which}", world.host);
    assert_eq!(world.fixture.images.find(&name).unwrap().id, pulled.id);
    world.fixture.images.collect(&Keep::default(), false).unwrap();
    assert!(world.fixture.images.find(&name).is_ok(), "a name keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_goes_on_with_what_an_earlier_one_left() {
    let world = World::start().await;
    let image = large("big", 900_000);
    let packed = gzip(&image.layers[0]).1;
    world.put("big:1", &image, gzip).await;
    let left = world.fixture.path("downloads").join(Digest::sha256(&packed).hex());
    std::fs::write(&left, &packed[..400_000]).unwrap();
    let (_, steps) = world.pull("big:1").await.unwrap();
    let first = steps.iter().find_map(|step| match step {
        PullStep::Layer { state: LayerState::Arriving { bytes, .. }, .. } => Some(*bytes),
        _ => None,
    });
    assert_eq!(first, Some(400_000));
    assert_eq!(world.fixture.images.fsck().unwrap().damage, []);
    let other = Fixture::new();
    let mut wrong = packed[..400_000].to_vec();
    wrong[1000] ^= 1;
    std::fs::write(other.path("downloads").join(Digest::sha256(&packed).hex()), wrong).unwrap();
    world.pull_into(&other.images, "big:1").await.unwrap();
    assert_eq!(other.images.fsck().unwrap().damage, [], "what a crash garbled is fetched anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_of_one_image_at_once_share_the_work() {
    let world = Arc::new(World::start().await);
    for number in 0..4 {
        let mut image = large("big", 300_000);
        image.layers.extend(small(&format!("top {number}")).layers);
        world.put(&format!("big:{number}"), &image, gzip).await;
    }
    let mut pulls = tokio::task::JoinSet::new();
    for number in 0..8 {
        let world = world.clone();
        pulls.spawn(
            async move { world.pull(&format!("big:{}", number % 4)).await.map(|(pulled, _)| pulled.id) },
        );
    }
    while let Some(done) = pulls.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(world.fixture.images.list().len(), 4);
    assert_eq!(world.fixture.images.fsck().unwrap().damage, []);
    assert!(names(&world.fixture.path("downloads")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_not_the_one_that_the_image_lists_is_refused() {
    let world = World::start().await;
    let (good, mut other) = (small("web"), small("web"));
    other.layers[1] = tar(&[Entry::file("name", "another")]);
    world.put("web:v1", &other, gzip).await;
    // The manifest of one with the configuration of the other.
    let repository = world.client.repository(&world.name("web:v1"), Keyring::anonymous());
    let image = repository.image("v1", &Platform::ours()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = blob(&repository, folder.path(), MediaType::OciConfig, &good.config_bytes()).await;
    let bytes = serde_json::to_vec(&Manifest::new(config, image.manifest.layers)).unwrap();
    repository.put_manifest("v2", &MediaType::OciManifest, bytes.into()).await.unwrap();
    let error = world.pull("web:v2").await.unwrap_err();
    assert!(matches!(error, PullError::Load(crate::LoadError::WrongLayer { .. })), "{error:?}");
    assert!(world.fixture.images.list().is_empty());
    assert!(names(&world.fixture.path("layers")).is_empty() && world.fixture.strays().is_empty());
    assert!(world.pull("web:v1").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_layers_and_images_for_others_are_refused() {
    let world = World::start().await;
    let mut image = small("web");
    image.layers[1] = tar(&[Entry::file("../../escape", "x")]);
    world.put("web:v1", &image, gzip).await;
    let error = world.pull("web:v1").await.unwrap_err();
    assert_eq!(error.kind(), base::Kind::Invalid, "{error:?}");
    assert!(world.fixture.images.list().is_empty() && world.fixture.strays().is_empty());
    let bytes = world.put("web:v3", &small("web"), gzip).await;
    let mut entry = Descriptor::new(MediaType::OciManifest, Digest::sha256(&bytes), bytes.len() as u64);
    entry.platform = Some(Platform::new("linux", "s390x"));
    let index = serde_json::to_vec(&Index::new(vec![entry])).unwrap();
    let repository = world.client.repository(&world.name("web:v1"), Keyring::anonymous());
    repository.put_manifest("foreign", &MediaType::OciIndex, index.into()).await.unwrap();
    assert_eq!(world.pull("web:foreign").await.unwrap_err().kind(), base::Kind::Unsupported);
    assert_eq!(world.pull("web:none").await.unwrap_err().kind(), base::Kind::NotFound);
}

/// Plays a crash at every point of a pull; then the store is whole, and the same pull succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_leaves_a_whole_store() {
    let world = World::start().await;
    world.put("web:v1", &small("web"), gzip).await;
    let mut crashes = 0;
    for point in 0.. {
        let fixture = Fixture::new();
        fixture.images.0.faults.crash_at(point);
        let pulled = world.pull_into(&fixture.images, "web:v1").await;
        let fixture = fixture.reopened();
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "point {point}");
        if pulled.is_ok() {
            break;
        }
        crashes += 1;
        world.pull_into(&fixture.images, "web:v1").await.unwrap();
        fixture.images.collect(&Keep::default(), false).unwrap();
        assert_eq!(fixture.images.fsck().unwrap().damage, [], "point {point}");
        assert!(names(&fixture.path("downloads")).is_empty() && fixture.strays().is_empty());
    }
    assert!(crashes > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_nobody_goes_on_with_are_collected() {
    let world = World::start().await;
    let path = world.fixture.path("downloads").join(Digest::sha256(b"left").hex());
    std::fs::write(&path, b"left").unwrap();
    world.fixture.images.collect(&Keep::default(), false).unwrap();
    assert!(path.exists());
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    world.fixture.images.collect(&Keep::default(), false).unwrap();
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pulled_is_pushed_as_the_same_image() {
    let world = World::start().await;
    let manifest = world.put("web:v1", &small("web"), gzip).await;
    world.pull("web:v1").await.unwrap();
    let there = world.name("other/web:v9");
    world.fixture.images.tag(&world.name("web:v1").to_string(), &there).unwrap();
    let order = PushOrder { image: there.clone(), keys: Keyring::anonymous() };
    let steps: Arc<Mutex<Vec<crate::PushStep>>> = Arc::default();
    let heard = steps.clone();
    let push = world.fixture.images.push(&world.client, &order, move |step| heard.lock().unwrap().push(step));
    assert_eq!(push.await.unwrap().digest, Digest::sha256(&manifest));
    let mounted =
        |step: &crate::PushStep| matches!(&step.state, crate::PushState::Mounted { from } if from == "web");
    assert_eq!(steps.lock().unwrap().iter().filter(|step| mounted(step)).count(), 2, "{steps:?}");
    assert_eq!(world.fixture.images.find(&there.to_string()).unwrap().digests.len(), 2);
    assert_eq!(world.registry.tags("other/web").unwrap().len(), 1);
}
