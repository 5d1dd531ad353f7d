//! Builds of images: what is asked for, what is sent along, and what is told while they go on.
//!
//! The body of `POST /v1/build` is pieces: four bytes of length, the most significant first, then as many bytes. The
//! first piece is the order as JSON. Then come the archives: that of the context, if the order says so, and those of
//! the named contexts that are files, in their order; each is pieces until one of length 0.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base::{Bytes, Report};
use serde::{Deserialize, Serialize};
use spec::Build;

/// The longest order, in bytes: Dockerfiles and secrets are in it.
pub const MAX_BUILD_ORDER: usize = 32 << 20;

/// What to build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BuildOrder {
    /// How. Its `dockerfile_inline` is the text, or its `dockerfile` a path in the context.
    pub build: Build,
    /// The names of the image.
    pub names: Vec<String>,
    /// The context.
    pub context: BuildContext,
    /// Named contexts.
    #[serde(default)]
    pub contexts: Vec<(String, BuildContext)>,
    /// The machine to build for.
    #[serde(default)]
    pub platform: Option<String>,
    /// Base images are fetched even if they are here.
    #[serde(default)]
    pub pull: bool,
    /// Stages whose steps are done anew.
    #[serde(default)]
    pub no_cache_stages: Vec<String>,
    /// Images whose steps may be taken over.
    #[serde(default)]
    pub cache_from: Vec<String>,
    /// Secrets by id.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretBytes>,
    /// Sockets of ssh agents by id.
    #[serde(default)]
    pub agents: BTreeMap<String, PathBuf>,
    /// `SOURCE_DATE_EPOCH`.
    #[serde(default)]
    pub epoch: Option<i64>,
    /// `default`, `none` or `host`.
    #[serde(default)]
    pub network: Option<String>,
    /// The bound of memory for all commands together; half of the machine's when none, 0 for no bound.
    #[serde(default)]
    pub memory: Option<Bytes>,
    /// Processor weight against others; 256 when none.
    #[serde(default)]
    pub cpu_shares: Option<u64>,
    /// Size of `/dev/shm`.
    #[serde(default)]
    pub shm_size: Option<Bytes>,
    /// By name: soft and hard limit.
    #[serde(default)]
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// More names for `/etc/hosts`, with their addresses.
    #[serde(default)]
    pub hosts: Vec<(String, String)>,
    /// So many steps at once; one a processor when none.
    #[serde(default)]
    pub jobs: Option<usize>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildContext {
    /// Nowhere.
    #[default]
    Nothing,
    /// An archive in the body.
    Archive,
    /// A URL.
    Url(String),
    /// An image, where a name stands for one.
    Image(String),
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretBytes(pub Vec<u8>);

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secret bytes", self.0.len())
    }
}

/// A line of the stream that answers a build. Steps run at the same time, so each line names its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "build", rename_all = "snake_case")]
pub enum BuildEvent {
    /// The bounds of the build's commands.
    Bounds {
        /// Of their memory together.
        memory: Option<Bytes>,
        /// Their weight against others.
        cpu_shares: Option<u64>,
    },
    /// A step begins.
    Step {
        /// Its number.
        step: usize,
        /// As people read it: `[builder 2/5] RUN make`.
        title: String,
        /// Whether it takes or makes files, or is about a stage as a whole; the others only change settings.
        files: bool,
        /// Its line in the Dockerfile; 0 if none.
        line: u32,
    },
    /// Its result was there already.
    Cached {
        /// Its number.
        step: usize,
    },
    /// It is done.
    Done {
        /// Its number.
        step: usize,
        /// How long it took.
        took_ms: u64,
    },
    /// It failed, or was stopped because another failed.
    Broken {
        /// Its number.
        step: usize,
        /// Why.
        why: String,
    },
    /// It said something.
    Output {
        /// Its number.
        step: usize,
        /// On standard error.
        stderr: bool,
        /// The text, as it came.
        text: String,
    },
    /// It moves bytes.
    Moved {
        /// Its number.
        step: usize,
        /// What.
        what: String,
        /// So far.
        bytes: u64,
        /// Of so many, if known.
        of: Option<u64>,
        /// All of them.
        done: bool,
    },
    /// Something is odd, but goes on.
    Warning {
        /// Where in the Dockerfile; 0 if nowhere.
        line: u32,
        /// What.
        text: String,
    },
    /// The image is there. The last line.
    Built {
        /// By digest.
        id: String,
        /// Steps whose result was there already.
        cached: u32,
        /// All steps.
        steps: u32,
    },
    /// It could not be built. The last line.
    Failed {
        /// Why.
        report: Report,
    },
}
