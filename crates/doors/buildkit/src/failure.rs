//! Why a build failed, in the words of BuildKit's clients: a message, and details from which they print the lines of the
//! Dockerfile.

use base::{Problem, Report};
use build::dockerfile::{Dockerfile, Fault, ParseError, Span};
use build::graph::GraphFault;
use build::{BuildError, StepFault};
use data_encoding::BASE64;

use crate::grpc::{Code, Status};
use crate::layout;
use crate::proto::errors::{Any, Line, Lines, Named, Source, SourceText};

/// The longest Dockerfile whose lines are shown: all of it travels in a header.
const SHOWN_BYTES: usize = 128 << 10;

/// A failure, before it is known which step it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// What failed.
    pub message: String,
    /// At which lines.
    pub span: Option<Span>,
    /// Somebody ended it.
    pub cancelled: bool,
}

impl Failure {
    /// A Dockerfile that cannot be read.
    pub(crate) fn parse(error: &ParseError) -> Self {
        let fault = match &error.fault {
            Fault::UnknownInstruction { word, near } => {
                let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                format!("unknown instruction: {word}{near}")
            }
            other => with_hint(other.to_string(), error.hint()),
        };
        let message = format!("dockerfile parse error on line {}: {fault}", error.span.start);
        Self { message, span: Some(error.span), cancelled: false }
    }

    /// A build that failed.
    pub(crate) fn build(error: &BuildError, file: &Dockerfile) -> Self {
        match error {
            BuildError::Dockerfile(error) => Self::parse(error),
            BuildError::Step(step) => {
                let message = match &step.fault {
                    StepFault::Exit { code, .. } => {
                        let process = layout::process(file, step.span.start).unwrap_or_default();
                        format!("process {process:?} did not complete successfully: exit code: {code}")
                    }
                    StepFault::NoSource { path, .. } => {
                        let path = path.trim_start_matches('/');
                        let message = format!("failed to compute cache key: \"/{path}\": not found");
                        with_hint(message, error.hint())
                    }
                    StepFault::NoImage(image) => {
                        let message =
                            format!("failed to resolve source metadata for {image}: {image}: not found");
                        with_hint(message, error.hint())
                    }
                    fault => with_hint(chain(&fault.to_string(), fault), error.hint()),
                };
                Self { message, span: Some(step.span), cancelled: false }
            }
            BuildError::Stages { fault: GraphFault::NoTarget { target, .. }, .. } => {
                let message = format!("target stage {target:?} could not be found");
                Self { message: with_hint(message, error.hint()), span: None, cancelled: false }
            }
            BuildError::Stages { fault, span, .. } => Self {
                message: with_hint(chain(&fault.to_string(), fault), error.hint()),
                span: *span,
                cancelled: false,
            },
            BuildError::Cancelled => {
                Self { message: "context canceled".to_owned(), span: None, cancelled: true }
            }
            other => {
                let report = Report::of(other);
                let message =
                    report.because.iter().fold(report.message, |sum, next| format!("{sum}: {next}"));
                Self { message: with_hint(message, report.hint), span: None, cancelled: false }
            }
        }
    }

    /// As a call's end. `vertex` is the step's digest.
    pub(crate) fn status(&self, filename: &str, text: &str, vertex: Option<&str>) -> Status {
        let code = if self.cancelled { Code::Cancelled } else { Code::Unknown };
        let mut status = Status::new(code, self.message.clone());
        if let Some(vertex) = vertex {
            status.details.push(Any::json("errdefs.Vertex", &Named::Digest(vertex.to_owned())));
        }
        if let Some(span) = self.span
            && text.len() <= SHOWN_BYTES
        {
            status.details.push(Any::json("errdefs.Source", &source(filename, text, span)));
        }
        status
    }
}

fn source(filename: &str, text: &str, span: Span) -> Source {
    let line = |line| Line { line };
    Source {
        info: SourceText {
            filename: filename.to_owned(),
            data: BASE64.encode(text.as_bytes()),
            language: "Dockerfile".to_owned(),
        },
        ranges: vec![Lines { start: line(span.start), end: line(span.end) }],
    }
}

/// The message with those of its causes.
fn chain(message: &str, error: &dyn std::error::Error) -> String {
    let mut out = message.to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    out
}

fn with_hint(message: String, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{message} ({hint})"),
        None => message,
    }
}

#[cfg(test)]
mod tests;
