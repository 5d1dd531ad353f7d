//! TLS towards registries: whom we trust, and with what we show ourselves.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use trust::Trust;

use super::CallError;

/// Registries that a configuration is remembered for.
const REMEMBERED: usize = 256;

/// The configurations so far, by registry.
#[derive(Default)]
pub(super) struct Configurations {
    trust: Trust,
    known: Mutex<HashMap<(String, bool), Arc<ClientConfig>>>,
}

impl Configurations {
    /// The configuration towards a registry, whose folder of certificates is looked into once. With `anyone` its own
    /// certificate is not looked at, unless that folder says whom to trust.
    pub(super) fn of(
        &self,
        authority: &str,
        folder: &Path,
        anyone: bool,
    ) -> Result<Arc<ClientConfig>, CallError> {
        let key = (authority.to_owned(), anyone);
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let fresh = Arc::new(self.make(authority, &folder.join(authority), anyone)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, fresh.clone());
        Ok(fresh)
    }

    fn make(&self, authority: &str, folder: &Path, anyone: bool) -> Result<ClientConfig, CallError> {
        let wrong = |path: &Path, why: &dyn std::fmt::Display| CallError::Certificates {
            registry: authority.to_owned(),
            path: path.to_owned(),
            why: why.to_string(),
        };
        let own = Own::read(folder).map_err(|(path, why)| wrong(&path, &why))?;
        let builder = trust::client();
        let builder = if anyone && own.authorities.is_empty() {
            let anyone = Anyone(builder.crypto_provider().signature_verification_algorithms);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(anyone))
        } else {
            let mut roots = self.trust.roots().clone();
            for (path, certificate) in own.authorities {
                roots.add(certificate).map_err(|error| wrong(&path, &error))?;
            }
            builder.with_root_certificates(roots)
        };
        match own.ours {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| wrong(folder, &error))
            }
        }
    }
}

/// What lies in the folder of a registry: `*.crt` says whom to trust; `X.cert` and `X.key` are what we show.
#[derive(Default)]
struct Own {
    authorities: Vec<(PathBuf, CertificateDer<'static>)>,
    ours: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Own {
    fn read(folder: &Path) -> Result<Self, (PathBuf, String)> {
        let mut own = Self::default();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(own),
            entries => entries.map_err(|error| (folder.to_owned(), error.to_string()))?,
        };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for path in files {
            let told = |error: &dyn std::fmt::Display| (path.clone(), error.to_string());
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    let found = chain(&path).map_err(|error| told(&error))?;
                    own.authorities.extend(found.into_iter().map(|one| (path.clone(), one)));
                }
                Some("cert") if own.ours.is_none() => {
                    let key_path = path.with_extension("key");
                    let key = PrivateKeyDer::from_pem_file(&key_path);
                    let key = key.map_err(|error| (key_path.clone(), error.to_string()))?;
                    own.ours = Some((chain(&path).map_err(|error| told(&error))?, key));
                }
                Some(_) | None => {}
            }
        }
        Ok(own)
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// Trusts whoever answers. Only for hosts that the person named, and for this machine.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
