//! Fetching images from registries and sending them there.

use base::{Bytes, Report};
use serde::{Deserialize, Serialize};

/// What a registry is convinced with. The command reads it where docker keeps it and sends it with each order; the daemon
/// keeps none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The registry, as in `docker.io` or `registry.local:5000`.
    pub registry: String,
    /// What it is convinced with.
    #[serde(flatten)]
    pub secret: Secret,
}

/// A secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Secret {
    /// A name and a password.
    Password {
        /// Who.
        user: String,
        /// The secret.
        password: String,
    },
    /// A token to get further tokens with.
    Identity {
        /// Who, where that is known.
        #[serde(default)]
        user: String,
        /// The secret.
        token: String,
    },
    /// A token that the registry itself takes.
    Registry {
        /// The secret.
        token: String,
    },
}

impl std::fmt::Debug for Credential {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "credential for {:?}", self.registry)
    }
}

/// `POST /v1/images/pull`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PullImage {
    /// By name.
    pub image: String,
    /// As in `linux/arm64`; this machine when none.
    #[serde(default)]
    pub platform: Option<String>,
    /// For the registries that may be asked.
    #[serde(default)]
    pub credentials: Vec<Credential>,
}

/// `POST /v1/images/push`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PushImage {
    /// By name, which is where it goes.
    pub image: String,
    /// For its registry.
    #[serde(default)]
    pub credentials: Vec<Credential>,
}

/// `POST /v1/registries/login`: whether a registry takes these credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginOrder {
    /// For the registry that they are for.
    pub credential: Credential,
}

/// A line of the stream that answers a pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pull", rename_all = "snake_case")]
pub enum Pulling {
    /// What the name means at the registry.
    Resolved {
        /// The digest of its manifest or index.
        digest: String,
    },
    /// A layer has come so far.
    Layer {
        /// The digest of its blob.
        layer: String,
        /// How far.
        stage: LayerStage,
        /// Bytes so far, where they are counted.
        #[serde(default)]
        bytes: Bytes,
        /// Of so many.
        #[serde(default)]
        size: Bytes,
    },
    /// The image is there.
    Pulled {
        /// By digest.
        id: String,
        /// Its name.
        name: String,
        /// The digest of its manifest or index.
        digest: String,
        /// It was here, under this name.
        known: bool,
    },
    /// It could not be done. The last line.
    Failed {
        /// Why.
        report: Report,
    },
}

/// A line of the stream that answers a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "push", rename_all = "snake_case")]
pub enum Pushing {
    /// A layer has come so far.
    Layer {
        /// The digest of its content.
        layer: String,
        /// How far.
        stage: LayerStage,
        /// Bytes so far, where they are counted.
        #[serde(default)]
        bytes: Bytes,
        /// Of so many.
        #[serde(default)]
        size: Bytes,
        /// The repository that lent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// The image is there.
    Pushed {
        /// Its name.
        name: String,
        /// The digest of its manifest.
        digest: String,
        /// The bytes of its manifest.
        size: Bytes,
    },
    /// It could not be done. The last line.
    Failed {
        /// Why.
        report: Report,
    },
}

/// How far a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerStage {
    /// It waits for its turn.
    Waiting,
    /// It was there.
    Known,
    /// It arrives.
    Downloading,
    /// All of it arrived and its digest is compared.
    Verifying,
    /// It arrived whole.
    Downloaded,
    /// It is unpacked.
    Unpacking,
    /// It is sent.
    Uploading,
    /// The registry took it over from another repository.
    Mounted,
    /// It is there.
    Done,
}
