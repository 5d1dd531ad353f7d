//! Many clients at once: what they get back is right, the events are complete and in order, and nothing is left.

use anyhow::{Result, ensure};
use e2e::Sea;
use e2e::clients::{docker_socket, driven, script, work};

#[test]
fn thirty_two_clients_live_through_two_hundred_containers() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let daemon = sea.daemon_pid()?;
    let mut command = driven(&sea, "python3")?;
    command.arg(script("crowd.py")).arg(docker_socket(&sea)).args(["32", "8"]);
    // First what stays open for good.
    work(&mut command)?;
    let before = descriptors(daemon)?;
    let mut command = driven(&sea, "python3")?;
    work(command.arg(script("crowd.py")).arg(docker_socket(&sea)).args(["32", "200"]))?;
    e2e::until_ok("all descriptors are given back", 20, || {
        let now = descriptors(daemon)?;
        ensure!(now <= before + 8, "{now} are open, {before} were");
        Ok(())
    })?;
    ensure!(sea.daemon_pid()? == daemon, "it is the daemon that was there before");
    sea.end()
}

fn descriptors(pid: i32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
