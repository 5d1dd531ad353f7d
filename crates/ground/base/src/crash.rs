//! Points at which a test may kill this process, as a crash would. Between any two side effects there is one.
//!
//! A program of a debug build whose surroundings say `SEA_CRASH_AT="serving 2 network: bridge made"` kills itself when
//! it comes for the second time, while serving, to the point of that name. `SEA_CRASH_LOG` names a file to which every
//! point that is passed is added as a line, `process role name`; beside it a file ending in `.died` says that a process
//! died, so that of many shims one does. Both are found from within a container too, as long as its folder is. Release builds have nothing of this.

/// The variable that says where to die: the role, how often its point is passed by then, and the point's name.
pub const AT: &str = "SEA_CRASH_AT";
/// The variable that names the file of the points that were passed.
pub const LOG: &str = "SEA_CRASH_LOG";

/// From now on this process is in this role, and its points count. Without the variables nothing happens.
#[cfg(debug_assertions)]
pub fn arm(role: &'static str) {
    armed::arm(role);
}

/// A place before or after a side effect.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    armed::point(name);
}

/// What a process must be given that is started without our surroundings.
#[cfg(debug_assertions)]
pub fn surroundings() -> Vec<(&'static str, std::ffi::OsString)> {
    [AT, LOG].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
}

/// Nothing, outside debug builds.
#[cfg(not(debug_assertions))]
pub fn arm(_: &'static str) {}

/// Nothing, outside debug builds.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_: &str) {}

/// Nothing, outside debug builds.
#[cfg(not(debug_assertions))]
pub fn surroundings() -> [(&'static str, std::ffi::OsString); 0] {
    []
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    use rustix::fs::{Mode, OFlags, open, openat};
    use rustix::process::{Signal, getpid, kill_process};

    static ARMED: Mutex<Option<Armed>> = Mutex::new(None);

    struct Armed {
        role: &'static str,
        /// Tells this process from others: inside of containers, all have the number 1.
        process: String,
        log: File,
        /// The folder of the log, and the name in it that says that a process died.
        died: (OwnedFd, OsString),
        at: Option<At>,
        passed: BTreeMap<String, u32>,
    }

    #[derive(Debug, PartialEq, Eq)]
    struct At {
        role: String,
        times: u32,
        name: String,
    }

    impl At {
        fn parse(text: &str) -> Option<Self> {
            let mut words = text.splitn(3, ' ');
            let (role, times, name) = (words.next()?, words.next()?, words.next()?);
            Some(Self { role: role.into(), times: times.parse().ok()?, name: name.into() })
        }
    }

    pub(super) fn arm(role: &'static str) {
        let Some(log) = std::env::var_os(super::LOG) else { return };
        let at = std::env::var(super::AT).ok().and_then(|text| At::parse(&text));
        // A log that cannot be written is missed by the test that wants it.
        let Some((log, died)) = files(Path::new(&log)) else { return };
        let process = crate::kernel_bytes::<4>().iter().map(|byte| format!("{byte:02x}")).collect();
        let armed = Armed { role, process, log, died, at, passed: BTreeMap::new() };
        *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
    }

    /// The log, and the place of its sign of death. Both stay reachable when the root becomes another.
    fn files(path: &Path) -> Option<(File, (OwnedFd, OsString))> {
        let log = OpenOptions::new().create(true).append(true).open(path).ok()?;
        let folder = open(path.parent()?, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut died = path.file_name()?.to_owned();
        died.push(".died");
        Some((log, (folder, died)))
    }

    pub(super) fn point(name: &str) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(armed) = armed.as_mut() else { return };
        let times = armed.passed.entry(name.to_owned()).or_default();
        *times += 1;
        let at = At { role: armed.role.into(), times: *times, name: name.into() };
        let dies = armed.at.as_ref() == Some(&at);
        let _ = armed.log.write_all(format!("{} {} {name}\n", armed.process, armed.role).as_bytes());
        let (folder, died) = &armed.died;
        let only = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        if dies && openat(folder, died, only, Mode::from_raw_mode(0o600)).is_ok() {
            // Nothing is tidied up, and nobody else of this process goes on.
            let _ = kill_process(getpid(), Signal::KILL);
            // The first process of a container hears no signal of its own making.
            std::process::abort();
        }
    }

    #[cfg(test)]
    mod tests;
}
