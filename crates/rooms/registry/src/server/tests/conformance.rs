//! Pulling, pushing of manifests, listing, referring and deleting, by the specification.

use oci::{Compression, Descriptor, Digest, Index, Manifest, MediaType};
use serde_json::{Value, json};

use crate::Options;
use crate::testing::{Came, Served, manifest};

const MANIFEST: (&str, &str) = ("content-type", "application/vnd.oci.image.manifest.v1+json");
const INDEX: (&str, &str) = ("content-type", "application/vnd.oci.image.index.v1+json");

fn names(came: &Came, key: &str) -> Vec<String> {
    came.json()[key].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_says_what_it_is() {
    let served = Served::start(Options::default()).await;
    for target in ["/v2/", "/v2"] {
        let came = served.get(target).await;
        assert_eq!(
            (came.status.as_u16(), came.header("docker-distribution-api-version")),
            (200, "registry/2.0")
        );
    }
    assert_eq!(served.get("/").await.status, 404);
    assert_eq!(served.send("POST", "/v2/", &[], b"").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_had_by_tag_and_digest_to_the_byte() {
    let served = Served::start(Options::default()).await;
    let digest = served.image("a/b", "v1", b"layer").await;
    for which in ["v1", &digest.to_string()] {
        let target = format!("/v2/a/b/manifests/{which}");
        let came = served.get(&target).await;
        assert_eq!(came.status, 200);
        assert_eq!(Digest::sha256(&came.body), digest);
        assert_eq!(came.header("docker-content-digest"), digest.to_string());
        assert_eq!(came.header("content-type"), MANIFEST.1);
        let head = served.send("HEAD", &target, &[], b"").await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), came.body.len().to_string());
        assert_eq!(head.header("docker-content-digest"), digest.to_string());
        let known = served.send("GET", &target, &[("if-none-match", &format!("\"{digest}\""))], b"").await;
        assert_eq!(known.status, 304);
    }
    for (target, status, code) in [
        ("/v2/a/b/manifests/v2", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/c/manifests/v1", 404, "MANIFEST_UNKNOWN"),
        ("/v2/a/b/manifests/sha256:0", 400, "DIGEST_INVALID"),
        ("/v2/a/b/manifests/.v1", 400, "MANIFEST_INVALID"),
        ("/v2/A/b/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/a/../b/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/a/b/tags/other", 404, "UNSUPPORTED"),
    ] {
        let came = served.get(target).await;
        assert_eq!((came.status.as_u16(), came.code().as_str()), (status, code), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_had_whole_and_in_parts() {
    let served = Served::start(Options::default()).await;
    let digest = served.blob("a", b"0123456789").await;
    let target = format!("/v2/a/blobs/{digest}");
    let whole = served.get(&target).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &b"0123456789"[..]));
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let head = served.send("HEAD", &target, &[], b"").await;
    assert_eq!((head.header("content-length"), head.body.len()), ("10", 0));
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, &b"234"[..], "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-0,2-3", 200, b"0123456789", ""),
    ] {
        let came = served.send("GET", &target, &[("range", range)], b"").await;
        assert_eq!((came.status.as_u16(), &came.body[..]), (status, body), "{range}");
        assert_eq!(came.header("content-range"), content_range, "{range}");
    }
    let beyond = served.send("GET", &target, &[("range", "bytes=10-")], b"").await;
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */10"));
    let elsewhere = served.get(&format!("/v2/b/blobs/{digest}")).await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.code().as_str()), (404, "BLOB_UNKNOWN"));
    assert_eq!(served.get("/v2/a/blobs/md5:00").await.code(), "DIGEST_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_taken_only_when_it_and_all_that_it_names_are_right() {
    let served = Served::start(Options::default()).await;
    let good = manifest(&served, "a", b"layer").await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document: Value = serde_json::from_slice(&good).unwrap();
        change(&mut document);
        document.to_string().into_bytes()
    };
    let missing = Digest::sha256(b"missing").to_string();
    let table = [
        ("x", ("content-type", MediaType::DockerManifest.as_str()), good.clone(), 400, "MANIFEST_INVALID"),
        ("x", MANIFEST, b"{".to_vec(), 400, "MANIFEST_INVALID"),
        ("x", MANIFEST, with(&|it| it["schemaVersion"] = json!(1)), 400, "MANIFEST_INVALID"),
        ("x", MANIFEST, with(&|it| it["layers"][0]["digest"] = json!(missing)), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("x", MANIFEST, with(&|it| it["config"]["digest"] = json!(missing)), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("x", MANIFEST, with(&|it| it["layers"][0]["size"] = json!(9)), 400, "MANIFEST_INVALID"),
        ("x", MANIFEST, with(&|it| it["mediaType"] = json!("text/plain")), 400, "MANIFEST_INVALID"),
        (missing.as_str(), MANIFEST, good.clone(), 400, "DIGEST_INVALID"),
    ];
    for (which, kind, body, status, code) in table {
        let came = served.send("PUT", &format!("/v2/a/manifests/{which}"), &[kind], &body).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!((came.status.as_u16(), came.code().as_str()), (status, code), "{text}");
    }
    let long = vec![b' '; crate::MANIFEST_BYTES + 1];
    let came = served.send("PUT", "/v2/a/manifests/x", &[MANIFEST], &long).await;
    assert_eq!(came.status, 413);
    assert_eq!(served.get("/v2/a/tags/list").await.status, 404, "nothing of it may stay");
    let digest = Digest::sha256(&good);
    let came = served.send("PUT", &format!("/v2/a/manifests/{digest}"), &[MANIFEST], &good).await;
    assert_eq!(came.status, 201);
    assert_eq!(came.header("location"), format!("/v2/a/manifests/{digest}"));
    assert_eq!(came.header("docker-content-digest"), digest.to_string());
    assert_eq!(served.get("/v2/a/tags/list").await.json(), json!({"name": "a", "tags": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_lie_elsewhere_need_not_be_here() {
    let served = Served::start(Options::default()).await;
    let mut document: Value = serde_json::from_slice(&manifest(&served, "a", b"layer").await).unwrap();
    let foreign = json!({"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 3,
        "digest": Digest::sha256(b"far"), "urls": ["https://elsewhere.example/far"]});
    document["layers"].as_array_mut().unwrap().push(foreign);
    let came = served.send("PUT", "/v2/a/manifests/x", &[MANIFEST], document.to_string().as_bytes()).await;
    assert_eq!(came.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_needs_its_manifests() {
    let served = Served::start(Options::default()).await;
    let inner = manifest(&served, "a", b"layer").await;
    let entry = Descriptor::new(MediaType::OciManifest, Digest::sha256(&inner), inner.len() as u64);
    let index = serde_json::to_vec(&Index::new(vec![entry.clone()])).unwrap();
    let came = served.send("PUT", "/v2/a/manifests/all", &[INDEX], &index).await;
    assert_eq!((came.status.as_u16(), came.code().as_str()), (404, "MANIFEST_BLOB_UNKNOWN"));
    served.send("PUT", &format!("/v2/a/manifests/{}", entry.digest), &[MANIFEST], &inner).await;
    assert_eq!(served.send("PUT", "/v2/a/manifests/all", &[INDEX], &index).await.status, 201);
    assert_eq!(served.get("/v2/a/manifests/all").await.header("content-type"), INDEX.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_repositories_come_in_pages() {
    let served = Served::start(Options::default()).await;
    for tag in ["b", "a", "c", "v10", "v2"] {
        served.image("some/one", tag, b"layer").await;
    }
    served.image("other", "x", b"layer").await;
    assert_eq!(names(&served.get("/v2/some/one/tags/list").await, "tags"), ["a", "b", "c", "v10", "v2"]);
    let mut target = "/v2/some/one/tags/list?n=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let came = served.get(&target).await;
        pages.push(names(&came, "tags").join(" "));
        match crate::link::next(came.header("link")) {
            Some(next) => target = next,
            None => break,
        }
    }
    assert_eq!(pages, ["a b", "c v10", "v2"]);
    let after = served.get("/v2/some/one/tags/list?last=b").await;
    assert_eq!((names(&after, "tags").join(" ").as_str(), after.header("link")), ("c v10 v2", ""));
    let none = served.get("/v2/some/one/tags/list?n=0").await;
    assert_eq!((names(&none, "tags").len(), none.header("link")), (0, ""));
    assert_eq!(served.get("/v2/nobody/tags/list").await.code(), "NAME_UNKNOWN");
    assert_eq!(names(&served.get("/v2/_catalog").await, "repositories"), ["other", "some/one"]);
    let first = served.get("/v2/_catalog?n=1").await;
    assert_eq!(first.header("link"), "</v2/_catalog?n=1&last=other>; rel=\"next\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_a_manifest_is_listed_even_before_that_comes() {
    let served = Served::start(Options::default()).await;
    let subject = manifest(&served, "a", b"layer").await;
    let subject_digest = Digest::sha256(&subject);
    let target = format!("/v2/a/referrers/{subject_digest}");
    let empty = served.get(&target).await;
    assert_eq!((empty.status.as_u16(), empty.json()["manifests"].clone()), (200, json!([])));
    assert_eq!(empty.header("content-type"), INDEX.1);
    let config = served.blob("a", b"{}").await;
    for (kind, own) in [("application/x.sbom", true), ("application/x.signature", false)] {
        let mut config = Descriptor::new(MediaType::Other(kind.into()), config.clone(), 2);
        let mut document = Manifest::new(config.clone(), vec![]);
        if own {
            config.media_type = MediaType::Other("application/vnd.oci.empty.v1+json".into());
            document = Manifest::new(config, vec![]);
            document.extra.insert("artifactType".into(), kind.into());
        }
        document.annotations.insert("note".into(), kind.into());
        let about = Descriptor::new(MediaType::OciManifest, subject_digest.clone(), subject.len() as u64);
        document.extra.insert("subject".into(), serde_json::to_value(about).unwrap());
        let bytes = serde_json::to_vec(&document).unwrap();
        let which = Digest::sha256(&bytes);
        let came = served.send("PUT", &format!("/v2/a/manifests/{which}"), &[MANIFEST], &bytes).await;
        assert_eq!(
            (came.status.as_u16(), came.header("oci-subject")),
            (201, subject_digest.to_string().as_str())
        );
    }
    let all = served.get(&target).await.json();
    let mut kinds: Vec<&str> =
        all["manifests"].as_array().unwrap().iter().map(|it| it["artifactType"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["application/x.sbom", "application/x.signature"]);
    let some = served.get(&format!("{target}?artifactType=application/x.sbom")).await;
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let some = some.json();
    assert_eq!(some["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(some["manifests"][0]["annotations"]["note"], "application/x.sbom");
    let gone = some["manifests"][0]["digest"].as_str().unwrap().to_owned();
    served.send("DELETE", &format!("/v2/a/manifests/{gone}"), &[], b"").await;
    assert_eq!(served.get(&target).await.json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(served.get("/v2/a/referrers/nonsense").await.code(), "DIGEST_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_manifests_and_blobs_are_deleted_unless_that_is_off() {
    let served = Served::start(Options::default()).await;
    let digest = served.image("a", "one", b"layer").await;
    served.image("a", "two", b"layer").await;
    let delete = async |target: String| served.send("DELETE", &target, &[], b"").await.status.as_u16();
    assert_eq!(delete("/v2/a/manifests/one".into()).await, 202);
    assert_eq!(delete("/v2/a/manifests/one".into()).await, 404);
    assert_eq!(names(&served.get("/v2/a/tags/list").await, "tags"), ["two"]);
    assert_eq!(served.get(&format!("/v2/a/manifests/{digest}")).await.status, 200);
    assert_eq!(delete(format!("/v2/a/manifests/{digest}")).await, 202);
    assert_eq!(served.get("/v2/a/manifests/two").await.status, 404);
    let blob = Digest::sha256(b"layer");
    assert_eq!(delete(format!("/v2/a/blobs/{blob}")).await, 202);
    assert_eq!(delete(format!("/v2/a/blobs/{blob}")).await, 404);
    let fixed = Served::start(Options { deletes: false, ..Options::default() }).await;
    let digest = fixed.image("a", "one", b"layer").await;
    for target in [format!("/v2/a/manifests/{digest}"), format!("/v2/a/blobs/{blob}")] {
        let came = fixed.send("DELETE", &target, &[], b"").await;
        assert_eq!((came.status.as_u16(), came.code().as_str()), (405, "UNSUPPORTED"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_restart() {
    let served = Served::start(Options::default()).await;
    let digest = served.image("a/b", "v1", b"layer").await;
    let served = served.restart(Options::default()).await;
    assert_eq!(served.get("/v2/a/b/manifests/v1").await.header("docker-content-digest"), digest.to_string());
    assert_eq!(&served.get(&format!("/v2/a/b/blobs/{}", Digest::sha256(b"layer"))).await.body[..], b"layer");
    let kept = MediaType::OciLayer(Compression::None);
    let document: Manifest = serde_json::from_slice(&served.get("/v2/a/b/manifests/v1").await.body).unwrap();
    assert_eq!(document.layers[0].media_type, kept);
}
