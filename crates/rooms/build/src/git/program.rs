//! The program `git`: run without prompts, without anybody's configuration, and ended with its build.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use base::{Clock, Instant, Kind, Report, SystemClock};
use rustix::process::{Pid, Signal};

use crate::order::Cancel;

/// All that is done for one repository may take so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How often it is looked whether the build was called off.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So much of what it says is kept.
const OUTPUT_BYTES: u64 = 1 << 20;
/// So many lines of what it complains of are told.
const COMPLAINT: usize = 20;

/// Variables that it sees of ours.
const OURS: &[&str] = &[
    "PATH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// Variables of an environment.
pub(super) type Variables = Vec<(&'static str, OsString)>;

/// Runs git for one repository.
pub(super) struct Git<'a> {
    variables: Variables,
    cancel: &'a Cancel,
    until: Instant,
}

/// It ended badly.
pub(super) enum Failed {
    /// It complains of this.
    Said(String),
    /// There is no more to be tried.
    Over(Report),
}

impl<'a> Git<'a> {
    /// `home` is what it takes for its user's folder; `variables` are more that it sees.
    pub(super) fn new(home: &Path, variables: Variables, cancel: &'a Cancel) -> Self {
        let mut all: Variables =
            OURS.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect();
        all.extend([
            ("HOME", home.into()),
            ("LC_ALL", "C".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            // Repositories within repositories come from nowhere else either.
            ("GIT_ALLOW_PROTOCOL", "http:https:git:ssh".into()),
        ]);
        all.extend(variables);
        Self { variables: all, cancel, until: SystemClock.now() + PATIENCE }
    }

    /// Runs it in this folder, and gives what it says.
    pub(super) fn run(&self, folder: &Path, arguments: &[&str]) -> Result<String, Failed> {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What it starts ends with it.
            .process_group(0);
        let mut child = command.spawn().map_err(|error| Failed::Over(no_git(error)))?;
        let streams = child.stdout.take().zip(child.stderr.take());
        let (sender, receiver) = mpsc::channel();
        let reading = std::thread::spawn(move || {
            let read = streams.map(|(out, mut err)| {
                let said = std::thread::spawn(move || text(out));
                let complaint = text(&mut err);
                (said.join().unwrap_or_default(), complaint)
            });
            // Whoever waited may have given up.
            let _ = sender.send(read.unwrap_or_default());
        });
        let spoken = loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Ok(spoken) => break Ok(spoken),
                Err(RecvTimeoutError::Disconnected) => break Ok(Default::default()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(report) = self.over() {
                        break Err(report);
                    }
                }
            }
        };
        if spoken.is_err() {
            kill(&child);
        }
        let status = child.wait().map_err(|error| Failed::Over(no_git(error)))?;
        let _ = reading.join();
        let (said, complaint) = spoken.map_err(Failed::Over)?;
        ended(status, said, &complaint)
    }

    /// Why no more is to be done.
    fn over(&self) -> Option<Report> {
        if self.cancel.is_cancelled() {
            return Some(Report::new(Kind::Conflict, "the build was called off"));
        }
        (SystemClock.now() > self.until).then(|| {
            let text = format!("`git` was not done within {} minutes", PATIENCE.as_secs() / 60);
            Report::new(Kind::TimedOut, text)
        })
    }
}

fn ended(status: ExitStatus, said: String, complaint: &str) -> Result<String, Failed> {
    if status.success() {
        return Ok(said);
    }
    let lines: Vec<&str> = complaint.trim().lines().collect();
    Err(Failed::Said(lines[lines.len().saturating_sub(COMPLAINT)..].join("\n")))
}

fn kill(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that ended meanwhile needs no signal.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// What comes, as far as anybody wants it; the rest is read too, so that nobody waits.
fn text(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // A pipe that breaks has ended.
    let _ = (&mut from).take(OUTPUT_BYTES).read_to_end(&mut bytes);
    let _ = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn no_git(error: io::Error) -> Report {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let report = Report::new(
        if missing { Kind::Unsupported } else { Kind::Unavailable },
        "git repositories cannot be fetched: `git` does not run on this machine",
    );
    report.because(error).hint(
        "install `git` where the daemon runs; or clone the repository and build its folder, or name a tar archive of it by its URL",
    )
}
