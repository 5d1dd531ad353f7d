//! What a container's processes see, may do, and may not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)] // This is test code that the lints do not see as such.

mod rig;

use base::Bytes;
use rig::{Rig, within};
use runtime::order::{CopyUp, Limits, Mount, MountKind, Net, Rlimit, Seccomp};

/// Runs a script in a container made by `with`, and compares what it wrote.
async fn says(with: impl FnOnce(&mut Rig), script: &str, expected: &str) {
    let mut rig = Rig::sh(script);
    with(&mut rig);
    let (_, log) = within(rig.run()).await;
    assert_eq!(log.trim(), expected, "{script}");
}

#[tokio::test]
async fn users_are_those_of_the_image() {
    says(|_| {}, "id -u; id -g; id -G; echo $HOME", "0\n0\n0\n/root").await;
    says(
        |rig| rig.order.process.user = "web".into(),
        "id -u; id -g; id -G; echo $HOME",
        "100\n101\n101 202\n/srv",
    )
    .await;
    says(
        |rig| {
            rig.order.process.user = "77:88".into();
            rig.order.process.group_add = vec!["extra".into()];
        },
        "id -u; id -g; id -G; echo $HOME",
        "77\n88\n88 202\n/",
    )
    .await;
}

#[tokio::test]
async fn capabilities_are_dockers_and_what_was_asked() {
    let show = "grep -E '^Cap(Prm|Eff|Bnd|Inh|Amb)' /proc/self/status | tr -d '\\t'; grep NoNewPrivs /proc/self/status | tr -d '\\t'";
    let text = |prm: &str, bnd: &str, nnp: u8| {
        format!(
            "CapInh:{:016x}\nCapPrm:{prm}\nCapEff:{prm}\nCapBnd:{bnd}\nCapAmb:{:016x}\nNoNewPrivs:{nnp}",
            0, 0
        )
    };
    says(|_| {}, show, &text("00000000a80425fb", "00000000a80425fb", 0)).await;
    says(|rig| rig.order.process.user = "web".into(), show, &text("0000000000000000", "00000000a80425fb", 0))
        .await;
    says(
        |rig| {
            rig.order.process.capabilities.drop = vec!["ALL".into()];
            rig.order.process.capabilities.add = vec!["NET_ADMIN".into()];
            rig.order.process.no_new_privileges = true;
        },
        show,
        &text("0000000000001000", "0000000000001000", 1),
    )
    .await;
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    let ours = ours.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap().to_owned();
    says(|rig| rig.order.process.capabilities.privileged = true, show, &text(&ours, &ours, 0)).await;
}

#[tokio::test]
async fn the_filter_stops_what_reaches_beyond_the_container() {
    let script =
        "unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; grep Seccomp: /proc/self/status | tr -d '\\t'";
    let denied = "unshare: unshare(0x20000): Operation not permitted\nmount: permission denied (are you root?)\nSeccomp:2";
    says(|_| {}, script, denied).await;
    // With the capability but the filter of a profile that knows nothing of it.
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["unshare","keyctl"],"action":"SCMP_ACT_ERRNO"}]}"#;
    says(
        |rig| {
            rig.order.process.capabilities.add = vec!["SYS_ADMIN".into()];
            rig.order.seccomp = Seccomp::Profile(profile.into());
        },
        "unshare -m true 2>&1; mount -t tmpfs x /tmp && echo mounted",
        "unshare: unshare(0x20000): Operation not permitted\nmounted",
    )
    .await;
    says(
        |rig| {
            rig.order.process.capabilities.add = vec!["SYS_ADMIN".into()];
            rig.order.seccomp = Seccomp::Unconfined;
        },
        "unshare -m true && echo done; grep Seccomp: /proc/self/status | tr -d '\\t'",
        "done\nSeccomp:0",
    )
    .await;
}

#[tokio::test]
async fn the_usual_places_are_there_and_guarded() {
    says(|_| {}, "cd /dev && ls -d full null ptmx random stderr tty urandom zero | wc -l", "8").await;
    says(|_| {}, "(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo denied", "denied").await;
    says(|_| {}, "cat /proc/kcore 2>/dev/null | head -c1 | wc -c", "0").await;
    says(|_| {}, "ls /sys/firmware | wc -l", "0").await;
    says(|_| {}, "touch /sys/x /sys/fs/cgroup/x 2>/dev/null || echo denied", "denied").await;
    says(|_| {}, "df -k /dev/shm | tail -1 | tr -s ' ' | { read a b c; echo $b; }", "65536").await;
    says(
        |_| {},
        "hostname; cat /proc/self/cgroup | grep -v ':/$' | grep -vE 'systemd|cpuset|freezer' | wc -l",
        "ship\n0",
    )
    .await;
    says(
        |_| {},
        "head -c1 /dev/zero | wc -c; mknod /tmp/k c 1 11 && head -c1 /tmp/k 2>/dev/null || echo denied",
        "1\ndenied",
    )
    .await;
    says(|_| {}, "ip -o link | wc -l; ip -o addr show lo | grep -c 127.0.0.1", "1\n1").await;
    says(
        |rig| rig.order.read_only = true,
        "touch /x 2>/dev/null || echo denied; touch /dev/shm/x && echo ok",
        "denied\nok",
    )
    .await;
}

#[tokio::test]
async fn mounts_are_what_the_order_says() {
    let mount = |target: &str, kind, read_only| Mount { target: target.into(), kind, read_only };
    let bind = |rig: &Rig, name: &str| MountKind::Bind {
        subpath: None,
        source: rig.temp.path().join(name),
        propagation: None,
        recursive: true,
        options: vec![],
    };
    says(
        |rig| {
            std::fs::create_dir(rig.temp.path().join("vol")).unwrap();
            std::fs::write(rig.temp.path().join("vol/f"), "from the host\n").unwrap();
            std::fs::write(rig.temp.path().join("hosts"), "127.0.0.1 localhost\n").unwrap();
            rig.order.mounts = vec![
                mount("/a/b/vol", bind(rig, "vol"), true),
                mount("/etc/hosts", bind(rig, "hosts"), false),
                mount("/mem", MountKind::Tmpfs { size: Some(Bytes(1 << 20)), mode: Some(0o700), options: vec![] }, false),
            ];
        },
        "cat /a/b/vol/f /etc/hosts; touch /a/b/vol/x 2>/dev/null || echo denied; stat -c %a /mem; echo x > /mem/x && grep ' /mem ' /proc/mounts | tr ',' '\\n' | grep -cE 'nosuid|nodev|noexec|size=1024k'",
        "from the host\n127.0.0.1 localhost\ndenied\n700\n4",
    )
    .await;
}

#[tokio::test]
async fn no_link_of_the_image_leads_a_mount_outside() {
    let mut rig = Rig::sh("cat /trap/f; ls /etc/trapped");
    let outside = rig.temp.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir(rig.temp.path().join("vol")).unwrap();
    std::fs::write(rig.temp.path().join("vol/f"), "mine\n").unwrap();
    // As the image would see it, this leads to its own /…/outside, which does not exist.
    std::os::unix::fs::symlink(&outside, rig.temp.path().join("image/trap")).unwrap();
    std::os::unix::fs::symlink("../../../../../../etc", rig.temp.path().join("image/up")).unwrap();
    let source = rig.temp.path().join("vol");
    let kind = MountKind::Bind { source, subpath: None, propagation: None, recursive: true, options: vec![] };
    rig.order.mounts = vec![Mount { target: "/up/trapped".into(), kind, read_only: false }];
    let (_, log) = within(rig.run()).await;
    assert!(log.contains('f'), "{log}");
    assert!(
        !std::path::Path::new("/etc/trapped").exists() && std::fs::read_dir(outside).unwrap().count() == 0
    );
}

#[tokio::test]
async fn an_empty_volume_takes_over_what_the_image_has() {
    let mut rig = Rig::sh("cd /data && stat -c '%n %u:%g %a' . sub sub/f && readlink l && touch new");
    let data = rig.temp.path().join("image/data");
    std::fs::create_dir(data.join("sub")).unwrap();
    std::fs::write(data.join("sub/f"), "x").unwrap();
    std::os::unix::fs::symlink("sub/f", data.join("l")).unwrap();
    std::os::unix::fs::chown(&data, Some(100), Some(101)).unwrap();
    std::os::unix::fs::chown(data.join("sub/f"), Some(5), Some(6)).unwrap();
    let volume = rig.temp.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    let kind = MountKind::Bind {
        source: volume.clone(),
        subpath: None,
        propagation: None,
        recursive: true,
        options: vec![],
    };
    rig.order.mounts = vec![Mount { target: "/data".into(), kind, read_only: false }];
    rig.order.copy_up = vec![CopyUp { path: "/data".into(), into: volume.clone(), subpath: None }];
    let (exit, log) = within(rig.run()).await;
    assert_eq!(log, ". 100:101 755\nsub 0:0 755\nsub/f 5:6 644\nsub/f\n");
    assert!(exit.code == 0 && volume.join("new").exists());
    std::fs::remove_file(volume.join("l")).unwrap();
    within(rig.run()).await;
    assert!(!volume.join("l").exists(), "a volume that was used before is left alone");
}

#[tokio::test]
async fn memory_that_is_used_up_is_told_as_such() {
    let mut rig = Rig::sh("tail -c 200m /dev/zero | wc -c; echo survived");
    rig.order.limits =
        Limits { memory: Some(Bytes(16 << 20)), memory_swap: Some(16 << 20), ..Limits::default() };
    rig.order.process.args = ["tail", "-c", "200m", "/dev/zero"].map(str::to_owned).to_vec();
    let (exit, _) = within(rig.run()).await;
    assert_eq!((exit.code, exit.oom), (137, true));
}

#[tokio::test]
async fn processes_are_bounded() {
    let mut rig = Rig::sh("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; echo; kill $(jobs -p)");
    rig.order.limits.pids = Some(4);
    let (_, log) = within(rig.run()).await;
    assert!(log.contains("can't fork"), "{log}");
}

#[tokio::test]
async fn limits_that_we_may_not_raise_are_clamped_and_told() {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
    let mut rig = Rig::sh("ulimit -n");
    rig.order.process.rlimits.insert("nofile".into(), Rlimit { soft: 64, hard: 128 });
    let (_, log) = within(rig.run()).await;
    assert_eq!(log, "64\n");
    let above = i64::try_from(hard).unwrap() + 1;
    rig.order.process.rlimits.insert("nofile".into(), Rlimit { soft: 64, hard: above });
    let shim = within(rig.create()).await;
    assert!(shim.notes().iter().any(|note| note.contains("nofile")), "{:?}", shim.notes());
    shim.kill(9).await.unwrap();
    within(shim.wait()).await.unwrap();
}

#[tokio::test]
async fn the_working_folder_is_made_and_settings_are_set() {
    says(
        |rig| {
            rig.order.process.cwd = "/not/there/yet".into();
            rig.order.sysctls.insert("net.core.somaxconn".into(), "77".into());
            rig.order.namespaces.net = Net::None;
        },
        "pwd; cat /proc/sys/net/core/somaxconn",
        "/not/there/yet\n77",
    )
    .await;
    let mut rig = Rig::sh("true");
    rig.order.sysctls.insert("kernel.panic".into(), "1".into());
    assert!(
        within(rig.shims.create(&rig.dir, &rig.order)).await.is_err(),
        "that is the machine's, not the container's"
    );
}

#[tokio::test]
async fn many_layers_lie_over_each_other() {
    let mut rig = Rig::sh("ls /layers | wc -l; cat /which");
    for number in 0..120 {
        let layer = rig
            .temp
            .path()
            .join(format!("a-layer-with-a-rather-long-name-so-that-a-page-would-not-do-{number}"));
        std::fs::create_dir_all(layer.join("layers")).unwrap();
        std::fs::write(layer.join("layers").join(number.to_string()), "").unwrap();
        std::fs::write(layer.join("which"), format!("{number}\n")).unwrap();
        rig.order.rootfs.lower.insert(0, layer);
    }
    let (_, log) = within(rig.run()).await;
    assert_eq!(log, "120\n119\n");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(rig.temp.path().to_str().unwrap()), "the host's mounts stay as they were");
}

#[tokio::test]
async fn two_containers_can_share_a_network() {
    let first = Rig::new(&["sleep", "1000"]);
    let shim = within(first.start()).await;
    let path = format!("/proc/{}/ns/net", shim.pid());
    let wanted = std::fs::read_link(&path).unwrap();
    says(
        |rig| rig.order.namespaces.net = Net::Path(path.into()),
        "readlink /proc/self/ns/net",
        wanted.to_str().unwrap(),
    )
    .await;
    shim.kill(9).await.unwrap();
    within(shim.wait()).await.unwrap();
}
