//! The project's chores: tidy, test, demo, bench, ci.
//!
//! Each runs alone on a fresh machine: what it needs it installs by name, and what it cannot do it says.

mod bench;
mod ci;
mod clients;
mod demo;
mod fuzz;
mod harbour;
mod http;
mod leftovers;
mod needs;
mod shell;
mod stage;
mod suite;
mod tidy;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
The project's chores.

Usage: cargo xtask <chore>

  demo [--stop]    build, start sea, deploy examples/harbour, show it; leaves it running
  test             install what the tests need, by name, and run all of them
  tidy             check what STYLE.md asks and a machine can see
  bench [name...]  build for speed and run the scripts under bench/; without a name, all
  fuzz [target...] [--seconds N | --runs N]
                   send all shapes to the parsers of the edge; a minute each
  ci [stage...]    tidy, clippy, docs, fuzz and all that `test` runs; or only the stages named
  clients          make the clients of the Docker API that the tests drive
  harbour          build the programs and the secret that examples/harbour needs

Example: cargo xtask demo
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", &[][..]),
    };
    let done = match chore {
        "demo" => demo::run(rest),
        "test" => suite::run(),
        "tidy" => tidy::run(),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "ci" => ci::run(rest),
        "clients" => suite::clients().map(drop),
        "harbour" => harbour::build(),
        "help" | "-h" | "--help" => {
            print(USAGE);
            Ok(())
        }
        other => {
            eprintln!("error: there is no chore `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", report(&error));
            ExitCode::FAILURE
        }
    }
}

/// Writes a result to stdout. A reader that went away is not an error.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn report(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  because: {cause}"));
    }
    text
}
