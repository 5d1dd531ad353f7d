//! A mirror: hands on, keeps, fetches once, and serves what it has when the other one is away.

use std::sync::Arc;
use std::time::Duration;

use oci::Digest;

use crate::testing::{Served, client, say, scripted, send};
use crate::{Endpoint, Keyring, Mirror, Options};

fn mirror_of(address: std::net::SocketAddr, fresh: Duration) -> Options {
    let of = Endpoint::named(&format!("http://{address}"), &[]);
    let mirror = Mirror { client: client(), of, keys: Keyring::anonymous(), fresh };
    Options { mirror: Some(mirror), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_handed_on_kept_and_served_when_the_other_one_is_away() {
    let other = Served::start(Options::default()).await;
    let first = other.image("a/b", "v", b"layer one").await;
    let mirror = Served::start(mirror_of(other.address, Duration::ZERO)).await;
    let digest_of = async |served: &Served| {
        served.get("/v2/a/b/manifests/v").await.header("docker-content-digest").to_owned()
    };
    assert_eq!(digest_of(&mirror).await, first.to_string());
    let blob = format!("/v2/a/b/blobs/{}", Digest::sha256(b"layer one"));
    assert_eq!(mirror.send("HEAD", &blob, &[], b"").await.header("content-length"), "9");
    assert_eq!(&mirror.get(&blob).await.body[..], b"layer one");
    assert_eq!(mirror.get("/v2/a/b/tags/list").await.json()["tags"], serde_json::json!(["v"]));
    let second = other.image("a/b", "v", b"layer two").await;
    assert_eq!(digest_of(&mirror).await, second.to_string());
    assert_eq!(mirror.get("/v2/a/b/manifests/none").await.code(), "MANIFEST_UNKNOWN");
    let absent = format!("/v2/a/b/blobs/{}", Digest::sha256(b"nobody has it"));
    assert_eq!(mirror.get(&absent).await.code(), "BLOB_UNKNOWN");
    assert_eq!(mirror.send("POST", "/v2/a/b/blobs/uploads/", &[], b"").await.status, 405);
    let address = other.address;
    let second_blob = format!("/v2/a/b/blobs/{}", Digest::sha256(b"layer two"));
    assert_eq!(&mirror.get(&second_blob).await.body[..], b"layer two");
    // From now on another server answers there with failures, which is as good as away.
    drop(other);
    let failing =
        scripted(|_, mut stream| async move { say(&mut stream, "503 Busy", "", b"").await }).await.0;
    let _ = address;
    let mirror = mirror.restart(mirror_of(failing, Duration::ZERO)).await;
    assert_eq!(digest_of(&mirror).await, second.to_string());
    assert_eq!(&mirror.get(&second_blob).await.body[..], b"layer two");
    assert_eq!(mirror.get("/v2/c/manifests/v").await.code(), "UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_fetched_once_however_many_ask() {
    let layer: Arc<Vec<u8>> = Arc::new((0..3_000_000_u32).map(|n| (n % 251) as u8).collect());
    let digest = Digest::sha256(&layer);
    let served = layer.clone();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let own_gate = gate.clone();
    let (address, heard) = scripted(move |head, mut stream| {
        let (layer, gate) = (served.clone(), own_gate.clone());
        async move {
            use tokio::io::AsyncWriteExt as _;
            if head.starts_with("HEAD") {
                let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", layer.len());
                return drop(stream.write_all(text.as_bytes()).await);
            }
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", layer.len());
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.write_all(&layer[..1_000_000]).await.unwrap();
            // The rest comes when all have begun to read.
            gate.acquire().await.unwrap().forget();
            stream.write_all(&layer[1_000_000..]).await.unwrap();
        }
    })
    .await;
    let mirror = Arc::new(Served::start(mirror_of(address, Duration::ZERO)).await);
    let target = format!("/v2/a/blobs/{digest}");
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mirror, target) = (mirror.clone(), target.clone());
        asking.spawn(async move { mirror.get(&target).await });
    }
    let begun = || heard.lock().unwrap().iter().filter(|head| head.starts_with("HEAD")).count();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while begun() < 8 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    while let Some(came) = asking.join_next().await {
        let came = came.unwrap();
        assert!(
            came.body == layer[..],
            "{} {:?}: {} bytes {:?}",
            came.status,
            came.headers,
            came.body.len(),
            came.body
        );
    }
    let gets = heard.lock().unwrap().iter().filter(|head| head.starts_with("GET /v2/a/blobs")).count();
    assert_eq!(gets, 1);
    assert!(send(mirror.address, "GET", &target, &[], b"").await.body == layer[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_turns_out_damaged_never_looks_whole() {
    use http_body_util::BodyExt as _;
    let digest = Digest::sha256(b"what it should be");
    let (address, _) =
        scripted(|_, mut stream| async move { say(&mut stream, "200 OK", "", b"what it truly is!").await })
            .await;
    let mirror = Served::start(mirror_of(address, Duration::ZERO)).await;
    let stream = tokio::net::TcpStream::connect(mirror.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(format!("/v2/a/blobs/{digest}")).header("host", "x");
    let response = sender.send_request(request.body(String::new()).unwrap()).await.unwrap();
    assert!(response.into_body().collect().await.is_err(), "the body must break off");
    assert!(!mirror.folder.path().join(format!("registry/blobs/sha256/{}", &digest.hex()[..2])).exists());
}
