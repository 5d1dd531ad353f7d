//! `fuzz`: what strangers send, in all shapes, with an eye on which code each shape reaches.
//!
//! The targets are a workspace of their own, compiled by the stable compiler with the coverage that libFuzzer watches.
//! What it finds worth keeping stays under the target folder; the shapes that it begins with are in `fuzz/corpus/`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::stage::{Did, Stages};
use crate::{needs, shell, tree};

/// What a compiler needs to say what was reached, as cargo-fuzz says it, but for sanitizers, which stable has not.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// The longest input: longer ones find little more, and slowly.
const MOST_BYTES: u32 = 4096;
/// How long a target runs unless it is told.
const SECONDS: u32 = 60;
/// How often each target runs in `ci`; the first half of what there is to find comes sooner.
const RUNS: u32 = 100_000;

/// So much is shown of what a target says when it breaks.
const LAST_LINES: usize = 40;

/// When a target has had enough.
#[derive(Debug, Clone, Copy)]
enum Until {
    Seconds(u32),
    Runs(u32),
}

/// Runs the targets named, or all, each for a time.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let mut named = Vec::new();
    let mut until = Until::Seconds(SECONDS);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || -> Result<u32> {
            let value = words.next().with_context(|| format!("`{word}` needs a number"))?;
            value.parse().with_context(|| format!("`{word}` needs a number, not `{value}`"))
        };
        match word.as_str() {
            "--seconds" => until = Until::Seconds(number()?),
            "--runs" => until = Until::Runs(number()?),
            other => named.push(other.to_owned()),
        }
    }
    let known = targets()?;
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        bail!("there is no target `{unknown}`; there are {}", known.join(", "));
    }
    let mut stages = Stages::default();
    all(&mut stages, if named.is_empty() { &known } else { &named }, until)?;
    stages.finish();
    Ok(())
}

/// All targets for a while, as a part of `ci`.
pub(crate) fn shortly(stages: &mut Stages) -> Result<()> {
    all(stages, &targets()?, Until::Runs(RUNS))
}

fn all(stages: &mut Stages, named: &[String], until: Until) -> Result<()> {
    needs::install(needs::FUZZ)?;
    stages.run("fuzz build", build)?;
    for name in named {
        stages.run(name, || one(name, until))?;
    }
    Ok(())
}

/// The targets, by their files.
fn targets() -> Result<Vec<String>> {
    let files = tree::files()?;
    let name = |file: &String| Some(file.strip_prefix("fuzz/targets/")?.strip_suffix(".rs")?.to_owned());
    let found: Vec<String> = files.iter().filter_map(name).collect();
    ensure!(!found.is_empty(), "there is no target under `fuzz/targets/`");
    Ok(found)
}

fn build() -> Result<Did> {
    let mut command = Command::new("cargo");
    command.args(["build", "--bins", "--quiet", "--target", &host()?, "--target-dir"]).arg(folder());
    command.current_dir(tree::root().join("fuzz")).env("RUSTFLAGS", FLAGS.join(" "));
    shell::run(&mut command)?;
    Ok(Did(targets()?.len(), "targets"))
}

/// Apart from all else, which is compiled with other flags.
fn folder() -> PathBuf {
    tree::target().join("fuzz")
}

/// The machine that we compile for: with a name of its own, flags do not reach what only compiles.
fn host() -> Result<String> {
    let said = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn one(name: &str, until: Until) -> Result<Did> {
    let (found, broken) = (folder().join("corpus").join(name), folder().join("broken"));
    for place in [&found, &broken] {
        std::fs::create_dir_all(place).with_context(|| format!("could not make `{}`", place.display()))?;
    }
    let mut command = Command::new(folder().join(host()?).join("debug").join(name));
    command.arg(found).arg(tree::root().join("fuzz/corpus").join(name));
    command.arg(format!("-max_len={MOST_BYTES}")).arg("-print_final_stats=1").arg("-timeout=10");
    command.arg(format!("-artifact_prefix={}/{name}-", broken.display()));
    command.arg(match until {
        Until::Seconds(seconds) => format!("-max_total_time={seconds}"),
        Until::Runs(runs) => format!("-runs={runs}"),
    });
    let done = command.output().with_context(|| format!("could not start `{}`", shell::shown(&command)))?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        let lines: Vec<&str> = said.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"));
        bail!(
            "`{name}` breaks on an input, which is under `{}`; give it to the target alone to see it again",
            broken.display()
        );
    }
    // What was reached, in edges of the code (`cov`) and their counts (`ft`), and how many inputs are kept for it.
    for line in said.lines().filter(|line| line.contains("DONE")) {
        eprintln!("{line}");
    }
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let runs = runs.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    Ok(Did(runs, "runs"))
}
