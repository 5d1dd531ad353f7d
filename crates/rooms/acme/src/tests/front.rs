//! A front that shows what it is told, over HTTP and TLS.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use base::Report;
use plan::tls::{Certificate, Issued};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use tokio::sync::Notify;

use crate::{BoxFuture, Front};

/// What the tests look at.
pub(super) struct TestFront {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    wanted: Mutex<BTreeSet<Vec<String>>>,
    issued: Mutex<Issued>,
    changed: Notify,
    looked: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestFront {
    pub(super) fn start() -> Arc<Self> {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (http, https) = (bind(), bind());
        let front = Arc::new(Self {
            http: http.local_addr().expect("an address"),
            https: https.local_addr().expect("an address"),
            wanted: Mutex::default(),
            issued: Mutex::default(),
            changed: Notify::new(),
            looked: Notify::new(),
        });
        for (listener, serve) in [(http, Self::answer as fn(&Self, TcpStream)), (https, Self::shake)] {
            let front = front.clone();
            std::thread::spawn(move || {
                listener.incoming().flatten().for_each(|stream| serve(&front, stream))
            });
        }
        front
    }

    /// What is to be issued from now on.
    pub(super) fn want(&self, lists: &[&[&str]]) {
        let list = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        *lock(&self.wanted) = lists.iter().map(list).collect();
        self.nudge();
    }

    pub(super) fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Waits until the keeper has looked again.
    pub(super) async fn nudged(&self) {
        for _ in 0..2 {
            self.looked.notified().await;
            self.nudge();
        }
    }

    pub(super) fn shown(&self) -> Vec<Certificate> {
        lock(&self.issued).certificates.clone()
    }

    /// How many proofs are shown.
    pub(super) fn proofs(&self) -> usize {
        let issued = lock(&self.issued);
        issued.answers.len() + issued.proofs.len()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut buf = [0; 4096];
        let count = stream.read(&mut buf).unwrap_or(0);
        let text = String::from_utf8_lossy(&buf[..count]).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
        let answer = lock(&self.issued).answers.get(token).cloned();
        let status = if answer.is_some() { "200 OK" } else { "404 Not Found" };
        let _ =
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n{}", answer.unwrap_or_default()).as_bytes());
    }

    /// Shows the first proof there is.
    fn shake(&self, mut stream: TcpStream) {
        let Some(proof) = lock(&self.issued).proofs.first().cloned() else { return };
        let chain = CertificateDer::pem_slice_iter(proof.chain.as_bytes()).flatten().collect();
        let key = PrivateKeyDer::from_pem_slice(proof.key.0.as_bytes()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_no_client_auth();
        let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key");
        // One with an extension that no other client is to understand.
        let both = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let mut config = config.with_cert_resolver(Arc::new(both));
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let mut session = ServerConnection::new(Arc::new(config)).expect("a session");
        while session.is_handshaking() && session.complete_io(&mut stream).is_ok() {}
    }
}

impl Front for TestFront {
    fn wanted(&self) -> BoxFuture<'_, BTreeSet<Vec<String>>> {
        self.looked.notify_one();
        Box::pin(async { lock(&self.wanted).clone() })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.changed.notified())
    }

    fn show(&self, issued: Issued) -> BoxFuture<'_, Result<(), Report>> {
        *lock(&self.issued) = issued;
        Box::pin(async { Ok(()) })
    }
}
