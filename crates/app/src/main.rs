//! The roles; the only crate that knows every concrete type.
//!
//! One program: as `sea shim`, `sea edge` and `sea names` it is what the daemon starts for itself; as `sea daemon` it is
//! the daemon; else it is the command of a person.

mod between;
mod certificates;
mod daemon;
mod doctor;
mod edge_deaths;
mod fetch;
mod images_port;
mod kept_address;
mod log_file;
mod pullers;
mod registry_role;
mod root;
mod runner;
mod usual_place;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use base::{Kind, Report};
use clap::Parser;
use cli::{Cli, Command, Launch, Surroundings};
use proxy::{EdgeOptions, HttpsFront, LogFormat};
use root::Place;

fn main() -> ExitCode {
    // The roles come before anything else: a shim is one thread and stays small.
    let args: Vec<OsString> = std::env::args_os().collect();
    match (args.get(1).and_then(|role| role.to_str()), &args[2.min(args.len())..]) {
        (Some("shim"), [folder]) => return runtime::shim_main(Path::new(folder)),
        (Some("names"), [folder]) => return network::names::names_main(Path::new(folder)),
        (Some("edge"), rest) => {
            base::crash::arm("edge");
            return edge(rest);
        }
        _ => {}
    }
    command(Cli::parse())
}

/// `sea edge --root DIR --http ADDRESS [--https ADDRESS | --https-when-needed ADDRESS…]`, as the daemon starts it.
fn edge(args: &[OsString]) -> ExitCode {
    let mut options = EdgeOptions::default();
    for pair in args.chunks(2) {
        match (pair[0].to_str(), pair.get(1)) {
            (Some("--root"), Some(root)) => options.root = root.into(),
            (Some("--identity"), Some(identity)) => options.program = identity.to_string_lossy().into_owned(),
            (Some("--access-log"), Some(format)) => {
                let known = format.to_str().and_then(LogFormat::of);
                options.settings.access_log = known.unwrap_or_default();
            }
            (Some("--handover"), Some(line)) if line == "stdin" => options.handover = true,
            (Some("--http"), Some(address)) => {
                options.http.extend(parsed(address));
            }
            (Some("--https"), Some(address)) => {
                options.https = HttpsFront::At(parsed(address).into_iter().collect());
            }
            (Some("--https-when-needed"), Some(address)) => {
                let before = match options.https {
                    HttpsFront::WhenNeeded(before) => before,
                    HttpsFront::Never | HttpsFront::At(_) => Vec::new(),
                };
                options.https = HttpsFront::WhenNeeded(before.into_iter().chain(parsed(address)).collect());
            }
            _ => {
                cli::print_report(&Report::new(Kind::Invalid, "the edge is started by the daemon"), false);
                return ExitCode::from(2);
            }
        }
    }
    proxy::edge_main(options)
}

fn parsed(address: &std::ffi::OsStr) -> Option<std::net::SocketAddr> {
    address.to_str()?.parse().ok()
}

fn command(cli: Cli) -> ExitCode {
    let json = matches!(cli.global.format, cli::args::Output::Json);
    let done = match root::of(&cli.global) {
        Err(report) => Err(report),
        Ok(place) => match &cli.command {
            Command::Daemon(args) => daemon::run(&place.root, args).map(|()| ExitCode::SUCCESS),
            Command::Registry(args) => registry_role::run(&place.root, args, json),
            _ => person(cli, place),
        },
    };
    done.unwrap_or_else(|report| {
        cli::print_report(&report, json);
        ExitCode::FAILURE
    })
}

/// The command of a person: one thread is enough.
fn person(cli: Cli, place: Place) -> Result<ExitCode, Report> {
    let program = root::program()?;
    let Place { root, socket } = place;
    let around = Surroundings { root, socket, launch: Launch { program }, doctor: doctor::checks };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::new(Kind::Exhausted, "could not start to work").because(error))?;
    let code = runtime.block_on(cli::run(cli, around));
    // A read of standard input that nobody needs any more must not keep the program.
    runtime.shutdown_background();
    Ok(code)
}
