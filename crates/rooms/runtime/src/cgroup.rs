//! A container's cgroup: made, bounded, measured and removed, on the first version, the second, and both at once.
//!
//! The same path is used below every hierarchy. Where the second version is mounted beside the first (hybrid), it
//! carries no controllers but still kills and freezes, so it is used for that.

mod devices;
mod figures;
mod group;
mod limits;
mod stats;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::failure::{Doing, Failure};
use crate::order::{Device, Limits};

pub(crate) use devices::each as each_device;
pub use figures::{DeviceFigure, Figures};
pub use group::CgroupGroup;
pub use stats::Stats;

/// The controllers of the first version that a container always joins.
const ALWAYS: &[&str] = &["memory", "cpu", "cpuacct", "cpuset", "pids", "devices", "blkio"];

/// One hierarchy of the first version.
#[derive(Debug, Clone)]
struct First {
    /// As mounted: `cpu,cpuacct`.
    controllers: Vec<String>,
    /// Where.
    mount: PathBuf,
}

/// What this machine has mounted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hierarchies {
    first: Vec<First>,
    second: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads them from the mounts of this process.
    pub(crate) fn find() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, system)) = line.split_once(" - ") else { continue };
            let Some(place) = mount.split(' ').nth(4) else { continue };
            let mut system = system.split(' ');
            match system.next() {
                Some("cgroup2") if found.second.is_none() => found.second = Some(place.into()),
                Some("cgroup") => {
                    let options = system.nth(1).unwrap_or_default();
                    let controllers =
                        options.split(',').filter(|o| !["rw", "ro", "none"].contains(o)).map(Into::into);
                    found.first.push(First { controllers: controllers.collect(), mount: place.into() });
                }
                _ => {}
            }
        }
        found
    }
}

/// One container's place in the hierarchies.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    /// Folders of the first version, each with its controllers.
    first: Vec<(Vec<String>, PathBuf)>,
    /// The folder of the second version.
    second: Option<PathBuf>,
    /// The second version's mount, to hand controllers down from.
    top: PathBuf,
}

impl Cgroup {
    /// The place; nothing is made yet.
    pub(crate) fn at(path: &str, hierarchies: &Hierarchies) -> Result<Self, Failure> {
        let relative = Path::new(path).strip_prefix("/").unwrap_or(Path::new(""));
        let plain = relative.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if relative.as_os_str().is_empty() || !plain {
            return Err(Failure::invalid(format!("`{path}` is not the absolute path of a cgroup")));
        }
        let freezer = hierarchies.second.is_none().then_some("freezer");
        let wanted = |name: &String| ALWAYS.contains(&name.as_str()) || freezer == Some(name);
        let first = hierarchies
            .first
            .iter()
            .filter(|one| one.controllers.iter().any(wanted))
            .map(|one| (one.controllers.clone(), one.mount.join(relative)));
        Ok(Self {
            first: first.collect(),
            second: hierarchies.second.as_ref().map(|mount| mount.join(relative)),
            top: hierarchies.second.clone().unwrap_or_default(),
        })
    }

    /// Makes it and sets its bounds. What this machine cannot bound is told in `notes`.
    pub(crate) fn create(&self, limits: &Limits, notes: &mut Vec<String>) -> Result<(), Failure> {
        for (controllers, dir) in &self.first {
            make(dir).doing(|| format!("make the cgroup `{}`", dir.display()))?;
            base::crash::point("shim: a cgroup made");
            if controllers.iter().any(|c| c == "cpuset") {
                inherit_cpuset(dir).doing(|| format!("fill the cpuset `{}`", dir.display()))?;
            }
        }
        if let Some(dir) = &self.second {
            make(dir).doing(|| format!("make the cgroup `{}`", dir.display()))?;
            base::crash::point("shim: a cgroup made");
            if self.first.is_empty() {
                self.hand_down(dir);
            }
        }
        self.limit(limits, notes)
    }

    /// Gives the controllers to every level down to the container's (second version alone).
    fn hand_down(&self, dir: &Path) {
        let above: Vec<&Path> = dir.ancestors().skip(1).take_while(|d| d.starts_with(&self.top)).collect();
        for level in above.into_iter().rev() {
            let has = fs::read_to_string(level.join("cgroup.controllers")).unwrap_or_default();
            let given = fs::read_to_string(level.join("cgroup.subtree_control")).unwrap_or_default();
            for controller in ["cpu", "memory", "pids", "io", "cpuset"] {
                let is_in = |text: &str| text.split_ascii_whitespace().any(|c| c == controller);
                if is_in(&has) && !is_in(&given) {
                    // What cannot be had is missed, and told, when a limit needs it.
                    let _ = fs::write(level.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
    }

    /// Changes the bounds.
    pub(crate) fn limit(&self, limits: &Limits, notes: &mut Vec<String>) -> Result<(), Failure> {
        let writes = if self.first.is_empty() { limits::second(limits) } else { limits::first(limits) };
        for write in writes {
            let dir = self.first_dir(write.controller).or(self.second.as_ref());
            let Some(dir) = dir else {
                notes.push(format!("{} is not bounded: this machine has no such cgroup", write.what));
                continue;
            };
            let number = write.device.as_deref().map(device_number).transpose()?.unwrap_or_default();
            let put = |file: &str, value: &str| put(&dir.join(file), &format!("{number}{value}"));
            match put(write.file, &write.value).or_else(|error| match &write.instead {
                Some((file, value)) => put(file, value),
                None => Err(error),
            }) {
                Ok(()) => {}
                Err(_) if write.optional => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    notes.push(format!("{} is not bounded: this kernel has no `{}`", write.what, write.file));
                }
                Err(error) => {
                    return Err(Failure::step(
                        format!("could not bound {} to {}", write.what, write.value),
                        &error,
                    )
                    .hint("choose a value that the kernel accepts; see cgroups(7)"));
                }
            }
        }
        Ok(())
    }

    /// Allows these devices and the usual ones, nothing else.
    pub(crate) fn allow_devices(&self, devices: &[Device], more: &[base::DeviceRule]) -> Result<(), Failure> {
        let rules = devices::rules(devices, more)?;
        if let Some(dir) = self.first_dir("devices") {
            put(&dir.join("devices.deny"), "a").doing(|| "close the cgroup's devices")?;
            for rule in &rules {
                put(&dir.join("devices.allow"), &rule.to_string())
                    .doing(|| format!("allow device `{rule}`"))?;
            }
            return Ok(());
        }
        let Some(dir) = self.open_second()? else { return Ok(()) };
        use std::os::fd::AsFd;
        crate::sys::attach_device_program(dir.as_fd(), &devices::program(&rules))
            .doing(|| "filter the cgroup's devices")
    }

    /// The folder of the second version, for a process to be born into.
    pub(crate) fn open_second(&self) -> Result<Option<OwnedFd>, Failure> {
        let Some(dir) = &self.second else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(dir, flags, Mode::empty())
            .map(Some)
            .doing(|| format!("open the cgroup `{}`", dir.display()))
    }

    /// Moves the calling process, which must have one thread, into the first version's folders.
    ///
    /// A thread that moves itself needs no lock over all processes of the machine. To move a process by
    /// `cgroup.procs` takes that lock, and with it waits for every processor once: some 10 ms.
    pub(crate) fn enter_first(&self) -> Result<(), Failure> {
        for (_, dir) in &self.first {
            put(&dir.join("tasks"), "0").doing(|| format!("enter the cgroup `{}`", dir.display()))?;
        }
        Ok(())
    }

    /// The controllers of the first version that it is in, and whether it is in the second.
    pub(crate) fn views(&self) -> (impl Iterator<Item = &Vec<String>>, bool) {
        (self.first.iter().map(|(controllers, _)| controllers), self.second.is_some())
    }

    /// Sends a signal to every process in it.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        for pid in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // Gone meanwhile is as good.
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }

    /// The processes in it, as this process sees their numbers.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let dirs =
            self.second.iter().chain(self.first_dir("pids")).chain(self.first.first().map(|(_, dir)| dir));
        for dir in dirs {
            let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) else { continue };
            let pids: Vec<i32> =
                text.lines().filter_map(|line| line.parse().ok()).filter(|p| *p > 0).collect();
            if !pids.is_empty() {
                return pids;
            }
        }
        Vec::new()
    }

    /// Ends every process in it, also frozen ones.
    pub(crate) fn kill(&self) {
        let killed = self.second.as_ref().is_some_and(|dir| put(&dir.join("cgroup.kill"), "1").is_ok());
        // In hybrid a process may have left one of the two; the list of the other still has it.
        if !killed || !self.first.is_empty() {
            self.signal(rustix::process::Signal::KILL);
        }
        let _ = self.freeze(false);
    }

    /// Stops all its processes where they are, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        if let Some(dir) = &self.second {
            put(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
            return if frozen { until_frozen(&dir.join("cgroup.events"), "frozen 1") } else { Ok(()) };
        }
        let Some(dir) = self.first_dir("freezer") else { return Err(io::ErrorKind::Unsupported.into()) };
        let state = dir.join("freezer.state");
        put(&state, if frozen { "FROZEN" } else { "THAWED" })?;
        if frozen { until_frozen(&state, "FROZEN") } else { Ok(()) }
    }

    /// Whether the kernel has ended a process of it for want of memory.
    pub(crate) fn oom_killed(&self) -> bool {
        let (dir, file) = match (self.first_dir("memory"), &self.second) {
            (Some(dir), _) => (dir, "memory.oom_control"),
            (None, Some(dir)) => (dir, "memory.events"),
            (None, None) => return false,
        };
        fs::read_to_string(dir.join(file)).is_ok_and(|text| stats::field(&text, "oom_kill") > 0)
    }

    /// What it uses.
    pub(crate) fn stats(&self) -> Stats {
        if self.first.is_empty() {
            return self.second.as_ref().map(|dir| stats::second(dir)).unwrap_or_default();
        }
        stats::first(|controller| self.first_dir(controller))
    }

    /// Ends what is in it and removes it from every hierarchy.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut last = Ok(());
        for dir in self.first.iter().map(|(_, dir)| dir).chain(&self.second) {
            let mut pause_ms = 1;
            loop {
                let error = match remove_below(dir) {
                    Ok(()) => {
                        base::crash::point("cgroup: one removed");
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) => error,
                };
                if error.raw_os_error() != Some(rustix::io::Errno::BUSY.raw_os_error()) || pause_ms > 1024 {
                    last = Err(error);
                    break;
                }
                // The kernel has not finished with the processes that were killed.
                self.kill();
                std::thread::sleep(std::time::Duration::from_millis(pause_ms));
                pause_ms *= 2;
            }
        }
        last
    }

    fn first_dir(&self, controller: &str) -> Option<&PathBuf> {
        self.first.iter().find(|(all, _)| all.iter().any(|c| c == controller)).map(|(_, dir)| dir)
    }
}

/// A device as the control files name it, and the space behind it.
fn device_number(path: &Path) -> Result<String, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path).doing(|| format!("look at the device `{}`", path.display()))?;
    let number = meta.rdev();
    Ok(format!("{}:{} ", rustix::fs::major(number), rustix::fs::minor(number)))
}

/// Removes a cgroup and those that the container has made below it.
fn remove_below(dir: &Path) -> io::Result<()> {
    match rustix::fs::rmdir(dir) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::BUSY | rustix::io::Errno::NOTEMPTY) => {}
        Err(error) => return Err(error.into()),
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    Ok(rustix::fs::rmdir(dir)?)
}

/// Makes a folder that may be there already, and those above it.
fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(dir),
        done => done,
    }
}

/// A new cpuset has neither processors nor memory until somebody says which; takes those above it.
fn inherit_cpuset(dir: &Path) -> io::Result<()> {
    let Some(above) = dir.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(mine) = fs::read_to_string(dir.join(file)) else { continue };
        if !mine.trim().is_empty() {
            continue;
        }
        if fs::read_to_string(above.join(file))?.trim().is_empty() {
            inherit_cpuset(above)?;
        }
        fs::write(dir.join(file), fs::read_to_string(above.join(file))?)?;
    }
    Ok(())
}

/// Writes to a control file, which must be there.
fn put(file: &Path, value: &str) -> io::Result<()> {
    let file = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

/// The kernel freezes processes one after another, each when it leaves the kernel; waits until all stand still.
fn until_frozen(file: &Path, word: &str) -> io::Result<()> {
    const STEP: std::time::Duration = std::time::Duration::from_millis(1);
    for _ in 0..FREEZE_STEPS {
        if fs::read_to_string(file)?.contains(word) {
            return Ok(());
        }
        std::thread::sleep(STEP);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// So many milliseconds a process may take to leave the kernel; longer means one that is stuck there.
const FREEZE_STEPS: u32 = 2000;

#[cfg(test)]
mod tests;
