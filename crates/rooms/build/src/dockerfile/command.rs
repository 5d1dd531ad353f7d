//! What a Dockerfile can say: one variant an instruction, with its flags and its lines.

use std::fmt;
use std::time::Duration;

/// Lines of a Dockerfile, from 1, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first line.
    pub start: u32,
    /// The last line.
    pub end: u32,
}

impl Span {
    /// One line.
    pub fn line(line: u32) -> Self {
        Self { start: line, end: line }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "line {}", self.start)
        } else {
            write!(f, "lines {} to {}", self.start, self.end)
        }
    }
}

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its lines, with those of its heredocs.
    pub span: Span,
    /// The instruction in one line, as it was written.
    pub text: String,
    /// The comments above it, down from the last empty one.
    pub comments: Vec<String>,
    /// Whether its names and values are written without a sign between them, as in `ENV name value`.
    pub legacy: bool,
    /// What it says.
    pub command: Command,
}

/// What an instruction says. Variables are as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `FROM`: begins a stage.
    From {
        /// An image, an earlier stage, or `scratch`.
        image: String,
        /// The stage's name, in lower case.
        name: Option<String>,
        /// `--platform`.
        platform: Option<String>,
    },
    /// `RUN`: runs a command in the stage.
    Run(Run),
    /// `CMD`: the default arguments.
    Cmd(Form),
    /// `ENTRYPOINT`: the program.
    Entrypoint(Form),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `ARG`.
    Arg(Vec<ArgItem>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `EXPOSE`.
    Expose(Vec<String>),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `USER`.
    User(String),
    /// `WORKDIR`.
    Workdir(String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `COPY`: files from the context, a stage or an image.
    Copy(Transfer),
    /// `ADD`: as COPY, and unpacks archives.
    Add(Transfer),
    /// `ONBUILD`: for the images built on this one.
    Onbuild(Onbuild),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `SHELL`: what runs the shell forms.
    Shell(Vec<String>),
}

impl Command {
    /// The instruction's word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::From { .. } => "FROM",
            Self::Run(_) => "RUN",
            Self::Cmd(_) => "CMD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Label(_) => "LABEL",
            Self::Env(_) => "ENV",
            Self::Arg(_) => "ARG",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Expose(_) => "EXPOSE",
            Self::Volume(_) => "VOLUME",
            Self::User(_) => "USER",
            Self::Workdir(_) => "WORKDIR",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::Copy(_) => "COPY",
            Self::Add(_) => "ADD",
            Self::Onbuild(_) => "ONBUILD",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Shell(_) => "SHELL",
        }
    }
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A JSON list: run as it is.
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// `name=value`, both as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Left of the sign.
    pub name: String,
    /// Right of it; quotes and variables are still there.
    pub value: String,
}

/// An argument that a build can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgItem {
    /// Its name.
    pub name: String,
    /// Its value when the build gives none, as written.
    pub default: Option<String>,
}

/// A `RUN` instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: Form,
    /// Its heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, as often as it stands there.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: Option<String>,
    /// `--security`.
    pub security: Option<String>,
    /// `--device`, as often as it stands there.
    pub devices: Vec<String>,
}

/// A `--mount` flag: its fields in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    /// `name=value` or `name`.
    pub fields: Vec<MountField>,
}

/// One field of a `--mount` flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountField {
    /// In lower case, and by its one name: `target` for `dst` and `destination`, `source` for `src`.
    pub name: String,
    /// As written; none for a bare word.
    pub value: Option<String>,
}

/// Text that stands in the Dockerfile behind the instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// The lines, with their ends; leading tabs are gone if `<<-` asked for it.
    pub text: String,
    /// Whether variables in it are expanded: the word was not quoted.
    pub expand: bool,
    /// As it stands in the instruction, as in `<<-"EOF"`.
    pub mark: String,
}

/// A `COPY` or `ADD` instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Where from; heredocs are not among them.
    pub sources: Vec<String>,
    /// Where to.
    pub target: String,
    /// Files whose text stands in the Dockerfile.
    pub heredocs: Vec<Heredoc>,
    /// The flags.
    pub flags: TransferFlags,
}

/// The flags of `COPY` and `ADD`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferFlags {
    /// `--from`: a stage, its number, or an image (COPY only).
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents` (COPY only).
    pub parents: bool,
    /// `--exclude`, as often as it stands there.
    pub exclude: Vec<String>,
    /// `--checksum` (ADD only).
    pub checksum: Option<String>,
    /// `--keep-git-dir` (ADD only).
    pub keep_git_dir: Option<bool>,
    /// `--unpack` (ADD only).
    pub unpack: Option<bool>,
}

/// An `ONBUILD` instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The trigger as the image keeps it.
    pub text: String,
    /// The same, read.
    pub trigger: Box<Command>,
}

/// What `HEALTHCHECK` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`: not even the base image's.
    None,
    /// `CMD`.
    Check(Health),
}

/// A health check; what is not given is the runtime's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What to run.
    pub command: Form,
    /// Between checks.
    pub interval: Option<Duration>,
    /// For one check.
    pub timeout: Option<Duration>,
    /// In which failures do not count.
    pub start_period: Option<Duration>,
    /// Between checks in that time.
    pub start_interval: Option<Duration>,
    /// So many failures in a row mean unhealthy.
    pub retries: Option<u32>,
}
