//! What the chores need from the machine, by the names of Debian and Ubuntu packages.
//!
//! A need that cannot be met is an error that says how to meet it; nothing is skipped for it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// To compile and link everything here.
pub(crate) const BUILD: &[&str] = &["gcc", "libc6-dev", "git"];

/// To compile the fuzzer itself.
pub(crate) const FUZZ: &[&str] = &["g++"];

/// To make the test images, the other implementations that tests compare with, and what makes and shows namespaces,
/// links and filters.
pub(crate) const TEST: &[&str] = &[
    "apache2-utils",
    "bsdutils",
    "busybox-static",
    "ca-certificates",
    "curl",
    "docker-registry",
    "iproute2",
    "mmdebstrap",
    "nftables",
    "python3",
    "runc",
    "skopeo",
    "tar",
    "util-linux",
];

/// Clients of the Docker API and of registries that Debian has, and what the others are made with.
pub(crate) const CLIENTS: &[&str] =
    &["buildah", "curl", "debian-archive-keyring", "docker-compose", "podman", "python3-venv", "skopeo"];

/// The peers that benchmarks measure against, and what drives them.
pub(crate) const BENCH: &[&str] = &[
    "docker.io",
    "podman",
    "runc",
    "python3",
    "python3-venv",
    "wrk",
    "nghttp2-client",
    "openssl",
    "haproxy",
    "nginx-light",
];

/// Installs what is missing of them.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !has(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !shell::installed("apt-get") {
        bail!(
            "`{}` are missing, and this is neither Debian nor Ubuntu; install their like",
            missing.join(" ")
        );
    }
    eprintln!("installing {}", missing.join(", "));
    shell::run(as_root("apt-get")?.args(["update", "--quiet"]))?;
    shell::run(
        as_root("env")?
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet"])
            .arg("--no-install-recommends")
            .args(&missing),
    )
    .with_context(|| format!("could not install `{}`", missing.join(" ")))
}

/// A command that will run as root: itself, or through sudo.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    if shell::is_root()? {
        return Ok(Command::new(program));
    }
    if !shell::installed("sudo") {
        bail!("`{program}` must run as root; become root, or install sudo and allow yourself to use it");
    }
    let mut command = Command::new("sudo");
    command.args(["--preserve-env", program]);
    Ok(command)
}

fn has(package: &str) -> bool {
    let asked = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
    asked.is_ok_and(|answer| answer.status.success() && answer.stdout == b"installed")
}
