//! Our rights: who we are, our capabilities, and how many files we may open.

use rustix::process::Resource;
use talk::Check;

use super::{bad, good, machine, weak};

/// Without these nothing runs: name and number in the kernel.
const NEEDED: &[(&str, u32)] = &[
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("FOWNER", 3),
    ("FSETID", 4),
    ("KILL", 5),
    ("SETGID", 6),
    ("SETUID", 7),
    ("SETPCAP", 8),
    ("NET_ADMIN", 12),
    ("SYS_CHROOT", 18),
    ("SYS_ADMIN", 21),
    ("MKNOD", 27),
    ("SETFCAP", 31),
];

/// Without these a part is missing; the third says which.
const WANTED: &[(&str, u32, &str)] = &[
    ("NET_BIND_SERVICE", 10, "ports below 1024"),
    ("NET_RAW", 13, "`ping` in containers"),
    ("SYS_PTRACE", 19, "a look into the processes of others"),
    ("SYS_RESOURCE", 24, "limits of processes above our own"),
    ("AUDIT_WRITE", 29, "sign-ins in containers that keep an audit"),
];

/// Open files that the edge, the daemon and 500 containers need with room to spare.
const FILES_WANTED: u64 = 65_536;
const FILES_NEEDED: u64 = 4_096;

pub(super) fn checks() -> Vec<Check> {
    let status = machine::read("/proc/self/status");
    let files = rustix::process::getrlimit(Resource::Nofile);
    vec![
        user(rustix::process::geteuid().is_root()),
        capabilities(&status),
        open_files(files.current, files.maximum),
    ]
}

fn user(is_root: bool) -> Check {
    match is_root {
        true => good("rights: user", "root"),
        false => bad("rights: user", "not root", "run sea as root, or with sudo"),
    }
}

/// What the lines `CapEff` and `CapBnd` of a status say.
pub(super) fn capabilities(status: &str) -> Check {
    let name = "rights: capabilities";
    let mask = |field: &str| {
        machine::field(status, field).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0)
    };
    let both = mask("CapEff") & mask("CapBnd");
    let lacks = |number: &u32| both & (1 << number) == 0;
    let missing: Vec<&str> = NEEDED.iter().filter(|(_, n)| lacks(n)).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let mend = "run as root, and where a sandbox or unit file bounds capabilities, allow these";
        return bad(name, format!("missing: {}", missing.join(", ")), mend);
    }
    let less: Vec<String> = WANTED
        .iter()
        .filter(|(_, n, _)| lacks(n))
        .map(|(name, _, what)| format!("{name} ({what})"))
        .collect();
    match less.is_empty() {
        true => good(name, "all that are needed"),
        false => weak(
            name,
            format!("without {}", less.join(", ")),
            "allow these to sea where its capabilities are bounded",
        ),
    }
}

/// The bounds of open files; no bound is none.
pub(super) fn open_files(soft: Option<u64>, hard: Option<u64>) -> Check {
    let name = "rights: open files";
    let text = |bound: Option<u64>| bound.map_or_else(|| "no bound".to_owned(), |bound| bound.to_string());
    let found = format!("{} (up to {})", text(soft), text(hard));
    let mend = "raise the bound: `ulimit -Hn 1048576`, or `LimitNOFILE=1048576` in the unit file";
    match hard.unwrap_or(u64::MAX) {
        bound if bound < FILES_NEEDED => bad(name, found, mend),
        bound if bound < FILES_WANTED => weak(name, found, mend),
        _ => good(name, found),
    }
}
