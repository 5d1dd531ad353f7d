//! Why a build failed: at which line, with what the command said last.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base::{Kind, Problem, Report};

use crate::context::ContextError;
use crate::dockerfile::expand::Substitution;
use crate::dockerfile::{ParseError, Span, excerpt};
use crate::graph::GraphFault;
use crate::ignore::IgnoreError;
use crate::upper::PutError;
use crate::users::NoOwner;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile cannot be read.
    #[error(transparent)]
    Dockerfile(#[from] ParseError),
    /// Its stages make no sense.
    #[error("{fault}{}", at(*.span, .excerpt))]
    Stages {
        /// What is wrong.
        fault: GraphFault,
        /// Where, if at one line.
        span: Option<Span>,
        /// The line.
        excerpt: String,
    },
    /// The context did not arrive whole.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The Dockerfile is not in the context.
    #[error("there is no Dockerfile `{path}` in the context")]
    NoDockerfile {
        /// Where it was looked for.
        path: String,
    },
    /// A source behind a URL cannot be had.
    #[error("{}", .0.message)]
    Remote(Report),
    /// A value of the request makes no sense.
    #[error("`{value}` cannot be {what}")]
    Value {
        /// What was given.
        value: String,
        /// What it should be.
        what: &'static str,
        /// What may be.
        allowed: &'static str,
    },
    /// An instruction failed.
    #[error(transparent)]
    Step(Box<StepError>),
    /// The image store failed.
    #[error("the image store could not {doing}")]
    Store {
        /// What it was to do.
        doing: &'static str,
        /// Why.
        source: Report,
    },
    /// The scratch folder failed.
    #[error("could not {doing} `{}`", path.display())]
    Scratch {
        /// What was to be done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the Dockerfile says of its checks makes no sense.
    #[error("failed to parse check options: {0}")]
    CheckOption(String),
    /// The checks found something, and the Dockerfile wants none of that.
    #[error("{0}")]
    Checks(String),
    /// Somebody ended it.
    #[error("the build was cancelled")]
    Cancelled,
}

fn at(span: Option<Span>, excerpt: &str) -> String {
    span.map(|span| format!(" (Dockerfile {span})\n{excerpt}")).unwrap_or_default()
}

/// An instruction that failed.
#[derive(Debug)]
pub struct StepError {
    /// Where.
    pub span: Span,
    /// What failed.
    pub fault: StepFault,
    /// The lines.
    pub excerpt: String,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dockerfile {}: {}\n{}{}", self.span, self.fault, self.excerpt, self.fault.output())
    }
}

impl std::error::Error for StepError {
    /// The fault's own source: the fault itself is in the message.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

/// Why an instruction failed.
#[derive(Debug, thiserror::Error)]
pub enum StepFault {
    /// The command ended badly.
    #[error("the command ended with exit code {code}")]
    Exit {
        /// Its exit code.
        code: i32,
        /// Its last output.
        output: Tail,
    },
    /// The command did not run at all.
    #[error("the command could not be run")]
    Run(#[source] Report),
    /// The base image is not here.
    #[error("there is no image `{0}` here")]
    NoImage(String),
    /// The base image could not be fetched.
    #[error("could not fetch the image `{0}`")]
    Pull(String, #[source] Report),
    /// A secret or an ssh agent that a mount requires is not there.
    #[error("the build has no {what} `{id}`")]
    NotGiven {
        /// What is missing: a secret or an ssh agent.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// What a URL names cannot be had.
    #[error("could not fetch `{0}`")]
    Fetch(String, #[source] Report),
    /// What was fetched is not what was meant.
    #[error("`{url}` has the digest {got}, not {wanted}")]
    Checksum {
        /// What was fetched.
        url: String,
        /// The digest that the Dockerfile says.
        wanted: String,
        /// What came.
        got: String,
    },
    /// A source of COPY or ADD is not there.
    #[error("`{path}` is not in {place}")]
    NoSource {
        /// What was asked for.
        path: String,
        /// Where.
        place: String,
    },
    /// Several sources, and one place for them.
    #[error("there are {sources} sources, and the target `{target}` is not a folder")]
    TargetIsFile {
        /// How many.
        sources: usize,
        /// The target.
        target: String,
    },
    /// A value that makes no sense.
    #[error("`{value}` cannot be {what}")]
    Value {
        /// What is there.
        value: String,
        /// What it should be.
        what: &'static str,
        /// What may be.
        allowed: &'static str,
    },
    /// Something of Dockerfiles that this program does not do.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// An archive of ADD that is broken or holds what it may not.
    #[error("the archive `{archive}` cannot be unpacked: {why}")]
    Archive {
        /// Its path.
        archive: String,
        /// What is wrong, with the entry's name.
        why: String,
    },
    /// A variable cannot be expanded.
    #[error("a variable cannot be expanded: {0}")]
    Substitution(#[from] Substitution),
    /// `--chown` names nobody.
    #[error("the owner cannot be found: {0}")]
    Owner(String),
    /// A pattern of `--exclude`.
    #[error("a pattern of `--exclude` makes no sense")]
    Exclude(#[source] IgnoreError),
    /// A file cannot be written or read.
    #[error("{0}")]
    Put(String, #[source] Option<io::Error>),
    /// A trigger of the base image cannot be read.
    #[error("a trigger (ONBUILD) of the base image cannot be read: {0}")]
    Trigger(String),
}

impl StepFault {
    fn output(&self) -> String {
        match self {
            Self::Exit { output, .. } if !output.is_empty() => format!("\n{output}"),
            _ => String::new(),
        }
    }
}

impl From<PutError> for StepFault {
    fn from(error: PutError) -> Self {
        let text = error.to_string();
        let source = match error {
            PutError::Write(_, source) | PutError::Read(_, source) => Some(source),
            PutError::Clash { .. } | PutError::Special { .. } | PutError::Deep(_) => None,
        };
        Self::Put(text, source)
    }
}

impl From<NoOwner> for StepFault {
    fn from(error: NoOwner) -> Self {
        Self::Owner(error.to_string())
    }
}

/// The last lines of a command's output; bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    bytes: Vec<u8>,
}

/// So much of the output is kept for the error.
const TAIL_BYTES: usize = 16 << 10;
/// So many lines of it are shown.
const TAIL_LINES: usize = 30;

impl Tail {
    /// Takes more output and forgets the oldest.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        // Cut rarely, so that many small pieces cost little.
        if self.bytes.len() > 2 * TAIL_BYTES {
            self.bytes.drain(..self.bytes.len() - TAIL_BYTES);
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        write!(f, "its last output:")?;
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            let plain: String = line.chars().filter(|c| *c == '\t' || !c.is_control()).collect();
            write!(f, "\n  {plain}")?;
        }
        Ok(())
    }
}

impl BuildError {
    pub(crate) fn step(span: Span, text: &str, fault: StepFault) -> Self {
        Self::Step(Box::new(StepError { span, fault, excerpt: excerpt(text, span) }))
    }

    pub(crate) fn stages(fault: GraphFault, text: &str) -> Self {
        let span = match &fault {
            GraphFault::NoTarget { .. } => None,
            GraphFault::EmptyBase { span, .. }
            | GraphFault::Itself { span }
            | GraphFault::Substitution { span, .. } => Some(*span),
        };
        let excerpt = span.map(|span| excerpt(text, span)).unwrap_or_default();
        Self::Stages { fault, span, excerpt }
    }

    pub(crate) fn scratch(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Scratch { doing, path: path.to_owned(), source }
    }

    pub(crate) fn store(doing: &'static str) -> impl FnOnce(&dyn Problem) -> Self {
        move |problem| Self::Store { doing, source: Report::of(problem) }
    }
}

impl Problem for BuildError {
    fn as_report(&self) -> Option<&Report> {
        match self {
            Self::Remote(report) => Some(report),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Dockerfile(error) => error.kind(),
            Self::Stages { fault: GraphFault::NoTarget { .. }, .. } => Kind::NotFound,
            Self::Stages { .. } => Kind::Invalid,
            Self::Context(error) => error.kind(),
            Self::Step(error) => error.fault.kind(),
            Self::NoDockerfile { .. } => Kind::NotFound,
            Self::Remote(report) => report.kind,
            Self::Value { .. } | Self::CheckOption(_) | Self::Checks(_) => Kind::Invalid,
            Self::Store { source, .. } => source.kind,
            Self::Scratch { source, .. } if source.kind() == io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::Scratch { .. } => Kind::Internal,
            Self::Cancelled => Kind::Conflict,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Dockerfile(error) => error.hint(),
            Self::Stages { fault, .. } => stages_hint(fault),
            Self::Context(error) => error.hint(),
            Self::Step(error) => error.fault.hint(),
            Self::NoDockerfile { .. } => {
                Some("name another with `-f`; what `.dockerignore` takes is not looked at".into())
            }
            Self::Remote(report) => report.hint.clone(),
            Self::Value { allowed, .. } => Some(format!("allowed is {allowed}")),
            Self::Store { source, .. } => source.hint.clone(),
            Self::CheckOption(_) => {
                Some("write `# check=skip=RULE,RULE;error=true;experimental=RULE`, in parts of these".into())
            }
            Self::Checks(_) => {
                Some("correct what the warnings name, or leave the rules out with `# check=skip=…`".into())
            }
            Self::Scratch { .. } | Self::Cancelled => None,
        }
    }
}

fn stages_hint(fault: &GraphFault) -> Option<String> {
    match fault {
        GraphFault::NoTarget { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
        GraphFault::NoTarget { names, .. } if names.is_empty() => {
            Some("no stage has a name; write `FROM image AS name`".into())
        }
        GraphFault::NoTarget { names, .. } => Some(format!("the stages are {}", names.join(", "))),
        GraphFault::EmptyBase { .. } => {
            Some("give the ARG before FROM a default, or the build a value".into())
        }
        GraphFault::Itself { .. } => Some("name an earlier stage, or an image".into()),
        GraphFault::Substitution { source, .. } => source.hint(),
    }
}

impl StepFault {
    fn kind(&self) -> Kind {
        match self {
            Self::Exit { .. } | Self::Value { .. } | Self::TargetIsFile { .. } | Self::Substitution(_) => {
                Kind::Invalid
            }
            Self::Archive { .. } | Self::Owner(_) | Self::Exclude(_) | Self::Trigger(_) => Kind::Invalid,
            Self::Run(report) | Self::Pull(_, report) | Self::Fetch(_, report) => report.kind,
            Self::NotGiven { .. } => Kind::NotFound,
            Self::Checksum { .. } => Kind::Invalid,
            Self::NoImage(_) | Self::NoSource { .. } => Kind::NotFound,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Put(_, Some(error)) if error.kind() == io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::Put(..) => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoImage(image) => {
                return Some(format!("load it with `sea image load`, or build `{image}` first"));
            }
            Self::NoSource { .. } => {
                "paths are relative to the context; what `.dockerignore` takes is not there either".into()
            }
            Self::TargetIsFile { .. } => "end the target with a slash".into(),
            Self::Value { allowed, .. } => format!("allowed is {allowed}"),
            Self::Unsupported { instead, .. } => (*instead).to_owned(),
            Self::Substitution(fault) => return fault.hint(),
            Self::Owner(_) => "use numbers, or make the user in an earlier RUN".into(),
            Self::Exclude(error) => return error.hint(),
            Self::Run(report) | Self::Pull(_, report) | Self::Fetch(_, report) => return report.hint.clone(),
            Self::NotGiven { what: "secret", id } => {
                return Some(format!(
                    "give it with `--secret id={id},src=FILE` or `--secret id={id},env=NAME`"
                ));
            }
            Self::NotGiven { id, .. } => return Some(format!("give it with `--ssh {id}`")),
            Self::Checksum { .. } => "correct `--checksum`, if the file is the one that you mean".into(),
            Self::Exit { .. } | Self::Archive { .. } | Self::Put(..) | Self::Trigger(_) => return None,
        };
        Some(hint)
    }
}
