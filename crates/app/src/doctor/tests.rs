//! What is said of machines that lack something, and that looking leaves nothing behind.

use std::fmt::Write;
use std::path::Path;

use base::Timestamp;
use talk::{Check, Verdict};

use super::{cgroups, checks, clock, folder, kernel, ports, rights};

#[track_caller]
fn check(check: &Check, verdict: Verdict, found: &str) {
    assert_eq!((check.verdict, check.found.as_str()), (verdict, found), "{}", check.name);
    assert_eq!(
        check.mend.is_some(),
        verdict != Verdict::Good,
        "what is not good says how to mend it: {check:?}"
    );
}

#[test]
fn an_old_kernel_is_told_from_one_that_will_do() {
    check(&kernel::version("4.19.0-27-amd64"), Verdict::Bad, "Linux 4.19.0-27-amd64");
    check(
        &kernel::version("5.10.0-32-cloud"),
        Verdict::Weak,
        "Linux 5.10.0-32-cloud: containers are ended process by process, and read-only binds do not reach submounts",
    );
    check(&kernel::version("5.14.1"), Verdict::Good, "Linux 5.14.1");
    check(&kernel::version("6.1.0-rc2+"), Verdict::Good, "Linux 6.1.0-rc2+");
    check(&kernel::version(""), Verdict::Bad, "Linux ");
}

#[test]
fn a_kernel_without_a_feature_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let missing = "missing: mnt, pid, net, ipc, uts, cgroup";
    check(&kernel::namespaces(empty.path()), Verdict::Bad, missing);
    check(&kernel::seccomp(""), Verdict::Bad, "this kernel has no filters of system calls");
    check(
        &kernel::seccomp("kill_process trap log allow"),
        Verdict::Bad,
        "this kernel has no filters of system calls",
    );
    check(
        &kernel::seccomp("kill_process errno allow\n"),
        Verdict::Good,
        "filters of system calls can be set",
    );
}

#[test]
fn capabilities_that_are_missing_are_named() {
    let status = |effective: u64, bounding: u64| {
        format!("CapPrm:\t0\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\n")
    };
    let all = (1 << 41) - 1;
    check(&rights::capabilities(&status(all, all)), Verdict::Good, "all that are needed");
    let bounded = status(all, all & !(1 << 24));
    let less = "without SYS_RESOURCE (limits of processes above our own)";
    check(&rights::capabilities(&bounded), Verdict::Weak, less);
    check(&rights::capabilities(&status(all & !(1 << 21), all)), Verdict::Bad, "missing: SYS_ADMIN");
    check(&rights::capabilities(&status(all, all & !(1 << 12))), Verdict::Bad, "missing: NET_ADMIN");
}

#[test]
fn few_open_files_are_weak_and_very_few_are_bad() {
    check(&rights::open_files(Some(1024), None), Verdict::Good, "1024 (up to no bound)");
    check(&rights::open_files(Some(1024), Some(1_048_576)), Verdict::Good, "1024 (up to 1048576)");
    check(&rights::open_files(Some(1024), Some(20_000)), Verdict::Weak, "1024 (up to 20000)");
    check(&rights::open_files(Some(256), Some(1024)), Verdict::Bad, "256 (up to 1024)");
}

#[test]
fn the_arrangement_of_cgroups_is_told() {
    let v1 =
        |options: &str| format!("30 25 0:26 / /sys/fs/cgroup/{options} rw - cgroup cgroup rw,{options}\n");
    let v2 = "31 25 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    let layout = |text: &str| cgroups::Mounts::parse(text).layout();
    assert_eq!(layout("1 2 0:3 / /proc rw - proc proc rw\n"), "none");
    assert_eq!(layout(v2), "version 2");
    assert_eq!(layout(&(v1("memory") + &v1("cpu,cpuacct"))), "version 1");
    assert_eq!(layout(&(v1("memory") + v2)), "hybrid: controllers of version 1 beside version 2");
    // systemd's own hierarchy of the first version holds no controllers.
    assert_eq!(layout(&(v1("name=systemd") + v2)), "version 2");
    let both = cgroups::Mounts::parse(&v1("cpu,cpuacct"));
    assert_eq!(
        both.first.get("cpuacct").map(|path| path.as_path()),
        Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
    );
}

#[test]
fn a_missing_controller_is_named() {
    let with = |there: &'static [&'static str]| cgroups::controllers(move |name| there.contains(&name));
    check(&with(&["memory", "cpu", "pids", "cpuset"]), Verdict::Good, "memory, cpu, pids, cpuset");
    check(&with(&["memory", "cpu", "pids"]), Verdict::Weak, "memory, cpu, pids; missing: cpuset");
    check(&with(&["cpu", "pids", "cpuset"]), Verdict::Weak, "cpu, pids, cpuset; missing: memory");
}

#[test]
fn little_room_is_told_before_it_is_none() {
    check(&folder::space(40 << 30), Verdict::Good, &format!("{} free", base::Bytes(40 << 30)));
    check(&folder::space(1 << 30), Verdict::Weak, &format!("{} free", base::Bytes(1 << 30)));
    check(&folder::space(1 << 20), Verdict::Bad, &format!("{} free", base::Bytes(1 << 20)));
    check(&folder::inodes(Some(1)), Verdict::Bad, "1 free");
    check(&folder::inodes(Some(50_000)), Verdict::Weak, "50000 free");
    check(&folder::inodes(None), Verdict::Good, "made as they are needed");
}

#[test]
fn a_listener_is_found_by_its_port() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                 0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n\
                 1: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n\
                 2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 x\n";
    assert_eq!(ports::listeners(table, 80), [4711], "a connection is no listener");
    assert_eq!(ports::listeners(table, 8080), [4713]);
    assert_eq!(ports::listeners(table, 443), [0; 0]);
    assert_eq!(ports::listeners("", 443), [0; 0]);
}

#[test]
fn our_own_edge_is_told_from_that_of_another_root() {
    let ours = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        ports::is_ours(&words, Path::new("/var/lib/sea"))
    };
    assert!(ours("/usr/bin/sea edge --root /var/lib/sea"));
    assert!(!ours("/usr/bin/sea edge --root /var/lib/sea-two"));
    assert!(!ours("/usr/sbin/nginx -p /var/lib/sea"));
}

#[test]
fn a_clock_that_was_lost_is_told() {
    check(
        &clock::judge(Timestamp::from_secs(0), "tsc", false),
        Verdict::Weak,
        "1970-01-01 00:00:00 UTC, counted by tsc",
    );
    let now = Timestamp::from_secs(1_800_000_000);
    let kept = "2027-01-15 08:00:00 UTC, counted by tsc, kept by systemd-timesyncd";
    check(&clock::judge(now, "tsc", true), Verdict::Good, kept);
    check(&clock::judge(now, "hpet", false), Verdict::Weak, "2027-01-15 08:00:00 UTC, counted by hpet");
    check(
        &clock::judge(now, "", false),
        Verdict::Good,
        "2027-01-15 08:00:00 UTC, counted by an unknown source",
    );
}

#[test]
fn this_machine_runs_sea_and_looking_leaves_nothing_behind() {
    testkit::require_root();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/er/root");
    let found = checks(&root);
    let mut told = String::new();
    for check in &found {
        assert_eq!(check.mend.is_some(), check.verdict != Verdict::Good, "{check:?}");
        writeln!(told, "{:?} {}: {}", check.verdict, check.name, check.found).unwrap();
    }
    assert!(found.iter().all(|check| check.verdict != Verdict::Bad), "{told}");
    assert!(found.len() > 20, "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is as it was");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("sea-doctor"), "{mounts}");
}

#[test]
fn a_root_that_cannot_be_written_to_is_bad() {
    let found = checks(Path::new("/proc/sea"));
    let writable = found.iter().find(|check| check.name == "root: writable").unwrap();
    assert_eq!(writable.verdict, Verdict::Bad, "{writable:?}");
}
