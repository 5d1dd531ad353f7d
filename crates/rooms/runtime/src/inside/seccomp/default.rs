//! The rules for a container that asks for nothing special: what ordinary programs need.
//!
//! Allowed is what docker allows too: everything except what reaches beyond the container, what only matters to
//! who runs the machine, and what has been a door for attacks (`io_uring`, `userfaultfd`, key rings, `bpf`).

use std::collections::BTreeMap;

use super::{ALLOW, ARCHES, Case, Compare, ENOSYS, EPERM, Rules, Test, numbers};

/// Never.
const NEVER: &[&str] = &[
    "_sysctl",
    "add_key",
    "afs_syscall",
    "break",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "ftime",
    "get_kernel_syms",
    "getpmsg",
    "gtty",
    "idle",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lock",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "migrate_pages",
    "move_pages",
    "mpx",
    "nfsservctl",
    "pivot_root",
    "prof",
    "profil",
    "putpmsg",
    "query_module",
    "request_key",
    "security",
    "stty",
    "swapoff",
    "swapon",
    "sysfs",
    "tuxcall",
    "ulimit",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
    "vserver",
];

/// With one of these capabilities only.
const WITH: &[(&[u32], &[&str])] = &[
    (&[DAC_READ_SEARCH], &["open_by_handle_at"]),
    (
        &[SYS_ADMIN],
        &[
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "listmount",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "statmount",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (&[SYS_ADMIN, BPF], &["bpf"]),
    (&[SYS_ADMIN, PERFMON], &["perf_event_open"]),
    (&[SYS_ADMIN, SYSLOG], &["syslog"]),
    (&[SYS_BOOT], &["reboot"]),
    (&[SYS_CHROOT], &["chroot"]),
    (&[SYS_MODULE], &["delete_module", "finit_module", "init_module"]),
    (&[SYS_NICE], &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (&[SYS_PACCT], &["acct"]),
    (&[SYS_PTRACE], &["kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev"]),
    (&[SYS_RAWIO], &["ioperm", "iopl"]),
    (&[SYS_TIME], &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    (&[SYS_TTY_CONFIG], &["vhangup"]),
];

const DAC_READ_SEARCH: u32 = 2;
const SYS_MODULE: u32 = 16;
const SYS_RAWIO: u32 = 17;
const SYS_CHROOT: u32 = 18;
const SYS_PTRACE: u32 = 19;
const SYS_PACCT: u32 = 20;
const SYS_ADMIN: u32 = 21;
const SYS_BOOT: u32 = 22;
const SYS_NICE: u32 = 23;
const SYS_TIME: u32 = 25;
const SYS_TTY_CONFIG: u32 = 26;
const SYSLOG: u32 = 34;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Execution domains that programs use: Linux, with and without 32 bit addresses and `uname` 2.6, or a question.
const DOMAINS: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// All the flags of `clone` that make namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Sockets between virtual machines and their host know no network namespaces.
const AF_VSOCK: u64 = 40;

/// The rules for a process with these capabilities.
pub(super) fn rules(capabilities: u64) -> Rules {
    let has = |number: &u32| capabilities & (1 << number) != 0;
    let always = |answer| vec![Case { tests: Vec::new(), answer }];
    let mut cases: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for (name, _) in ARCHES.iter().flat_map(numbers) {
        cases.insert(name.to_owned(), always(ALLOW));
    }
    for name in NEVER {
        cases.remove(*name);
    }
    for (one_of, names) in WITH {
        if !one_of.iter().any(has) {
            for name in *names {
                cases.remove(*name);
            }
        }
    }
    let test = |compare, value, second| Test { argument: 0, compare, value, second };
    let domain = |value| Case { tests: vec![test(Compare::Equal, value, 0)], answer: ALLOW };
    cases.insert("personality".into(), DOMAINS.map(domain).to_vec());
    let not_vsock = Case { tests: vec![test(Compare::NotEqual, AF_VSOCK, 0)], answer: ALLOW };
    cases.insert("socket".into(), vec![not_vsock]);
    if !has(&SYS_ADMIN) {
        let none_new = test(Compare::MaskedEqual, NEW_NAMESPACES, 0);
        cases.insert("clone".into(), vec![Case { tests: vec![none_new], answer: ALLOW }]);
        // Its flags are in memory where a filter cannot look; programs fall back to `clone`.
        cases.insert("clone3".into(), always(ENOSYS));
    }
    Rules { otherwise: EPERM, cases }
}
