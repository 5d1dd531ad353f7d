//! What is wrong with a compose file, and where; and what is only worth a warning.

use std::fmt;
use std::io;

use base::{Kind, Problem};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use crate::tree::Span;

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

/// Why a project cannot be printed as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("JSON has no word for `{value}`")]
pub struct NotJson {
    /// What the file says.
    pub value: String,
}

impl Problem for NotJson {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("write it in quotes, or print the file as YAML".into())
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

/// A finding before its place is looked up.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) at: Option<Span>,
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn at(at: Span, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: Some(at), key: key.into(), message: message.into(), help: None }
    }

    pub(crate) fn nowhere(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: None, key: key.into(), message: message.into(), help: None }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A text that was read, for excerpts.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Where a span lies; none for a span of nothing.
pub(crate) fn place(sources: &[Source], at: Option<Span>) -> Option<Place> {
    let at = at.filter(|at| at.line > 0)?;
    let source = sources.get(at.file as usize)?;
    Some(Place { file: source.path.clone(), line: at.line as usize, column: at.column as usize })
}

/// A fault as people read it, with its excerpt.
pub(crate) fn finding(sources: &[Source], fault: Fault) -> Finding {
    let place = place(sources, fault.at);
    let title = match fault.key.as_str() {
        "" => fault.message.clone(),
        key => format!("`{key}`: {}", fault.message),
    };
    let mut diagnostic = MietteDiagnostic::new(title);
    diagnostic.help.clone_from(&fault.help);
    let mut report = None;
    if let (Some(at), Some(place)) = (fault.at, &place)
        && let Some(source) = sources.get(at.file as usize)
    {
        let start = (at.start as usize).min(source.text.len());
        let line_end = source.text[start..].find('\n').unwrap_or(source.text.len() - start);
        let label = LabeledSpan::underline((start, (at.len as usize).min(line_end)));
        diagnostic.labels = Some(vec![label]);
        report = Some(
            Report::new(diagnostic.clone())
                .with_source_code(NamedSource::new(place.file.clone(), source.text.clone())),
        );
    }
    let report = report.unwrap_or_else(|| Report::new(diagnostic));
    let mut rendered = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    // Writing into a text cannot fail; an excerpt that cannot be made leaves the plain message.
    if handler.render_report(&mut rendered, report.as_ref()).is_err() {
        rendered = report.to_string();
    }
    Finding { place, key: fault.key, message: fault.message, help: fault.help, rendered }
}

/// The known word that is nearest to what was written, when one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must change, by Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y && !x.eq_ignore_ascii_case(y));
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
