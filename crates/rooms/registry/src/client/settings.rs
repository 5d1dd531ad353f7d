//! How the client behaves: bounds of time, mirrors, and where certificates lie.

use std::path::PathBuf;
use std::time::Duration;

use base::{Kind, Problem};

/// How the client behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses asked before docker's own registry, as in `https://mirror.example`.
    pub mirrors: Vec<String>,
    /// Hosts, with or without port, that may lack TLS or have a certificate that nobody signed.
    pub insecure: Vec<String>,
    /// The folder with a folder `HOST[:PORT]` of certificates a registry, as docker has it.
    pub certificates: PathBuf,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// How often a call is made again that failed for a reason that may pass.
    pub retries: u32,
    /// How we call ourselves.
    pub agent: String,
}

/// How long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Until an answer begins to the last word of an upload: the registry may look through all of it first.
    pub commit: Duration,
    /// Without a byte in the middle of an answer or of an upload.
    pub stall: Duration,
    /// Before a call is made again; it doubles each time.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            certificates: "/etc/docker/certs.d".into(),
            timeouts: Timeouts::default(),
            retries: 3,
            agent: format!("sea/{}", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(60),
            commit: Duration::from_secs(300),
            stall: Duration::from_secs(30),
            pause: Duration::from_millis(250),
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is no address.
    #[error("`{0}` is not the address of a mirror")]
    Mirror(String),
}

impl Problem for SettingsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Mirror(_) => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Mirror(_) => {
                Some("write it as in `https://mirror.example` or `http://127.0.0.1:5000`".into())
            }
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let is_address = |text: &String| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            rest.is_some_and(|rest| {
                let authority = rest.trim_end_matches('/');
                !authority.is_empty() && !authority.contains(['/', '@', '?', '#', ' '])
            })
        };
        match self.mirrors.iter().find(|mirror| !is_address(mirror)) {
            Some(mirror) => Err(SettingsError::Mirror(mirror.clone())),
            None => Ok(()),
        }
    }
}
