//! Uploads in every form, and what goes wrong with them.

use oci::Digest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Options;
use crate::testing::{Came, Served};

/// Begins an upload; where it goes on.
async fn begin(served: &Served, name: &str) -> String {
    let came = served.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").await;
    assert_eq!((came.status.as_u16(), came.header("range")), (202, "0-0"));
    assert!(!came.header("docker-upload-uuid").is_empty());
    came.header("location").to_owned()
}

async fn has(served: &Served, name: &str, bytes: &[u8]) -> bool {
    served.get(&format!("/v2/{name}/blobs/{}", Digest::sha256(bytes))).await.body == bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_comes_in_one_request_in_two_and_in_chunks() {
    let served = Served::start(Options::default()).await;
    let digest = served.blob("a", b"at once").await;
    assert!(has(&served, "a", b"at once").await);
    let again = served.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], b"at once").await;
    assert_eq!(again.header("location"), format!("/v2/a/blobs/{digest}"));
    let place = begin(&served, "a").await;
    let digest = Digest::sha256(b"then whole");
    let came = served.send("PUT", &format!("{place}?digest={digest}"), &[], b"then whole").await;
    assert_eq!(
        (came.status.as_u16(), came.header("docker-content-digest")),
        (201, digest.to_string().as_str())
    );
    assert!(has(&served, "a", b"then whole").await);
    let mut place = begin(&served, "a").await;
    for (range, chunk, now) in [("0-4", "chunk", "0-4"), ("5-7", "ed ", "0-7")] {
        let came = served.send("PATCH", &place, &[("content-range", range)], chunk.as_bytes()).await;
        assert_eq!((came.status.as_u16(), came.header("range")), (202, now));
        place = came.header("location").to_owned();
    }
    let status = served.get(&place).await;
    assert_eq!(
        (status.status.as_u16(), status.header("range"), status.header("location")),
        (204, "0-7", place.as_str())
    );
    let target = format!("{place}?digest={}", Digest::sha256(b"chunked blob"));
    let came = served.send("PUT", &target, &[("content-range", "8-11")], b"blob").await;
    assert_eq!(came.status, 201);
    assert!(has(&served, "a", b"chunked blob").await);
    assert_eq!(served.get(&place).await.code(), "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_out_of_order_is_told_where_to_go_on() {
    let served = Served::start(Options::default()).await;
    let place = begin(&served, "a").await;
    served.send("PATCH", &place, &[("content-range", "0-2")], b"abc").await;
    for range in ["0-2", "4-6"] {
        let came = served.send("PATCH", &place, &[("content-range", range)], b"xyz").await;
        assert_eq!(
            (came.status.as_u16(), came.header("range"), came.header("location")),
            (416, "0-2", place.as_str())
        );
    }
    let target = format!("{place}?digest={}", Digest::sha256(b"abcdef"));
    let came = served.send("PUT", &target, &[("content-range", "9-11")], b"def").await;
    assert_eq!(came.status, 416);
    for (range, status, code) in [
        ("5-3", 416, "BLOB_UPLOAD_INVALID"),
        ("nonsense", 416, "BLOB_UPLOAD_INVALID"),
        ("3-9", 400, "SIZE_INVALID"),
    ] {
        let came = served.send("PATCH", &place, &[("content-range", range)], b"def").await;
        assert_eq!((came.status.as_u16(), came.code().as_str()), (status, code));
    }
    assert_eq!(served.send("PUT", &target, &[("content-range", "3-5")], b"def").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_is_called_is_refused() {
    let served = Served::start(Options::default()).await;
    let wrong = Digest::sha256(b"something else");
    let came = served.send("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), &[], b"blob").await;
    assert_eq!((came.status.as_u16(), came.code().as_str()), (400, "DIGEST_INVALID"));
    let place = begin(&served, "a").await;
    let refused =
        |came: &Came| assert_eq!((came.status.as_u16(), came.code().as_str()), (400, "DIGEST_INVALID"));
    refused(&served.send("PUT", &place, &[], b"blob").await);
    refused(&served.send("PUT", &format!("{place}?digest=sha256:12"), &[], b"blob").await);
    refused(&served.send("PUT", &format!("{place}?digest={wrong}"), &[], b"blob").await);
    assert_eq!(served.get(&place).await.status, 404);
    assert_eq!(served.get(&format!("/v2/a/blobs/{wrong}")).await.status, 404);
    let strays = std::fs::read_dir(served.folder.path().join("registry/uploads")).unwrap().count();
    assert_eq!(strays, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_cancelled_and_is_of_its_repository_alone() {
    let served = Served::start(Options { blob_bytes: 8, ..Options::default() }).await;
    let place = begin(&served, "a").await;
    assert_eq!(served.get(&place.replace("/v2/a/", "/v2/b/")).await.status, 404);
    assert_eq!(served.send("DELETE", &place, &[], b"").await.status, 204);
    assert_eq!(served.send("DELETE", &place, &[], b"").await.status, 404);
    assert_eq!(served.send("PATCH", &place, &[], b"x").await.code(), "BLOB_UPLOAD_UNKNOWN");
    let place = begin(&served, "a").await;
    assert_eq!(served.send("PATCH", &place, &[], b"123456789").await.status, 413);
    assert_eq!(served.get("/v2/a/blobs/uploads/../../x").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_taken_over_from_another_repository() {
    let served = Served::start(Options::default()).await;
    let digest = served.blob("from/here", b"shared").await;
    let mount = |query: String| format!("/v2/to/there/blobs/uploads/?{query}");
    let came = served.send("POST", &mount(format!("mount={digest}&from=not/here")), &[], b"").await;
    assert_eq!(came.status, 202, "it begins an upload instead");
    let came = served.send("POST", &mount("mount=nonsense&from=from/here".into()), &[], b"").await;
    assert_eq!(came.status, 202);
    let came = served.send("POST", &mount(format!("mount={digest}&from=from/here")), &[], b"").await;
    assert_eq!(
        (came.status.as_u16(), came.header("location")),
        (201, format!("/v2/to/there/blobs/{digest}").as_str())
    );
    assert!(has(&served, "to/there", b"shared").await);
    let came = served.send("POST", &format!("/v2/c/blobs/uploads/?mount={digest}"), &[], b"").await;
    assert_eq!(came.status, 201);
    served.send("DELETE", &format!("/v2/from/here/blobs/{digest}"), &[], b"").await;
    assert!(has(&served, "to/there", b"shared").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_broken_connection_and_after_a_restart() {
    let served = Served::start(Options::default()).await;
    let place = begin(&served, "a").await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n01234");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let arrived = async || served.get(&place).await.header("range") == "0-4";
    // The request is under way; only when it breaks off is its turn over.
    drop(stream);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !arrived().await {
        assert!(tokio::time::Instant::now() < deadline, "what arrived is not there");
        tokio::task::yield_now().await;
    }
    let served = served.restart(Options::default()).await;
    assert_eq!(served.get(&place).await.header("range"), "0-4");
    let target = format!("{place}?digest={}", Digest::sha256(b"0123456789"));
    assert_eq!(served.send("PUT", &target, &[("content-range", "5-9")], b"56789").await.status, 201);
    assert!(has(&served, "a", b"0123456789").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_of_the_longer_kind_are_taken_too() {
    let served = Served::start(Options::default()).await;
    let digest = "sha512:309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f";
    let came =
        served.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], b"hello world").await;
    assert_eq!(came.status, 201, "{came:?}");
    assert_eq!(&served.get(&format!("/v2/a/blobs/{digest}")).await.body[..], b"hello world");
    let came = served.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], b"hello").await;
    assert_eq!(came.code(), "DIGEST_INVALID");
}
