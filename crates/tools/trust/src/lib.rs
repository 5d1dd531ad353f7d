//! Whom this machine trusts to vouch for servers, as TLS asks before anything is sent to one.
//!
//! These are the authorities of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. They are read when
//! they are first needed, and kept.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The authorities of this machine.
#[derive(Default)]
pub struct Trust {
    roots: OnceLock<RootCertStore>,
    usual: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    /// Has the server at the other end prove that it is this host; we show nothing of our own.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let make = || Arc::new(client().with_root_certificates(self.roots().clone()).with_no_client_auth());
        connect(self.usual.get_or_init(make).clone(), host, stream).await
    }

    /// Their certificates. One that does not read is passed over, as everywhere.
    pub fn roots(&self) -> &RootCertStore {
        self.roots.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!("a certificate of this machine cannot be read: {error}");
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            roots
        })
    }
}

/// A client that is yet to be told whom to trust and what to show.
pub fn client() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for each version of TLS")
}

/// Has the server at the other end prove that it is this host: a name, or an address without brackets.
pub async fn connect<S>(config: Arc<ClientConfig>, host: &str, stream: S) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

#[cfg(test)]
mod tests;
