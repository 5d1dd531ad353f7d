//! skopeo, podman and buildah: images out of and into the daemon by the Docker API, and of a registry that sea serves.

use std::process::Command;

use anyhow::Result;
use e2e::clients::{docker_socket, driven, script, work};
use e2e::{RegistryServer, Sea};

fn images(with: &str) -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let registry = RegistryServer::ours(&[])?;
    let mut command = driven(&sea, "sh")?;
    command.arg(script("images.sh")).env("WITH", with).env("SOCKET", docker_socket(&sea));
    let worked = work(command.env("REGISTRY", &registry.address));
    clear(&sea);
    worked?;
    registry.end()?;
    sea.end()
}

/// Takes away the mounts that containers/storage leaves for the next command.
fn clear(sea: &Sea) {
    // Nothing mounted is as good.
    let _ = Command::new("umount").arg("--quiet").arg(sea.home().join("store/overlay")).output();
}

#[test]
fn skopeo() -> Result<()> {
    images("skopeo")
}

#[test]
fn podman() -> Result<()> {
    images("podman")
}

#[test]
fn buildah() -> Result<()> {
    images("buildah")
}
