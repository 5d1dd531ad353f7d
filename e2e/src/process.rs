//! Processes of this machine, as `/proc` shows them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// All that we may see.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The arguments of a process; none when it is gone.
pub fn arguments(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Whether it is there and not a corpse that waits for its parent.
pub fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether one of its arguments is this folder or a path below it.
pub fn is_about(pid: i32, folder: &Path) -> bool {
    arguments(pid).iter().any(|word| {
        let path = word.rsplit_once('=').map_or(word.as_str(), |(_, value)| value);
        Path::new(path).starts_with(folder)
    })
}

/// Sends a signal; to a process that is gone, nothing happens.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone meanwhile is as good.
        let _ = kill_process(pid, signal);
    }
}

/// Waits until it has ended; whether it has.
pub fn ended(pid: i32, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while lives(pid) {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
