//! The command line.

mod build;
mod certificate;
mod config;
mod daemon;
mod edge;
mod registry;
mod route;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use build::{BuildArgs, Call, ProgressMode};
pub use certificate::{CertificateCommand, CertificateRetryArgs};
pub use config::ConfigArgs;
pub use daemon::DaemonArgs;
pub use edge::{AcmeArgs, EdgeArgs};
pub use registry::{LoginArgs, LogoutArgs, PullArgs, PushArgs, RegistryArgs, RegistryCommand, ServeArgs};
pub use route::{RouteCommand, RouteExplainArgs, RoutePurgeArgs};
pub use run::RunArgs;

const EXAMPLES: &str = "Examples:
  sea up -d                 start the app of the compose file here, in the background
  sea plan                  show what `sea up` would do
  sea status                show how the app is
  sea logs -f web           follow the log of the service web
  sea rollback              go back to the last good release
  sea run --rm busybox date run a program in a container of its own

Exit codes: 0 done, 1 failed, 2 wrong use; `plan` says 2 when there are changes; `up` says 3 when the release was
rolled back and 4 when it is not over; `run` and `exec` say 125, 126, 127 and the program's own, as docker does.";

/// Takes an app from its compose file to served traffic on this machine, and keeps it there.
#[derive(Debug, Parser)]
#[command(name = "sea", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// Which app is meant.
    #[command(flatten)]
    pub app: AppArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The daemon's root folder
    #[arg(long, global = true, env = "SEA_ROOT", value_name = "DIR", help_heading = "Daemon")]
    pub root: Option<PathBuf>,
    /// The daemon's socket: unix://PATH
    #[arg(long, global = true, env = "SEA_HOST", value_name = "URL", help_heading = "Daemon")]
    pub host: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, env = "SEA_FORMAT")]
    pub format: Output,
    /// Print ids and names only, and no progress
    #[arg(short = 'q', long, global = true)]
    pub quiet: bool,
}

/// Which app is meant. Taken before the command, and behind it where its short flags mean nothing else.
#[derive(Debug, Default, Args)]
pub struct AppArgs {
    /// A compose file; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE", help_heading = "App")]
    pub files: Vec<String>,
    /// The app's name
    #[arg(short = 'p', long = "project-name", value_name = "NAME", help_heading = "App")]
    pub project_name: Option<String>,
    /// A profile to enable; may be given several times
    #[arg(long = "profile", value_name = "NAME", help_heading = "App")]
    pub profiles: Vec<String>,
    /// An environment file in place of .env; may be given several times
    #[arg(long = "env-file", value_name = "FILE", help_heading = "App")]
    pub env_files: Vec<String>,
    /// The folder that paths in the file start from
    #[arg(long = "project-directory", value_name = "DIR", help_heading = "App")]
    pub project_dir: Option<String>,
}

impl AppArgs {
    /// These, and where they are silent, those.
    #[must_use]
    pub fn over(mut self, other: Self) -> Self {
        let Self { files, project_name, profiles, env_files, project_dir } = other;
        self.files.splice(0..0, files);
        self.profiles.splice(0..0, profiles);
        self.env_files.splice(0..0, env_files);
        self.project_name = self.project_name.or(project_name);
        self.project_dir = self.project_dir.or(project_dir);
        self
    }
}

/// Flags of a command that is about the app alone.
#[derive(Debug, Args)]
pub struct OnlyApp {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// `sea config` only.
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the app of the compose file run as it says; as `deploy`
    #[command(
        after_help = "Examples:\n  sea up -d\n  sea up -d --build web\n  VERSION=v2 sea up -d --wait-timeout 120"
    )]
    Up(UpArgs),
    /// Stop the app and remove its containers and networks
    #[command(after_help = "Examples:\n  sea down\n  sea -p shop down --volumes")]
    Down(DownArgs),
    /// Make a new release of the app
    #[command(after_help = "Examples:\n  sea deploy -d --message \"price list of May\"")]
    Deploy(UpArgs),
    /// Show what `up` would do, and the defaults that it chose
    #[command(after_help = "Examples:\n  sea plan\n  sea --format json plan web")]
    Plan(PlanArgs),
    /// Print the resolved compose file
    #[command(after_help = "Examples:\n  sea config\n  sea --format json config\n  sea config --services")]
    Config(ConfigArgs),
    /// List containers
    #[command(after_help = "Examples:\n  sea ps\n  sea ps --all --everything")]
    Ps(PsArgs),
    /// List apps
    Ls,
    /// Show how the app is
    #[command(after_help = "Examples:\n  sea status\n  sea -p shop status")]
    Status(OnlyApp),
    /// Show the logs of services or containers
    #[command(after_help = "Examples:\n  sea logs -f web\n  sea logs --since 10m -n 100")]
    Logs(LogsArgs),
    /// Run a program in a running service or container
    #[command(after_help = "Examples:\n  sea exec web sh\n  sea exec --index 2 -e DEBUG=1 web env")]
    Exec(ExecArgs),
    /// Run a program in a container of its own
    #[command(
        after_help = "Examples:\n  sea run --rm -it debian:bookworm-slim bash\n  sea run -d --name cache -p 127.0.0.1:6379:6379 -v cache:/data redis:7"
    )]
    Run(Box<RunArgs>),
    /// Change how many instances of a service run
    #[command(after_help = "Examples:\n  sea scale web=5 worker=2")]
    Scale(ScaleArgs),
    /// Start services or containers that were stopped
    #[command(after_help = "Examples:\n  sea start web")]
    Start(NamesArgs),
    /// Stop services or containers; nothing but you starts them again
    #[command(after_help = "Examples:\n  sea stop web\n  sea stop -t 30 cache")]
    Stop(StopArgs),
    /// Replace the instances of services one by one, or restart containers
    #[command(after_help = "Examples:\n  sea restart web")]
    Restart(StopArgs),
    /// Send a signal to containers
    #[command(after_help = "Examples:\n  sea kill --signal HUP cache")]
    Kill(KillArgs),
    /// Freeze the processes of containers
    #[command(after_help = "Examples:\n  sea pause cache")]
    Pause(ContainersArgs),
    /// Let frozen containers go on
    #[command(after_help = "Examples:\n  sea unpause cache")]
    Unpause(ContainersArgs),
    /// Remove containers
    #[command(after_help = "Examples:\n  sea rm -f cache")]
    Rm(RmArgs),
    /// Show everything about a container
    #[command(after_help = "Examples:\n  sea inspect cache")]
    Inspect(InspectArgs),
    /// Go back to an earlier release
    #[command(after_help = "Examples:\n  sea rollback\n  sea rollback 7")]
    Rollback(RollbackArgs),
    /// List the app's releases
    #[command(after_help = "Examples:\n  sea releases\n  sea --format json releases")]
    Releases(OnlyApp),
    /// Build the images of the app, or of a folder
    #[command(
        after_help = "Examples:\n  sea build\n  sea build -t shop/web:v2 ./web\n  sea build -o out --target files --secret id=token,env=TOKEN ."
    )]
    Build(Box<BuildArgs>),
    /// Fetch images from registries
    #[command(
        after_help = "Examples:\n  sea pull busybox:1.36\n  sea pull web cache\n  sea pull -q registry.local:5000/team/web:v8"
    )]
    Pull(PullArgs),
    /// Send images to registries
    #[command(after_help = "Examples:\n  sea push registry.local:5000/team/web:v8\n  sea push")]
    Push(PushArgs),
    /// Sign in to a registry; the login is kept where docker keeps it
    #[command(
        after_help = "Examples:\n  sea login registry.local\n  pass show registry | sea login -u ann --password-stdin registry.local"
    )]
    Login(LoginArgs),
    /// Forget the login for a registry
    #[command(after_help = "Examples:\n  sea logout registry.local")]
    Logout(LogoutArgs),
    /// Serve a registry, and keep it small
    #[command(
        after_help = "Examples:\n  sea registry --listen 127.0.0.1:5000\n  sea registry --listen 0.0.0.0:5000 --htpasswd users --tls-cert chain.pem --tls-key key.pem\n  sea registry --mirror https://registry-1.docker.io\n  sea registry tags team/web"
    )]
    Registry(Box<RegistryArgs>),
    /// Work with images
    #[command(
        subcommand,
        after_help = "Examples:\n  sea image load -i app.tar\n  sea image ls\n  docker save app:v1 | sea image load"
    )]
    Image(ImageCommand),
    /// Work with volumes
    #[command(subcommand, after_help = "Examples:\n  sea volume ls\n  sea volume create cache")]
    Volume(VolumeCommand),
    /// Work with networks
    #[command(subcommand, after_help = "Examples:\n  sea network ls\n  sea network create --internal back")]
    Network(NetworkCommand),
    /// List what the edge carries, and how it goes
    #[command(after_help = "Examples:\n  sea routes\n  sea routes --format json")]
    Routes,
    /// Ask the edge about a request, or have it forget answers that it keeps
    #[command(
        subcommand,
        after_help = "Examples:\n  sea route explain https://shop.example/api\n  sea route explain -X POST -H 'Content-Length: 100' http://localhost:8080/\n  sea route purge --prefix https://shop.example/news"
    )]
    Route(RouteCommand),
    /// Have certificates by an authority ordered again
    #[command(
        subcommand,
        after_help = "Examples:\n  sea certificate retry\n  sea certificate retry shop.example\n\n`sea routes` shows how it stands with each."
    )]
    Certificate(CertificateCommand),
    /// Print what the edge counts, as Prometheus reads it
    #[command(after_help = "Examples:\n  sea metrics\n  sea daemon --metrics 127.0.0.1:9323")]
    Metrics,
    /// Remove what nobody needs
    #[command(after_help = "Examples:\n  sea prune\n  sea prune -a -y")]
    Prune(PruneArgs),
    /// Show what happened
    #[command(after_help = "Examples:\n  sea events --since 10m\n  sea events --follow")]
    Events(EventsArgs),
    /// Say whether this machine can run sea, and how to mend it
    Doctor,
    /// Run the daemon
    #[command(after_help = "Examples:\n  sea daemon --root /var/lib/sea")]
    Daemon(DaemonArgs),
    /// Print the versions of this program and of the daemon
    Version,
    /// Print a completion script
    #[command(after_help = "Examples:\n  source <(sea completion bash)")]
    Completion(CompletionArgs),
}

impl Command {
    /// What the command itself says about which app is meant.
    pub fn take_app(&mut self) -> AppArgs {
        let app = match self {
            Self::Up(args) | Self::Deploy(args) => &mut args.app,
            Self::Down(args) => &mut args.app,
            Self::Plan(args) => &mut args.app,
            Self::Config(args) => &mut args.app,
            Self::Ps(args) => &mut args.app,
            Self::Status(args) | Self::Releases(args) => &mut args.app,
            Self::Exec(args) => &mut args.app,
            Self::Scale(args) => &mut args.app,
            Self::Start(args) => &mut args.app,
            Self::Stop(args) | Self::Restart(args) => &mut args.app,
            Self::Rollback(args) => &mut args.app,
            Self::Build(args) => &mut args.app,
            Self::Pull(args) | Self::Image(ImageCommand::Pull(args)) => &mut args.app,
            Self::Push(args) | Self::Image(ImageCommand::Push(args)) => &mut args.app,
            Self::Events(args) => &mut args.app,
            Self::Ls
            | Self::Logs(_)
            | Self::Run(_)
            | Self::Kill(_)
            | Self::Pause(_)
            | Self::Unpause(_)
            | Self::Rm(_)
            | Self::Inspect(_)
            | Self::Image(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Registry(_)
            | Self::Volume(_)
            | Self::Network(_)
            | Self::Routes
            | Self::Route(_)
            | Self::Certificate(_)
            | Self::Metrics
            | Self::Prune(_)
            | Self::Doctor
            | Self::Daemon(_)
            | Self::Version
            | Self::Completion(_) => return AppArgs::default(),
        };
        std::mem::take(app)
    }
}

/// `sea up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Only these services and what they depend on
    pub services: Vec<String>,
    /// Return when the release has settled; without it the logs follow until Ctrl-C
    #[arg(short, long)]
    pub detach: bool,
    /// Wait until the release has settled (always so with -d)
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
    /// Build images before starting
    #[arg(long)]
    pub build: bool,
    /// Do not build images, even if they are missing
    #[arg(long, conflicts_with = "build")]
    pub no_build: bool,
    /// Replace instances even where nothing changed
    #[arg(long)]
    pub force_recreate: bool,
    /// How many of a service: SERVICE=N
    #[arg(long, value_name = "SERVICE=N")]
    pub scale: Vec<String>,
    /// Why, for the list of releases
    #[arg(short, long)]
    pub message: Option<String>,
    /// When to fetch images, whatever the file says
    #[arg(long, value_enum, env = "SEA_PULL")]
    pub pull: Option<Pull>,
    /// Only show the plan
    #[arg(long)]
    pub dry_run: bool,
}

/// When to fetch images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    /// When they are not here.
    Missing,
    /// In any case.
    Always,
    /// Never.
    Never,
}

impl From<Pull> for spec::PullPolicy {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::Missing => Self::Missing,
            Pull::Always => Self::Always,
            Pull::Never => Self::Never,
        }
    }
}

/// `sea down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Remove its named volumes too, with what is in them
    #[arg(short, long)]
    pub volumes: bool,
}

/// `sea plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Only these services and what they depend on
    pub services: Vec<String>,
}

/// `sea ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Only these services of the app
    pub services: Vec<String>,
    /// Also those that do not run
    #[arg(short, long)]
    pub all: bool,
    /// Containers of every app and of none, even where a compose file is
    #[arg(long)]
    pub everything: bool,
}

/// `sea logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Services of the app, or containers
    pub names: Vec<String>,
    /// Go on as lines come
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many of each; `all` for all
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<String>,
    /// Only from then on: a moment, or an age as in 10m
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only up to then
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Do not show whose line it is
    #[arg(long)]
    pub no_log_prefix: bool,
}

/// `sea exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// A service of the app or a container, and the program with its arguments
    // One list: behind the name nothing is a flag of ours, whatever it looks like.
    #[arg(value_name = "NAME COMMAND", trailing_var_arg = true, allow_hyphen_values = true, num_args = 2.., required = true)]
    pub words: Vec<String>,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Return once it runs
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    pub detach: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Without a terminal, even where there is one
    #[arg(short = 'T', long = "no-tty", conflicts_with = "tty")]
    pub no_tty: bool,
    /// More environment: NAME=VALUE, or NAME to pass ours on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// The folder to start in
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Who runs it
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// With every capability
    #[arg(long)]
    pub privileged: bool,
    /// Which instance of the service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
}

/// `sea scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// How many of which: SERVICE=N
    #[arg(required = true, value_name = "SERVICE=N")]
    pub replicas: Vec<String>,
}

/// Services or containers.
#[derive(Debug, Args)]
pub struct NamesArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Services of the app, or containers; all services when none
    pub names: Vec<String>,
}

/// `sea stop` and `sea restart`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Services of the app, or containers; all services when none
    pub names: Vec<String>,
    /// Seconds from the signal to the kill, for containers
    #[arg(short, long, value_name = "SECONDS", visible_alias = "time")]
    pub timeout: Option<u64>,
}

/// `sea kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Containers
    #[arg(required = true)]
    pub names: Vec<String>,
    /// By name or number
    #[arg(short, long, default_value = "KILL")]
    pub signal: String,
}

/// `sea pause` and `sea unpause`.
#[derive(Debug, Args)]
pub struct ContainersArgs {
    /// Containers
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// `sea rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Containers
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Kill them first if they run
    #[arg(short, long)]
    pub force: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    pub volumes: bool,
}

/// `sea inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Containers
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// `sea rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// The release to go back to; the last good one before the present when none
    pub release: Option<u32>,
}

/// `sea image …`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List images
    #[command(visible_alias = "list")]
    Ls,
    /// Fetch images from registries
    Pull(PullArgs),
    /// Send images to registries
    Push(PushArgs),
    /// Take images in from an archive of `docker save` or an OCI layout
    Load {
        /// The archive; standard input when none
        #[arg(short, long)]
        input: Option<PathBuf>,
    },
    /// Write images to an archive that `docker load` reads
    Save {
        /// Which
        #[arg(required = true)]
        images: Vec<String>,
        /// The archive; standard output when none
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Print how many of an image's layers, given from the lowest up, are here
    #[command(hide = true)]
    Here {
        /// By diff id
        layers: Vec<String>,
    },
    /// Remove names, and images without names
    Rm {
        /// Which
        #[arg(required = true)]
        images: Vec<String>,
        /// Also if they have several names
        #[arg(long)]
        force: bool,
    },
    /// Give an image one more name
    Tag {
        /// Which
        image: String,
        /// The name
        name: String,
    },
    /// Show everything about images
    Inspect {
        /// Which
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Show how an image was made
    History {
        /// Which
        image: String,
    },
    /// Remove images that no container and no kept release needs
    Prune {
        /// Also those that have names
        #[arg(short, long)]
        all: bool,
    },
    /// Read every layer again and compare it with its digest
    Fsck,
}

/// `sea volume …`.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// List volumes
    #[command(visible_alias = "list")]
    Ls,
    /// Make a volume
    Create {
        /// Its name
        name: String,
        /// Labels: NAME=VALUE
        #[arg(long)]
        label: Vec<String>,
        /// Options: NAME=VALUE
        #[arg(short, long)]
        opt: Vec<String>,
    },
    /// Show everything about volumes
    Inspect {
        /// Which
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove volumes and what is in them
    Rm {
        /// Which
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove anonymous volumes that nobody uses
    Prune {
        /// Also named ones that belong to no app
        #[arg(short, long)]
        all: bool,
    },
}

/// `sea network …`.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// List networks
    #[command(visible_alias = "list")]
    Ls,
    /// Make a network
    Create {
        /// Its name
        name: String,
        /// No way out, and none in
        #[arg(long)]
        internal: bool,
        /// Also IPv6
        #[arg(long)]
        ipv6: bool,
        /// As in 172.28.0.0/16
        #[arg(long)]
        subnet: Option<String>,
        /// The bridge's address
        #[arg(long)]
        gateway: Option<String>,
        /// Labels: NAME=VALUE
        #[arg(long)]
        label: Vec<String>,
    },
    /// Show everything about networks
    Inspect {
        /// Which
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove networks
    Rm {
        /// Which
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove networks that nobody is on
    Prune,
}

/// `sea prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Also images that have names but no user
    #[arg(short, long)]
    pub all: bool,
    /// Also anonymous volumes that nobody uses
    #[arg(long)]
    pub volumes: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `sea events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Only from then on: a moment, or an age as in 10m
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Go on as they come
    #[arg(long)]
    pub follow: bool,
    /// Only the last so many
    #[arg(short = 'n', long, default_value_t = 100)]
    pub tail: u32,
    /// Of every app, even where a compose file is
    #[arg(long)]
    pub everything: bool,
}

/// `sea completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// So many seconds, if given.
pub(crate) fn seconds(number: Option<u64>) -> Option<Duration> {
    number.map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
