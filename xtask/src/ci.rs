//! `ci`: what must hold before a change is taken: style, lints, documentation, all shapes for the parsers, and all tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::stage::{Did, Stages};
use crate::{fuzz, harbour, needs, shell, suite, tidy, tree};

/// In their order: what is quick to fail comes first.
const STAGES: &[&str] = &["tidy", "clippy", "docs", "fuzz", "test"];

/// Runs all stages, or those named.
pub(crate) fn run(named: &[String]) -> Result<()> {
    if let Some(unknown) = named.iter().find(|name| !STAGES.contains(&name.as_str())) {
        bail!("there is no stage `{unknown}`; there are {}", STAGES.join(", "));
    }
    let wanted = |stage: &str| named.is_empty() || named.iter().any(|name| name == stage);
    let mut stages = Stages::default();
    needs::install(needs::BUILD)?;
    if wanted("tidy") {
        stages.run("tidy", || Ok(Did(tidy::check()?, "files")))?;
    }
    if wanted("clippy") {
        stages.run("clippy", clippy)?;
    }
    if wanted("docs") {
        stages.run("docs", docs)?;
    }
    if wanted("fuzz") {
        fuzz::shortly(&mut stages)?;
    }
    if wanted("test") {
        suite::all(&mut stages)?;
    }
    stages.finish();
    Ok(())
}

/// In the profiles that the tests are built in, so that what build scripts and macros make is made once.
fn clippy() -> Result<Did> {
    let lint = ["clippy", "--locked", "--workspace", "--all-targets", "--quiet"];
    let deny = ["--", "--deny=warnings"];
    shell::run(Command::new("cargo").args(lint).args(deny).current_dir(tree::root()))?;
    shell::run(harbour::cargo().args(lint).arg("--release").args(deny))?;
    Ok(Did(crates()?, "crates"))
}

/// The documentation of our crates, where a dead link is an error.
fn docs() -> Result<Did> {
    let mut command = Command::new("cargo");
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
    shell::run(command.env("RUSTDOCFLAGS", "--deny=warnings").current_dir(tree::root()))?;
    Ok(Did(crates()?, "crates"))
}

fn crates() -> Result<usize> {
    Ok(tree::files()?.iter().filter(|file| file.ends_with("Cargo.toml")).count() - 1)
}
