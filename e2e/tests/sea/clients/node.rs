//! The package `dockerode` for Node.

use anyhow::Result;
use e2e::clients::{client, docker_socket, driven, script, work};
use e2e::{RegistryServer, Sea};

#[test]
fn dockerode() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let registry = RegistryServer::ours(&[])?;
    let mut command = driven(&sea, "node")?;
    command.arg(script("day.js")).env("CLIENT", client("node")).env("DOCKER_SOCKET", docker_socket(&sea));
    work(command.env("REGISTRY", &registry.address).env_remove("DOCKER_HOST"))?;
    registry.end()?;
    sea.end()
}
