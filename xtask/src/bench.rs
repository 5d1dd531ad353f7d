//! `bench`: the scripts under `bench/`, each of which puts us and a peer side by side and prints a ratio.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{harbour, needs, shell, tree};

/// Runs the scripts named, or all.
pub(crate) fn run(named: &[String]) -> Result<()> {
    let known = scripts()?;
    ensure!(!known.is_empty(), "there is no script under `bench/`");
    let wanted: Vec<String> = if named.is_empty() { known.clone() } else { named.to_vec() };
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        anyhow::bail!("there is no benchmark `{unknown}`; there are {}", known.join(", "));
    }
    needs::install(needs::BUILD)?;
    needs::install(needs::BENCH)?;
    shell::run(
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--package",
                "sea",
                "--package",
                "proxy",
                "--package",
                "e2e",
                "--bins",
            ])
            .current_dir(tree::root()),
    )?;
    harbour::build()?;
    for name in wanted {
        eprintln!("── {name}");
        let mut script = needs::as_root(&folder().join(&name).display().to_string())?;
        let program = tree::target().join("release/sea");
        script
            .env("SEA_BIN", program)
            .env("SEA_TEST_IMAGES", crate::suite::images()?)
            .current_dir(tree::root());
        shell::run(&mut script).with_context(|| format!("benchmark `{name}` failed"))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    tree::root().join("bench")
}

/// The names of the files under `bench/` that may be run.
fn scripts() -> Result<Vec<String>> {
    use std::os::unix::fs::PermissionsExt;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).context("there is no folder `bench/`")? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_file() && about.permissions().mode() & 0o111 != 0 {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
