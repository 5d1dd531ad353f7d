//! A certificate authority of our own for local names, which no public one signs for.
//!
//! Owns `edge/authority/`: `root.key`, which its owner alone can read, `root.pem`, which people add to what their
//! browsers trust, and `root.json`. The root may sign for nothing but local names and addresses, and says so itself: who
//! trusts it trusts it for no name of the internet. Names without a dot cannot be told by a pattern, so the root lists
//! those that requests are routed by; with a new one the root is written anew, with the same key. Certificates of hosts
//! are made when they are first asked for, and live in memory only.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Kind, Problem};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

/// Names that are local with everything below them: RFC 6761, RFC 6762, and what ICANN keeps for private use.
const SUFFIXES: [&str; 4] = ["localhost", "test", "internal", "local"];
const DAY: u64 = 24 * 3600;
/// The life of a root.
const ROOT_LIFE: u64 = 3652 * DAY;
/// A root with less left is replaced; nobody's browser trusts the new one then, but it does not trust the old one either.
const ROOT_LEFT: u64 = 90 * DAY;
/// The life of a host's certificate.
const LEAF_LIFE: u64 = 60 * DAY;
/// Before its end by so much, a new one is made.
const LEAF_LEFT: u64 = 20 * DAY;
/// Clocks of clients may be slow by so much.
const SKEW: u64 = 3600;
/// Names without a dot that the root lists.
const DOTLESS: usize = 256;
/// The version of `root.json`.
const VERSION: u32 = 1;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("could not use `{}`", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("`{}` holds no key", path.display())]
    NoKey { path: PathBuf },
    #[error("`{name}` is no local name")]
    NotLocal { name: String },
    #[error("could not sign a certificate")]
    Sign { source: rcgen::Error },
}

impl Problem for AuthorityError {
    fn kind(&self) -> Kind {
        match self {
            Self::Folder { .. } => Kind::Unavailable,
            Self::NoKey { .. } | Self::NotLocal { .. } => Kind::Invalid,
            Self::Sign { .. } => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoKey { path } => {
                Some(format!("remove `{}`, and a new authority is made", path.with_file_name("").display()))
            }
            Self::Folder { .. } | Self::NotLocal { .. } | Self::Sign { .. } => None,
        }
    }
}

/// `root.json`: what the root's certificate is made from beside its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    version: u32,
    made_at_secs: u64,
    /// Names without a dot.
    names: BTreeSet<String>,
}

/// The authority of one root folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    made: Made,
}

/// A certificate for a host.
pub(crate) struct Leaf {
    pub(crate) key: Arc<CertifiedKey>,
    /// In seconds since 1970: from then on a new one is to be made.
    pub(crate) renew_at: u64,
}

/// Whether the name is one that the authority may sign for, by its form alone.
pub(crate) fn is_local(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    !name.contains('.') || SUFFIXES.contains(&last) || name.parse::<IpAddr>().is_ok()
}

impl Authority {
    /// Reads the authority in this folder, or makes it; sees to it that it may sign for these names.
    pub(crate) fn open(folder: &Path, names: &BTreeSet<String>, now: u64) -> Result<Self, AuthorityError> {
        let failed = |source| AuthorityError::Folder { path: folder.to_path_buf(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let before = fs::read(folder.join("root.json")).ok();
        let before = before.and_then(|bytes| serde_json::from_slice::<Made>(&bytes).ok());
        let fresh = before.filter(|made| {
            made.version == VERSION
                && made.made_at_secs <= now
                && now + ROOT_LEFT < made.made_at_secs + ROOT_LIFE
        });
        let known = fresh.is_some() && folder.join("root.pem").exists();
        let mut made =
            fresh.unwrap_or_else(|| Made { version: VERSION, made_at_secs: now, ..Made::default() });
        let listed = made.names.len();
        let room = DOTLESS.saturating_sub(listed);
        made.names.extend(names.iter().filter(|name| !SUFFIXES.contains(&name.as_str())).take(room).cloned());
        let key = key(folder)?;
        let params = root_params(&made, &key);
        if !known || made.names.len() != listed {
            let root = params.self_signed(&key).map_err(|source| AuthorityError::Sign { source })?;
            let json = serde_json::to_vec(&made).map_err(|error| failed(error.into()))?;
            put(folder, "root.pem", pem("CERTIFICATE", root.der()).as_bytes(), 0o644).map_err(failed)?;
            put(folder, "root.json", &json, 0o600).map_err(failed)?;
        }
        Ok(Self { issuer: Issuer::new(params, key), made })
    }

    /// Whether it may sign for all of these.
    pub(crate) fn covers(&self, names: &BTreeSet<String>) -> bool {
        self.made.names.len() >= DOTLESS || names.iter().all(|name| self.may_sign(name))
    }

    fn may_sign(&self, name: &str) -> bool {
        is_local(name)
            && (name.contains(['.', ':']) || SUFFIXES.contains(&name) || self.made.names.contains(name))
    }

    /// A certificate for this name or address.
    pub(crate) fn sign(&self, name: &str, now: u64) -> Result<Leaf, AuthorityError> {
        if !self.may_sign(name) {
            return Err(AuthorityError::NotLocal { name: name.into() });
        }
        self.sign_meanwhile(name, now)
    }

    /// The same for a name that it may not sign for: for a host whose certificate is still to be issued.
    pub(crate) fn sign_meanwhile(&self, name: &str, now: u64) -> Result<Leaf, AuthorityError> {
        let failed = |source| AuthorityError::Sign { source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.to_owned().try_into().map_err(failed)?),
        }];
        live(&mut params, now, LEAF_LIFE);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // It was made a moment ago and is of this kind.
        let key = any_ecdsa_type(&der).map_err(|_| failed(rcgen::Error::KeyGenerationUnavailable))?;
        let key = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        Ok(Leaf { key, renew_at: now + LEAF_LIFE - LEAF_LEFT })
    }
}

/// Sets the life of a certificate, in seconds since 1970; clocks of clients may be slow.
fn live(params: &mut CertificateParams, from: u64, life: u64) {
    let begin = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = begin + Duration::from_secs(from.saturating_sub(SKEW));
    params.not_after = begin + Duration::from_secs(from + life);
}

/// The key of the root; made when there is none.
fn key(folder: &Path) -> Result<KeyPair, AuthorityError> {
    let path = folder.join("root.key");
    let failed = |source| AuthorityError::Folder { path: path.clone(), source };
    match fs::read(&path) {
        Ok(text) => {
            let none = || AuthorityError::NoKey { path: path.clone() };
            let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| none())?;
            KeyPair::try_from(&der).map_err(|_| none())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(|source| AuthorityError::Sign { source })?;
            put(folder, "root.key", pem("PRIVATE KEY", &key.serialize_der()).as_bytes(), 0o600)
                .map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

/// What the root's certificate says.
fn root_params(made: &Made, key: &KeyPair) -> CertificateParams {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key_raw());
    // Roots of several machines in one browser are told apart by it.
    let mark: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Seaworthy");
    params.distinguished_name.push(DnType::CommonName, format!("Seaworthy local names {mark}"));
    live(&mut params, made.made_at_secs, ROOT_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let names = SUFFIXES.iter().map(|name| (*name).to_owned()).chain(made.names.iter().cloned());
    let addresses = [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: names
            .map(GeneralSubtree::DnsName)
            .chain(addresses.map(GeneralSubtree::IpAddress))
            .collect(),
        excluded_subtrees: Vec::new(),
    });
    params
}

/// Writes a file that is there whole or not at all.
fn put(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(name))
}

/// The text form of DER.
fn pem(label: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests;
