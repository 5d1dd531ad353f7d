//! Tests of docker's file of logins: what docker writes is read, and what is not ours stays.

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

fn config(text: &str) -> (tempfile::TempDir, DockerConfig) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    let read = DockerConfig::read(&path).unwrap();
    (dir, read)
}

fn password(user: &str, password: &str) -> Login {
    Login::Password { user: user.into(), password: password.into() }
}

#[tokio::test]
async fn what_docker_writes_is_read() {
    let (_dir, config) = config(
        r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YW5uOnM6M2NyZXQ="},
            "r.example:5000": {"auth": "Ym9iOg==", "identitytoken": "abc"},
            "https://old.example/v2/": {"username": "eve", "password": "pw"},
            "t.example": {"registrytoken": "xyz"},
            "empty.example": {},
            "bad.example": {"auth": "***"}
        }}"#,
    );
    let login = async |registry: &str| config.login(registry).await;
    assert_eq!(login("docker.io").await.unwrap(), Some(password("ann", "s:3cret")));
    let identity = Login::Identity { user: "bob".into(), token: "abc".into() };
    assert_eq!(login("r.example:5000").await.unwrap(), Some(identity));
    assert_eq!(login("old.example").await.unwrap(), Some(password("eve", "pw")));
    assert_eq!(login("t.example").await.unwrap(), Some(Login::Registry { token: "xyz".into() }));
    assert_eq!(login("empty.example").await.unwrap(), None);
    assert_eq!(login("r.example").await.unwrap(), None);
    assert!(matches!(login("bad.example").await, Err(DockerConfigError::Entry { .. })));
}

#[tokio::test]
async fn a_login_is_kept_and_forgotten_and_the_rest_of_the_file_stays() {
    let (_dir, mut config) =
        config(r#"{"HttpHeaders": {"X": "1"}, "auths": {"other.example": {"auth": "YTpi", "email": "e"}}}"#);
    config.store("docker.io", &password("ann", "pw")).await.unwrap();
    let path = config.path().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("HttpHeaders") && text.contains("\"email\""), "{text}");
    let mut again = DockerConfig::read(&path).unwrap();
    assert_eq!(again.login("docker.io").await.unwrap(), Some(password("ann", "pw")));
    assert!(again.erase("index.docker.io").await.unwrap());
    assert!(!again.erase("docker.io").await.unwrap());
    let last = DockerConfig::read(&path).unwrap();
    assert_eq!(last.login("docker.io").await.unwrap(), None);
    assert_eq!(last.login("other.example").await.unwrap(), Some(password("a", "b")));
}

#[tokio::test]
async fn a_helper_that_cannot_be_run_is_named() {
    let (_dir, config) = config(r#"{"credHelpers": {"r.example": "no-such-helper"}, "credsStore": "../x"}"#);
    let error = config.login("r.example").await.unwrap_err();
    assert!(error.to_string().contains("docker-credential-no-such-helper"), "{error}");
    let error = config.login("other.example").await.unwrap_err();
    assert!(error.to_string().contains("slash"), "{error}");
}

#[test]
fn a_file_that_is_none_is_told_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    assert!(DockerConfig::read(&path).is_ok());
    std::fs::write(&path, "{\"auths\": [").unwrap();
    assert!(matches!(DockerConfig::read(&path), Err(DockerConfigError::Damaged { .. })));
}

proptest! {
    #[test]
    fn a_login_that_we_write_is_read(user in "[^:\0]{1,20}", secret in "[^\0]{0,20}") {
        let login = password(&user, &secret);
        prop_assert_eq!(Entry::of(&login).login(), Ok(Some(login)));
    }

    #[test]
    fn any_text_ends(text in "\\PC{0,200}") {
        let _ = serde_json::from_str::<Document>(&text).map(|document| {
            document.auths.values().map(Entry::login).count()
        });
    }
}
