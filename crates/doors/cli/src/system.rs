//! Commands about sea itself: doctor, version, prune, completion.

use std::io::{BufRead, IsTerminal};

use base::{Kind, Report};
use clap::CommandFactory;
use hyper::Method;
use talk::{DaemonView, Pruned, Verdict};

use crate::args::{Cli, PruneArgs};
use crate::output::{note, say, say_json};
use crate::{Done, Session, report};

impl Session {
    /// `sea doctor`.
    pub(crate) fn doctor(&self) -> Done {
        let checks = (self.around.doctor)(&self.around.root);
        if self.json() {
            say_json(&checks);
        } else {
            for check in &checks {
                let mark = match check.verdict {
                    Verdict::Good => "ok  ",
                    Verdict::Weak => "weak",
                    Verdict::Bad => "BAD ",
                };
                say(format!("{mark} {}: {}", check.name, check.found));
                if check.verdict != Verdict::Good
                    && let Some(mend) = &check.mend
                {
                    say(format!("       to mend it: {mend}"));
                }
            }
        }
        let bad = checks.iter().filter(|check| check.verdict == Verdict::Bad).count();
        if !self.json() {
            say(if bad == 0 {
                "this machine can run sea".into()
            } else {
                format!("{bad} to mend before sea runs here")
            });
        }
        Ok(u8::from(bad > 0))
    }

    /// `sea version`.
    pub(crate) async fn version(&self) -> Done {
        let ours = env!("CARGO_PKG_VERSION");
        let daemon = self.client.get::<DaemonView>("/v1/daemon").await.ok();
        if self.json() {
            say_json(&serde_json::json!({ "command": ours, "daemon": daemon }));
            return Ok(0);
        }
        say(format!("sea {ours}"));
        match daemon {
            Some(daemon) => {
                say(format!("daemon {}, process {}, root {}", daemon.version, daemon.pid, daemon.root))
            }
            None => say("no daemon answers"),
        }
        Ok(0)
    }

    /// `sea prune`.
    pub(crate) async fn prune(&self, args: PruneArgs) -> Done {
        if !args.yes && !confirmed(&args)? {
            return Ok(1);
        }
        let target = format!("/v1/prune?all={}&volumes={}", args.all, args.volumes);
        let pruned: Pruned = self.client.call(Method::POST, &target, &()).await.map_err(report)?;
        self.show_pruned(&pruned);
        Ok(0)
    }
}

fn confirmed(args: &PruneArgs) -> Result<bool, Report> {
    if !std::io::stdin().is_terminal() {
        return Err(Report::new(Kind::Invalid, "nobody is there to be asked").hint("say `--yes`"));
    }
    let images = if args.all { "images that nobody uses" } else { "images without names" };
    let volumes = if args.volumes { ", anonymous volumes that nobody uses" } else { "" };
    note(format!(
        "This removes containers that ended, networks that nobody is on{volumes}, {images}, and files of the edge that no \
         release needs. Go on? [y/N]"
    ));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Report::new(Kind::Unavailable, "the answer could not be read").because(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// `sea completion`.
pub(crate) fn completion(shell: clap_complete::Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sea", &mut script);
    crate::output::say_text(&String::from_utf8_lossy(&script));
    0
}
