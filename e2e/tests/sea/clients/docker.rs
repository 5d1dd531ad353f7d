//! The `docker` command: Debian's of long ago with both builders, and the newest.

use anyhow::Result;
use e2e::clients::{client, driven, script, work};
use e2e::{GitServer, RegistryServer, Sea};

fn day(name: &str, builds: &str) -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let registry = RegistryServer::ours(&[])?;
    let mut command = driven(&sea, "sh")?;
    command.arg(script("day.sh")).env("DOCKER", client(name).join("usr/bin/docker"));
    work(command.env("BUILDS", builds).env("REGISTRY", &registry.address))?;
    registry.end()?;
    sea.end()
}

#[test]
fn docker_20_10_with_the_classic_builder() -> Result<()> {
    day("docker-20.10", "0")
}

#[test]
fn docker_20_10_with_buildkit() -> Result<()> {
    day("docker-20.10", "1")
}

#[test]
fn the_newest_docker_with_the_classic_builder() -> Result<()> {
    day("docker-newest", "0")
}

#[test]
fn the_newest_docker_with_buildkit() -> Result<()> {
    day("docker-newest", "1")
}

fn afar(name: &str, builds: &str) -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let repository = GitServer::start()?;
    let mut command = driven(&sea, "sh")?;
    command.arg(script("afar.sh")).env("DOCKER", client(name).join("usr/bin/docker"));
    work(command.env("BUILDS", builds).env("REPOSITORY", repository.url()))?;
    sea.end()
}

#[test]
fn docker_20_10_builds_repositories_with_the_classic_builder() -> Result<()> {
    afar("docker-20.10", "0")
}

#[test]
fn docker_20_10_builds_repositories_with_buildkit() -> Result<()> {
    afar("docker-20.10", "1")
}

#[test]
fn the_newest_docker_builds_repositories() -> Result<()> {
    afar("docker-newest", "1")
}

#[test]
fn buildx() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let mut command = driven(&sea, "sh")?;
    work(command.arg(script("buildx.sh")).env("DOCKER", client("docker-newest").join("usr/bin/docker")))?;
    sea.end()
}
