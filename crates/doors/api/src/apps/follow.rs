//! The lines that answer an order to change an app: how its services are, until it is over.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use base::{AppName, ReleaseNumber};
use talk::{Outcome, Progress};

use super::status;
use crate::Daemon;
use crate::answer::Lines;

/// States that change faster than people read are told this often at most.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// How long what was started again may take to be as wanted, where nobody says how long to wait.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Until the release has ended, or the time to wait is over.
pub(crate) fn release(
    daemon: Arc<Daemon>,
    app: AppName,
    number: ReleaseNumber,
    wait: Option<Duration>,
) -> Response {
    let (lines, response) = Lines::begin();
    tokio::spawn(async move {
        // One that ended before was asked for again: nothing changes, and its receipt is not news.
        let old = daemon.apps.picture(&app).is_some_and(|it| it.ledger.outcome(number).is_some());
        if !lines.send(&Progress::Release { number }).await {
            return;
        }
        let end = async {
            let ended = async {
                let outcome = daemon.apps.wait(&app, number).await;
                // It may have been stopped since, and is started again now.
                if old {
                    tokio::time::timeout(PATIENCE, daemon.apps.wait_at_rest(&app)).await.ok()?;
                }
                Some(outcome)
            };
            match wait {
                None => ended.await,
                Some(time) => tokio::time::timeout(time, ended).await.ok().flatten(),
            }
        };
        let Some(ended) = tell_until(&daemon, &app, &lines, end).await else { return };
        let releases = daemon.apps.releases(&app).unwrap_or_default();
        let receipt = releases
            .iter()
            .find(|release| release.number == number)
            .and_then(|release| release.receipt.filter(|_| !old));
        let (outcome, release) = match ended {
            None => (inconclusive(&daemon, &app), Some(number)),
            Some(plan::Outcome::Done) => (Outcome::Settled, Some(number)),
            Some(plan::Outcome::Failed { why }) => (Outcome::Failed { why }, Some(number)),
            Some(plan::Outcome::RolledBack { to, why }) => (Outcome::RolledBack { why, to }, Some(to)),
            Some(plan::Outcome::Inconclusive { why }) => (Outcome::Inconclusive { why }, Some(number)),
        };
        lines
            .send(&Progress::Done { outcome, release, receipt: receipt.as_ref().map(status::receipt) })
            .await;
    });
    response
}

/// Until nothing is left to do.
pub(crate) fn rest(daemon: Arc<Daemon>, app: AppName) -> Response {
    let (lines, response) = Lines::begin();
    tokio::spawn(async move {
        if tell_until(&daemon, &app, &lines, daemon.apps.wait_at_rest(&app)).await.is_some() {
            let release =
                daemon.apps.picture(&app).and_then(|it| it.ledger.target().map(|release| release.number));
            lines.send(&Progress::Done { outcome: Outcome::Settled, release, receipt: None }).await;
        }
    });
    response
}

/// Until nothing of the app is left.
pub(crate) fn gone(daemon: Arc<Daemon>, app: AppName) -> Response {
    let (lines, response) = Lines::begin();
    tokio::spawn(async move {
        if tell_until(&daemon, &app, &lines, daemon.apps.wait_gone(&app)).await.is_some() {
            lines.send(&Progress::Done { outcome: Outcome::Settled, release: None, receipt: None }).await;
        }
    });
    response
}

/// Tells how the services are whenever that changes, until `end` is there; nothing when nobody reads any more.
async fn tell_until<T>(
    daemon: &Daemon,
    app: &AppName,
    lines: &Lines,
    end: impl Future<Output = T>,
) -> Option<T> {
    let mut pictures = daemon.apps.watch(app);
    let mut told = Vec::new();
    let mut end = std::pin::pin!(end);
    loop {
        if !tell(daemon, app, lines, &mut told).await {
            return None;
        }
        let next = async {
            tokio::time::sleep(TELL_EVERY).await;
            let changed = match &mut pictures {
                Some(pictures) => pictures.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                // Its loop has ended; `end` tells what that means.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            value = &mut end => {
                // How it ended is part of the story.
                return tell(daemon, app, lines, &mut told).await.then_some(value);
            }
            () = lines.closed() => return None,
            () = next => {}
        }
    }
}

/// A service's state, and how many of its instances are as wanted, of how many.
type Brief = (String, u32, u32);

/// Tells how the services are, unless that is what was told last; false when nobody reads any more.
async fn tell(daemon: &Daemon, app: &AppName, lines: &Lines, told: &mut Vec<Brief>) -> bool {
    let Some(status) = daemon.status(app, &plan::traffic::TrafficSeen::default()) else { return true };
    let brief: Vec<Brief> =
        status.services.iter().map(|one| (one.state.clone(), one.updated, one.wanted)).collect();
    if brief == *told {
        return true;
    }
    *told = brief;
    lines.send(&Progress::Services { services: status.services }).await
}

fn inconclusive(daemon: &Daemon, app: &AppName) -> Outcome {
    let waits = daemon.apps.picture(app).and_then(|picture| {
        picture.services.iter().find_map(|one| Some(format!("`{}` {}", one.service, one.waits.clone()?)))
    });
    Outcome::Inconclusive { why: waits.unwrap_or_else(|| "the time to wait is over".into()) }
}
