//! The processes in a container, as the host's `/proc` tells of them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::protocol::ProcessSeen;

/// Looks at each; one that has ended meanwhile is left out.
pub(super) fn look(pids: &[i32]) -> Vec<ProcessSeen> {
    pids.iter().filter_map(|pid| one(*pid)).collect()
}

fn one(pid: i32) -> Option<ProcessSeen> {
    let dir = format!("/proc/{pid}");
    let uid = fs::metadata(&dir).ok()?.uid();
    let stat = fs::read_to_string(format!("{dir}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let arguments = fs::read(format!("{dir}/cmdline")).unwrap_or_default();
    let words: Vec<_> = arguments
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .filter(|word| !word.is_empty())
        .collect();
    Some(ProcessSeen {
        pid,
        ppid: number(1) as i32,
        uid,
        state: fields.first()?.chars().next()?,
        ticks: number(11) + number(12),
        started_ticks: number(19),
        rss: number(21) * rustix::param::page_size() as u64,
        tty: number(4) as u32,
        command: if words.is_empty() { format!("[{name}]") } else { words.join(" ") },
    })
}
