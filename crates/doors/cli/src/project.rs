//! The app that a command is about: its compose file, or only its name.

use base::{AppName, Kind, Report};
use compose::{Converted, Loaded, Request};

use crate::disk::Disk;
use crate::output::note;
use crate::{Session, report};

impl Session {
    /// The request that the flags and the surroundings make.
    pub(crate) fn request(&self, services: &[String]) -> Result<Request, Report> {
        let here = std::env::current_dir().map_err(|error| {
            Report::new(Kind::Unavailable, "the current folder cannot be read").because(error)
        })?;
        let mut request = Request::new(here.display().to_string());
        request.environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        request.files.clone_from(&self.app.files);
        request.project_name.clone_from(&self.app.project_name);
        request.project_dir.clone_from(&self.app.project_dir);
        request.profiles.clone_from(&self.app.profiles);
        request.env_files.clone_from(&self.app.env_files);
        request.services = services.to_vec();
        Ok(request)
    }

    /// Reads the compose files, and prints their warnings.
    pub(crate) fn load(&self, request: &Request) -> Result<Loaded, Report> {
        let loaded = compose::load(request, &Disk::default()).map_err(report)?;
        self.warn(&loaded.warnings);
        Ok(loaded)
    }

    /// The compose files as the document that the daemon takes.
    pub(crate) fn converted(&self, services: &[String]) -> Result<Converted, Report> {
        let loaded = self.load(&self.request(services)?)?;
        let converted = loaded.project.app().map_err(report)?;
        self.warn(&converted.warnings);
        Ok(converted)
    }

    /// The app's name: from the flags, else from the compose file.
    pub(crate) fn app_name(&self) -> Result<AppName, Report> {
        if let Some(name) = &self.app.project_name
            && self.app.files.is_empty()
        {
            return AppName::new(name.clone()).map_err(report);
        }
        let request = self.request(&[])?;
        let loaded = compose::load(&request, &Disk::default()).map_err(report)?;
        AppName::new(loaded.project.name()).map_err(report)
    }

    /// The app's name, if the flags or a compose file here name one.
    pub(crate) fn app_name_if_any(&self) -> Result<Option<AppName>, Report> {
        let said = self.app.project_name.is_some() || !self.app.files.is_empty();
        if !said {
            let request = self.request(&[])?;
            let from_environment = ["COMPOSE_FILE", "COMPOSE_PROJECT_NAME"];
            let named = from_environment.iter().any(|name| request.environment.contains_key(*name));
            if !named && compose::search(&request.working_dir, &Disk::default()).is_none() {
                return Ok(None);
            }
        }
        self.app_name().map(Some)
    }

    fn warn(&self, warnings: &[compose::Warning]) {
        if !self.quiet() {
            for warning in warnings {
                note(format!("warning: {warning}"));
            }
        }
    }
}
