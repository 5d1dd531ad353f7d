//! The resolved model and what can be asked of it.

use spec::App;

use crate::{Files, LoadError, Request, Warning};

/// A request's outcome.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub project: Project,
    /// What a person should know, in the order in which it was met.
    pub warnings: Vec<Warning>,
}

/// The compose files of a request as one model, everything resolved.
#[derive(Debug, Clone)]
pub struct Project {
    name: String,
}

/// A default that we chose where the file is silent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Chosen {
    /// For which service.
    pub service: String,
    /// The key that would say otherwise, as in `deploy.update_config.order`.
    pub key: &'static str,
    /// What we chose.
    pub value: String,
    /// Why.
    pub why: String,
}

/// A project as the document that the daemon takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The document.
    pub app: App,
    /// Keys that have no effect here, or another one than elsewhere.
    pub warnings: Vec<Warning>,
    /// Defaults that we chose.
    pub chosen: Vec<Chosen>,
}

impl Project {
    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The canonical form, as `config` prints it.
    pub fn to_yaml(&self) -> String {
        String::new()
    }

    /// The canonical form, as `config --format json` prints it.
    pub fn to_json(&self) -> String {
        String::new()
    }

    /// The names of the services that are enabled, sorted (`config --services`).
    pub fn services(&self) -> Vec<String> {
        Vec::new()
    }

    /// Every profile that a service names, sorted (`config --profiles`).
    pub fn profiles(&self) -> Vec<String> {
        Vec::new()
    }

    /// The images of the enabled services, in the order of their names (`config --images`).
    pub fn images(&self) -> Vec<String> {
        Vec::new()
    }

    /// The keys of the volumes (`config --volumes`).
    pub fn volumes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The keys of the networks (`config --networks`).
    pub fn networks(&self) -> Vec<String> {
        Vec::new()
    }

    /// A digest of a service's configuration (`config --hash`); none when there is no such service.
    pub fn hash(&self, service: &str) -> Option<String> {
        let _ = service;
        None
    }

    /// The document for the daemon.
    pub fn app(&self) -> Result<Converted, LoadError> {
        Err(LoadError::Invalid(Vec::new()))
    }
}

/// Loads a request; see [`crate::load`].
pub(crate) fn load(request: &Request, files: &dyn Files) -> Result<Loaded, LoadError> {
    let _ = files;
    Err(LoadError::NoFile { from: request.working_dir.clone() })
}
