//! Other people's clients of the Docker API, and the scripts that drive them through a day's work.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{Done, Sea};

/// How many seconds a day may take before it counts as hung.
const DAY: &str = "100";
/// What a script says when it came to its end.
const OVER: &str = "the day is done";

/// The folder of a client that was made for the tests.
pub fn client(name: &str) -> PathBuf {
    let folder = std::env::var_os("SEA_TEST_CLIENTS").map(PathBuf::from);
    let folder =
        folder.expect("SEA_TEST_CLIENTS names the folder of the clients; `cargo xtask clients` makes it");
    let client = folder.join(name);
    assert!(client.is_dir(), "there is no client `{name}`; `cargo xtask clients` makes it");
    client
}

/// A script that drives a client.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// A command that finds nothing of the machine's own settings, only this daemon's socket.
pub fn driven(sea: &Sea, program: impl AsRef<Path>) -> Result<Command> {
    let home = sea.home();
    let config = home.join(".docker");
    std::fs::create_dir_all(&config)?;
    let plugins = client("docker-newest").join("usr/libexec/docker/cli-plugins");
    let settings = serde_json::json!({ "cliPluginsExtraDirs": [plugins] });
    std::fs::write(config.join("config.json"), settings.to_string())?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", DAY]).arg(program.as_ref());
    command.env("DOCKER_HOST", format!("unix://{}", docker_socket(sea).display()));
    command.env("HOME", &home).env("DOCKER_CONFIG", config).current_dir(home).stdin(Stdio::null());
    for other in ["DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_BUILDKIT", "COMPOSE_FILE", "BUILDX_BUILDER"]
    {
        command.env_remove(other);
    }
    Ok(command)
}

/// The socket that clients speak to.
pub fn docker_socket(sea: &Sea) -> PathBuf {
    sea.root().join("docker.sock")
}

/// Runs a day to its end, which must be a good one.
pub fn work(command: &mut Command) -> Result<Done> {
    // Into files: what a day leaves behind may hold a pipe open for ever.
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let status = command
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .status()
        .with_context(|| format!("{command:?} cannot be run"))?;
    let output = Output { status, stdout: said(&mut out)?, stderr: said(&mut err)? };
    let done = Done::new(format!("{command:?}"), &output);
    ensure!(done.code == 0 && done.stdout.contains(OVER), "{done}");
    Ok(done)
}

fn said(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
