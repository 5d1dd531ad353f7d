//! The commands; they talk to the daemon only.
//!
//! [`Cli`] is the command line. [`run`] carries a command out through the API on the daemon's socket; results go to
//! standard output, everything else to standard error. The exit code is docker's for `run` and `exec`; for the others
//! 0 is done, 1 failed, 2 usage; `plan` says 2 for changes; a deploy says 3 when it was rolled back, 4 when it is not over.

mod apps;
pub mod args;
mod builds;
mod certificates;
mod containers;
mod disk;
mod folders;
mod images;
mod launch;
mod layers;
mod logs;
mod networks;
mod output;
mod project;
mod registries;
mod resolve;
mod rollout;
mod routes;
mod runs;
mod straight;
mod stream;
mod system;
mod table;
mod terminal;
mod volumes;

use std::path::PathBuf;
use std::process::ExitCode;

use base::{Kind, Problem, Report};
use wire::Client;

pub use args::{AcmeArgs, Cli, Command, DaemonArgs, RegistryArgs, RegistryCommand, ServeArgs};
pub use launch::Launch;
pub use output::print_report;

use args::{AppArgs, Global, Output};

/// What a command needs from the program that it is part of.
pub struct Surroundings {
    /// The daemon's root folder.
    pub root: PathBuf,
    /// The socket that it answers on.
    pub socket: PathBuf,
    /// How to start a daemon in the background.
    pub launch: Launch,
    /// What `sea doctor` finds on this machine; it needs no daemon.
    pub doctor: fn(&std::path::Path) -> Vec<talk::Check>,
}

/// A command under way.
pub(crate) struct Session {
    pub(crate) global: Global,
    pub(crate) app: AppArgs,
    pub(crate) client: Client,
    pub(crate) around: Surroundings,
}

/// How a command ends: its exit code, or a report for people.
pub(crate) type Done = Result<u8, Report>;

/// Carries a command out.
pub async fn run(cli: Cli, around: Surroundings) -> ExitCode {
    let Cli { global, app, mut command } = cli;
    let app = command.take_app().over(app);
    let json = global.json();
    let client = Client::new(&around.socket);
    let session = Session { global, app, client, around };
    match session.dispatch(command).await {
        Ok(code) => ExitCode::from(code),
        Err(report) => {
            print_report(&report, json);
            ExitCode::from(exit_code(&report))
        }
    }
}

/// The exit code for a report: 2 for a command or a file that makes no sense, 1 for whatever failed beyond that.
fn exit_code(report: &Report) -> u8 {
    if report.kind == Kind::Invalid && !report.remote { 2 } else { 1 }
}

impl Session {
    async fn dispatch(&self, command: Command) -> Done {
        match command {
            Command::Up(args) | Command::Deploy(args) => self.up(args).await,
            Command::Down(args) => self.down(args).await,
            // Here 2 means that there are changes, so whatever fails is 1.
            Command::Plan(args) => match self.plan(args).await {
                Err(report) => {
                    print_report(&report, self.json());
                    Ok(1)
                }
                done => done,
            },
            Command::Config(args) => self.config(&args),
            Command::Ps(args) => self.ps(args).await,
            Command::Ls => self.apps().await,
            Command::Status(_) => self.status().await,
            Command::Logs(args) => self.logs(args).await,
            Command::Exec(args) => self.exec(args).await,
            Command::Run(args) => self.run_container(*args).await,
            Command::Scale(args) => self.scale(args).await,
            Command::Start(args) => self.start(args).await,
            Command::Stop(args) => self.stop(args).await,
            Command::Restart(args) => self.restart(args).await,
            Command::Kill(args) => self.kill(args).await,
            Command::Pause(args) => self.each_container(&args.names, "pause", &()).await,
            Command::Unpause(args) => self.each_container(&args.names, "unpause", &()).await,
            Command::Rm(args) => self.rm(args).await,
            Command::Inspect(args) => self.inspect(args).await,
            Command::Rollback(args) => self.rollback(args).await,
            Command::Releases(_) => self.releases().await,
            Command::Build(args) => self.build(*args).await,
            Command::Pull(args) => self.pull(args).await,
            Command::Push(args) => self.push(args).await,
            Command::Login(args) => self.login(args).await,
            Command::Logout(args) => self.logout(args).await,
            Command::Image(command) => self.image(command).await,
            Command::Volume(command) => self.volume(command).await,
            Command::Network(command) => self.network(command).await,
            Command::Routes => self.routes().await,
            Command::Metrics => self.metrics().await,
            Command::Route(command) => self.route(command).await,
            Command::Certificate(command) => self.certificate(command).await,
            Command::Prune(args) => self.prune(args).await,
            Command::Events(args) => self.events(args).await,
            Command::Doctor => self.doctor(),
            Command::Version => self.version().await,
            Command::Completion(args) => Ok(system::completion(args.shell)),
            Command::Daemon(_) | Command::Registry(_) => {
                Err(Report::new(Kind::Internal, "what serves is started elsewhere"))
            }
        }
    }

    pub(crate) fn json(&self) -> bool {
        self.global.json()
    }

    pub(crate) fn quiet(&self) -> bool {
        self.global.quiet
    }
}

impl Global {
    fn json(&self) -> bool {
        self.format == Output::Json
    }
}

/// A problem as what ends a command.
pub(crate) fn report(problem: impl Problem) -> Report {
    Report::of(&problem)
}
