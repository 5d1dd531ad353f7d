//! Tests of pushing, against a registry of our own on this machine.

use std::sync::Mutex;

use base::Problem as _;
use oci::Platform;
use testkit::docker_save;

use super::*;
use crate::pull::tests::World;
use crate::tests::{Fixture, small};

async fn push(world: &World, images: &Images, name: &str) -> Result<(Pushed, Vec<PushState>), PushError> {
    let order = PushOrder { image: world.name(name), keys: Keyring::anonymous() };
    let steps: Arc<Mutex<Vec<PushState>>> = Arc::default();
    let heard = steps.clone();
    let pushed =
        images.push(&world.client, &order, move |step| heard.lock().unwrap().push(step.state)).await?;
    let steps = steps.lock().unwrap().clone();
    Ok((pushed, steps))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_loaded_is_pushed_packed_and_pulled_as_itself() {
    let world = World::start().await;
    let mut image = small("web");
    image.names = vec![format!("{}/team/web:v1", world.host)];
    let loaded = world.fixture.load(&docker_save(&[image]));
    let (pushed, steps) = push(&world, &world.fixture.images, "team/web:v1").await.unwrap();
    assert_eq!(steps.iter().filter(|state| **state == PushState::Done).count(), 2, "{steps:?}");
    let repository = world.client.repository(&world.name("team/web:v1"), Keyring::anonymous());
    let remote = repository.image("v1", &Platform::ours()).await.unwrap();
    assert_eq!(remote.digest, pushed.digest);
    assert!(
        remote.manifest.layers.iter().all(|layer| layer.media_type == MediaType::OciLayer(Compression::Gzip))
    );
    let other = Fixture::new();
    assert_eq!(world.pull_into(&other.images, "team/web:v1").await.unwrap().0.id, loaded[0].id);
    let (again, steps) = push(&world, &world.fixture.images, "team/web:v1").await.unwrap();
    assert_eq!(again, pushed);
    assert_eq!(steps.iter().filter(|state| **state == PushState::Known).count(), 2, "{steps:?}");
    std::fs::remove_file(world.fixture.path("packed.json")).unwrap();
    assert_eq!(
        push(&world, &world.fixture.images, "team/web:v1").await.unwrap().0,
        pushed,
        "equal layers pack alike"
    );
    assert_eq!(world.fixture.images.fsck().unwrap().damage, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pushed_is_told() {
    let world = World::start().await;
    let error = push(&world, &world.fixture.images, "web:v1").await.unwrap_err();
    assert_eq!(error.kind(), base::Kind::NotFound);
    let name: Reference = format!("web@{}", Digest::sha256(b"x")).parse().unwrap();
    let order = PushOrder { image: name, keys: Keyring::anonymous() };
    let error = world.fixture.images.push(&world.client, &order, |_| {}).await.unwrap_err();
    assert!(error.hint().unwrap().contains("sea image tag"));
}
