//! `ci`: what must hold before a change is taken: style, lints, documentation, and all tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::stage::{Did, Stages};
use crate::{needs, shell, suite, tidy, tree};

/// In their order: what is quick to fail comes first.
const STAGES: &[&str] = &["tidy", "clippy", "docs", "test"];

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
    if wanted("test") {
        suite::all(&mut stages)?;
    }
    stages.finish();
    Ok(())
}

fn clippy() -> Result<Did> {
    let lint = ["clippy", "--all-targets", "--quiet", "--", "--deny=warnings"];
    let root = tree::root();
    shell::run(Command::new("cargo").args(["clippy", "--workspace"]).args(&lint[1..]).current_dir(&root))?;
    shell::run(
        Command::new("cargo")
            .args(lint)
            .current_dir(root.join("examples/harbour"))
            .env_remove("CARGO_TARGET_DIR"),
    )?;
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
