//! What can go wrong with an authority.

use std::io;
use std::path::PathBuf;

use base::{Kind, Problem, Timestamp};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// Nobody answers there.
    #[error("could not reach the authority at `{url}`: {why}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// It says no, by a problem document (RFC 7807).
    #[error("the authority refuses: {detail} ({kind})")]
    Refused {
        /// The type without its prefix, as in `rateLimited`.
        kind: String,
        /// Its words.
        detail: String,
        /// When it may be asked again, in seconds.
        patience: Option<u64>,
    },
    /// It could not see that a host is ours.
    #[error("the authority could not see that `{host}` is served here ({challenge}): {detail}")]
    Unproven {
        /// The host.
        host: String,
        /// How it looked.
        challenge: String,
        /// Its words.
        detail: String,
    },
    /// Its words make no sense.
    #[error("the authority at `{url}` does not speak ACME as RFC 8555 has it: {why}")]
    Nonsense {
        /// What was asked for.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It takes too long.
    #[error("the authority did not get done within {secs} s: {doing}")]
    Slow {
        /// What was waited for.
        doing: &'static str,
        /// How long.
        secs: u64,
    },
    /// Nothing is ordered before the terms are agreed to.
    #[error("the terms of the authority are not agreed to")]
    NotAgreed,
    /// It wants an account that is bound to another.
    #[error("the authority wants an account that is bound to one that you have with it")]
    NotBound,
    /// What it issued is not what was asked for.
    #[error("what the authority issued cannot be used: {why}")]
    Unusable {
        /// What is wrong.
        why: String,
    },
    /// The folder does not do.
    #[error("could not use `{}`", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The edge does not show it.
    #[error("the edge does not show what the authority is to see: {why}")]
    NotShown {
        /// The reason.
        why: String,
    },
    /// There are no keys.
    #[error("no key could be made")]
    NoKey,
}

impl AcmeError {
    /// When to try again, if the authority says so.
    pub(crate) fn patience(&self) -> Option<u64> {
        match self {
            Self::Refused { patience, .. } => *patience,
            _ => None,
        }
    }

    /// Whether the authority counts it as a try.
    pub(crate) fn is_counted(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::NotAgreed | Self::NotBound | Self::Folder { .. })
    }

    /// Whether it is about us and not about one certificate, so that the others need not be tried now.
    pub(crate) fn is_general(&self) -> bool {
        match self {
            Self::Refused { kind, .. } => kind == "rateLimited",
            Self::Unreachable { .. } | Self::NotAgreed | Self::NotBound | Self::Folder { .. } => true,
            Self::Unproven { .. }
            | Self::Nonsense { .. }
            | Self::Slow { .. }
            | Self::Unusable { .. }
            | Self::NotShown { .. }
            | Self::NoKey => false,
        }
    }
}

impl Problem for AcmeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Folder { .. } | Self::NotShown { .. } => {
                Kind::Unavailable
            }
            Self::Refused { .. } | Self::NotAgreed | Self::NotBound => Kind::Denied,
            Self::Unproven { .. } => Kind::Invalid,
            Self::Nonsense { .. } | Self::Unusable { .. } | Self::NoKey => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAgreed => Some("read them, and start the daemon with `--acme-agree`".into()),
            Self::NotBound => Some("start the daemon with `--acme-eab-kid` and `--acme-eab-key-file`".into()),
            Self::Unproven { host, challenge, .. } => {
                let port = if challenge == "tls-alpn-01" { 443 } else { 80 };
                Some(format!("`{host}` must lead to this machine, with port {port} open to the authority"))
            }
            Self::Unreachable { .. } => {
                Some("for an authority of your own set SSL_CERT_FILE for the daemon to its root".into())
            }
            Self::Refused { .. }
            | Self::Nonsense { .. }
            | Self::Slow { .. }
            | Self::Unusable { .. }
            | Self::Folder { .. }
            | Self::NotShown { .. }
            | Self::NoKey => None,
        }
    }
}

/// Why an order that came to nothing is not made again at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// Nothing is asked of an authority.
    #[error("the terms of the authority are not agreed to")]
    NotAgreed,
    /// Nobody wants a certificate by an authority for it.
    #[error("no certificate by an authority is wanted for `{host}`")]
    Unknown {
        /// What was named.
        host: String,
    },
    /// There is a certificate, and nothing is wrong with it.
    #[error("the certificate for `{names}` is good until {until}, and no order for another has failed")]
    Good {
        /// Its names.
        names: String,
        /// Its last second.
        until: Timestamp,
    },
    /// It was begun by hand too often.
    #[error(
        "the order for `{names}` was made again by hand 3 times within an hour; it can be from {again} on"
    )]
    Often {
        /// Its names.
        names: String,
        /// From when on.
        again: Timestamp,
    },
    /// The authority does not want to be asked.
    #[error("the authority has asked for patience with `{names}` until {again}")]
    Asked {
        /// Its names.
        names: String,
        /// Until when.
        again: Timestamp,
    },
}

impl Problem for RetryError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotAgreed => Kind::Denied,
            Self::Unknown { .. } => Kind::NotFound,
            Self::Good { .. } => Kind::Conflict,
            Self::Often { .. } | Self::Asked { .. } => Kind::Exhausted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAgreed => AcmeError::NotAgreed.hint(),
            Self::Unknown { .. } => {
                Some("name a host of a route whose service has `certificate: acme`; `sea routes` shows them".into())
            }
            Self::Good { .. } => Some("it is renewed by itself, in good time before its end".into()),
            Self::Often { .. } => Some(
                "authorities count failed orders and shut out who repeats them; set right what `sea routes` says first"
                    .into(),
            ),
            Self::Asked { .. } => None,
        }
    }
}

/// Why settings do not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The directory is no URL that can be asked.
    #[error("`{url}` is no directory of an authority")]
    Directory {
        /// What was written.
        url: String,
    },
    /// The contact is no address for mail.
    #[error("`{contact}` is no address for mail")]
    Contact {
        /// What was written.
        contact: String,
    },
    /// The key of the external account does not read.
    #[error("the key of the external account is not in Base64, or shorter than 16 bytes")]
    Key,
    /// A name without a key, or a key without a name.
    #[error("an external account needs both its name and its key")]
    HalfBinding,
}

impl Problem for SettingsError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Directory { .. } => {
                "write an https:// URL, as in `--acme-directory https://acme-v02.api.letsencrypt.org/directory`".into()
            }
            Self::Contact { .. } => "write as in `--acme-contact ops@shop.example`".into(),
            Self::Key => "the file holds the key as the authority gave it, and nothing else".into(),
            Self::HalfBinding => "give both `--acme-eab-kid` and `--acme-eab-key-file`".into(),
        })
    }
}
