//! Collection while pushes go on, and retention.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use base::{Clock, Instant, Timestamp};
use oci::Digest;

use crate::testing::Served;
use crate::{Collected, Options, Protected, Retention};

/// A clock that a test moves; it begins now, as files do.
struct Moved(AtomicI64);

impl Moved {
    fn begin() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(base::SystemClock.wall().0)))
    }

    fn by(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Moved {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.0.load(Ordering::SeqCst)).unwrap())
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn options(clock: &Arc<Moved>) -> Options {
    Options { clock: clock.clone(), grace: HOUR, ..Options::default() }
}

async fn has(served: &Served, name: &str, bytes: &[u8]) -> bool {
    served.get(&format!("/v2/{name}/blobs/{}", Digest::sha256(bytes))).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_nobody_names_and_nobody_touched_goes() {
    let clock = Moved::begin();
    let served = Served::start(options(&clock)).await;
    served.image("a", "x", b"named").await;
    served.blob("a", b"fresh").await;
    served.send("POST", "/v2/a/blobs/uploads/", &[], b"").await;
    assert_eq!(served.registry.collect().await.unwrap(), Collected::default());
    clock.by(2 * HOUR);
    served.blob("b", b"asked for").await;
    clock.by(HOUR / 2);
    let collected = served.registry.collect().await.unwrap();
    assert_eq!((collected.blobs, collected.freed, collected.uploads), (1, 5, 0));
    assert!(!has(&served, "a", b"fresh").await);
    assert!(has(&served, "a", b"named").await && has(&served, "b", b"asked for").await);
    clock.by(HOUR * 3 / 4);
    served.registry.collect().await.unwrap();
    assert!(has(&served, "b", b"asked for").await, "asking for it kept it");
    clock.by(25 * HOUR);
    let collected = served.registry.collect().await.unwrap();
    assert_eq!((collected.blobs, collected.uploads), (1, 1));
    assert_eq!(served.registry.collect().await.unwrap(), Collected::default());
    served.send("DELETE", "/v2/a/manifests/x", &[], b"").await;
    assert_eq!(served.registry.collect().await.unwrap(), Collected::default(), "its digest still names it");
    let digest = served.get("/v2/a/manifests/x").await.status;
    assert_eq!(digest, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_manifest_goes_once_it_is_old() {
    let clock = Moved::begin();
    let served = Served::start(options(&clock)).await;
    let digest = served.image("a", "x", b"named").await;
    clock.by(2 * HOUR);
    served.registry.remove("a", &digest.to_string()).await.unwrap();
    let collected = served.registry.collect().await.unwrap();
    assert_eq!(collected.blobs, 3, "manifest, configuration and layer");
    let left = walk(&served.folder.path().join("registry/blobs"));
    assert_eq!(left, Vec::<String>::new());
    assert!(served.registry.repositories().is_empty());
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path.display().to_string()) }
    }
    files
}

/// The rule that matters: whoever was told that a blob is here, or brought it, can name it a moment later.
///
/// The grace is nothing at all here for what is unlinked, so collections take whatever they may; the promise must hold by
/// order alone for a push that holds on to what it was told, which a grace of a second stands for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_succeed_while_collections_go_on() {
    let served =
        Arc::new(Served::start(Options { grace: Duration::from_secs(5), ..Options::default() }).await);
    let over = Arc::new(AtomicBool::new(false));
    let collecting = {
        let (served, over) = (served.clone(), over.clone());
        tokio::spawn(async move {
            let mut rounds = 0;
            while !over.load(Ordering::SeqCst) {
                served.registry.collect().await.unwrap();
                rounds += 1;
                tokio::task::yield_now().await;
            }
            rounds
        })
    };
    let mut pushing = tokio::task::JoinSet::new();
    for worker in 0..6 {
        let served = served.clone();
        pushing.spawn(async move {
            for round in 0..12 {
                // Layers are shared between workers, so that one relies on what another brought; but for those that are
                // removed, or one would take away what another looks for.
                let removed = round % 3 == 2;
                let layer =
                    if removed { format!("{worker}: {round}") } else { format!("layer {}", round % 4) };
                let layer = layer.into_bytes();
                let name = format!("r{}", worker % 3);
                let digest = served.image(&name, &format!("t{worker}-{round}"), &layer).await;
                let came = served.get(&format!("/v2/{name}/manifests/{digest}")).await;
                assert_eq!(came.status, 200, "what was pushed is there");
                let blob = served.get(&format!("/v2/{name}/blobs/{}", Digest::sha256(&layer))).await;
                assert_eq!(&blob.body[..], layer);
                if removed {
                    served.registry.remove(&name, &digest.to_string()).await.ok();
                }
            }
        });
    }
    while let Some(done) = pushing.join_next().await {
        done.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    assert!(collecting.await.unwrap() > 3, "collections went on meanwhile");
}

/// Without any grace a blob may go between two requests; then every answer must still be true at its time: a manifest
/// that is taken names only what is here.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manifest_is_never_taken_without_its_blobs() {
    let served = Arc::new(Served::start(Options { grace: Duration::ZERO, ..Options::default() }).await);
    let over = Arc::new(AtomicBool::new(false));
    let collecting = {
        let (served, over) = (served.clone(), over.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                served.registry.collect().await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let kind = [("content-type", "application/vnd.oci.image.manifest.v1+json")];
    let mut taken = 0;
    for round in 0..60 {
        let layer = format!("layer {round}");
        let bytes = crate::testing::manifest(&served, "a", layer.as_bytes()).await;
        let came = served.send("PUT", &format!("/v2/a/manifests/t{round}"), &kind, &bytes).await;
        if came.status == 201 {
            taken += 1;
            assert!(has(&served, "a", layer.as_bytes()).await, "round {round}");
        } else {
            assert_eq!(came.code(), "MANIFEST_BLOB_UNKNOWN");
        }
    }
    over.store(true, Ordering::SeqCst);
    collecting.await.unwrap();
    let views = served.registry.tags("a").unwrap_or_default();
    assert_eq!(views.len(), taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_keeps_the_newest_the_young_and_what_is_protected() {
    let clock = Moved::begin();
    let served = Served::start(options(&clock)).await;
    let mut digests = Vec::new();
    for number in 0..6 {
        digests.push(served.image("a", &format!("v{number}"), format!("layer {number}").as_bytes()).await);
        clock.by(HOUR);
    }
    served.image("a", "same-as-v0", b"layer 0").await;
    let config = Digest::sha256(format!("{{\"of\":\"{}\"}}", Digest::sha256(b"layer 1")).as_bytes());
    let protected = Protected { digests: BTreeSet::from([config, digests[2].clone()]) };
    let keep = Retention { newest: Some(2), within: None };
    let tags = |served: &Served| {
        let mut tags: Vec<String> =
            served.registry.tags("a").unwrap().into_iter().map(|view| view.tag).collect();
        tags.sort();
        tags
    };
    let retained = served.registry.retain(Retention::default(), &protected).await.unwrap();
    assert_eq!(retained.tags, Vec::<String>::new());
    let both = Retention { newest: Some(2), within: Some(3 * HOUR + HOUR / 2) };
    let retained = served.registry.retain(both, &protected).await.unwrap();
    assert_eq!(
        (retained.tags, retained.manifests),
        (vec!["a:v0".to_owned()], 0),
        "another tag means the same"
    );
    let mut gone = served.registry.retain(keep, &protected).await.unwrap();
    gone.tags.sort();
    assert_eq!((gone.tags, gone.manifests), (vec!["a:v3".to_owned(), "a:v4".to_owned()], 2));
    assert_eq!(tags(&served), ["same-as-v0", "v1", "v2", "v5"]);
    clock.by(2 * HOUR);
    served.registry.collect().await.unwrap();
    assert!(!has(&served, "a", b"layer 3").await && has(&served, "a", b"layer 1").await);
}
