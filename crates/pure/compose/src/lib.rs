//! Compose files into the resolved model, and from there into spec.
//!
//! [`load`] reads what a [`Request`] names through [`Files`], and gives a [`Project`]: the file format of the Compose
//! Specification with everything resolved, which prints itself as the reference implementation's `config` does.
//! [`Project::app`] turns it into [`spec::App`], with a warning for each key that this program does not honour and the
//! list of defaults that it chose. Nothing here touches a disk, a clock or the process.

mod problem;
mod project;
mod request;

pub use problem::{Finding, LoadError, Place, Warning};
pub use project::{Chosen, Converted, Loaded, Project};
pub use request::{Files, MemoryFiles, Request};

/// Reads and resolves the compose files of a request.
///
/// Errors of the same stage are reported together, each with its place in its file.
pub fn load(request: &Request, files: &dyn Files) -> Result<Loaded, LoadError> {
    project::load(request, files)
}
