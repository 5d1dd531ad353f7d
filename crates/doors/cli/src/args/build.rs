//! The flags of `sea build`, as docker has them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::AppArgs;

/// `sea build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Which app; with a context, `-f` names its Dockerfile, and `-` is standard input.
    #[command(flatten)]
    pub app: AppArgs,
    /// A folder to build, the URL of an archive, or `-` for an archive or a Dockerfile on standard input; the services
    /// of the app when none
    pub context: Option<String>,
    /// The image's name; may be given several times
    #[arg(short, long)]
    pub tag: Vec<String>,
    /// The Dockerfile, in the folder
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<String>,
    /// The stage to stop at
    #[arg(long)]
    pub target: Option<String>,
    /// Build arguments: NAME=VALUE, or NAME for the value that it has here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Labels: NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// More files or images, by a name that FROM and --from know: NAME=FOLDER, NAME=docker-image://IMAGE
    #[arg(long, value_name = "NAME=WHAT")]
    pub build_context: Vec<String>,
    /// A secret for `RUN --mount=type=secret`: id=ID,src=FILE or id=ID,env=NAME
    #[arg(long, value_name = "ID,FROM")]
    pub secret: Vec<String>,
    /// An ssh agent for `RUN --mount=type=ssh`: ID or ID=SOCKET
    #[arg(long, value_name = "ID[=SOCKET]", num_args = 0..=1, default_missing_value = "default", require_equals = false)]
    pub ssh: Vec<String>,
    /// The machine to build for; only this one's kind is taken
    #[arg(long)]
    pub platform: Option<String>,
    /// Fetch base images even if they are here
    #[arg(long)]
    pub pull: bool,
    /// Do not use the layer cache
    #[arg(long)]
    pub no_cache: bool,
    /// Do not use the layer cache for this stage; may be given several times
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Images whose steps may be taken over
    #[arg(long, value_name = "IMAGE", value_delimiter = ',')]
    pub cache_from: Vec<String>,
    /// Where the files go: a FOLDER, `-`, type=local,dest=FOLDER, or type=tar|docker|oci,dest=FILE
    #[arg(short, long, value_name = "WHERE")]
    pub output: Vec<String>,
    /// Accepted for docker's sake: the image is always in the store
    #[arg(long, hide = true)]
    pub load: bool,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, env = "BUILDKIT_PROGRESS")]
    pub progress: ProgressMode,
    /// What to do in place of a build
    #[arg(long, value_enum, default_value_t = Call::Build)]
    pub call: Call,
    /// The same as `--call check`
    #[arg(long)]
    pub check: bool,
    /// More lines for /etc/hosts of commands: NAME:ADDRESS
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// The network of commands: default, none, host, a network, or container:NAME
    #[arg(long)]
    pub network: Option<String>,
    /// The memory of all commands together; half of the machine's when none, 0 for no bound
    #[arg(short = 'm', long)]
    pub memory: Option<String>,
    /// The processor weight of all commands together; 256 when none, where containers have 1024
    #[arg(short = 'c', long)]
    pub cpu_shares: Option<u64>,
    /// Size of /dev/shm
    #[arg(long)]
    pub shm_size: Option<String>,
    /// Limits of commands: `NAME=SOFT[:HARD]`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// So many steps at once; one a processor when none
    #[arg(short = 'j', long)]
    pub jobs: Option<usize>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// As `tty` on a terminal, else as `plain`
    Auto,
    /// Line by line
    Plain,
    /// What runs now, with its last lines
    Tty,
    /// Not at all
    Quiet,
    /// Events as lines of JSON
    Rawjson,
}

/// What `--call` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// The image
    Build,
    /// What is probably not meant
    Check,
    /// Arguments, secrets and agents that the target takes
    Outline,
    /// The stages
    Targets,
}
