//! `demo`: from a fresh clone to an app that answers, in one command.
//!
//! Leaves it running, under a root folder of its own, and says how to look at it and how to stop it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{harbour, http, needs, shell, tree};

/// How many requests make the status worth looking at.
const REQUESTS: usize = 50;

/// How often and how long to wait for a process to end.
const ROUNDS: u32 = 200;
const ROUND: Duration = Duration::from_millis(100);

/// Starts the demo, or stops it with `--stop`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => start(),
        [flag] if flag == "--stop" => stop(),
        _ => bail!("`demo` takes `--stop` or nothing"),
    }
}

fn start() -> Result<()> {
    needs::install(needs::BUILD)?;
    shell::run(
        Command::new("cargo").args(["build", "--release", "--package", "sea"]).current_dir(tree::root()),
    )?;
    harbour::build()?;
    shell::run(sea()?.args(["up", "--detach", "--wait", "--build", "--file"]).arg(compose_file()))?;

    let address = edge_address()?;
    for number in 0..REQUESTS {
        let (status, _) = http::get(address, "localhost", "/")?;
        ensure!(status == 200, "request {number} of {REQUESTS} was answered {status}");
    }
    eprintln!("{REQUESTS} requests, {REQUESTS} answers\n");
    shell::run(sea()?.args(["status", "--file"]).arg(compose_file()))?;
    let program = shown_path(&program());
    let root = shown_path(&root());
    crate::print(&format!(
        "\nharbour answers at http://localhost:{}/\n\
         look at it:  {program} --root {root} status\n\
         stop it:     cargo xtask demo --stop\n",
        address.port()
    ));
    Ok(())
}

/// Takes the app down, and ends the daemon and its children, which would serve on without it.
fn stop() -> Result<()> {
    let running = roles()?;
    ensure!(!running.is_empty(), "the demo does not run: no process has the root `{}`", root().display());
    shell::run(sea()?.args(["down", "--file"]).arg(compose_file()))?;
    // The daemon comes first: it would start the others again. Some end with it.
    while let Some(role) = roles()?.first() {
        end(*role)?;
    }
    Ok(())
}

/// The processes of the demo's root: the daemon first.
fn roles() -> Result<Vec<u32>> {
    let root = root().display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
        if pid != std::process::id() && is_role(&words, &root) {
            found.push((!words.iter().any(|word| word == "daemon"), pid));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, pid)| pid).collect())
}

/// Whether this command line is one of sea's that has this root.
fn is_role(words: &[String], root: &str) -> bool {
    let program = words.first().is_some_and(|word| word.rsplit('/').next() == Some("sea"));
    let below =
        |word: &String| word.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    program && words.iter().any(below)
}

/// Asks it to end, and waits until it has.
fn end(pid: u32) -> Result<()> {
    shell::run(needs::as_root("kill")?.args(["-TERM", &pid.to_string()]))?;
    for _ in 0..ROUNDS {
        if !roles()?.contains(&pid) {
            return Ok(());
        }
        std::thread::sleep(ROUND);
    }
    bail!("process {pid} did not end within {} s", (ROUND * ROUNDS).as_secs())
}

fn program() -> PathBuf {
    tree::target().join("release/sea")
}

/// The demo's own root folder; its containers, images and ports are its own.
fn root() -> PathBuf {
    tree::target().join("demo")
}

fn compose_file() -> PathBuf {
    harbour::home().join("compose.yaml")
}

fn sea() -> Result<Command> {
    let mut command = needs::as_root(&program().display().to_string())?;
    command.arg("--root").arg(root());
    Ok(command)
}

/// Where the front of the app is reached from outside, as the daemon tells it.
fn edge_address() -> Result<SocketAddr> {
    let text = shell::output(sea()?.args(["status", "--format", "json", "--file"]).arg(compose_file()))?;
    let status: Value = serde_json::from_str(&text).context("could not read what `sea status` said")?;
    let services = status["services"].as_array().into_iter().flatten();
    let addresses = services.filter_map(|service| service["addresses"].as_array()).flatten();
    let port = addresses.filter_map(Value::as_str).find_map(port_of);
    Ok((Ipv4Addr::LOCALHOST, port.with_context(|| format!("`sea status` names no address: {text}"))?).into())
}

/// The port in an address such as `http://harbour.localhost:8080/`; plain HTTP's own when it names none.
fn port_of(address: &str) -> Option<u16> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let authority = rest.split('/').next().unwrap_or_default();
    let named = authority.rsplit_once(':').filter(|(_, port)| !port.is_empty() && !port.contains(']'));
    match named {
        Some((_, port)) => port.parse().ok(),
        None => (scheme == "http" && !authority.is_empty()).then_some(80),
    }
}

/// Relative to where the person most likely is.
fn shown_path(path: &Path) -> String {
    path.strip_prefix(tree::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
