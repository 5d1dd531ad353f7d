//! The package `testcontainers` for Python, which runs what tests of applications need.

use anyhow::Result;
use e2e::Sea;
use e2e::clients::{client, driven, script, work};

#[test]
fn testcontainers() -> Result<()> {
    let sea = Sea::with_images(&["busybox", "redis", "postgres"])?;
    let mut command = driven(&sea, client("python").join("bin/python"))?;
    // Its reaper is an image of its own, which this machine cannot have.
    work(command.arg(script("containers.py")).env("TESTCONTAINERS_RYUK_DISABLED", "true"))?;
    sea.end()
}
