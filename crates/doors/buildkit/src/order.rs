//! The port through which builds are done, and what a client keeps for its build.

use std::path::Path;
use std::sync::Arc;

use base::Report;
use build::git::Checkout;
use build::{BuildError, BuildRequest, Built, Progress, Puller};

/// Does builds. Blocks until one is done: it is called where blocking is fine.
pub trait Builds: Send + Sync {
    /// Builds an image, which stays although it has no name yet. Base images are fetched with the client's credentials.
    fn build(
        &self,
        request: BuildRequest,
        credentials: Arc<dyn Credentials>,
        tell: &(dyn Fn(Progress) + Sync),
    ) -> Result<Built, BuildError>;

    /// Checks a git repository out into an empty folder.
    fn checkout(&self, order: &Checkout<'_>, into: &Path) -> Result<(), Report>;

    /// Clears what cache mounts hold.
    fn clear_caches(&self) -> Result<(), BuildError>;
}

/// The credentials that a client has for registries. Waits for the client.
pub trait Credentials: Send + Sync {
    /// User and password; the user is empty when the password is a token to get others by.
    fn credentials(&self, host: &str) -> Result<Option<(String, String)>, Report>;
}

/// Gives a way to images that are not here, by a client's credentials.
pub trait Pullers: Send + Sync {
    /// For one build.
    fn puller(&self, credentials: Arc<dyn Credentials>) -> Arc<dyn Puller>;
}
