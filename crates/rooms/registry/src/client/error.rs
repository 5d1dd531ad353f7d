//! Why a call to a registry came to nothing, and why what it was for came to nothing.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::{Bytes, Kind, Problem};
use oci::{Digest, MediaType};

/// Why a registry gave no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answers there.
    #[error("could not reach `{registry}`")]
    Unreachable {
        /// Where.
        registry: String,
        /// Why.
        source: io::Error,
    },
    /// It is not who it says, or does not speak TLS.
    #[error("could not speak to `{registry}` over TLS")]
    Untrusted {
        /// Where.
        registry: String,
        /// Why.
        source: io::Error,
    },
    /// The certificates for it on this machine cannot be used.
    #[error("the certificates for `{registry}` in `{}` cannot be used: {why}", path.display())]
    Certificates {
        /// Where.
        registry: String,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It hangs.
    #[error("`{registry}` did not {doing} within {} s", after.as_secs_f32())]
    TimedOut {
        /// Where.
        registry: String,
        /// As in `answer`.
        doing: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection to `{registry}` broke")]
    Broken {
        /// Where.
        registry: String,
        /// How.
        source: hyper::Error,
    },
    /// It wants credentials, others, or none of these.
    #[error("`{registry}` refused {}{}", if *anonymous { "access without a login" } else { "the credentials" }, said(message))]
    Refused {
        /// Where.
        registry: String,
        /// Whether there were none.
        anonymous: bool,
        /// What it said.
        message: Option<String>,
    },
    /// It wants to be asked less often.
    #[error("`{registry}` takes no more requests for now{}", said(message))]
    TooMany {
        /// Where.
        registry: String,
        /// What it said.
        message: Option<String>,
    },
    /// It answered that it will not, or cannot.
    #[error("`{registry}` answered {status}{}", said(message))]
    Answered {
        /// Where.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// In the specification's words, as in `NAME_UNKNOWN`.
        code: Option<String>,
        /// What it said.
        message: Option<String>,
    },
    /// What answers there speaks HTTP, and no more of the protocol.
    #[error("what answers at `{registry}` is not a registry: it said {status} with {found}")]
    NotARegistry {
        /// Where.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What came, as in `a page of HTML`.
        found: String,
    },
    /// More came than anybody needs.
    #[error("`{registry}` sent {what} longer than {}", Bytes(*.most))]
    TooLong {
        /// Where.
        registry: String,
        /// As in `a manifest`.
        what: &'static str,
        /// The bound.
        most: u64,
    },
    /// It does not keep to the protocol.
    #[error("the answer of `{registry}` makes no sense: {why}")]
    Nonsense {
        /// Where.
        registry: String,
        /// What is wrong with it.
        why: String,
    },
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
}

impl CallError {
    /// Whether it answered that there is no such thing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Answered { status: 404, .. })
    }

    /// Whether the same call may go well a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } | Self::TooMany { .. } => {
                true
            }
            Self::Answered { status, .. } | Self::NotARegistry { status, .. } => {
                matches!(status, 408 | 500 | 502 | 503 | 504)
            }
            Self::Untrusted { .. }
            | Self::Certificates { .. }
            | Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::Nonsense { .. } => false,
        }
    }
}

impl Problem for CallError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused { .. } => Kind::Denied,
            Self::TimedOut { .. } => Kind::TimedOut,
            Self::TooMany { .. } => Kind::Exhausted,
            Self::Answered { status: 404, .. } => Kind::NotFound,
            Self::Answered { status: 403, .. } => Kind::Denied,
            Self::Answered { status: 405, .. } => Kind::Unsupported,
            Self::Answered { status: 400..=499, .. } | Self::Certificates { .. } => Kind::Invalid,
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::Answered { .. }
            | Self::NotARegistry { .. }
            | Self::TooLong { .. }
            | Self::Nonsense { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => {
                Some("see that the host is right and can be reached from here, then give the command again: what arrived is kept".into())
            }
            Self::Untrusted { registry, .. } => Some(format!(
                "put the certificate of who signed it into `/etc/docker/certs.d/{registry}/ca.crt`, or name the host with \
                 `--insecure-registry` if it has no TLS"
            )),
            Self::Refused { registry, .. } => Some(format!("sign in with `sea login {registry}`")),
            Self::TooMany { .. } => Some("wait a while, sign in for a larger share, or use a mirror".into()),
            Self::NotARegistry { .. } => {
                Some("see that the name begins with the registry's host, and that no proxy or login page stands before it".into())
            }
            Self::Certificates { .. } | Self::Answered { .. } | Self::TooLong { .. } | Self::Nonsense { .. } => None,
        }
    }
}

/// Why a manifest was not had.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("no image `{image}` at `{registry}`")]
    Missing {
        /// Which.
        image: String,
        /// Where.
        registry: String,
    },
    /// It is not what its digest says.
    #[error("the manifest of `{image}` arrived damaged: its content is {got}, not {want}")]
    Damaged {
        /// Which.
        image: String,
        /// What was asked for or announced.
        want: Digest,
        /// What came.
        got: Digest,
    },
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Problem for ManifestError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } => Kind::NotFound,
            Self::Damaged { .. } => Kind::Unavailable,
            Self::Call(call) => call.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("see that the name and the tag are right; a private image also looks like this without `sea login`".into()),
            Self::Damaged { .. } => Some("something between here and the registry changes what it sends".into()),
            Self::Call(call) => call.hint(),
        }
    }
}

/// Why an image for a platform was not had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The manifest was not had.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is for other machines.
    #[error("the image `{image}` is not for {wanted}, only for {}", theirs.join(", "))]
    OtherMachine {
        /// Which.
        image: String,
        /// Which platform was wanted.
        wanted: String,
        /// Those that it is for.
        theirs: Vec<String>,
    },
    /// It is of a kind that is no image.
    #[error("`{image}` is no image that can be run: it is of type `{}`", media_type.as_str())]
    NoImage {
        /// Which.
        image: String,
        /// Of which type it is.
        media_type: MediaType,
    },
    /// It does not read.
    #[error("the manifest of `{image}` cannot be understood")]
    NotADocument {
        /// Which.
        image: String,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}

impl Problem for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Manifest(manifest) => manifest.kind(),
            Self::OtherMachine { .. } | Self::NoImage { .. } => Kind::Unsupported,
            Self::NotADocument { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Manifest(manifest) => manifest.hint(),
            Self::OtherMachine { .. } => {
                Some("build the image for this machine, or choose another tag".into())
            }
            Self::NoImage { .. } | Self::NotADocument { .. } => None,
        }
    }
}

/// Why a blob was not had whole.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is none.
    #[error("`{registry}` does not have the blob {digest}")]
    Missing {
        /// Which.
        digest: Digest,
        /// Where.
        registry: String,
    },
    /// It is longer or shorter than it should be.
    #[error("the blob {digest} arrived damaged: {got} of {want} bytes")]
    Length {
        /// Which.
        digest: Digest,
        /// What its descriptor says.
        want: u64,
        /// What came or was announced.
        got: u64,
    },
    /// It is not what its digest says.
    #[error("the blob {want} arrived damaged: its content is {got}")]
    Damaged {
        /// What its name says.
        want: Digest,
        /// What it is.
        got: Digest,
    },
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The disk failed.
    #[error("could not {doing} `{}`", path.display())]
    Disk {
        /// As in `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Problem for BlobError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } => Kind::NotFound,
            Self::Length { .. } | Self::Damaged { .. } => Kind::Unavailable,
            Self::Call(call) => call.kind(),
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                _ => Kind::Internal,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("the registry lost a part of the image: push it there again".into()),
            Self::Length { .. } | Self::Damaged { .. } => {
                Some("give the command again; if it stays so, the registry's copy is broken: push the image there again".into())
            }
            Self::Call(call) => call.hint(),
            Self::Disk { .. } if self.kind() == Kind::Exhausted => {
                Some("the disk is full: free some space, for example with `sea image prune`; what arrived is kept".into())
            }
            Self::Disk { .. } => None,
        }
    }
}

/// Why something was not taken by a registry.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What is to be sent cannot be read.
    #[error("could not read {what}")]
    Source {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// It says that it has something else than what we sent.
    #[error("`{registry}` took {want} for {got}")]
    Changed {
        /// Where.
        registry: String,
        /// What we sent.
        want: Digest,
        /// What it says that it is.
        got: String,
    },
}

impl Problem for PushError {
    fn kind(&self) -> Kind {
        match self {
            Self::Call(call) => call.kind(),
            Self::Source { .. } => Kind::Internal,
            Self::Changed { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Call(call) => call.hint(),
            Self::Source { .. } => Some("see whether the image is whole with `sea image fsck`".into()),
            Self::Changed { .. } => {
                Some("something between here and the registry changes what we send".into())
            }
        }
    }
}
