//! Cgroups: which version, which controllers, and whether they can be written to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use talk::Check;

use super::{bad, good, machine, trial_name, weak};

/// What bounds containers; the last is only for those that name processors.
const CONTROLLERS: &[&str] = &["memory", "cpu", "pids", "cpuset"];
/// Without these a limit is told as not kept.
const NEEDED: &[&str] = &["memory", "cpu", "pids"];

/// Where controllers are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    /// Of the first version, by controller.
    pub(super) first: BTreeMap<String, PathBuf>,
    /// Of the second version.
    pub(super) second: Option<PathBuf>,
}

impl Mounts {
    /// Reads them from the text of `/proc/self/mountinfo`.
    pub(super) fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, system)) = line.split_once(" - ") else { continue };
            let Some(place) = mount.split(' ').nth(4) else { continue };
            let words: Vec<&str> = system.split(' ').collect();
            match words.first().copied() {
                Some("cgroup2") => found.second = found.second.or_else(|| Some(place.into())),
                Some("cgroup") => {
                    let options = words.get(2).copied().unwrap_or_default();
                    found.first.extend(options.split(',').map(|name| (name.to_owned(), place.into())));
                }
                Some(_) | None => {}
            }
        }
        found
    }

    /// What people call this arrangement.
    pub(super) fn layout(&self) -> &'static str {
        let controls = CONTROLLERS.iter().any(|name| self.first.contains_key(*name));
        match (controls, &self.second) {
            (false, None) => "none",
            (true, None) => "version 1",
            (true, Some(_)) => "hybrid: controllers of version 1 beside version 2",
            (false, Some(_)) => "version 2",
        }
    }

    /// The folder of a controller.
    fn of(&self, controller: &str) -> Option<&PathBuf> {
        self.first.get(controller).or_else(|| {
            let second = self.second.as_ref()?;
            let has = fs::read_to_string(second.join("cgroup.controllers")).unwrap_or_default();
            has.split_whitespace().any(|name| name == controller).then_some(second)
        })
    }
}

pub(super) fn checks() -> Vec<Check> {
    let mounts = Mounts::parse(&machine::read("/proc/self/mountinfo"));
    let name = "cgroups: version";
    if mounts.layout() == "none" {
        let mend = "mount cgroups, as with `mount -t cgroup2 cgroup2 /sys/fs/cgroup`";
        return vec![bad(name, "no cgroups are mounted", mend)];
    }
    vec![good(name, mounts.layout()), controllers(|name| mounts.of(name).is_some()), writable(&mounts)]
}

/// What is said of the controllers that are there.
pub(super) fn controllers(has: impl Fn(&str) -> bool) -> Check {
    let name = "cgroups: controllers";
    let (there, missing): (Vec<&str>, Vec<&str>) = CONTROLLERS.iter().copied().partition(|name| has(name));
    let found = match missing.as_slice() {
        [] => there.join(", "),
        some => format!("{}; missing: {}", there.join(", "), some.join(", ")),
    };
    let mend = "enable them at boot (`cgroup_enable=memory` on some machines); limits of that kind are not kept before";
    match missing.iter().any(|name| NEEDED.contains(name)) {
        true => weak(name, found, mend),
        false if missing.is_empty() => good(name, found),
        false => weak(name, found, "without `cpuset` no container can be bound to processors"),
    }
}

/// Makes and removes a cgroup below every mount that counts.
fn writable(mounts: &Mounts) -> Check {
    let name = "cgroups: writable";
    let mut folders: Vec<&PathBuf> = CONTROLLERS.iter().filter_map(|name| mounts.of(name)).collect();
    folders.extend(&mounts.second);
    folders.sort();
    folders.dedup();
    let trial = trial_name();
    for folder in &folders {
        if let Err(error) = try_folder(&folder.join(&trial)) {
            let mend = "run as root, with /sys/fs/cgroup writable (in a container: `--privileged`)";
            return bad(name, format!("no cgroup can be made in `{}`: {error}", folder.display()), mend);
        }
    }
    good(name, format!("cgroups can be made in {}", folders.len()))
}

fn try_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::remove_dir(path)
}
