//! Registries that hang, lie, break, or are none; each is told for what it is, and no secret goes astray.

use std::time::Duration;

use base::{Kind, Problem, Report};
use oci::{Digest, Platform};
use tokio::io::AsyncWriteExt;

use crate::testing::{client_with, say, scripted};
use crate::{BlobError, CallError, Client, Endpoint, Growing, Keyring, Login, Repository};

fn impatient() -> Client {
    client_with(|settings| {
        settings.retries = 1;
        settings.timeouts.answer = Duration::from_millis(200);
        settings.timeouts.stall = Duration::from_millis(200);
        settings.timeouts.commit = Duration::from_millis(400);
    })
}

fn at(address: std::net::SocketAddr) -> Repository {
    impatient().repository_at(Endpoint::named(&format!("http://{address}"), &[]), "a", Keyring::anonymous())
}

fn text(problem: &dyn Problem) -> String {
    let report = Report::of(problem);
    std::iter::once(report.message).chain(report.because).collect::<Vec<_>>().join("; ")
}

/// Asks for a manifest of a server that always answers so.
async fn refusal(status: &'static str, headers: &'static str, body: &'static [u8]) -> (String, Kind) {
    let (address, _) =
        scripted(move |_, mut stream| async move { say(&mut stream, status, headers, body).await }).await;
    let error = at(address).image("v1", &Platform::ours()).await.unwrap_err();
    (text(&error).replace(&address.to_string(), "HOST"), error.kind())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_told_for_what_it_is() {
    let page = b"<!DOCTYPE html><html><head><title>Sign in\nhere</title></head></html>";
    let html = "what answers at `HOST` is not a registry: it said 502 with a page of HTML, `Sign in here`";
    assert_eq!(
        refusal("502 Bad Gateway", "content-type: text/html\r\n", page).await,
        (html.into(), Kind::Unavailable)
    );
    let found = refusal("200 OK", "content-type: text/html\r\n", page).await;
    assert_eq!(
        found.0,
        "what answers at `a` is not a registry: it said 200 with a page of HTML".replace("`a`", "`HOST`")
    );
    let text = refusal("500 Internal Server Error", "", b"database on fire").await;
    assert_eq!(text, ("`HOST` answered 500: database on fire".into(), Kind::Unavailable));
    let json = br#"{"errors":[{"code":"DENIED","message":"pull access denied"}]}"#;
    let denied = refusal("403 Forbidden", "", json).await;
    assert_eq!(denied, ("`HOST` refused access without a login: pull access denied".into(), Kind::Denied));
    let many = refusal("429 Too Many Requests", "retry-after: 30\r\n", b"").await;
    assert_eq!(many, ("`HOST` takes no more requests for now: try again after 30 s".into(), Kind::Exhausted));
    let none = refusal("404 Not Found", "", b"").await;
    assert_eq!(none, ("no image `a:v1` at `HOST`".into(), Kind::NotFound));
    let junk =
        refusal("200 OK", "content-type: application/vnd.oci.image.manifest.v1+json\r\n", b"{\"x\":").await;
    assert!(junk.0.starts_with("the manifest of `a:v1` cannot be understood"), "{junk:?}");
    let old = "content-type: application/vnd.docker.distribution.manifest.v1+prettyjws\r\n";
    let old = refusal(
        "200 OK",
        old,
        br#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}"#,
    )
    .await;
    assert_eq!(old.1, Kind::Unsupported);
    let digest =
        "docker-content-digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n";
    let damaged = refusal("200 OK", digest, b"{}").await;
    assert!(damaged.0.starts_with("the manifest of `a:v1` arrived damaged"), "{damaged:?}");
    let long = refusal("200 OK", "", Box::leak(vec![b' '; 5 << 20].into_boxed_slice())).await;
    assert_eq!(long.0, "`HOST` sent a manifest longer than 4.0 MiB");
    let loops = refusal("307 Temporary Redirect", "location: /v2/a/manifests/v1\r\n", b"").await;
    assert_eq!(loops.0, "the answer of `HOST` makes no sense: it redirects without an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_is_given_up() {
    let (address, _) = scripted(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let error = at(address).manifest("v1").await.unwrap_err();
    assert_eq!(
        (error.kind(), text(&error).contains("did not answer within 0.2 s")),
        (Kind::TimedOut, true),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = scripted(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let growing = Growing::begin(0);
    let path = folder.path().join("blob");
    let error = at(address).fetch(&Digest::sha256(b""), 100, &path, &growing, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"some", "what arrived stays, to be gone on with");
    let (address, _) = scripted(|head, mut stream| async move {
        if head.starts_with("POST") {
            return say(&mut stream, "202 Accepted", "location: /v2/a/blobs/uploads/x\r\n", b"").await;
        }
        std::future::pending::<()>().await;
    })
    .await;
    std::fs::write(&path, vec![0; 9_000_000]).unwrap();
    let error = at(address).upload(&Digest::sha256(b"x"), 9_000_000, &path, &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut, "{error}");
}

async fn fetched(headers: &'static str, body: &'static [u8], size: u64) -> BlobError {
    let (address, _) = scripted(move |_, mut stream| async move {
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes()).await;
        let _ = stream.write_all(body).await;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let growing = Growing::begin(0);
    let error =
        at(address).fetch(&Digest::sha256(b"0123456789"), size, &path, &growing, &|_| {}).await.unwrap_err();
    if matches!(error, BlobError::Damaged { .. }) {
        assert!(!path.exists());
    }
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_are_not_what_they_should_be_are_refused() {
    let lies = fetched("content-length: 12\r\n", b"0123456789ab", 10).await;
    assert!(matches!(lies, BlobError::Length { want: 10, got: 12, .. }), "{lies}");
    let short = fetched("content-length: 5\r\n", b"01234", 10).await;
    assert!(matches!(short, BlobError::Length { want: 10, got: 5, .. }), "{short}");
    let endless = fetched("transfer-encoding: chunked\r\n", b"c\r\n0123456789ab\r\n", 10).await;
    assert!(matches!(endless, BlobError::Length { want: 10, got: 12, .. }), "{endless}");
    let early = fetched("transfer-encoding: chunked\r\n", b"5\r\n01234\r\n0\r\n\r\n", 10).await;
    assert!(
        matches!(early, BlobError::Length { .. } | BlobError::Call(_) | BlobError::Damaged { .. }),
        "{early}"
    );
    let wrong = fetched("content-length: 10\r\n", b"0123456780", 10).await;
    assert!(matches!(wrong, BlobError::Damaged { .. }), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stay_with_the_registry_that_they_are_for() {
    let (elsewhere, heard_elsewhere) =
        scripted(|_, mut stream| async move { say(&mut stream, "200 OK", "", b"0123456789").await }).await;
    let (address, heard) = scripted(move |head, mut stream| async move {
        if !head.contains("authorization: Basic") {
            return say(&mut stream, "401 Unauthorized", "www-authenticate: Basic realm=x\r\n", b"").await;
        }
        let location = format!("location: http://{elsewhere}/storage?signature=1\r\n");
        say(&mut stream, "307 Temporary Redirect", &location, b"").await;
    })
    .await;
    let registry = address.to_string();
    let login = Login::Password { user: "ann".into(), password: "hidden".into() };
    let keys = Keyring::anonymous().with(&registry, login);
    let repository = impatient().repository(&format!("{registry}/a").parse().unwrap(), keys);
    let folder = tempfile::tempdir().unwrap();
    let growing = Growing::begin(0);
    let digest = Digest::sha256(b"0123456789");
    repository.fetch(&digest, 10, &folder.path().join("x"), &growing, &|_| {}).await.unwrap();
    assert!(heard.lock().unwrap().iter().any(|head| head.contains("authorization: Basic")));
    let elsewhere = heard_elsewhere.lock().unwrap().clone();
    assert_eq!(elsewhere.len(), 1);
    assert!(!elsewhere[0].to_ascii_lowercase().contains("authorization"), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_does_not_go_out_without_tls_because_a_registry_says_so() {
    use crate::client::auth::wish_of;
    let client = impatient();
    let endpoint = Endpoint::named("https://registry.test", &[]);
    let login = Login::Password { user: "ann".into(), password: "hidden".into() };
    let error = wish_of(&client, &endpoint, "http://tokens.test/token", Some(&login)).await.unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_an_address_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = impatient().login(&address.to_string(), None).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert!(error.hint().is_some());
}
