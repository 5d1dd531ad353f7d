//! Compose: the plugin of the `docker` command, and the program of before it.

use anyhow::Result;
use e2e::Sea;
use e2e::clients::{client, driven, script, work};

fn up_and_down(compose: &str) -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let mut command = driven(&sea, "sh")?;
    work(command.arg(script("compose.sh")).env("COMPOSE", compose))?;
    sea.end()
}

#[test]
fn compose_v1() -> Result<()> {
    up_and_down("/usr/bin/docker-compose")
}

#[test]
fn compose_v2() -> Result<()> {
    let docker = client("docker-newest").join("usr/bin/docker");
    up_and_down(&format!("{} compose", docker.display()))
}
