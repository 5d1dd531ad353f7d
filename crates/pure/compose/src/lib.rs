//! Compose files into the resolved model, and from there into spec.
//!
//! [`load()`] reads what a [`Request`] names through [`Files`], and gives a [`Project`]: the file format of the Compose
//! Specification with everything resolved, which prints itself as the reference implementation's `config` does.
//! [`Project::app`] turns it into [`spec::App`], with a warning for each key that this program does not honour and the
//! list of defaults that it chose. Nothing here touches a disk, a clock or the process.
//!
//! The way of a file: `yaml` parses it into a `tree` with spans, `interpolate` fills variables in, `extends` and `load`
//! bring in other files, `merge` lays files over each other, `validate` checks against `shape`, `canonical` writes out
//! short forms, `normalize` what is implied, `checks` looks at the whole, and `render` prints it.

mod canonical;
mod checks;
mod convert;
mod dotenv;
mod environment;
mod extends;
mod go;
mod hash;
mod interpolate;
mod load;
mod merge;
mod normalize;
mod paths;
mod problem;
mod project;
mod render;
mod request;
mod session;
mod shape;
mod short;
mod start;
mod support;
mod template;
mod tree;
mod unique;
mod validate;
mod yaml;

pub use problem::{Finding, LoadError, NotJson, Place, Warning};
pub use project::{Chosen, Converted, Loaded, Project};
pub use request::{Files, MemoryFiles, Request, Skip};
pub use start::{FILE_NAMES, Found, OVERRIDE_NAMES, search};
pub use template::Variable;

/// Reads and resolves the compose files of a request.
///
/// Errors of the same stage are reported together, each with its place in its file.
pub fn load(request: &Request, files: &dyn Files) -> Result<Loaded, LoadError> {
    project::load(request, files)
}
