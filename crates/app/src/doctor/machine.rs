//! Small readings of `/proc` that several checks share.

use std::fs;

/// A file's text; nothing where there is none.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A value in a text of `Name:\tvalue` lines, such as `/proc/self/status`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// What a process is, for people: `nginx (process 812)`.
pub(super) fn process(pid: u32) -> String {
    let command = read(&format!("/proc/{pid}/comm"));
    format!("{} (process {pid})", if command.is_empty() { "a program" } else { command.trim() })
}

/// The arguments of a process.
pub(super) fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The processes that we may see.
pub(super) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
