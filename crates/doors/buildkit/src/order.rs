//! What the door asks a builder for: the port through which builds are done.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use base::Report;
use build::{BuildError, Built, Cancel, Progress};

pub use crate::options::{Network, NoCache, Ulimit};

/// A build, as a client ordered it.
pub struct Order {
    /// The folder of the context, without what its ignore file takes; none when no step needs it.
    pub context: Option<PathBuf>,
    /// Folders and images that stand for stages and images of the Dockerfile.
    pub contexts: BTreeMap<String, Place>,
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The stage to stop at; the last when none.
    pub target: Option<String>,
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// What is done anew.
    pub no_cache: NoCache,
    /// Base images are fetched anew.
    pub pull: bool,
    /// The network of commands.
    pub network: Network,
    /// Names that commands know.
    pub hosts: Vec<(String, IpAddr)>,
    /// Bytes of shared memory of commands.
    pub shm_size: Option<u64>,
    /// Bounds of resources of commands.
    pub ulimits: Vec<Ulimit>,
    /// The name of the machine that commands see.
    pub hostname: Option<String>,
    /// The cgroup that commands are below.
    pub cgroup_parent: Option<String>,
    /// Images whose steps may be taken over.
    pub cache_from: Vec<String>,
    /// What the client keeps for itself.
    pub keeper: Arc<dyn Keeper>,
    /// Ends the build.
    pub cancel: Cancel,
}

/// A named context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An image by name or digest.
    Image(String),
}

/// What a client keeps and gives piece by piece: secrets, agents, credentials. All calls wait for the client.
pub trait Keeper: Send + Sync {
    /// The secret of this name, if the client has one.
    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, Report>;
    /// Whether the client has an agent of this name.
    fn has_agent(&self, id: &str) -> Result<bool, Report>;
    /// Carries a connection to the agent, in the background.
    fn agent(&self, id: &str, connection: UnixStream) -> Result<(), Report>;
    /// User and password for a registry; the user is empty when the password is a token to get others by.
    fn credentials(&self, host: &str) -> Result<Option<(String, String)>, Report>;
}

/// Does builds. Blocks until one is done: it is called where blocking is fine.
pub trait Builds: Send + Sync {
    /// Builds an image, which is kept although it has no name yet.
    fn build(&self, order: Order, tell: &dyn Fn(Progress)) -> Result<Built, BuildError>;
}
