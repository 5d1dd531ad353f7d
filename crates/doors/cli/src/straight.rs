//! `sea push --to`: an image straight to another sea, only the layers that are missing there.
//!
//! Over ssh the other side is its own command, so nothing has to listen there; on this machine it is another daemon's
//! socket.

use std::path::Path;
use std::process::Stdio;

use base::{Kind, Report, percent};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use talk::{ImageView, Loaded};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use wire::Client;

use crate::output::say;
use crate::{Session, report};

/// Another sea.
enum Other {
    Socket(Client),
    /// What ssh is given to reach it.
    Ssh(Vec<String>),
}

impl Session {
    pub(crate) async fn push_straight(&self, image: &str, to: &str) -> Result<(), Report> {
        let other = Other::of(to)?;
        let view: ImageView =
            self.client.get(&format!("/v1/images/{}", percent::encode(image))).await.map_err(report)?;
        let here = other.layers_here(&view.layers).await?.min(view.layers.len());
        let without = percent::encode(&view.layers[..here].join(","));
        let target = format!("/v1/images/save?names={}&without={without}", percent::encode(image));
        let archive = self.client.download(&target).await.map_err(report)?;
        other.load(archive).await?;
        if self.quiet() {
            say(image);
        } else {
            say(format!(
                "pushed {image} to {to}: {} of {} layers",
                view.layers.len() - here,
                view.layers.len()
            ));
        }
        Ok(())
    }
}

impl Other {
    fn of(url: &str) -> Result<Self, Report> {
        if let Some(path) = url.strip_prefix("unix://") {
            return Ok(Self::Socket(Client::new(Path::new(path))));
        }
        let unknown = || {
            Report::new(Kind::Invalid, format!("`{url}` is no other sea"))
                .hint("write it as in `ssh://deploy@server.example` or `unix:///var/lib/sea/sea.sock`")
        };
        let rest = url.strip_prefix("ssh://").ok_or_else(unknown)?.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
            _ => (rest, None),
        };
        // What begins with a dash would be a flag.
        if host.is_empty() || host.starts_with('-') || host.contains(['/', ' ']) {
            return Err(unknown());
        }
        let mut words: Vec<String> = Vec::new();
        words.extend(port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_owned()]));
        words.extend(["--".into(), host.to_owned()]);
        Ok(Self::Ssh(words))
    }

    /// How many of the lowest layers it has.
    async fn layers_here(&self, layers: &[String]) -> Result<usize, Report> {
        match self {
            Self::Socket(client) => {
                client.call(Method::POST, "/v1/images/here", &layers).await.map_err(report)
            }
            Self::Ssh(words) => {
                let mut command = ssh(words, &["image", "here"]);
                let ended = command.args(layers).stdin(Stdio::null()).stderr(Stdio::inherit()).output().await;
                let ended = ended.map_err(|error| no_ssh(&error))?;
                let text = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
                text.parse().map_err(|_| remote_failed(ended.status))
            }
        }
    }

    /// Has it load an archive.
    async fn load(&self, mut archive: Incoming) -> Result<(), Report> {
        let broken = |error: &dyn std::fmt::Display| {
            Report::new(Kind::Unavailable, "the image did not get over whole").because(error)
        };
        match self {
            Self::Socket(client) => {
                let pieces = futures_util::stream::unfold(archive, |mut archive| async move {
                    let frame = archive.frame().await?;
                    let piece = frame.map(|frame| frame.into_data().unwrap_or_default());
                    Some((piece.map_err(std::io::Error::other), archive))
                });
                let sent = client.upload(Method::POST, "/v1/images/load", pieces).await;
                let mut lines = sent.map_err(report)?;
                while let Some(line) = lines.next::<Loaded>().await.map_err(report)? {
                    if let Loaded::Failed { report } = line {
                        return Err(report.from_afar());
                    }
                }
                Ok(())
            }
            Self::Ssh(words) => {
                let mut command = ssh(words, &["image", "load", "-q"]);
                command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::inherit())
                    .kill_on_drop(true);
                let mut child = command.spawn().map_err(|error| no_ssh(&error))?;
                if let Some(mut stdin) = child.stdin.take() {
                    while let Some(frame) = archive.frame().await {
                        let frame = frame.map_err(|error| broken(&error))?;
                        // A side that takes no more says why, and its exit status counts.
                        if let Ok(data) = frame.into_data()
                            && stdin.write_all(&data).await.is_err()
                        {
                            break;
                        }
                    }
                    drop(stdin);
                }
                let status = child.wait().await.map_err(|error| broken(&error))?;
                if status.success() { Ok(()) } else { Err(remote_failed(status)) }
            }
        }
    }
}

/// The other side's command, through ssh. `SEA_SSH` names another program than `ssh`.
fn ssh(words: &[String], sea: &[&str]) -> Command {
    let program = std::env::var_os("SEA_SSH").filter(|program| !program.is_empty());
    let mut command = Command::new(program.unwrap_or_else(|| "ssh".into()));
    command.args(words).arg("sea").args(sea);
    command
}

fn no_ssh(error: &std::io::Error) -> Report {
    Report::new(Kind::Unavailable, "`ssh` cannot be run")
        .because(error)
        .hint("install it, or name another with `SEA_SSH`")
}

fn remote_failed(status: std::process::ExitStatus) -> Report {
    Report::new(Kind::Unavailable, format!("the other side ended with {status}"))
        .hint("see that `ssh HOST sea version` works, and that a daemon answers there")
}
