//! TLS: whom we trust, and where certificates lie.

use std::path::{Path, PathBuf};

use crate::testing::client_with;
use crate::{CallError, Client, Endpoint, Keyring, Options, Registry, Tls, serve};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/tests/certificates")
}

struct Secure {
    port: u16,
    _folder: tempfile::TempDir,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn secure() -> Secure {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path(), Options::default()).unwrap();
    let tls = Tls { certificate: here().join("server.pem"), key: here().join("server.key") };
    let serving = serve("127.0.0.1:0".parse().unwrap(), Some(&tls)).await.unwrap();
    let port = serving.address.port();
    let running = tokio::spawn(async move { serving.run(&registry, std::future::pending()).await.unwrap() });
    Secure { port, _folder: folder, running }
}

async fn asks(client: &Client, endpoint: &str) -> Result<(), CallError> {
    let repository = client.repository_at(Endpoint::named(endpoint, &[]), "a", Keyring::anonymous());
    repository.catalog().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_on_this_machine_may_have_a_certificate_that_nobody_signed() {
    let secure = secure().await;
    asks(&client_with(|_| {}), &format!("localhost:{}", secure.port)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_in_its_folder_is_trusted_for_a_registry_and_for_no_other() {
    let secure = secure().await;
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(format!("127.0.0.1:{}", secure.port));
    std::fs::create_dir(&own).unwrap();
    let client = || client_with(|settings| settings.certificates = folder.path().to_owned());
    std::fs::copy(here().join("ca.pem"), own.join("ca.crt")).unwrap();
    asks(&client(), &format!("127.0.0.1:{}", secure.port)).await.unwrap();
    std::fs::copy(here().join("server.pem"), own.join("ca.crt")).unwrap();
    let error = asks(&client(), &format!("127.0.0.1:{}", secure.port)).await.unwrap_err();
    assert!(matches!(error, CallError::Untrusted { .. } | CallError::Certificates { .. }), "{error:?}");
    std::fs::write(own.join("ca.crt"), "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n")
        .unwrap();
    let error = asks(&client(), &format!("127.0.0.1:{}", secure.port)).await.unwrap_err();
    assert!(matches!(error, CallError::Certificates { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_a_certificate_that_nobody_signed_is_not_trusted() {
    use crate::client::transport::{Call, Origin};
    let secure = secure().await;
    let client = client_with(|_| {});
    let origin = Origin::verified("127.0.0.1", secure.port);
    let call = Call::new(hyper::Method::GET, "/v2/");
    let error = client.0.transport.send(&origin, &call, None).await.err().unwrap();
    assert!(matches!(error, CallError::Untrusted { .. }), "{error:?}");
    assert!(base::Problem::hint(&error).unwrap().contains("ca.crt"));
}
