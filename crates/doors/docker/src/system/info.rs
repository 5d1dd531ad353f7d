//! `GET /info`: what runs here, on what, and what it can do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use containers::{Filter, State as Is};
use oci::Digest;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::version::ApiVersion;
use crate::{Docker, Shared};

/// The drivers of logs that containers may name.
const LOGS: [&str; 3] = ["json-file", "local", "none"];

/// `GET /info`.
pub(super) async fn info(State(docker): Shared, version: ApiVersion) -> Answer<Value> {
    let images = docker.all_images().await?.iter().filter(|image| !image.intermediate).count();
    let mut fields = counts(&docker, images);
    fields.extend(machine(&docker));
    fields.extend(abilities());
    fields.extend(ourselves(&docker, version));
    Ok(Json(Value::Object(fields)))
}

fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { return Map::new() };
    fields
}

fn counts(docker: &Docker, images: usize) -> Map<String, Value> {
    let (mut running, mut paused, mut stopped) = (0, 0, 0);
    for view in docker.containers.list(&Filter { all: true, ..Filter::default() }) {
        match view.record.state {
            Is::Running { paused: true, .. } => paused += 1,
            Is::Running { .. } => running += 1,
            Is::Created | Is::Exited { .. } => stopped += 1,
        }
    }
    fields(json!({
        "ID": id(docker),
        "Containers": running + paused + stopped,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": stopped,
        "Images": images,
    }))
}

/// The same for the same root on the same machine.
fn id(docker: &Docker) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let digest = Digest::sha256(format!("{}\n{}", machine.trim(), docker.root.display()).as_bytes());
    let hex = digest.hex();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]];
    parts.join("-")
}

fn machine(docker: &Docker) -> Map<String, Value> {
    let uname = rustix::system::uname();
    let release = os_release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let name = release.get("PRETTY_NAME").cloned().unwrap_or_else(|| "Linux".into());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    fields(json!({
        "SystemTime": docker.clock.wall().to_string(),
        "KernelVersion": uname.release().to_string_lossy(),
        "OperatingSystem": name,
        "OSVersion": release.get("VERSION_ID").cloned().unwrap_or_default(),
        "OSType": "linux",
        "Architecture": uname.machine().to_string_lossy(),
        "NCPU": processors,
        "MemTotal": memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        "Name": uname.nodename().to_string_lossy(),
        "DockerRootDir": docker.root,
    }))
}

/// The variables of `/etc/os-release`.
fn os_release(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// The bytes of memory that the machine has.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// What containers may be bounded by, which depends on the kernel's cgroups.
fn abilities() -> Map<String, Value> {
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").ok();
    let version = if unified.is_some() { "2" } else { "1" };
    let controllers = match &unified {
        Some(text) => text.split_whitespace().map(str::to_owned).collect(),
        None => enabled(&fs::read_to_string("/proc/cgroups").unwrap_or_default()),
    };
    let has = |name: &str| controllers.iter().any(|one: &String| one == name);
    let swap = has("memory")
        && (unified.is_some() || Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists());
    let forwarding = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1");
    let mut warnings = Vec::new();
    for (there, what) in [(has("memory"), "memory limit"), (swap, "swap limit"), (has("pids"), "pids limit")]
    {
        if !there {
            warnings.push(format!("WARNING: No {what} support"));
        }
    }
    if !forwarding {
        warnings.push("WARNING: IPv4 forwarding is disabled".into());
    }
    fields(json!({
        "MemoryLimit": has("memory"),
        "SwapLimit": swap,
        "CpuCfsPeriod": has("cpu"),
        "CpuCfsQuota": has("cpu"),
        "CPUShares": has("cpu"),
        "CPUSet": has("cpuset"),
        "PidsLimit": has("pids"),
        "OomKillDisable": has("memory") && unified.is_none(),
        "IPv4Forwarding": forwarding,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": version,
        "Warnings": if warnings.is_empty() { Value::Null } else { json!(warnings) },
    }))
}

/// The controllers that `/proc/cgroups` says are on.
fn enabled(text: &str) -> Vec<String> {
    let on = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| !name.starts_with('#'))?;
        (words.nth(2) == Some("1")).then(|| name.to_owned())
    };
    text.lines().filter_map(on).collect()
}

fn ourselves(docker: &Arc<Docker>, version: ApiVersion) -> Map<String, Value> {
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let proxy = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
        without_secret(&value.unwrap_or_default())
    };
    let pools: Vec<Value> = network::Settings::default()
        .pools
        .iter()
        .map(|pool| json!({ "Base": pool.base.to_string(), "Size": pool.size }))
        .collect();
    let mut fields = fields(json!({
        "Driver": "overlay2",
        "DriverStatus": [["Supports d_type", "true"], ["Native Overlay Diff", "true"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": LOGS,
        },
        "Debug": false,
        "NFd": descriptors,
        "NGoroutines": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "NEventsListener": 0,
        "LoggingDriver": "json-file",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {
                "docker.io": { "Mirrors": [], "Name": "docker.io", "Official": true, "Secure": true },
            },
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
            "Mirrors": null,
        },
        "GenericResources": null,
        "HttpProxy": proxy("HTTP_PROXY"),
        "HttpsProxy": proxy("HTTPS_PROXY"),
        "NoProxy": proxy("NO_PROXY"),
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": super::engine(docker),
        "Runtimes": { "sea": { "path": "sea" } },
        "DefaultRuntime": "sea",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        // Containers run on while we are away.
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "sea",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": docker.version },
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "ProductLicense": "",
        "DefaultAddressPools": pools,
        "FirewallBackend": { "Driver": "nftables" },
        "CDISpecDirs": [],
    }));
    age(&mut fields, version);
    fields
}

/// Takes out what clients of this version do not know, and adds what they are used to.
fn age(fields: &mut Map<String, Value>, version: ApiVersion) {
    if version < ApiVersion(1, 47) {
        for name in ["AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames"] {
            fields["RegistryConfig"][name] = Value::Null;
        }
    }
    if version < ApiVersion(1, 49) {
        fields.shift_remove("FirewallBackend");
        for name in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
            fields[name]["Expected"] = fields[name]["ID"].clone();
        }
    }
    if version < ApiVersion(1, 50) {
        fields.insert("BridgeNfIptables".into(), false.into());
        fields.insert("BridgeNfIp6tables".into(), false.into());
    }
    if version < ApiVersion(1, 42) {
        fields.insert("KernelMemory".into(), false.into());
    }
}

/// A proxy's address without the name and password in it.
fn without_secret(url: &str) -> String {
    match (url.find("://"), url.find('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}xxxxx:xxxxx{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
