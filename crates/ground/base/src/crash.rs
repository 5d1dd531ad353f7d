//! Points at which a test may kill this process, as a crash would. Between any two side effects there is one.
//!
//! A program of a debug build whose surroundings say `SEA_CRASH_AT="serving 2 network: bridge made"` kills itself when
//! it comes for the second time, while serving, to the point of that name. `SEA_CRASH_LOG` names a file to which every
//! point that is passed is added as a line, `pid role name`; beside it a file ending in `.died` says which process died, so that of
//! many shims one does. Release builds have nothing of this.

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
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::{Mutex, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    static ARMED: Mutex<Option<Armed>> = Mutex::new(None);

    struct Armed {
        role: &'static str,
        log: PathBuf,
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
        let armed = Armed { role, log: log.into(), at, passed: BTreeMap::new() };
        *ARMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
    }

    pub(super) fn point(name: &str) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(armed) = armed.as_mut() else { return };
        let times = armed.passed.entry(name.to_owned()).or_default();
        *times += 1;
        let at = At { role: armed.role.into(), times: *times, name: name.into() };
        let dies = armed.at.as_ref() == Some(&at);
        // A log that cannot be written is missed by the test that wants it.
        let line = format!("{} {} {name}\n", getpid(), armed.role);
        let file = OpenOptions::new().create(true).append(true).open(&armed.log);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        let mut died = armed.log.clone().into_os_string();
        died.push(".died");
        if dies && OpenOptions::new().write(true).create_new(true).open(died).is_ok() {
            // Nothing is tidied up, and nobody else of this process goes on.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }

    #[cfg(test)]
    mod tests;
}
