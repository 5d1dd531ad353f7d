//! Crashes at a chosen point: a daemon that kills itself, or has one of its shims kill itself, where a side effect begins
//! or ends. Programs of a debug build have such points; [`base::crash`] says how they are named.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::Rng;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::{Sea, process, until_ok};

/// Whose points count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The daemon until it serves.
    Starting,
    /// The daemon that serves.
    Serving,
    /// A shim that the operation begins: the first that comes there.
    Shim,
    /// A shim that was there before.
    OldShim,
    /// The edge.
    Edge,
    /// The process that answers for names.
    Names,
    /// A container's first process, before it becomes its program.
    Inside,
    /// A process beside the first one of a container that was there before.
    Beside,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Starting => "daemon",
            Self::Serving => "serving",
            Self::Shim | Self::OldShim => "shim",
            Self::Edge => "edge",
            Self::Names => "names",
            Self::Inside | Self::Beside => "inside",
        }
    }
}

/// A point at which a process dies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    role: String,
    /// At which passing.
    times: u32,
    name: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.role, self.times, self.name)
    }
}

impl FromStr for Point {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.splitn(3, ' ');
        let mut next = || words.next().with_context(|| format!("`{text}` is no role, number and name"));
        Ok(Self { role: next()?.into(), times: next()?.parse()?, name: next()?.into() })
    }
}

/// Which points are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Every one.
    All,
    /// So many, by chance.
    Some(usize),
    /// This one.
    One(Point),
}

impl Choice {
    /// As `SEA_CRASH` says: `all`, a number, or a point; else this number.
    pub fn of_surroundings(usual: usize) -> Result<Self> {
        match std::env::var("SEA_CRASH").ok().as_deref() {
            None | Some("") => Ok(Self::Some(usual)),
            Some("all") => Ok(Self::All),
            Some(text) => Ok(text.parse().map(Self::Some).or_else(|_| text.parse().map(Self::One))?),
        }
    }

    /// How many deaths are enough.
    pub fn enough(&self) -> usize {
        match self {
            Self::All => usize::MAX,
            Self::One(_) => 1,
            Self::Some(count) => *count,
        }
    }

    /// The points to try of those that there are, in this order, until there were enough deaths: some are passed only
    /// when something else happens at the same time.
    pub fn of(&self, mut there: Vec<Point>, rng: &mut Rng) -> Vec<Point> {
        match self {
            Self::All => there,
            Self::One(point) => {
                there.retain(|one| one == point);
                there
            }
            Self::Some(_) => {
                let mut chosen = Vec::new();
                while !there.is_empty() {
                    chosen.push(there.swap_remove(rng.below(there.len() as u64) as usize));
                }
                chosen
            }
        }
    }
}

/// The seed that `SEED` names, or one by chance.
pub fn seed() -> u64 {
    let named = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    named.unwrap_or_else(|| Rng::from_kernel().next_u64())
}

impl Sea {
    /// Starts a daemon that notes the points that are passed, and dies at this one, or lets one of its shims die there.
    /// Whether it lived long enough to answer.
    pub fn start_daemon_to_crash(&self, at: Option<&Point>) -> Result<bool> {
        for path in [self.points(), self.death()] {
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        let log = (base::crash::LOG, self.points().into_os_string());
        let at = at.map(|point| (base::crash::AT, point.to_string().into()));
        let surroundings: Vec<_> = [Some(log), at].into_iter().flatten().collect();
        match self.start_daemon_in(&surroundings) {
            Ok(()) => Ok(true),
            Err(_) if self.crashed() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a process has died at its point.
    pub fn crashed(&self) -> bool {
        self.death().exists()
    }

    /// The points that processes in this role have passed, as far as they are points to die at.
    pub fn passed(&self, role: Role) -> Result<Vec<Point>> {
        let text = fs::read_to_string(self.points())
            .context("the program notes no points; it needs a debug build")?;
        let mut counts = std::collections::BTreeMap::new();
        let mut found = BTreeSet::new();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(_), Some(whose), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if whose != role.word() {
                continue;
            }
            let times = counts.entry(line.to_owned()).or_insert(0);
            *times += 1;
            found.insert(Point { role: whose.into(), times: *times, name: name.into() });
        }
        Ok(found.into_iter().collect())
    }

    /// Ends whatever daemon there is and starts one that lives.
    pub fn recover(&self) -> Result<()> {
        if let Some(pid) = self.daemon_child() {
            process::signal(pid, Signal::KILL);
            ensure!(process::ended(pid, Duration::from_secs(20)), "the daemon did not end");
            self.forget_daemon()?;
        }
        // A command that found none may have started one.
        if let Ok(pid) = self.daemon_pid() {
            process::signal(pid, Signal::KILL);
            ensure!(process::ended(pid, Duration::from_secs(20)), "the daemon of a command did not end");
            // It is nobody's child here, and the last of its threads may hold the lock a moment longer.
            until_ok("the root is free", 20, || {
                let lock = fs::File::open(self.root().join("lock"))?;
                Ok(flock(&lock, FlockOperation::NonBlockingLockShared)?)
            })?;
        }
        self.start_daemon()
    }

    /// Ends the daemon in good order, if one was started.
    pub fn end_daemon_if_any(&self) -> Result<()> {
        if self.daemon_child().is_some() { self.end_daemon(Signal::TERM) } else { Ok(()) }
    }

    /// Takes all of the root away by force, its folder too.
    pub fn wipe(&self) -> Result<()> {
        if let Some(pid) = self.daemon_child() {
            process::signal(pid, Signal::KILL);
            self.forget_daemon()?;
        }
        self.traces().clear();
        fs::remove_dir_all(self.root()).context("the root cannot be removed")
    }

    fn points(&self) -> PathBuf {
        self.home().with_file_name("points")
    }

    fn death(&self) -> PathBuf {
        self.home().with_file_name("points.died")
    }
}
