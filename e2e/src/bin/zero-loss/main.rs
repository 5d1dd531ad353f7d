//! Zero loss: requests of every kind through the edge, while its documents change, other edges take its place, and
//! instances die. The only failures may be those that the dead made, and the edge has to count them too.
//!
//! Drives the edge as the daemon does, through `proxy`; what clients ask and what they hold to be an answer is code of
//! its own.

mod book;
mod clients;
mod course;
mod fleet;
mod instance;
mod line;
mod pattern;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base::Rng;

use crate::clients::World;
use crate::course::{Course, order};

const USAGE: &str = "\
Requests through the edge, while its documents change, other edges take its place, and instances die.

Usage: zero-loss [--requests N] [--changes N] [--upgrades N] [--crashes N] [--seed N] [--program PATH]

  --requests N    requests, messages and events altogether; 100000
  --changes N     documents, 200
  --upgrades N    edges that take the place of the one before, 50
  --crashes N     instances that are killed within their requests, 20
  --seed N        another mixture, 1
  --program PATH  the program `sea`; what SEA_BIN names

Ends with 1 when something was lost that no crash explains, or a process is left.
";

/// How long all that was begun may take to end when nothing new is asked.
const ENDING: Duration = Duration::from_secs(120);

struct Options {
    requests: u64,
    changes: u32,
    upgrades: u32,
    crashes: u32,
    seed: u64,
    program: PathBuf,
}

impl Options {
    fn read(words: &[String]) -> Result<Self> {
        let program = std::env::var_os("SEA_BIN").unwrap_or_else(|| "target/release/sea".into()).into();
        let mut options =
            Self { requests: 100_000, changes: 200, upgrades: 50, crashes: 20, seed: 1, program };
        for pair in words.chunks(2) {
            let [name, value] = pair else { bail!("`{}` needs a value\n\n{USAGE}", pair[0]) };
            let number =
                || value.parse::<u32>().with_context(|| format!("`{name}` needs a number, not `{value}`"));
            match name.as_str() {
                "--requests" => options.requests = u64::from(number()?),
                "--changes" => options.changes = number()?,
                "--upgrades" => options.upgrades = number()?,
                "--crashes" => options.crashes = number()?,
                "--seed" => options.seed = u64::from(number()?),
                "--program" => options.program = value.into(),
                _ => bail!("there is no option `{name}`\n\n{USAGE}"),
            }
        }
        ensure!(
            options.program.is_file(),
            "there is no `{}`; name it with --program",
            options.program.display()
        );
        Ok(options)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["instance", name, address] => instance::run(name, address).map(|()| true),
        ["--help" | "-h"] => {
            say(USAGE);
            Ok(true)
        }
        _ => Options::read(&words).and_then(|options| run(&options)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Whether nothing was lost, and nothing is left.
fn run(options: &Options) -> Result<bool> {
    let folder = tempfile::Builder::new().prefix("sea-zero-").tempdir()?;
    let root = folder.path().canonicalize()?.join("root");
    std::fs::create_dir(&root)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sailed = tokio::task::LocalSet::new().block_on(&runtime, sail(options, &root));
    // Only now, as an edge that leaves may take a while.
    let left = left(&root, sailed.is_err());
    for process in &left {
        say(&format!("  LEFT: {process}\n"));
    }
    Ok(sailed? && left.is_empty())
}

async fn sail(options: &Options, root: &std::path::Path) -> Result<bool> {
    let mut rng = Rng::seeded(options.seed);
    let mut course = Course::begin(options.program.clone(), root).await?;
    let world = Rc::new(World::new(course.address().await?));
    let began = Instant::now();
    let clients = clients::begin(&world, rng.next_u64());
    let acts = order(options.changes, options.upgrades, options.crashes);
    let sailed = course.sail(&world, options.requests, acts, &mut rng).await;
    let took = began.elapsed();
    world.book.finish();
    let all = async {
        for client in clients {
            // Its panic was told when it happened, and fails the run below.
            ensure!(client.await.is_ok(), "a client panicked");
        }
        Ok(())
    };
    let ended = tokio::time::timeout(ENDING, all).await.context("clients do not come to their end");
    let course = course.end().await?;
    let failures = world.book.failures();
    let losses = report::losses(&failures, &course.crashes);
    say(&format!(
        "{} requests, messages and events in {:.0} s, seed {}\n{}",
        world.book.total(),
        took.as_secs_f64(),
        options.seed,
        report::text(&world.book, &course, &losses)
    ));
    sailed.and(ended?)?;
    Ok(losses.is_empty() && world.book.rest().0 == 0)
}

/// Processes of this root that have not ended; where all is lost anyway they are ended.
fn left(root: &std::path::Path, end: bool) -> Vec<String> {
    let traces = e2e::Traces::of(root);
    let deadline = Instant::now() + Duration::from_secs(40);
    while Instant::now() < deadline && !end && !traces.processes().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let found = traces.processes();
    for pid in found.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    found.iter().map(|pid| format!("process {pid} {}", e2e::process::arguments(*pid).join(" "))).collect()
}
