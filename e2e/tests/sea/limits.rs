//! The bounds of a container.

use anyhow::{Result, ensure};
use e2e::{Sea, until_ok};

const BUSYBOX: &str = "busybox:1.36";
/// Takes memory without end: `tail` keeps the last line, and there is only one.
const GREEDY: &str = "tail /dev/zero";

#[test]
fn want_of_memory_is_told_as_such() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.sea(&["run", "--name", "greedy", "--memory", "16m", BUSYBOX, "sh", "-c", &format!("exec {GREEDY}")])
        .exits(137);
    let view = sea.inspect("greedy");
    ensure!(view["exit"]["oom"] == true && view["exit"]["code"] == 137, "{view}");
    sea.sea(&["ps", "--all", "--everything"]).exits(0).mentions("out of memory");
    // Killed by somebody is not want of memory.
    sea.sea(&["run", "-d", "--name", "modest", "--memory", "16m", BUSYBOX, "sleep", "300"]).exits(0);
    sea.sea(&["kill", "modest"]).exits(0);
    until_ok("it has ended", 10, || {
        let view = sea.inspect("modest");
        ensure!(view["exit"]["code"] == 137 && view["exit"]["oom"] == false, "{view}");
        Ok(())
    })?;
    sea.end()
}

#[test]
fn processes_are_bounded() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait";
    let done = sea.sea(&["run", "--rm", "--pids-limit", "8", BUSYBOX, "sh", "-c", script]);
    ensure!(done.code != 0 && done.stderr.contains("fork"), "{done}");
    sea.sea(&[
        "run",
        "--rm",
        "--pids-limit",
        "64",
        BUSYBOX,
        "sh",
        "-c",
        "for i in 1 2 3 4; do sleep 0.1 & done; wait",
    ])
    .exits(0);
    sea.end()
}

#[test]
fn processors_are_bounded() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    // What the kernel counted for the busy program, against the time that went by.
    let script = "timeout 2 sh -c 'while :; do :; done'; cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null \
                  || awk '/usage_usec/ {print $2 * 1000}' /sys/fs/cgroup/cpu.stat";
    let done = sea.sea(&["run", "--rm", "--cpus", "0.2", BUSYBOX, "sh", "-c", script]).exits(0);
    let nanoseconds: u64 = done.text().parse()?;
    ensure!((50_000_000..=900_000_000).contains(&nanoseconds), "0.2 processors for 2 s: {nanoseconds} ns");
    sea.end()
}
