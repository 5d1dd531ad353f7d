//! From the resolved model to the document that the daemon takes.
use crate::{Converted, LoadError, Project};
pub(crate) fn app(_: &Project) -> Result<Converted, LoadError> { Err(LoadError::Invalid(Vec::new())) }
