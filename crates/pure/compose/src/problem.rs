//! What is wrong with a compose file, and where; and what is only worth a warning.

use std::fmt;
use std::io;

use base::{Kind, Problem};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's path.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, when it has a place in a file.
    pub place: Option<Place>,
    /// The key, as in `services.web.ports[0]`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or what to do.
    pub help: Option<String>,
    /// The finding with its source excerpt, as plain text for people.
    pub rendered: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rendered.trim_end())
    }
}

/// Something that does not stop the load, but that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable, as in `C0102`; the guide's table explains each.
    pub code: &'static str,
    /// Where, when it has a place in a file.
    pub place: Option<Place>,
    /// The key, as in `services.web.cpu_count`.
    pub key: String,
    /// What it is about.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why compose files could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing to load was named or found.
    #[error("no compose file in `{from}` or above it")]
    NoFile {
        /// Where the search began.
        from: String,
    },
    /// A file that was named cannot be read.
    #[error("could not read `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The files say something that they may not say.
    #[error("{}", list(.0))]
    Invalid(Vec<Finding>),
}

fn list(findings: &[Finding]) -> String {
    let count = match findings.len() {
        1 => "the compose file has a problem".to_owned(),
        many => format!("the compose file has {many} problems"),
    };
    findings.iter().fold(count, |text, finding| format!("{text}\n\n{finding}"))
}

impl Problem for LoadError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoFile { .. } => Kind::NotFound,
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Unavailable,
            },
            Self::Invalid(_) => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile { .. } => Some("write a `compose.yaml`, or name a file with `-f`".into()),
            Self::Unreadable { .. } | Self::Invalid(_) => None,
        }
    }
}
