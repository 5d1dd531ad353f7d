//! skopeo, podman and buildah: images out of and into the daemon by the Docker API, and of a registry that sea serves.

use anyhow::Result;
use e2e::clients::{docker_socket, driven, script, work};
use e2e::{RegistryServer, Sea};

fn images(with: &str) -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let registry = RegistryServer::ours(&[])?;
    // In mounts of its own, where the socket may lie at the place that these programs look at.
    let mut command = driven(&sea, "unshare")?;
    command.args(["--mount", "--propagation", "private", "sh"]).arg(script("images.sh"));
    command.env("WITH", with).env("SOCKET", docker_socket(&sea)).env("REGISTRY", &registry.address);
    work(&mut command)?;
    registry.end()?;
    sea.end()
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
