//! What one load carries along: how files are read, which were, and what to warn of.

use crate::go::join;
use crate::problem::{Fault, LoadError, Source, Warning, finding, place};
use crate::tree::Span;
use crate::{Files, Skip};

/// One load.
pub(crate) struct Session<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) sources: Vec<Source>,
    pub(crate) warnings: Vec<Warning>,
    /// Where `~` leads.
    pub(crate) home: Option<String>,
    /// The folder that the command runs in.
    pub(crate) working_dir: String,
    /// What this load leaves out.
    pub(crate) skip: Skip,
}

/// Why a stage of a load stops.
pub(crate) enum Stop {
    /// The files say something wrong.
    Faults(Vec<Fault>),
    /// A file cannot be read.
    Error(LoadError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

impl From<Vec<Fault>> for Stop {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Faults(faults)
    }
}

impl Session<'_> {
    /// A path that may still be relative, as whoever opens files takes it.
    pub(crate) fn local(&self, path: &str) -> String {
        if path.is_empty() || path.starts_with('/') { path.to_owned() } else { join(&self.working_dir, path) }
    }

    /// Reads a text and keeps it among the sources, once; gives its number.
    pub(crate) fn read(&mut self, path: &str) -> Result<u32, Stop> {
        if let Some(known) = self.sources.iter().position(|source| source.path == path) {
            return Ok(known as u32);
        }
        let bytes = self
            .files
            .read(path)
            .map_err(|source| Stop::Error(LoadError::Unreadable { path: path.to_owned(), source }))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Fault::nowhere("", format!("`{path}` is not a text in UTF-8")))?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        self.sources.push(Source { path: path.to_owned(), text });
        Ok(self.sources.len() as u32 - 1)
    }

    /// Notes something that a person should know.
    pub(crate) fn warn(
        &mut self,
        code: &'static str,
        at: Option<Span>,
        key: &str,
        message: impl Into<String>,
    ) {
        let warning =
            Warning { code, place: place(&self.sources, at), key: key.into(), message: message.into() };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Notes a variable that is not set, once.
    pub(crate) fn unset(&mut self, name: &str, at: Span, key: &str) {
        let message = format!("the variable `{name}` is not set; an empty text takes its place");
        if !self.warnings.iter().any(|w| w.code == "C0001" && w.message == message) {
            self.warn("C0001", Some(at), key, message);
        }
    }

    /// The error of a stop, with places and excerpts.
    pub(crate) fn error(&self, stop: Stop) -> LoadError {
        match stop {
            Stop::Error(error) => error,
            Stop::Faults(faults) => invalid(&self.sources, faults),
        }
    }
}

/// Faults as an error, each once and in the order of the files.
pub(crate) fn invalid(sources: &[Source], mut faults: Vec<Fault>) -> LoadError {
    faults.sort_by_key(|fault| fault.at.map(|at| (at.file, at.line, at.column)));
    let mut findings = Vec::new();
    for fault in faults {
        let finding = finding(sources, fault);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    LoadError::Invalid(findings)
}
