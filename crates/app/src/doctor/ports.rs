//! The ports that sea answers on, and who has them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use talk::Check;

use super::{good, machine, weak};

/// The ports, and what each is for.
const PORTS: &[(u16, &str)] = &[
    (80, "the edge"),
    (443, "the edge with TLS"),
    (8080, "the edge without the right to port 80"),
    (7320, "the API and the dashboard"),
];
/// How the kernel writes that a socket listens.
const LISTENS: &str = "0A";

pub(super) fn checks(root: &Path) -> Vec<Check> {
    let tables = [machine::read("/proc/net/tcp"), machine::read("/proc/net/tcp6")];
    let check = |(port, what): &(u16, &str)| {
        let sockets: HashSet<u64> = tables.iter().flat_map(|table| listeners(table, *port)).collect();
        let holder = if sockets.is_empty() { None } else { Some(holder(&sockets)) };
        judge(&format!("port {port}, {what}"), holder, root)
    };
    PORTS.iter().map(check).collect()
}

/// The inodes of the sockets that listen on this port, in the text of `/proc/net/tcp`.
pub(super) fn listeners(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, number) = words.get(1)?.rsplit_once(':')?;
        let here = u16::from_str_radix(number, 16) == Ok(port) && words.get(3) == Some(&LISTENS);
        if here { words.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// Who holds one of these sockets; none where it is of a process that we cannot see.
fn holder(sockets: &HashSet<u64>) -> Option<u32> {
    machine::processes().into_iter().find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            inode.is_some_and(|inode| sockets.contains(&inode))
        })
    })
}

fn judge(name: &str, holder: Option<Option<u32>>, root: &Path) -> Check {
    let Some(holder) = holder else { return good(name, "free") };
    let Some(pid) = holder else {
        return weak(name, "taken by a process that cannot be seen from here", MEND);
    };
    match is_ours(&machine::arguments(pid), root) {
        true => good(name, format!("ours: {}", machine::process(pid))),
        false => weak(name, format!("taken by {}", machine::process(pid)), MEND),
    }
}

const MEND: &str = "stop that program, or have the edge answer elsewhere: `sea daemon --http ADDRESS`";

/// Whether these are the arguments of one of this root's processes.
pub(super) fn is_ours(arguments: &[String], root: &Path) -> bool {
    let program = arguments.first().is_some_and(|word| word.rsplit('/').next() == Some("sea"));
    program && arguments.iter().any(|word| Path::new(word) == root)
}
