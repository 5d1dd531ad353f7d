//! The package `docker` for Python, and `testcontainers`, which runs what tests of applications need.

use anyhow::Result;
use e2e::clients::{client, driven, script, work};
use e2e::{RegistryServer, Sea};

#[test]
fn docker_py() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let registry = RegistryServer::ours(&[])?;
    let mut command = driven(&sea, client("python").join("bin/python"))?;
    work(command.arg(script("day.py")).env("REGISTRY", &registry.address))?;
    registry.end()?;
    sea.end()
}

#[test]
fn testcontainers() -> Result<()> {
    let sea = Sea::with_images(&["busybox", "redis", "postgres"])?;
    let mut command = driven(&sea, client("python").join("bin/python"))?;
    // Its reaper is an image of its own, which this machine cannot have.
    work(command.arg(script("containers.py")).env("TESTCONTAINERS_RYUK_DISABLED", "true"))?;
    sea.end()
}
