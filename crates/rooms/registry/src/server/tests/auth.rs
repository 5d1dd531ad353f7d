//! Passwords, tokens, and those who have neither.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci::{MediaType, Platform};

use crate::testing::{Served, client, manifest, send};
use crate::{Access, CallError, Keyring, Login, Options};

/// A file of passwords, hashed quickly: tests need no strength.
fn htpasswd(folder: &tempfile::TempDir, lines: &[(&str, &str)]) -> PathBuf {
    let path = folder.path().join("htpasswd");
    let line = |(user, password): &(&str, &str)| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
    std::fs::write(&path, lines.iter().map(line).collect::<String>()).unwrap();
    path
}

fn users(htpasswd: PathBuf, anonymous_pull: bool, tokens: bool) -> Options {
    Options {
        access: Access::Users { htpasswd, anonymous_pull, tokens, address: None },
        ..Options::default()
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn login(user: &str, password: &str) -> Login {
    Login::Password { user: user.into(), password: password.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_lets_in_who_has_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = htpasswd(&folder, &[("ann", "right")]);
    let served = Served::start(users(path, false, false)).await;
    let none = served.get("/v2/").await;
    assert_eq!((none.status.as_u16(), none.code().as_str()), (401, "UNAUTHORIZED"));
    assert!(none.header("www-authenticate").starts_with("Basic realm="));
    for (header, status) in [
        (basic("ann", "right"), 200),
        (basic("ann", "wrong"), 401),
        (basic("ann", "right"), 200),
        (basic("eve", "right"), 401),
        ("Basic ???".into(), 401),
        ("Bearer abc".into(), 401),
    ] {
        let came = served.send("GET", "/v2/", &[("authorization", &header)], b"").await;
        assert_eq!(came.status, status, "{header}");
    }
    assert_eq!(served.send("POST", "/v2/a/blobs/uploads/", &[], b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_passwords_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = htpasswd(&folder, &[("ann", "old")]);
    let served = Served::start(users(path.clone(), false, false)).await;
    let status = async |password: &str| {
        served.send("GET", "/v2/", &[("authorization", &basic("ann", password))], b"").await.status.as_u16()
    };
    assert_eq!(status("old").await, 200);
    htpasswd(&folder, &[("ann", "new")]);
    let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!((status("old").await, status("new").await), (401, 200));
    std::fs::write(&path, "ann:plain").unwrap();
    assert_eq!(status("new").await, 200, "a file that cannot be understood changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_allows_what_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(users(htpasswd(&folder, &[("ann", "right")]), false, true)).await;
    let came = served.get("/v2/a/manifests/x").await;
    let expected = format!(
        "Bearer realm=\"http://{0}/token\",service=\"{0}\",scope=\"repository:a:pull\"",
        served.address
    );
    assert_eq!(came.header("www-authenticate"), expected);
    let ask = async |scope: &str, header: &str| {
        let target = format!("/token?service=x&scope={scope}");
        served.send("GET", &target, &[("authorization", header)], b"").await
    };
    assert_eq!(ask("repository:a:pull", &basic("ann", "wrong")).await.status, 401);
    assert_eq!(served.get("/token?scope=repository:a:pull").await.status, 401);
    let token = ask("repository:a:pull", &basic("ann", "right")).await.json();
    assert_eq!(token["token"], token["access_token"]);
    assert!(token["expires_in"].as_u64().unwrap() >= 60);
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    for (method, target, status) in [
        ("GET", "/v2/", 200),
        ("GET", "/v2/a/manifests/x", 404),
        ("GET", "/v2/b/manifests/x", 401),
        ("POST", "/v2/a/blobs/uploads/", 401),
        ("GET", "/v2/_catalog", 401),
    ] {
        let came = served.send(method, target, &[("authorization", &bearer)], b"").await;
        assert_eq!(came.status, status, "{method} {target}");
    }
    let mut forged = bearer.clone();
    forged.replace_range(8..9, if &bearer[8..9] == "A" { "B" } else { "A" });
    assert_eq!(served.send("GET", "/v2/", &[("authorization", &forged)], b"").await.status, 401);
    let form = b"grant_type=password&username=ann&password=right&scope=repository:a:pull,push";
    let came = send(served.address, "POST", "/token", &[], form).await;
    let bearer = format!("Bearer {}", came.json()["access_token"].as_str().unwrap());
    assert_eq!(
        served.send("POST", "/v2/a/blobs/uploads/", &[("authorization", &bearer)], b"").await.status,
        202
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_signs_in_pushes_and_pulls_with_either() {
    for tokens in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::start(users(htpasswd(&folder, &[("ann", "right")]), tokens, tokens)).await;
        let (client, registry) = (client(), served.address.to_string());
        client.login(&registry, Some(login("ann", "right"))).await.unwrap();
        let wrong = client.login(&registry, Some(login("ann", "wrong"))).await.unwrap_err();
        assert!(matches!(&wrong, CallError::Refused { anonymous: false, .. }), "{wrong:?}");
        let reference = format!("{registry}/team/app:v1").parse().unwrap();
        let keys = Keyring::anonymous().with(&registry, login("ann", "right"));
        let repository = client.repository(&reference, keys);
        let file = folder.path().join("blob");
        std::fs::write(&file, b"{}").unwrap();
        let digest = oci::Digest::sha256(b"{}");
        repository.upload(&digest, 2, &file, &|_| {}).await.unwrap();
        let config = oci::Descriptor::new(MediaType::OciConfig, digest, 2);
        let bytes = serde_json::to_vec(&oci::Manifest::new(config, vec![])).unwrap();
        repository.put_manifest("v1", &MediaType::OciManifest, bytes.into()).await.unwrap();
        let nobody = client.repository(&reference, Keyring::anonymous());
        match tokens {
            true => drop(nobody.image("v1", &Platform::ours()).await.unwrap()),
            false => {
                let error = nobody.manifest("v1").await.unwrap_err();
                assert!(error.to_string().contains("without a login"), "{error}");
            }
        }
        let error = nobody.upload(&oci::Digest::sha256(b"{}x"), 3, &file, &|_| {}).await.unwrap_err();
        assert_eq!(base::Problem::kind(&error), base::Kind::Denied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_may_pull_where_everybody_may_and_mount_only_what_may_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = Served::start(Options::default()).await;
    open.image("a", "x", b"layer").await;
    let layer = manifest(&open, "a", b"layer").await;
    drop(layer);
    let served = open.restart(users(htpasswd(&folder, &[("ann", "right")]), true, false)).await;
    assert_eq!(served.get("/v2/").await.status, 401, "docker learns here how to ask");
    assert_eq!(served.get("/v2/a/manifests/x").await.status, 200);
    let token = served.get("/token?scope=repository:a:pull,push").await.json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    assert_eq!(served.send("GET", "/v2/a/manifests/x", &[("authorization", &bearer)], b"").await.status, 200);
    assert_eq!(
        served.send("DELETE", "/v2/a/manifests/x", &[("authorization", &bearer)], b"").await.status,
        401
    );
}

#[test]
fn passwords_of_another_kind_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, "# comment\n\nann:$apr1$x$y\n").unwrap();
    let Err(error) = crate::Registry::open(&folder.path().join("r"), users(path, false, false)) else {
        panic!("it opened")
    };
    assert!(error.to_string().starts_with("line 3 of"), "{error}");
}
