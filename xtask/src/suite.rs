//! `test`: everything that can be tested, on a machine that had nothing but a Rust toolchain.
//!
//! Many tests make namespaces, mounts and cgroups, so they run as root: directly, or through sudo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::stage::{Did, Stages};
use crate::{clients, harbour, leftovers, needs, shell, tree};

/// The images that tests run real programs from.
const IMAGES: &[&str] = &["busybox", "debian", "redis", "nginx", "python", "postgres"];

/// Runs all of it and prints the table.
pub(crate) fn run() -> Result<()> {
    let mut stages = Stages::default();
    all(&mut stages)?;
    stages.finish();
    Ok(())
}

/// The stages of `test`, for whoever runs them.
pub(crate) fn all(stages: &mut Stages) -> Result<()> {
    let images = images_folder()?;
    let clients_at = cache_folder("SEA_TEST_CLIENTS", "clients")?;
    stages.run("needs", || {
        let needs = [needs::BUILD, needs::TEST, &clients::needs()].concat();
        needs::install(&needs)?;
        Ok(Did(needs.len(), "packages"))
    })?;
    stages.run("images", || make_images(&images))?;
    stages.run("clients", || clients::make(&clients_at))?;
    stages.run("harbour", harbour::test)?;
    stages.run("build", build)?;
    let before = leftovers::look()?;
    stages.run("tests", || tests(&images, Part::Crates))?;
    stages.run("e2e", || tests(&images, Part::EndToEnd))?;
    stages.run("patterns", patterns)?;
    stages.run("doc tests", || doc_tests(&images))?;
    stages.run("leftovers", || leftovers::none_since(&before))
}

/// Where the clients are that the tests drive; made first, if they are not there.
pub(crate) fn clients() -> Result<PathBuf> {
    let folder = cache_folder("SEA_TEST_CLIENTS", "clients")?;
    needs::install(&clients::needs())?;
    clients::make(&folder)?;
    Ok(folder)
}

/// Where the test images are; made first, if they are not there.
pub(crate) fn images() -> Result<PathBuf> {
    let folder = images_folder()?;
    needs::install(needs::TEST)?;
    make_images(&folder)?;
    Ok(folder)
}

fn images_folder() -> Result<PathBuf> {
    cache_folder("SEA_TEST_IMAGES", "images")
}

/// Outside the repository, so that no clean-up of it takes what is there: it is slow to make.
fn cache_folder(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(variable) {
        return Ok(folder.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache
        .or_else(home)
        .with_context(|| format!("neither HOME nor XDG_CACHE_HOME is set; set {variable} to a folder"))?;
    Ok(cache.join("seaworthy").join(name))
}

/// Makes the images that are not there yet; each takes about half a minute.
fn make_images(folder: &Path) -> Result<Did> {
    let missing: Vec<&str> =
        IMAGES.iter().copied().filter(|name| !folder.join(format!("{name}.tar")).is_file()).collect();
    if !missing.is_empty() {
        let maker = tree::root().join("../shared/images/make-images");
        ensure!(
            maker.is_file(),
            "the test images `{}` are missing in `{}`, and so is `{}`, which makes them; put the `shared` folder \
             beside the checkout, or point SEA_TEST_IMAGES at a folder that has them",
            missing.join("`, `"),
            folder.display(),
            maker.display(),
        );
        shell::run(needs::as_root("python3")?.arg(&maker).arg(folder).args(&missing))?;
    }
    Ok(Did(IMAGES.len(), "images"))
}

/// All programs and tests in one go, so that each package is compiled with one set of features.
fn build() -> Result<Did> {
    shell::run(cargo().args(["build", "--locked", "--workspace", "--bins", "--tests"]))?;
    let program = program();
    ensure!(program.is_file(), "the build made no `{}`", program.display());
    Ok(Did(1, "program"))
}

/// What the end-to-end tests run.
fn program() -> PathBuf {
    tree::target().join("debug/sea")
}

/// Which tests; apart, so that either part is missed when it is empty.
#[derive(Clone, Copy)]
enum Part {
    /// Of each crate by itself.
    Crates,
    /// Of the whole program.
    EndToEnd,
}

fn tests(images: &Path, part: Part) -> Result<Did> {
    let mut command = cargo();
    if shell::installed("cargo-nextest") {
        let filter = match part {
            Part::Crates => "not package(e2e)",
            Part::EndToEnd => "package(e2e)",
        };
        // By a filter, not by package: what is selected decides the features that all is compiled with.
        command.args(["nextest", "run", "--locked", "--workspace", "--color=never", "--filterset", filter]);
    } else {
        command.args(["test", "--locked", "--lib", "--bins", "--tests", "--no-fail-fast"]);
        match part {
            Part::Crates => command.args(["--workspace", "--exclude", "e2e"]),
            Part::EndToEnd => command.args(["--package", "e2e"]),
        };
    }
    let lines = shell::watched(with_environment(&mut command, images)?)?;
    Ok(Did(lines.iter().map(|line| ran(line)).sum(), "tests"))
}

/// What the edge's patterns do for services in trouble, with the real program: by counts, which no noise changes.
fn patterns() -> Result<Did> {
    let mut command = Command::new("python3");
    command.arg(tree::root().join("bench/patterns")).arg("--check").arg("--program").arg(program());
    let lines = shell::watched(&mut command)?;
    let checks = lines.iter().find_map(|line| line.strip_suffix(" checks")?.parse().ok());
    Ok(Did(checks.unwrap_or(0), "checks"))
}

fn doc_tests(images: &Path) -> Result<Did> {
    let mut command = cargo();
    command.args(["test", "--locked", "--workspace", "--doc"]);
    let lines = shell::watched(with_environment(&mut command, images)?)?;
    Ok(Did(lines.iter().map(|line| ran(line)).sum(), "examples"))
}

/// What tests find in their environment; and test programs run as root.
fn with_environment<'a>(command: &'a mut Command, images: &Path) -> Result<&'a mut Command> {
    command.env("SEA_TEST_IMAGES", images).env("SEA_BIN", program());
    command.env("SEA_TEST_CLIENTS", cache_folder("SEA_TEST_CLIENTS", "clients")?);
    if !shell::is_root()? {
        ensure!(
            shell::installed("sudo"),
            "tests need root: become root, or install sudo and allow yourself to use it"
        );
        command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", "sudo --preserve-env");
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "sudo --preserve-env");
    }
    Ok(command)
}

/// How many tests this line of nextest's or cargo's report says were run.
pub(crate) fn ran(line: &str) -> usize {
    let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    match line.trim_start() {
        // Summary [   0.042s] 14 tests run: 14 passed, 0 skipped
        summary if summary.starts_with("Summary [") => {
            summary.split_once(']').map_or(0, |(_, rest)| number(rest))
        }
        // test result: ok. 14 passed; 0 failed; …
        result => result.strip_prefix("test result: ok. ").map_or(0, number),
    }
}

fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(tree::root());
    command
}

#[cfg(test)]
mod tests;
