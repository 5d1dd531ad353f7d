//! The order as it is kept on disk.

use super::*;

fn full() -> Order {
    Order {
        cgroups_writable: false,
        device_rules: Vec::new(),
        version: VERSION,
        id: ContainerId::from_bytes([0xab; 32]),
        rootfs: Rootfs {
            lower: vec!["/l/2".into(), "/l/1".into()],
            upper: "/u".into(),
            work: "/w".into(),
            volatile: false,
        },
        copy_up: vec![CopyUp { path: "/data".into(), into: "/v/data".into(), subpath: None }],
        process: Process {
            args: vec!["redis-server".into()],
            env: vec!["PATH=/bin".into()],
            cwd: "/data".into(),
            user: "redis:redis".into(),
            rlimits: BTreeMap::from([("nofile".into(), Rlimit { soft: 1024, hard: -1 })]),
            capabilities: Capabilities { privileged: false, add: vec!["NET_ADMIN".into()], drop: vec![] },
            ..Process::default()
        },
        init: true,
        hostname: Some("db".into()),
        domainname: None,
        mounts: vec![
            Mount {
                target: "/etc/hosts".into(),
                kind: MountKind::Bind {
                    subpath: None,
                    source: "/c/hosts".into(),
                    propagation: None,
                    recursive: true,
                    options: vec![],
                },
                read_only: false,
            },
            Mount {
                target: "/tmp".into(),
                kind: MountKind::Tmpfs { size: Some(Bytes(65536)), mode: None, options: vec!["exec".into()] },
                read_only: false,
            },
        ],
        shm_size: Some(Bytes(64 << 20)),
        devices: vec![Device {
            source: "/dev/fuse".into(),
            target: "/dev/fuse".into(),
            permissions: "rwm".into(),
        }],
        sysctls: BTreeMap::from([("net.core.somaxconn".into(), "1024".into())]),
        masked_paths: None,
        readonly_paths: Some(vec!["/proc/sys".into()]),
        seccomp: Seccomp::Unconfined,
        namespaces: Namespaces { net: Net::Path("/proc/1/ns/net".into()), ..Namespaces::default() },
        cgroup: "/sea-1/abc".into(),
        limits: Limits { memory: Some(Bytes(1 << 20)), cpus: Some(0.5), ..Limits::default() },
        read_only: true,
        log: LogPolicy::default(),
    }
}

#[test]
fn the_record_on_disk_stays_what_it_is() {
    let golden = expect_test::expect_file!["golden.json"];
    let text = serde_json::to_string_pretty(&full()).unwrap();
    golden.assert_eq(&text);
    assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), full());
}

#[test]
fn an_order_with_words_that_nobody_knows_is_refused() {
    let text = serde_json::to_string(&full()).unwrap().replacen("\"init\"", "\"inti\"", 1);
    assert!(serde_json::from_str::<Order>(&text).is_err());
}
