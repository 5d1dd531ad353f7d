//! Cgroup paths, limits and figures, of both versions.

use base::Bytes;
use expect_test::{Expect, expect};

use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
const SECOND: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn a_container_joins_the_hierarchies_that_bound_it() {
    let place = |mounts| Cgroup::at("/sea-1/abc", &Hierarchies::parse(mounts)).unwrap();
    let hybrid = place(HYBRID);
    let first: Vec<_> = hybrid.first.iter().map(|(_, dir)| dir.to_str().unwrap()).collect();
    assert_eq!(first, ["/sys/fs/cgroup/cpu,cpuacct/sea-1/abc", "/sys/fs/cgroup/memory/sea-1/abc"]);
    assert_eq!(hybrid.second.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/sea-1/abc")));
    let second = place(SECOND);
    assert!(second.first.is_empty());
    assert_eq!(second.second.as_deref(), Some(Path::new("/sys/fs/cgroup/sea-1/abc")));
}

#[test]
fn a_path_that_leads_elsewhere_is_no_cgroup() {
    for bad in ["/", "", "/a/../b", "/.."] {
        assert!(Cgroup::at(bad, &Hierarchies::parse(SECOND)).is_err(), "{bad}");
    }
}

#[test]
fn bounds_are_written_to_the_files_of_either_version() {
    let limits = Limits {
        memory: Some(Bytes(1 << 20)),
        cpus: Some(0.5),
        cpu_shares: Some(1024),
        pids: Some(-1),
        blkio_weight: Some(500),
        ..Limits::default()
    };
    check(
        limits::first(&limits),
        expect![[r#"
            memory.limit_in_bytes 1048576
            memory.memsw.limit_in_bytes 2097152
            memory.limit_in_bytes 1048576
            cpu.shares 1024
            cpu.cfs_period_us 100000
            cpu.cfs_quota_us 50000
            pids.max max
            blkio.weight 500"#]],
    );
    check(
        limits::second(&limits),
        expect![[r#"
            memory.max 1048576
            memory.swap.max 1048576
            cpu.weight 39
            cpu.max 50000 100000
            pids.max max
            io.bfq.weight 500"#]],
    );
}

#[track_caller]
fn check(writes: Vec<limits::Write>, expected: Expect) {
    let lines: Vec<_> = writes.iter().map(|write| format!("{} {}", write.file, write.value)).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn the_device_program_is_accepted_by_the_kernel() {
    use std::os::fd::AsFd;
    let top = Hierarchies::find().unwrap().second.expect("this machine has the second version of cgroups");
    let dir = top.join(format!("sea-test-devices-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let open = fs::File::open(&dir).unwrap();
    let program = devices::program(&devices::rules(&[], &["c 1:11 r".parse().unwrap()]).unwrap());
    let attached = crate::sys::attach_device_program(open.as_fd(), &program);
    // A process in there may read what is usual and what a rule names, and nothing that nobody allowed.
    let try_read = |path: &str| {
        let script = format!("echo 0 > {}/cgroup.procs && : < {path}", dir.display());
        std::process::Command::new("sh").args(["-c", &script]).output().unwrap().status.success()
    };
    let read = [try_read("/dev/zero"), try_read("/dev/kmsg"), try_read("/dev/net/tun")];
    fs::remove_dir(&dir).unwrap();
    attached.unwrap();
    assert_eq!(read, [true, true, false]);
}
