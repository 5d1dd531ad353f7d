//! What works: pushing, pulling, going on, mirrors, tokens.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use oci::{Descriptor, Digest, Index, Manifest, MediaType, Platform};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::testing::{Served, client, client_with, manifest, say, scripted};
use crate::{Client, Growing, Keyring, Login, Options, Repository};

fn repository(client: &Client, address: std::net::SocketAddr, name: &str) -> Repository {
    client.repository(&format!("{address}/{name}").parse().unwrap(), Keyring::anonymous())
}

/// Bytes without a pattern that a mistake could hide in.
fn noise(length: usize) -> Vec<u8> {
    let mut rng = base::Rng::seeded(7);
    (0..length).map(|_| (rng.next_u64() >> 32) as u8).collect()
}

async fn fetch(
    repository: &Repository,
    bytes: &[u8],
    path: &Path,
) -> Result<crate::Fetched, crate::BlobError> {
    let growing = Growing::begin(0);
    repository.fetch(&Digest::sha256(bytes), bytes.len() as u64, path, &growing, &|_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled() {
    let served = Served::start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let layer = noise(3_000_000);
    let file = folder.path().join("layer");
    std::fs::write(&file, &layer).unwrap();
    let repository = repository(&client(), served.address, "team/app");
    let digest = Digest::sha256(&layer);
    assert_eq!(repository.has_blob(&digest).await.unwrap(), None);
    let told = AtomicU64::new(0);
    let tell = |bytes| told.store(bytes, Ordering::SeqCst);
    repository.upload(&digest, layer.len() as u64, &file, &tell).await.unwrap();
    assert_eq!(told.load(Ordering::SeqCst), layer.len() as u64);
    assert_eq!(repository.has_blob(&digest).await.unwrap(), Some(layer.len() as u64));
    let made = repository.upload_made(Box::new(|out| out.write_all(b"{}")), &|_| {}).await.unwrap();
    assert_eq!((made.digest.clone(), made.size), (Digest::sha256(b"{}"), 2));
    let config = Descriptor::new(MediaType::OciConfig, made.digest, 2);
    let layers =
        vec![Descriptor::new(MediaType::OciLayer(oci::Compression::None), digest, layer.len() as u64)];
    let bytes = serde_json::to_vec(&Manifest::new(config, layers)).unwrap();
    let pushed = repository.put_manifest("v1", &MediaType::OciManifest, bytes.into()).await.unwrap();
    let image = repository.image("v1", &Platform::ours()).await.unwrap();
    assert_eq!((image.digest.clone(), image.raw.digest.clone()), (pushed.clone(), pushed.clone()));
    assert_eq!(repository.digest("v1").await.unwrap(), Some(pushed));
    assert_eq!(repository.digest("v2").await.unwrap(), None);
    let config = &image.manifest.config;
    assert_eq!(&repository.blob(&config.digest, config.size, 100).await.unwrap()[..], b"{}");
    let path = folder.path().join("pulled");
    let fetched = fetch(&repository, &layer, &path).await.unwrap();
    assert_eq!((fetched.size, fetched.kept), (layer.len() as u64, 0));
    assert!(std::fs::read(&path).unwrap() == layer);
    assert_eq!(repository.tags().await.unwrap().names, ["v1"]);
    assert_eq!(repository.catalog().await.unwrap().names, ["team/app"]);
    assert!(repository.delete_manifest("v1").await.unwrap());
    assert!(!repository.delete_manifest("v1").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_mounted_where_the_registry_can() {
    let served = Served::start(Options::default()).await;
    let digest = served.blob("from", b"shared").await;
    let repository = repository(&client(), served.address, "to");
    assert!(repository.mount(&digest, "from").await.unwrap());
    assert!(!repository.mount(&Digest::sha256(b"other"), "from").await.unwrap());
    let left = std::fs::read_dir(served.folder.path().join("registry/uploads")).unwrap().count();
    assert_eq!(left, 0, "the upload that it began instead is cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_for_this_machine_is_found_in_an_index() {
    let served = Served::start(Options::default()).await;
    let put = async |which: &str, kind: &str, bytes: &[u8]| {
        let target = format!("/v2/a/manifests/{which}");
        assert_eq!(served.send("PUT", &target, &[("content-type", kind)], bytes).await.status, 201);
    };
    let mut entries = Vec::new();
    for (layer, platform) in [(&b"theirs"[..], Platform::new("linux", "s390x")), (b"ours", Platform::ours())]
    {
        let bytes = manifest(&served, "a", layer).await;
        let mut entry = Descriptor::new(MediaType::OciManifest, Digest::sha256(&bytes), bytes.len() as u64);
        entry.platform = Some(platform);
        put(&entry.digest.to_string(), entry.media_type.as_str(), &bytes).await;
        entries.push(entry);
    }
    let index = serde_json::to_vec(&Index::new(entries.clone())).unwrap();
    put("all", MediaType::OciIndex.as_str(), &index).await;
    let foreign = serde_json::to_vec(&Index::new(entries[..1].to_vec())).unwrap();
    put("foreign", MediaType::OciIndex.as_str(), &foreign).await;
    let repository = repository(&client(), served.address, "a");
    let image = repository.image("all", &Platform::ours()).await.unwrap();
    assert_eq!((image.digest, image.raw.digest), (Digest::sha256(&index), entries[1].digest.clone()));
    let error = repository.image("foreign", &Platform::ours()).await.unwrap_err();
    assert!(error.to_string().contains("only for linux/s390x"), "{error}");
}

/// Sends the first bytes of a body, then breaks off.
async fn cut(stream: &mut TcpStream, status: &str, headers: &str, length: usize, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream.flush().await.unwrap();
}

fn range_of(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    line.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_broke_off() {
    for knows_ranges in [true, false] {
        let layer: Arc<Vec<u8>> = Arc::new(noise(500_000));
        let own = layer.clone();
        let breaks = Arc::new(AtomicU32::new(0));
        let (address, heard) = scripted(move |head, mut stream| {
            let (layer, breaks) = (own.clone(), breaks.clone());
            async move {
                let asked = range_of(&head);
                let from = if knows_ranges { asked } else { 0 };
                let until =
                    if breaks.fetch_add(1, Ordering::SeqCst) < 2 { asked + 150_000 } else { layer.len() };
                let part = format!("content-range: bytes {from}-{}/{}\r\n", layer.len() - 1, layer.len());
                match (knows_ranges, asked) {
                    (true, 1..) => {
                        cut(
                            &mut stream,
                            "206 Partial Content",
                            &part,
                            layer.len() - from,
                            &layer[from..until],
                        )
                        .await
                    }
                    _ => cut(&mut stream, "200 OK", "", layer.len(), &layer[from..until]).await,
                }
            }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let client = client();
        let repository = client.repository_at(
            crate::Endpoint::named(&format!("http://{address}"), &[]),
            "a",
            Keyring::default(),
        );
        fetch(&repository, &layer, &path).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == *layer);
        let asked: Vec<usize> = heard.lock().unwrap().iter().map(|head| range_of(head)).collect();
        assert_eq!(asked.len(), 3);
        assert!(asked[0] == 0 && asked[1] > 0 && asked[2] > asked[1], "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_with_what_an_earlier_one_left() {
    let served = Served::start(Options::default()).await;
    let layer = noise(400_000);
    served.blob("a", &layer).await;
    let repository = repository(&client(), served.address, "a");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, &layer[..123_456]).unwrap();
    assert_eq!(fetch(&repository, &layer, &path).await.unwrap().kept, 123_456);
    assert!(std::fs::read(&path).unwrap() == layer);
    assert_eq!(fetch(&repository, &layer, &path).await.unwrap().kept, 400_000);
    std::fs::write(&path, noise(500_000)).unwrap();
    assert_eq!(fetch(&repository, &layer, &path).await.unwrap().kept, 0, "what is too long is no part of it");
    let mut wrong = layer[..1000].to_vec();
    wrong[5] ^= 1;
    std::fs::write(&path, &wrong).unwrap();
    let error = fetch(&repository, &layer, &path).await.unwrap_err();
    assert!(matches!(error, crate::BlobError::Damaged { .. }), "{error}");
    assert!(!path.exists());
    fetch(&repository, &layer, &path).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_broke_off() {
    let served = Served::start(Options::default()).await;
    let layer = noise(2_000_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer");
    std::fs::write(&file, &layer).unwrap();
    let behind = served.address;
    let broken = Arc::new(AtomicU32::new(0));
    // Everything passes, but the first two streams of bytes are cut in the middle.
    let (address, heard) = scripted(move |head, mut stream| {
        let broken = broken.clone();
        async move {
            let mut other = TcpStream::connect(behind).await.unwrap();
            let head = head.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
            other.write_all(head.as_bytes()).await.unwrap();
            if head.starts_with("PATCH") && broken.fetch_add(1, Ordering::SeqCst) < 2 {
                let mut some = tokio::io::AsyncReadExt::take(&mut stream, 600_000);
                tokio::io::copy(&mut some, &mut other).await.unwrap();
                other.flush().await.unwrap();
                return;
            }
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
        }
    })
    .await;
    let client = client();
    let endpoint = crate::Endpoint::named(&format!("http://{address}"), &[]);
    let repository = client.repository_at(endpoint, "a", Keyring::default());
    let digest = Digest::sha256(&layer);
    repository.upload(&digest, layer.len() as u64, &file, &|_| {}).await.unwrap();
    assert_eq!(served.get(&format!("/v2/a/blobs/{digest}")).await.body.len(), layer.len());
    let ranges = heard.lock().unwrap().iter().filter(|head| head.contains("content-range:")).count();
    assert!(ranges >= 1, "it went on, and did not begin anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_come_first_and_the_registry_itself_last() {
    let mirror = Served::start(Options::default()).await;
    let only = mirror.image("library/app", "v1", b"layer").await;
    let (down, heard) =
        scripted(|_, mut stream| async move { say(&mut stream, "503 Busy", "", b"").await }).await;
    let client = client_with(|settings| {
        settings.retries = 0;
        settings.mirrors = vec![format!("http://{down}"), format!("http://{}/", mirror.address)];
    });
    let repository = client.repository(&"app:v1".parse().unwrap(), Keyring::anonymous());
    assert_eq!(repository.manifest("v1").await.unwrap().digest, only);
    assert_eq!(heard.lock().unwrap().len(), 1);
    let folder = tempfile::tempdir().unwrap();
    fetch(&repository, b"layer", &folder.path().join("x")).await.unwrap();
    assert_eq!(heard.lock().unwrap().len(), 1, "the one that answered is asked first from then on");
    for wrong in ["mirror.example", "https://", "https://a/b", "ftp://a"] {
        let settings = crate::Settings { mirrors: vec![wrong.into()], ..crate::Settings::default() };
        assert!(Client::new(settings).is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_tokens_are_exchanged_and_kept_until_they_expire() {
    let (address, heard) = scripted(|head, mut stream| async move {
        if head.starts_with("POST /token") {
            return say(&mut stream, "200 OK", "", br#"{"access_token":"short","expires_in":300}"#).await;
        }
        if head.contains("authorization: Bearer short") {
            return say(&mut stream, "200 OK", "content-type: application/json\r\n", br#"{"tags":["a"]}"#)
                .await;
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
        let wish = format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
        say(&mut stream, "401 Unauthorized", &wish, b"").await;
    })
    .await;
    let registry = address.to_string();
    let login = Login::Identity { user: String::new(), token: "long".into() };
    let keys = Keyring::anonymous().with(&registry, login);
    let repository = client().repository(&format!("{registry}/a").parse().unwrap(), keys);
    assert_eq!(repository.tags().await.unwrap().names, ["a"]);
    assert_eq!(repository.tags().await.unwrap().names, ["a"]);
    let heard = heard.lock().unwrap();
    let starting = |text: &str| heard.iter().filter(|head| head.starts_with(text)).count();
    assert_eq!((starting("POST /token"), starting("GET /v2/a/tags")), (1, 3), "{heard:?}");
    assert!(!heard.iter().any(|head| head.contains("authorization: Bearer long")));
}
