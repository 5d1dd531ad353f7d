//! What a container may do, and what it shares with the host or with others.

use spec::{Device, Namespace, Security};

use super::namespace;
use crate::answer::Refusal;
use crate::wire::HostConfig;

/// Docker's names of what the kernel knows, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

pub(super) fn security(host: &HostConfig) -> Result<Security, Refusal> {
    let mut options = Vec::new();
    for option in host.security_opt.iter().flatten() {
        check(option)?;
        options.push(option.clone());
    }
    let unconfined = options.iter().any(|option| option == "systempaths=unconfined");
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return Err(Refusal::invalid(format!("invalid user namespace mode: {}", host.userns_mode)));
    }
    if !matches!(host.runtime.as_str(), "" | "runc" | "io.containerd.runc.v2") {
        return Err(Refusal::invalid(format!("unknown or invalid runtime name: {}", host.runtime)));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return Err(Refusal::invalid(format!("invalid isolation '{}' on linux", host.isolation)));
    }
    if host.storage_opt.as_ref().is_some_and(|options| !options.is_empty()) {
        return Err(Refusal::invalid(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ));
    }
    if !host.cgroup.is_empty() {
        return Err(Refusal::invalid(format!("invalid cgroup: {}", host.cgroup)));
    }
    Ok(Security {
        privileged: host.privileged,
        cap_add: capabilities(host.cap_add.as_deref(), "CapAdd")?,
        cap_drop: capabilities(host.cap_drop.as_deref(), "CapDrop")?,
        options,
        masked_paths: host.masked_paths.clone().filter(|_| !unconfined),
        readonly_paths: host.readonly_paths.clone().filter(|_| !unconfined),
    })
}

/// Refuses what is no option; whether one that is can be had here is for the room to say.
fn check(option: &str) -> Result<(), Refusal> {
    let wrong = |number| Err(Refusal::invalid(format!("invalid --security-opt {number}: \"{option}\"")));
    match option.split_once(['=', ':']) {
        None if matches!(option, "no-new-privileges" | "writable-cgroups" | "disable") => Ok(()),
        None => wrong(1),
        Some(("label" | "apparmor" | "seccomp" | "systempaths", _)) => Ok(()),
        Some(("writable-cgroups", "true" | "false")) => Ok(()),
        Some(("no-new-privileges", value))
            if matches!(value.to_ascii_lowercase().as_str(), "true" | "false") =>
        {
            Ok(())
        }
        Some(_) => wrong(2),
    }
}

fn capabilities(asked: Option<&[String]>, field: &str) -> Result<Vec<String>, Refusal> {
    let known = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" || CAPABILITIES.contains(&bare) {
            Ok(bare.to_owned())
        } else {
            Err(Refusal::invalid(format!("invalid {field}: unknown capability: \"{name}\"")))
        }
    };
    asked.unwrap_or_default().iter().map(known).collect()
}

/// Leave to use devices beyond those that it is given.
pub(super) fn device_rules(host: &HostConfig) -> Result<Vec<base::DeviceRule>, Refusal> {
    let rules = host.resources.device_cgroup_rules.iter().flatten();
    let wrong = |rule: &String| Refusal::invalid(format!("invalid device cgroup rule format: '{rule}'"));
    rules.map(|rule| rule.parse().map_err(|_| wrong(rule))).collect()
}

pub(super) fn devices(host: &HostConfig) -> Vec<Device> {
    let device = |one: &crate::wire::Device| Device {
        source: one.path_on_host.clone(),
        target: if one.path_in_container.is_empty() {
            one.path_on_host.clone()
        } else {
            one.path_in_container.clone()
        },
        permissions: if one.cgroup_permissions.is_empty() {
            "rwm".into()
        } else {
            one.cgroup_permissions.clone()
        },
    };
    host.resources.devices.iter().map(device).collect()
}

pub(super) fn pid(mode: &str) -> Result<Namespace, Refusal> {
    match (mode, namespace(mode, "PID")?) {
        (_, Some(other)) => Ok(other),
        ("" | "private", None) => Ok(Namespace::Private),
        ("host", None) => Ok(Namespace::Host),
        (_, None) => Err(Refusal::invalid(format!("invalid PID mode: {mode}"))),
    }
}

pub(super) fn ipc(mode: &str) -> Result<Namespace, Refusal> {
    match (mode, namespace(mode, "IPC")?) {
        (_, Some(other)) => Ok(other),
        ("" | "private", None) => Ok(Namespace::Private),
        ("shareable", None) => Ok(Namespace::Shareable),
        ("host", None) => Ok(Namespace::Host),
        ("none", None) => Ok(Namespace::Isolated),
        (_, None) => Err(Refusal::invalid(format!("invalid IPC mode: {mode}"))),
    }
}

pub(super) fn uts(mode: &str) -> Result<bool, Refusal> {
    match mode {
        "" => Ok(false),
        "host" => Ok(true),
        _ => Err(Refusal::invalid(format!("invalid UTS mode: {mode}"))),
    }
}

pub(super) fn cgroup(mode: &str) -> Result<bool, Refusal> {
    match mode {
        "" | "private" => Ok(false),
        "host" => Ok(true),
        _ => Err(Refusal::invalid(format!("invalid cgroup namespace mode: {mode}"))),
    }
}
