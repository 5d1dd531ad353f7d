//! Why a Dockerfile is not read: the line, what is wrong there, and what is allowed.

use std::fmt::Write;

use base::{Kind, Problem};

use super::Span;
use super::expand::Substitution;

/// A Dockerfile that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Dockerfile {span}: {fault}\n{excerpt}")]
pub struct ParseError {
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub fault: Fault,
    /// The lines in question with their numbers.
    pub excerpt: String,
}

impl ParseError {
    /// The fault, with the lines of `text` that it is about.
    pub fn at(span: Span, text: &str, fault: Fault) -> Self {
        Self { span, fault, excerpt: excerpt(text, span) }
    }
}

impl Problem for ParseError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        self.fault.hint()
    }
}

/// What can be wrong with a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No FROM.
    #[error("there is no FROM, so there is nothing to build")]
    NoStage,
    /// Something else than ARG stands before the first FROM.
    #[error("{instruction} stands before the first FROM")]
    BeforeFrom {
        /// Its word.
        instruction: &'static str,
    },
    /// A word that is no instruction.
    #[error("there is no instruction `{word}`")]
    UnknownInstruction {
        /// The word.
        word: String,
        /// What was probably meant.
        near: Option<&'static str>,
    },
    /// Too few or too many arguments.
    #[error("{instruction} is not complete, or has too much: {found}")]
    Arguments {
        /// Its word.
        instruction: &'static str,
        /// What is there.
        found: String,
        /// How it is written.
        form: &'static str,
    },
    /// A flag that the instruction does not have.
    #[error("{instruction} has no flag `--{flag}`")]
    UnknownFlag {
        /// Its word.
        instruction: &'static str,
        /// The flag.
        flag: String,
        /// What was probably meant.
        near: Option<&'static str>,
        /// The flags that it has.
        allowed: &'static [&'static str],
    },
    /// A flag's value that makes no sense.
    #[error("`--{flag}` of {instruction} cannot be `{value}`")]
    FlagValue {
        /// Its word.
        instruction: &'static str,
        /// The flag.
        flag: &'static str,
        /// What is there.
        value: String,
        /// What may be.
        allowed: String,
    },
    /// The same flag twice.
    #[error("{instruction} has `--{flag}` twice")]
    FlagTwice {
        /// Its word.
        instruction: &'static str,
        /// The flag.
        flag: &'static str,
    },
    /// A list in JSON that holds something else than strings.
    #[error("the list of {instruction} holds `{item}`, which is not a string")]
    NotStrings {
        /// Its word.
        instruction: &'static str,
        /// What is there.
        item: String,
    },
    /// `name=value` was needed.
    #[error("`{word}` of {instruction} has no `=`")]
    NoEquals {
        /// Its word.
        instruction: &'static str,
        /// What is there.
        word: String,
    },
    /// A name that is no name.
    #[error("`{name}` cannot be {what}")]
    Name {
        /// What is there.
        name: String,
        /// What it should name.
        what: &'static str,
        /// What may stand there.
        allowed: &'static str,
    },
    /// The file ends in a heredoc.
    #[error("the heredoc `{name}` does not end")]
    OpenHeredoc {
        /// The word that should end it.
        name: String,
    },
    /// A directive that makes no sense.
    #[error("the directive `{name}` cannot be `{value}`")]
    Directive {
        /// Its name.
        name: String,
        /// What is there.
        value: String,
    },
    /// The same directive twice.
    #[error("the directive `{name}` stands there twice")]
    DirectiveTwice {
        /// Its name.
        name: String,
    },
    /// A trigger that cannot be one.
    #[error("{instruction} cannot be a trigger of ONBUILD")]
    Trigger {
        /// Its word.
        instruction: &'static str,
    },
    /// A stored trigger is more than one instruction.
    #[error("a trigger of ONBUILD is one instruction")]
    OneTrigger,
    /// The file is too long.
    #[error("the file has {bytes} bytes, more than {limit}")]
    TooLong {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A variable that cannot be expanded.
    #[error(transparent)]
    Substitution(#[from] Substitution),
}

impl Fault {
    /// What to write instead, where we know.
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoStage => Some("begin with `FROM image`, or `FROM scratch` for an empty one".into()),
            Self::BeforeFrom { .. } => {
                Some("only ARG, comments and directives stand before the first FROM".into())
            }
            Self::UnknownInstruction { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::UnknownInstruction { near: None, .. } => {
                Some(format!("the instructions are {}", super::instruction::NAMES.join(", ")))
            }
            Self::Arguments { form, .. } => Some(format!("write `{form}`")),
            Self::UnknownFlag { near: Some(near), .. } => Some(format!("did you mean `--{near}`?")),
            Self::UnknownFlag { allowed: [], .. } => Some("it has no flags at all".into()),
            Self::UnknownFlag { allowed, .. } => Some(format!("it has --{}", allowed.join(", --"))),
            Self::FlagValue { allowed, .. } => Some(format!("allowed is {allowed}")),
            Self::FlagTwice { .. } => Some("keep one of them".into()),
            Self::NotStrings { .. } => Some("put each item into double quotes".into()),
            Self::NoEquals { .. } => {
                Some("write `NAME=value`, with quotes around a value with blanks".into())
            }
            Self::Name { allowed, .. } => Some(format!("allowed is {allowed}")),
            Self::OpenHeredoc { name } => Some(format!("end it with a line that holds `{name}` alone")),
            Self::Directive { name, .. } if name == "escape" => {
                Some("allowed are `\\` and a backquote".into())
            }
            Self::Directive { .. } => None,
            Self::DirectiveTwice { .. } => Some("keep one of them".into()),
            Self::Trigger { .. } => Some("ONBUILD, FROM and MAINTAINER cannot stand there".into()),
            Self::OneTrigger | Self::TooLong { .. } => None,
            Self::Substitution(fault) => fault.hint(),
        }
    }
}

/// So many lines are shown of a long instruction.
const EXCERPT_LINES: u32 = 12;

/// The lines of `text` in `span` with their numbers, and one line around them.
///
/// ```text
///    1 | FROM busybox
///    2 > RUNN true
///    3 | CMD sh
/// ```
pub fn excerpt(text: &str, span: Span) -> String {
    let first = span.start.saturating_sub(1).max(1);
    let last = span.end.min(span.start.saturating_add(EXCERPT_LINES));
    let mut shown = String::new();
    let lines =
        (1u32..).zip(text.lines()).skip_while(|(n, _)| *n < first).take_while(|(n, _)| *n <= last + 1);
    for (number, line) in lines {
        let mark = if (span.start..=last).contains(&number) { '>' } else { '|' };
        let line: String = line.chars().take(200).filter(|c| *c == '\t' || !c.is_control()).collect();
        let line = format!("{number:>4} {mark} {line}");
        // Writing to a string cannot fail.
        let _ = writeln!(shown, "{}", line.trim_end());
    }
    shown.truncate(shown.trim_end().len());
    shown
}
