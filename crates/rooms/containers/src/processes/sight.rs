//! A process as `/proc` tells of it, and what is the same for all processes of the machine.

use std::collections::BTreeMap;
use std::fs;

use base::Timestamp;

/// Ticks of the kernel's counters in a second, on every machine that we know.
pub(super) const TICKS: u64 = 100;

/// A process at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sight {
    pub(super) pid: i32,
    pub(super) ppid: i64,
    pub(super) pgid: i64,
    pub(super) session: i64,
    pub(super) terminal_number: i64,
    pub(super) terminal_group: i64,
    pub(super) state: char,
    pub(super) flags: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) ticks: u64,
    pub(super) priority: i64,
    pub(super) nice: i64,
    pub(super) threads: u64,
    pub(super) started_ticks: u64,
    pub(super) virtual_bytes: u64,
    pub(super) rss_bytes: u64,
    pub(super) processor: u64,
    pub(super) locked: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) waits: String,
}

impl Sight {
    /// A process; none when it has ended.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let waits = text("wchan").unwrap_or_default();
        Self::parse(pid, &text("stat").ok()?, &text("status").ok()?, &words, &waits)
    }

    pub(super) fn parse(pid: i32, stat: &str, status: &str, words: &[u8], waits: &str) -> Option<Self> {
        let (head, rest) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let whole = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok()).unwrap_or(0);
        let count = |at: usize| u64::try_from(whole(at)).unwrap_or(0);
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        // Real, effective, saved, of the file system.
        let id = |name: &str| line(name).and_then(|ids| ids.split_ascii_whitespace().nth(1)?.parse().ok());
        let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        // What would break a row of a table is shown as `ps` shows it.
        let shown = |text: String| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let arguments = if words.is_empty() { format!("[{name}]") } else { words.join(" ") };
        Some(Self {
            pid,
            state: fields.first()?.chars().next()?,
            ppid: whole(1),
            pgid: whole(2),
            session: whole(3),
            terminal_number: whole(4),
            terminal_group: whole(5),
            flags: count(6),
            minor_faults: count(7),
            major_faults: count(9),
            ticks: count(11) + count(12),
            priority: whole(15),
            nice: whole(16),
            threads: count(17),
            started_ticks: count(19),
            virtual_bytes: count(20),
            rss_bytes: count(21) * rustix::param::page_size() as u64,
            processor: count(36),
            locked: line("VmLck").is_some_and(|locked| !locked.trim().starts_with("0 ")),
            uid: id("Uid").unwrap_or(0),
            gid: id("Gid").unwrap_or(0),
            name: shown(name),
            arguments: shown(arguments),
            waits: if waits.is_empty() || waits == "0" {
                "-".into()
            } else {
                waits.chars().take(6).collect()
            },
        })
    }

    /// The state with what `ps` adds to it.
    pub(super) fn state_letters(&self) -> String {
        let mut letters = String::from(self.state);
        let marks = [
            ('<', self.nice < 0),
            ('N', self.nice > 0),
            ('L', self.locked),
            ('s', self.session == i64::from(self.pid)),
            ('l', self.threads > 1),
            ('+', self.terminal_group == self.pgid),
        ];
        letters.extend(marks.iter().filter(|(_, holds)| *holds).map(|(mark, _)| *mark));
        letters
    }

    /// The name of its terminal; a question mark where it has none.
    pub(super) fn terminal(&self) -> String {
        let number = self.terminal_number;
        let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
        match major {
            0 => "?".into(),
            4 if minor < 64 => format!("tty{minor}"),
            4 => format!("ttyS{}", minor - 64),
            136..=143 => format!("pts/{}", minor + (major - 136) * 256),
            _ => "?".into(),
        }
    }
}

/// What is the same for all processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Machine {
    pub(super) now_secs: i64,
    pub(super) booted_secs: i64,
    pub(super) uptime_ticks: u64,
    pub(super) memory_bytes: u64,
    pub(super) page_bytes: u64,
    pub(super) users: BTreeMap<u32, String>,
    pub(super) groups: BTreeMap<u32, String>,
}

impl Machine {
    pub(super) fn look(now: Timestamp) -> Self {
        let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let uptime = text("/proc/uptime");
        // Seconds with two decimals: ticks, once the point is gone.
        let uptime = uptime.split(' ').next().unwrap_or_default().replace('.', "");
        let uptime_ticks: u64 = uptime.parse().unwrap_or(0);
        let stat = text("/proc/stat");
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok());
        let uptime_secs = i64::try_from(uptime_ticks / TICKS).unwrap_or(0);
        Self {
            now_secs: now.secs(),
            booted_secs: booted.unwrap_or(now.secs() - uptime_secs),
            uptime_ticks,
            memory_bytes: crate::usage::memory_of(&text("/proc/meminfo")),
            page_bytes: rustix::param::page_size() as u64,
            users: names(&text("/etc/passwd")),
            groups: names(&text("/etc/group")),
        }
    }

    pub(super) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    pub(super) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

/// Names by number, the first of a number.
fn names(list: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in list.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}
