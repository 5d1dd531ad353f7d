//! `acme/` on the disk: accounts, and certificates with their keys, each a file for its owner alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::Account;
use crate::error::AcmeError;
use crate::keys::{AccountKey, pem, sha256};

const VERSION: u32 = 1;

/// An account.
#[derive(Debug, Serialize, Deserialize)]
struct AccountRecord {
    version: u32,
    directory: String,
    kid: Option<String>,
    key: String,
}

/// A certificate, or how often it did not come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) names: Vec<String>,
    /// The chain and the key in PEM; empty until it is issued.
    #[serde(default)]
    pub(crate) chain: String,
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) failures: u32,
    #[serde(default)]
    pub(crate) pause_until_secs: u64,
    /// Why the last order came to nothing.
    #[serde(default)]
    pub(crate) why: Option<String>,
}

impl Record {
    pub(crate) fn missing(names: &[String]) -> Self {
        Self { version: VERSION, names: names.to_vec(), ..Self::default() }
    }
}

/// The folder.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Makes the folder if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, AcmeError> {
        let files = Self { folder: folder.to_path_buf() };
        let certificates = files.certificates();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&certificates);
        made.map_err(|source| AcmeError::Folder { path: certificates, source })?;
        Ok(files)
    }

    fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    /// The account with this authority; a new key for one that there is not.
    pub(crate) fn account(&self, directory: &str) -> Result<Account, AcmeError> {
        let path = self.account_path(directory);
        let record: Option<AccountRecord> = read(&path)?;
        if let Some(record) = record {
            let key = PrivatePkcs8KeyDer::from_pem_slice(record.key.as_bytes()).ok();
            let key = key.and_then(|der| AccountKey::read(der.secret_pkcs8_der())).ok_or_else(|| {
                let source = io::Error::new(io::ErrorKind::InvalidData, "it holds no key of P-256");
                AcmeError::Folder { path: path.clone(), source }
            })?;
            return Ok(Account { key, kid: record.kid });
        }
        let (key, der) = AccountKey::generate()?;
        let key_text = pem("PRIVATE KEY", &der);
        // Before the authority hears of it, or a crash would leave an account that nobody can speak for.
        let record =
            AccountRecord { version: VERSION, directory: directory.into(), kid: None, key: key_text };
        write(&path, &record)?;
        Ok(Account { key, kid: None })
    }

    /// Notes the account's URL, or that the authority does not know it any more.
    pub(crate) fn note_account(&self, directory: &str, kid: Option<&str>) -> Result<(), AcmeError> {
        let path = self.account_path(directory);
        if let Some(record) = read::<AccountRecord>(&path)? {
            write(&path, &AccountRecord { kid: kid.map(str::to_owned), ..record })?;
        }
        Ok(())
    }

    fn account_path(&self, directory: &str) -> PathBuf {
        self.folder.join(format!("account-{}.json", mark(directory.as_bytes())))
    }

    /// All certificates. A file that cannot be read is passed over, and written anew when its certificate is issued.
    pub(crate) fn all(&self) -> Result<Vec<Record>, AcmeError> {
        let folder = self.certificates();
        let entries = fs::read_dir(&folder).map_err(|source| AcmeError::Folder { path: folder, source })?;
        let mut records = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read::<Record>(&path) {
                Ok(Some(record)) if record.version == VERSION => records.push(record),
                Ok(_) => {}
                Err(error) => tracing::warn!("a certificate is ordered anew: {}", base::Report::of(&error)),
            }
        }
        Ok(records)
    }

    pub(crate) fn put(&self, record: &Record) -> Result<(), AcmeError> {
        write(&self.path_of(&record.names), record)
    }

    pub(crate) fn remove(&self, names: &[String]) {
        // One that stays is removed by the next start.
        let _ = fs::remove_file(self.path_of(names));
    }

    fn path_of(&self, names: &[String]) -> PathBuf {
        self.certificates().join(format!("{}.json", mark(names.join(" ").as_bytes())))
    }
}

/// A name for a file.
fn mark(of: &[u8]) -> String {
    sha256(of).as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AcmeError> {
    let failed = |source| AcmeError::Folder { path: path.to_path_buf(), source };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file that is there whole or not at all.
fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), AcmeError> {
    let put = || -> io::Result<()> {
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        base::crash::point("acme: file written");
        fs::rename(&fresh, path)?;
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    put().map_err(|source| AcmeError::Folder { path: path.to_path_buf(), source })
}
