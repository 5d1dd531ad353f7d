//! The columns of a table of processes.

use base::Timestamp;

use super::sight::{Machine, Sight, TICKS};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Address,
    Arguments,
    BsdTime,
    Command,
    Cpu,
    CpuShare,
    Elapsed,
    ElapsedSeconds,
    Flags,
    Gid,
    Group,
    MajorFaults,
    MemoryShare,
    MinorFaults,
    Nice,
    Pgid,
    Pid,
    Ppid,
    Priority,
    Processor,
    Rss,
    Session,
    Size,
    Start,
    StartLong,
    State,
    StateLetter,
    Terminal,
    TerminalGroup,
    Threads,
    Time,
    TimeSeconds,
    Uid,
    User,
    Virtual,
    Waits,
}

impl Column {
    /// By the name that `ps -o` takes.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "addr" => Self::Address,
            "args" | "cmd" | "command" => Self::Arguments,
            "bsdtime" => Self::BsdTime,
            "comm" | "ucmd" | "ucomm" => Self::Command,
            "c" => Self::Cpu,
            "%cpu" | "pcpu" => Self::CpuShare,
            "etime" => Self::Elapsed,
            "etimes" => Self::ElapsedSeconds,
            "f" | "flag" | "flags" => Self::Flags,
            "gid" | "egid" | "rgid" => Self::Gid,
            "group" | "egroup" | "rgroup" => Self::Group,
            "majflt" | "maj_flt" | "pagein" => Self::MajorFaults,
            "%mem" | "pmem" => Self::MemoryShare,
            "minflt" | "min_flt" => Self::MinorFaults,
            "ni" | "nice" => Self::Nice,
            "pgid" | "pgrp" => Self::Pgid,
            "pid" | "tgid" | "lwp" | "tid" | "spid" => Self::Pid,
            "ppid" => Self::Ppid,
            "pri" => Self::Priority,
            "psr" => Self::Processor,
            "rss" | "rssize" | "rsz" => Self::Rss,
            "sid" | "sess" | "session" => Self::Session,
            "sz" => Self::Size,
            "start_time" | "stime" | "bsdstart" | "start" => Self::Start,
            "lstart" => Self::StartLong,
            "stat" => Self::State,
            "s" | "state" => Self::StateLetter,
            "tt" | "tty" | "tname" => Self::Terminal,
            "tpgid" => Self::TerminalGroup,
            "nlwp" | "thcount" => Self::Threads,
            "time" | "cputime" => Self::Time,
            "times" | "cputimes" => Self::TimeSeconds,
            "uid" | "euid" | "ruid" => Self::Uid,
            "user" | "euser" | "ruser" | "uname" => Self::User,
            "vsz" | "vsize" => Self::Virtual,
            "wchan" => Self::Waits,
            _ => return None,
        })
    }

    /// The title that `ps` gives it under this name.
    pub(super) fn title(self, name: &str) -> &'static str {
        match self {
            Self::Address => "ADDR",
            Self::Arguments => {
                if name == "cmd" {
                    "CMD"
                } else {
                    "COMMAND"
                }
            }
            Self::BsdTime | Self::Time | Self::TimeSeconds => "TIME",
            Self::Command => {
                if name == "ucmd" {
                    "CMD"
                } else {
                    "COMMAND"
                }
            }
            Self::Cpu => "C",
            Self::CpuShare => "%CPU",
            Self::Elapsed | Self::ElapsedSeconds => "ELAPSED",
            Self::Flags => "F",
            Self::Gid => match name {
                "egid" => "EGID",
                "rgid" => "RGID",
                _ => "GID",
            },
            Self::Group => match name {
                "egroup" => "EGROUP",
                "rgroup" => "RGROUP",
                _ => "GROUP",
            },
            Self::MajorFaults => {
                if name == "pagein" {
                    "PAGEIN"
                } else {
                    "MAJFLT"
                }
            }
            Self::MemoryShare => "%MEM",
            Self::MinorFaults => "MINFLT",
            Self::Nice => "NI",
            Self::Pgid => {
                if name == "pgrp" {
                    "PGRP"
                } else {
                    "PGID"
                }
            }
            Self::Pid => match name {
                "tgid" => "TGID",
                "lwp" => "LWP",
                "tid" => "TID",
                "spid" => "SPID",
                _ => "PID",
            },
            Self::Ppid => "PPID",
            Self::Priority => "PRI",
            Self::Processor => "PSR",
            Self::Rss => {
                if name == "rsz" {
                    "RSZ"
                } else {
                    "RSS"
                }
            }
            Self::Session => {
                if name == "sid" {
                    "SID"
                } else {
                    "SESS"
                }
            }
            Self::Size => "SZ",
            Self::Start => {
                if name == "stime" {
                    "STIME"
                } else {
                    "START"
                }
            }
            Self::StartLong => "STARTED",
            Self::State => "STAT",
            Self::StateLetter => "S",
            Self::Terminal => {
                if name == "tt" {
                    "TT"
                } else {
                    "TTY"
                }
            }
            Self::TerminalGroup => "TPGID",
            Self::Threads => {
                if name == "nlwp" {
                    "NLWP"
                } else {
                    "THCNT"
                }
            }
            Self::Uid => match name {
                "euid" => "EUID",
                "ruid" => "RUID",
                _ => "UID",
            },
            Self::User => match name {
                "euser" => "EUSER",
                "ruser" => "RUSER",
                _ => "USER",
            },
            Self::Virtual => "VSZ",
            Self::Waits => "WCHAN",
        }
    }

    /// What it says of a process.
    pub(super) fn text(self, of: &Sight, machine: &Machine) -> String {
        let elapsed = machine.uptime_ticks.saturating_sub(of.started_ticks);
        let whole = |ticks: u64| ticks / TICKS;
        match self {
            Self::Address => "-".into(),
            Self::Arguments => of.arguments.clone(),
            Self::BsdTime => {
                let seconds = whole(of.ticks);
                format!("{}:{:02}", seconds / 60, seconds % 60)
            }
            Self::Command => of.name.clone(),
            Self::Cpu => (of.ticks * 100).checked_div(elapsed).unwrap_or(0).min(99).to_string(),
            Self::CpuShare => tenths((of.ticks * 1000).checked_div(elapsed).unwrap_or(0)),
            Self::Elapsed => clock(whole(elapsed), false),
            Self::ElapsedSeconds => whole(elapsed).to_string(),
            // Of the kernel's flags `ps` shows two: forked and never run another program, and has had super-user's power.
            Self::Flags => ((of.flags >> 6) & 7).to_string(),
            Self::Gid => of.gid.to_string(),
            Self::Group => machine.group(of.gid),
            Self::MajorFaults => of.major_faults.to_string(),
            Self::MemoryShare => tenths((of.rss_bytes * 1000).checked_div(machine.memory_bytes).unwrap_or(0)),
            Self::MinorFaults => of.minor_faults.to_string(),
            Self::Nice => of.nice.to_string(),
            Self::Pgid => of.pgid.to_string(),
            Self::Pid => of.pid.to_string(),
            Self::Ppid => of.ppid.to_string(),
            Self::Priority => (of.priority + 60).to_string(),
            Self::Processor => of.processor.to_string(),
            Self::Rss => (of.rss_bytes / 1024).to_string(),
            Self::Session => of.session.to_string(),
            Self::Size => (of.virtual_bytes / machine.page_bytes).to_string(),
            Self::Start => started(of, machine).0,
            Self::StartLong => started(of, machine).1,
            Self::State => of.state_letters(),
            Self::StateLetter => of.state.to_string(),
            Self::Terminal => of.terminal(),
            Self::TerminalGroup => of.terminal_group.to_string(),
            Self::Threads => of.threads.to_string(),
            Self::Time => clock(whole(of.ticks), true),
            Self::TimeSeconds => whole(of.ticks).to_string(),
            Self::Uid => of.uid.to_string(),
            Self::User => machine.user(of.uid),
            Self::Virtual => (of.virtual_bytes / 1024).to_string(),
            Self::Waits => of.waits.clone(),
        }
    }
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// `[days-][hours:]minutes:seconds`.
fn clock(seconds: u64, hours_always: bool) -> String {
    let (days, hours, minutes, seconds) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (1.., _) => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
        (0, 0) if !hours_always => format!("{minutes:02}:{seconds:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// When it was started: short, the time today or else the day, and long.
fn started(of: &Sight, machine: &Machine) -> (String, String) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let moment = machine.booted_secs + i64::try_from(of.started_ticks / TICKS).unwrap_or(0);
    let text = Timestamp::from_secs(moment).to_string();
    // `2026-11-27T15:21:50Z`
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    let month = month.copied().unwrap_or("?");
    let weekday = usize::try_from(moment.div_euclid(86_400).rem_euclid(7)).unwrap_or(0);
    let year = part(0, 4);
    let short = if machine.now_secs - moment < 86_400 {
        part(11, 16).to_owned()
    } else if Timestamp::from_secs(machine.now_secs).to_string().starts_with(year) {
        format!("{month}{}", part(8, 10))
    } else {
        year.to_owned()
    };
    let day = part(8, 10).trim_start_matches('0');
    (short, format!("{} {month} {day:>2} {} {year}", DAYS[weekday], part(11, 19)))
}
