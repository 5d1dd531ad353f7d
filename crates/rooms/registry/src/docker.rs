//! Docker's own file of logins, `config.json`, and the programs that it leaves secrets to.
//!
//! What we do not know in the file stays in it. Programs are spoken to as docker does: `docker-credential-NAME` with
//! `get`, `store` or `erase`, and a document on its input and output.

mod helper;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::login::{Login, host};

/// What docker calls its own registry in this file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The user that stands for a token, as docker's programs say it.
const TOKEN_USER: &str = "<token>";

/// The longest file that is read.
const FILE_BYTES: u64 = 4 << 20;

/// Why logins could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// The file is there and cannot be read or written.
    #[error("could not {doing} the file of logins `{}`", path.display())]
    Disk {
        /// As in `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one of docker's.
    #[error("the file of logins `{}` cannot be understood", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// An entry is not what docker writes.
    #[error("the login for `{registry}` in `{}` cannot be understood", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        registry: String,
    },
    /// The program that keeps the secrets failed.
    #[error("`{program}`, which keeps the login for `{registry}`, failed: {why}")]
    Helper {
        /// The program.
        program: String,
        /// The entry.
        registry: String,
        /// What it said.
        why: String,
    },
}

impl Problem for DockerConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Kind::Denied,
            Self::Disk { .. } | Self::Helper { .. } => Kind::Unavailable,
            Self::Damaged { .. } | Self::Entry { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { .. } => None,
            Self::Damaged { .. } | Self::Entry { .. } => {
                Some("mend the file, or move it away and sign in again with `sea login`".into())
            }
            Self::Helper { program, .. } => Some(format!(
                "see that `{program}` can be run; `credsStore` and `credHelpers` in docker's `config.json` name it"
            )),
        }
    }
}

/// Docker's file of logins.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    path: PathBuf,
    document: Document,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Document {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore", skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers", skip_serializing_if = "BTreeMap::is_empty")]
    helpers: BTreeMap<String, String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    auth: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    password: String,
    #[serde(default, rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    identity_token: String,
    #[serde(default, rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    registry_token: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl DockerConfig {
    /// Reads the file; one that is not there holds nothing.
    pub fn read(path: &Path) -> Result<Self, DockerConfigError> {
        let failed = |source| DockerConfigError::Disk { doing: "read", path: path.into(), source };
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
            Ok(about) if about.len() > FILE_BYTES => {
                return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 4 MiB")));
            }
            Ok(_) => std::fs::read_to_string(path).map_err(failed)?,
        };
        let document = if text.trim().is_empty() {
            Document::default()
        } else {
            serde_json::from_str(&text)
                .map_err(|source| DockerConfigError::Damaged { path: path.into(), source })?
        };
        Ok(Self { path: path.into(), document })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The login for a registry, named as in an image's reference: from the program that keeps it, else from the file.
    pub async fn login(&self, registry: &str) -> Result<Option<Login>, DockerConfigError> {
        let (key, wanted) = (key_of(registry), host(registry));
        if let Some(program) = self.helper(&wanted) {
            return helper::get(program, &key).await;
        }
        let Some((name, entry)) = self.document.auths.iter().find(|(name, _)| host(name) == wanted) else {
            return Ok(None);
        };
        let broken = || DockerConfigError::Entry { path: self.path.clone(), registry: name.clone() };
        entry.login().map_err(|()| broken())
    }

    /// Keeps a login, where docker would: with the program for this registry, else in the file. Answers where.
    pub async fn store(&mut self, registry: &str, login: &Login) -> Result<String, DockerConfigError> {
        let (key, wanted) = (key_of(registry), host(registry));
        let program = self.helper(&wanted).map(str::to_owned);
        self.document.auths.retain(|name, _| host(name) != wanted);
        match &program {
            Some(program) => {
                helper::store(program, &key, login).await?;
                // Docker lists who is signed in, without the secret.
                self.document.auths.insert(key, Entry::default());
            }
            None => drop(self.document.auths.insert(key, Entry::of(login))),
        }
        self.write()?;
        Ok(program.map_or_else(|| self.path.display().to_string(), |program| helper::name(&program)))
    }

    /// Forgets a login; tells whether there was one.
    pub async fn erase(&mut self, registry: &str) -> Result<bool, DockerConfigError> {
        let (key, wanted) = (key_of(registry), host(registry));
        let before = self.document.auths.len();
        self.document.auths.retain(|name, _| host(name) != wanted);
        let mut known = self.document.auths.len() < before;
        if let Some(program) = self.helper(&wanted) {
            known |= helper::get(program, &key).await.is_ok_and(|login| login.is_some());
            helper::erase(program, &key).await?;
        }
        if self.document.auths.len() < before {
            self.write()?;
        }
        Ok(known)
    }

    fn helper(&self, wanted: &str) -> Option<&str> {
        let own = self.document.helpers.iter().find(|(name, _)| host(name) == wanted);
        let name = own.map(|(_, program)| program).or(self.document.store.as_ref())?;
        (!name.is_empty()).then_some(name.as_str())
    }

    /// Replaces the file as a whole; only its owner may read it.
    fn write(&self) -> Result<(), DockerConfigError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |source| DockerConfigError::Disk { doing: "write", path: self.path.clone(), source };
        // A file that is a link stays one.
        let target = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = target.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let text = serde_json::to_string_pretty(&self.document).map_err(io::Error::other).map_err(failed)?;
        let beside = folder.join(format!(".config.json.{}", std::process::id()));
        let options =
            std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside);
        let written = options.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&beside, &target)
        });
        written.map_err(|error| {
            // What was written beside it is of no use to anybody.
            let _ = std::fs::remove_file(&beside);
            failed(error)
        })
    }
}

impl Entry {
    fn of(login: &Login) -> Self {
        match login {
            Login::Password { user, password } => {
                Self { auth: STANDARD.encode(format!("{user}:{password}")), ..Self::default() }
            }
            Login::Identity { user, token } => Self {
                auth: STANDARD.encode(format!("{user}:")),
                identity_token: token.clone(),
                ..Self::default()
            },
            Login::Registry { token } => Self { registry_token: token.clone(), ..Self::default() },
        }
    }

    fn login(&self) -> Result<Option<Login>, ()> {
        if !self.registry_token.is_empty() {
            return Ok(Some(Login::Registry { token: self.registry_token.clone() }));
        }
        let (mut user, mut password) = (self.username.clone(), self.password.clone());
        if !self.auth.is_empty() {
            let decoded = STANDARD.decode(self.auth.trim()).map_err(|_| ())?;
            let text = String::from_utf8(decoded).map_err(|_| ())?;
            let (name, secret) = text.split_once(':').ok_or(())?;
            user = name.to_owned();
            // Docker's own writer once padded it so.
            password = secret.trim_matches('\0').to_owned();
        }
        if !self.identity_token.is_empty() {
            return Ok(Some(Login::Identity { user, token: self.identity_token.clone() }));
        }
        if user.is_empty() && password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Login::Password { user, password }))
    }
}

/// What docker calls a registry in this file and to its programs.
fn key_of(registry: &str) -> String {
    let host = host(registry);
    if host == "docker.io" { DOCKER_HUB.into() } else { host }
}

#[cfg(test)]
mod tests;
