//! The kernel: its version, and the features without which nothing runs.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Access, CWD, MemfdFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::PidfdFlags;
use talk::Check;

use super::{bad, good, machine, weak};

/// Below this, calls that containers are made with are missing (`clone3` into a cgroup, `openat2`, `close_range`).
const OLDEST: (u32, u32) = (5, 10);
/// From here on, a cgroup is killed in one stroke and mounts take their attributes at once.
const WHOLE: (u32, u32) = (5, 14);
/// What isolates a container, by the names under `/proc/self/ns`.
const NAMESPACES: &[&str] = &["mnt", "pid", "net", "ipc", "uts", "cgroup"];

pub(super) fn checks() -> Vec<Check> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    vec![
        version(&release),
        namespaces(Path::new("/proc/self/ns")),
        pidfd(),
        openat2(),
        memfd(),
        seccomp(&machine::read("/proc/sys/kernel/seccomp/actions_avail")),
    ]
}

/// The kernel's version, from what it calls its release.
pub(super) fn version(release: &str) -> Check {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let name = "kernel: version";
    if version < OLDEST {
        return bad(name, format!("Linux {release}"), "run Linux 5.10 or newer; 5.14 has all that is used");
    }
    if version < WHOLE {
        let less = "containers are ended process by process, and read-only binds do not reach submounts";
        return weak(name, format!("Linux {release}: {less}"), "run Linux 5.14 or newer");
    }
    good(name, format!("Linux {release}"))
}

/// The kinds of namespaces that this kernel has.
pub(super) fn namespaces(folder: &Path) -> Check {
    let name = "kernel: namespaces";
    let missing: Vec<&str> =
        NAMESPACES.iter().copied().filter(|kind| fs::symlink_metadata(folder.join(kind)).is_err()).collect();
    if missing.is_empty() {
        return good(name, NAMESPACES.join(", "));
    }
    bad(
        name,
        format!("missing: {}", missing.join(", ")),
        "mount /proc, and run a kernel with CONFIG_NAMESPACES and all kinds of it",
    )
}

fn pidfd() -> Check {
    let name = "kernel: pidfd";
    match rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()) {
        Ok(_) => good(name, "processes can be held by descriptors"),
        Err(error) => bad(name, refused("pidfd_open", error), "run Linux 5.10 or newer"),
    }
}

fn openat2() -> Check {
    let name = "kernel: openat2";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat2(CWD, "/", flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(_) => good(name, "paths can be held inside a folder"),
        Err(error) => {
            bad(name, refused("openat2", error), "run Linux 5.10 or newer, outside a sandbox that hides it")
        }
    }
}

/// Shims run from a sealed copy in memory, which some machines forbid.
fn memfd() -> Check {
    let name = "kernel: programs in memory";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the second flag, and do not need it.
    let made = match rustix::fs::memfd_create("sea-doctor", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create("sea-doctor", flags),
        other => other,
    };
    let tried = made.and_then(|file| {
        rustix::fs::fchmod(&file, Mode::RWXU)?;
        rustix::fs::access(format!("/proc/self/fd/{}", file.as_raw_fd()), Access::EXEC_OK)
    });
    match tried {
        Ok(()) => good(name, "a sealed copy of this program can be run"),
        Err(error) => bad(name, refused("memfd_create", error), "run `sysctl vm.memfd_noexec=0`"),
    }
}

/// What filters of system calls may answer, as the kernel lists it.
pub(super) fn seccomp(actions: &str) -> Check {
    let name = "kernel: seccomp";
    let has = |action: &str| actions.split_whitespace().any(|word| word == action);
    match has("errno") && has("allow") {
        true => good(name, "filters of system calls can be set"),
        false => {
            bad(name, "this kernel has no filters of system calls", "run a kernel with CONFIG_SECCOMP_FILTER")
        }
    }
}

fn refused(call: &str, error: Errno) -> String {
    format!("`{call}` is refused: {error}")
}
