//! Whom we believe: a server at the other end of a pipe, with a certificate that vouches for itself.

use std::io::ErrorKind;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Trust;

#[tokio::test]
async fn a_server_is_believed_by_its_name_and_by_who_vouches_for_it() {
    check("here.example", Vouched::Yes, "here.example", Ok(())).await;
    check("127.0.0.1", Vouched::Yes, "127.0.0.1", Ok(())).await;
    check("here.example", Vouched::Yes, "there.example", Err(ErrorKind::InvalidData)).await;
    check("here.example", Vouched::No, "here.example", Err(ErrorKind::InvalidData)).await;
    check("here.example", Vouched::Yes, "no name", Err(ErrorKind::Other)).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouched {
    Yes,
    No,
}

/// Connects to the server of this name as if it were `asked`.
async fn check(name: &str, vouched: Vouched, asked: &str, expected: Result<(), ErrorKind>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let mut roots = RootCertStore::empty();
    if vouched == Vouched::Yes {
        roots.add(certificate.der().clone()).expect("a certificate");
    }
    let trust = Trust { roots: roots.into(), ..Trust::default() };
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a certificate and its key");
    let (near, far) = tokio::io::duplex(16 << 10);
    let accepting = TlsAcceptor::from(Arc::new(server)).accept(far);
    // What the server says of it is its own matter.
    let (shown, _) = tokio::join!(trust.connect(asked, near), accepting);
    assert_eq!(shown.map(drop).map_err(|error| error.kind()), expected, "`{name}`, {vouched:?}, `{asked}`");
}
