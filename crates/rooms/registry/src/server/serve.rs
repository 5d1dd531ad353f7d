//! Serving on a TCP listener, with TLS or without, until it is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use base::{Kind, Problem};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Registry;

/// Handshakes that may be under way.
const HANDSHAKES: usize = 128;

/// How long one may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate, and its key.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// The key, in PEM.
    pub key: PathBuf,
}

/// A registry that is being served.
pub struct Serving {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    /// Where it answers.
    pub address: SocketAddr,
}

/// Why a registry cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else has the address, or we may not have it.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or the key cannot be used.
    #[error("the certificate in `{}` cannot be used: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It ended.
    #[error("the registry stopped serving")]
    Ended(#[source] io::Error),
}

impl Problem for ServeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Listen { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => Kind::Conflict,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Unavailable,
            },
            Self::Certificate { .. } => Kind::Invalid,
            Self::Ended(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { .. } => Some("name another address with `--listen`".into()),
            Self::Certificate { .. } => Some("give a chain and its key in PEM".into()),
            Self::Ended(_) => None,
        }
    }
}

/// Listens on an address.
pub async fn serve(address: SocketAddr, tls: Option<&Tls>) -> Result<Serving, ServeError> {
    let tls = tls.map(acceptor).transpose()?;
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Serving { listener, tls, address })
}

impl Serving {
    /// Answers for a registry until `stop` is done and what is under way then has ended.
    pub async fn run(
        self,
        registry: &Registry,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let router = registry.router();
        let served = match self.tls {
            None => axum::serve(NoDelay(self.listener), router).with_graceful_shutdown(stop).await,
            Some(acceptor) => {
                let listener = Handshakes::begin(self.listener, acceptor, self.address);
                axum::serve(listener, router).with_graceful_shutdown(stop).await
            }
        };
        served.map_err(ServeError::Ended)
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| ServeError::Certificate {
        path: path.into(),
        why: why.to_string(),
    };
    let path = &tls.certificate;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|e| wrong(path, &e))?.collect();
    let chain = chain.map_err(|error| wrong(path, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| wrong(&tls.key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(path, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(path, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connections whose answers are sent at once.
struct NoDelay(TcpListener);

impl Listener for NoDelay {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Waiting for more of an answer only takes time.
        let _ = stream.set_nodelay(true);
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Connections that speak TLS. One that takes its time with the handshake keeps nobody else waiting.
struct Handshakes {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    accepting: tokio::task::AbortHandle,
}

impl Handshakes {
    fn begin(listener: TcpListener, acceptor: TlsAcceptor, address: SocketAddr) -> Self {
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        let accepting = tokio::spawn(async move {
            let mut listener = NoDelay(listener);
            let turns = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
            loop {
                let Ok(turn) = turns.clone().acquire_owned().await else { return };
                let (stream, address) = listener.accept().await;
                let (sender, acceptor) = (sender.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        // The server may have stopped meanwhile.
                        let _ = sender.send((stream, address)).await;
                    }
                    drop(turn);
                });
            }
        });
        Self { ready, address, accepting: accepting.abort_handle() }
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for Handshakes {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsStream<TcpStream>, SocketAddr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
