//! The example app: its static programs, where its Dockerfile finds them, and its secret.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::stage::Did;
use crate::{shell, tree};

const PROGRAMS: &[&str] = &["web", "booking", "pricing"];

/// Builds the programs into `dist/` and makes the secret, unless it is there.
pub(crate) fn build() -> Result<()> {
    let home = home();
    shell::run(cargo().args(["build", "--release", "--locked"]))?;
    let dist = home.join("dist");
    // The empty folder gives the volume its owner: see the Dockerfile.
    fs::create_dir_all(dist.join("data"))?;
    for program in PROGRAMS {
        let built = home.join("target/release").join(program);
        must_be_static(&built)?;
        fs::copy(&built, dist.join(program))
            .with_context(|| format!("could not copy `{}`", built.display()))?;
    }
    make_secret(&home.join("secrets/booking-key"))
}

/// Runs the tests of its own workspace.
pub(crate) fn test() -> Result<Did> {
    build()?;
    let lines = shell::watched(cargo().args(["test", "--release", "--locked"]))?;
    Ok(Did(lines.iter().map(|line| crate::suite::ran(line)).sum(), "tests"))
}

/// Its folder.
pub(crate) fn home() -> PathBuf {
    tree::root().join("examples/harbour")
}

/// In its own folder, because its `.cargo/config.toml` asks for static programs.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(home()).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    command
}

/// In an image from scratch there is no loader: a program that names one would not start.
fn must_be_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("the build made no `{}`", program.display()))?;
    let loader = b"/ld-linux";
    let dynamic = bytes.windows(loader.len()).any(|window| window == loader);
    ensure!(!dynamic, "`{}` is not static; build it in its own folder", program.display());
    Ok(())
}

fn make_secret(file: &Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::create_dir_all(file.parent().expect("the secret lies in a folder"))?;
    let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    std::io::Write::write_all(&mut made, text.as_bytes())?;
    Ok(())
}
