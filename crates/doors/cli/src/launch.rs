//! Starting a daemon in the background when there is none.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base::{Kind, Report};
use talk::DaemonView;

use crate::output::note;
use crate::{Session, report};

/// How to start a daemon: this program.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
}

/// How long a new daemon may take until it answers.
const PATIENCE: Duration = Duration::from_secs(15);

impl Session {
    /// Makes sure that a daemon answers; starts one in the background if none does, and says so.
    pub(crate) async fn ensure_daemon(&self) -> Result<(), Report> {
        if self.client.get::<DaemonView>("/v1/daemon").await.is_ok() {
            return Ok(());
        }
        if self.global.host.is_some() {
            return self.client.get::<DaemonView>("/v1/daemon").await.map(|_| ()).map_err(report);
        }
        let root = &self.around.root;
        let log = root.join("daemon.log");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| cannot_start(root, &error))?;
        let out = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let out = out.map_err(|error| cannot_start(root, &error))?;
        let mut command = Command::new(&self.around.launch.program);
        // It keeps its own log within bounds; what it says otherwise, as when it panics, goes to the same file.
        command.arg("daemon").arg("--root").arg(root).arg("--log-file").arg(&log);
        // A group of its own: Ctrl-C here is not meant for it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out).process_group(0).current_dir("/");
        // What earlier daemons said is not why this one ends.
        let before = std::fs::metadata(&log).map_or(0, |about| about.len());
        let mut child = command.spawn().map_err(|error| cannot_start(root, &error))?;
        if !self.quiet() {
            note(format!(
                "no daemon answered; started one with root {} (its log: {})",
                root.display(),
                log.display()
            ));
        }
        let answered = tokio::time::timeout(PATIENCE, async {
            loop {
                if self.client.get::<DaemonView>("/v1/daemon").await.is_ok() {
                    return true;
                }
                if matches!(child.try_wait(), Ok(Some(_))) {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        match answered.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Report::new(Kind::Unavailable, "the daemon did not start")
                .because(last_lines(&log, before))
                .hint(format!("see {}, and run `sea doctor`", log.display()))),
        }
    }
}

fn cannot_start(root: &Path, error: &std::io::Error) -> Report {
    Report::new(Kind::Unavailable, format!("could not start a daemon with root `{}`", root.display()))
        .because(error)
        .hint("give a folder that may be written to with `--root`")
}

/// The end of the daemon's log, which says why it went.
fn last_lines(log: &Path, from: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    // Where the file was begun anew meanwhile, all of it is new.
    let from = usize::try_from(from).ok().filter(|from| *from <= text.len()).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[from..]);
    let lines: Vec<&str> = text.lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
}
