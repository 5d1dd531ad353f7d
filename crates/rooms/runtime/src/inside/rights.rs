//! What a process may do: capabilities, limits, and who it is.

use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::users::User;
use crate::failure::{Doing, Failure};
use crate::order::{Capabilities, Process};

/// By the kernel's numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Docker's 14.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// All that the kernel knows.
const ALL: u64 = (1 << NAMES.len()) - 1;

pub(super) fn bit(name: &str) -> Result<u64, Failure> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if plain == "ALL" {
        return Ok(ALL);
    }
    let number = NAMES.iter().position(|known| *known == plain);
    number.map(|n| 1 << n).ok_or_else(|| {
        Failure::invalid(format!("`{name}` is not a capability"))
            .hint("see capabilities(7), as in `NET_ADMIN`")
    })
}

fn bits<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<u64, Failure> {
    names.into_iter().try_fold(0, |all, name| Ok(all | bit(name)?))
}

/// The set that docker's flags mean: what is added wins over `drop: ALL`, what is dropped wins over `add: ALL`.
pub(super) fn capabilities(wanted: &Capabilities) -> Result<u64, Failure> {
    if wanted.privileged {
        return Ok(ALL);
    }
    let add = bits(wanted.add.iter().map(String::as_str))?;
    let drop = bits(wanted.drop.iter().map(String::as_str))?;
    Ok(match (add == ALL, drop == ALL) {
        (_, true) => bits(wanted.add.iter().map(String::as_str).filter(|name| bit(name) != Ok(ALL)))?,
        (true, false) => ALL & !drop,
        (false, false) => (bits(DEFAULT)? | add) & !drop,
    })
}

/// The same, without what this program may not have itself.
pub(super) fn bounded(wanted: u64) -> u64 {
    let have = |number: &usize| {
        capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << number)).unwrap_or(false)
    };
    (0..NAMES.len()).filter(have).fold(0, |all, number| all | 1 << number) & wanted
}

/// Becomes the user with these capabilities and no more, ever.
pub(super) fn become_user(user: &User, capabilities: u64) -> Result<(), Failure> {
    for (number, name) in NAMES.iter().enumerate() {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if capabilities & one.bits() == 0 && capability_is_in_bounding_set(one).unwrap_or(false) {
            remove_capability_from_bounding_set(one).doing(|| format!("give up the capability {name}"))?;
        }
    }
    // What the image's user is called does not matter to the kernel; that no other thread exists does to us.
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let gid = Gid::from_raw(user.gid);
    let uid = Uid::from_raw(user.uid);
    set_thread_groups(&groups).doing(|| "set the groups")?;
    set_thread_res_gid(gid, gid, gid).doing(|| format!("become group {}", user.gid))?;
    set_thread_res_uid(uid, uid, uid).doing(|| format!("become user {}", user.uid))?;
    // Other users than root have lost theirs by now, as the kernel wants it.
    let mine =
        if user.uid == 0 { CapabilitySet::from_bits_retain(capabilities) } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: mine, permitted: mine, inheritable: CapabilitySet::empty() };
    let _ = clear_ambient_capability_set();
    set_capabilities(None, sets).doing(|| "set the capabilities")
}

fn resource(name: &str) -> Option<Resource> {
    let plain = name.to_ascii_lowercase();
    Some(match plain.strip_prefix("rlimit_").unwrap_or(&plain) {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Sets the process's limits; where we may not go as high, as high as we may, and a note says so.
pub(super) fn limit(process: &Process, notes: &mut Vec<String>) -> Result<(), Failure> {
    for (name, wanted) in &process.rlimits {
        let Some(resource) = resource(name) else {
            return Err(
                Failure::invalid(format!("`{name}` is not a limit")).hint("see getrlimit(2), as in `nofile`")
            );
        };
        let number = |limit: i64| u64::try_from(limit).ok();
        let new = Rlimit { current: number(wanted.soft), maximum: number(wanted.hard) };
        if setrlimit(resource, new).is_ok() {
            continue;
        }
        let most = getrlimit(resource).maximum;
        let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        let clamped = Rlimit { current: least(new.current, most), maximum: least(new.maximum, most) };
        let shown = clamped.maximum.map_or("unlimited".to_owned(), |n| n.to_string());
        setrlimit(resource, clamped).doing(|| format!("limit `{name}`"))?;
        notes.push(format!("`{name}` is limited to {shown}: this daemon may not go higher"));
    }
    Ok(())
}

/// How readily the kernel ends this process when memory is short; not lower than we may.
pub(super) fn oom_score(adjust: i32, notes: &mut Vec<String>) {
    const FILE: &str = "/proc/self/oom_score_adj";
    if std::fs::write(FILE, adjust.to_string()).is_err() {
        let have = std::fs::read_to_string(FILE).unwrap_or_default();
        notes.push(format!("oom_score_adj stays {}: this daemon may not lower it to {adjust}", have.trim()));
    }
}

#[cfg(test)]
mod tests;
