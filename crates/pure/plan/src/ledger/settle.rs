//! What the loop writes down: a job ended, a release settled or failed, the app is gone.

use std::sync::Arc;

use base::{ReleaseNumber, Revision, ServiceName, Timestamp};
use spec::FailureAction;

use super::{Change, Ledger, Phase};
use crate::release::{Receipt, Status};

impl Ledger {
    /// A job ended.
    pub fn finish(&mut self, service: &ServiceName, revision: Revision, code: i32) -> Change {
        let mut change = Change::default();
        if self.record.finished.insert(revision, code) != Some(code) {
            let message = format!("job `{service}` ended with code {code}");
            change.events.push(self.event("JobFinished", format!("service {service}"), message));
        }
        change
    }

    /// All of a release runs.
    pub fn settle(&mut self, release: ReleaseNumber, receipt: Receipt, now: Timestamp) -> Change {
        let mut change = Change::default();
        let failed = match self.record.phase {
            Phase::Rolling { to, .. } if to == release => None,
            Phase::Held { at, .. } if at == release => None,
            Phase::RollingBack { failed, to } if to == release => Some(failed),
            Phase::Empty
            | Phase::Rolling { .. }
            | Phase::Held { .. }
            | Phase::RollingBack { .. }
            | Phase::Steady { .. }
            | Phase::Leaving { .. } => return change,
        };
        let live: Vec<_> =
            self.releases.values().filter(|it| it.status == Status::Live).map(|it| it.number).collect();
        for earlier in live.into_iter().filter(|number| *number != release) {
            self.set_status(earlier, Status::Superseded, &mut change);
        }
        self.set_status(release, Status::Live, &mut change);
        let took_over = failed.unwrap_or(release);
        if let Some(it) = self.releases.get_mut(&took_over) {
            let it = Arc::make_mut(it);
            it.receipt = Some(Receipt { took: now.since(it.created_at), ..receipt });
            if let Status::RolledBack { complete, .. } = &mut it.status {
                *complete = true;
            }
            change.releases.insert(took_over);
        }
        if let Some(it) = self.releases.get_mut(&release).filter(|it| it.settled_at.is_none()) {
            Arc::make_mut(it).settled_at = Some(now);
            change.releases.insert(release);
        }
        self.record.phase = Phase::Steady { at: release };
        let (name, message) = match failed {
            None => ("ReleaseSettled", format!("release {release} runs")),
            Some(failed) => {
                ("RollbackSettled", format!("release {release} runs again after {failed} failed"))
            }
        };
        change.events.push(self.event(name, format!("release {release}"), message));
        self.prune(&mut change);
        change
    }

    /// A release failed: goes back or stays, as the policy of the service that failed says.
    pub fn fail(
        &mut self,
        release: ReleaseNumber,
        service: &ServiceName,
        why: &str,
        now: Timestamp,
    ) -> Change {
        let mut change = Change::default();
        let why = format!("`{service}` {why}");
        let action = self
            .releases
            .get(&release)
            .and_then(|it| it.app.services.get(service))
            .map_or(FailureAction::Rollback, |spec| spec.update.failure_action);
        let subject = format!("release {release}");
        match self.record.phase {
            Phase::Rolling { to, from } if to == release => {
                let message = format!("release {release} failed: {why}");
                change.events.push(self.event("ReleaseFailed", subject.clone(), message));
                match (action, from) {
                    (FailureAction::Rollback, Some(back)) => {
                        let message = format!("release {back} comes back");
                        change.events.push(self.event("RollbackStarted", subject, message));
                        let status = Status::RolledBack { to: back, why, complete: false };
                        self.set_status(release, status, &mut change);
                        self.record.phase = Phase::RollingBack { failed: release, to: back };
                        self.record.since = now;
                    }
                    (FailureAction::Rollback, None) | (FailureAction::Pause | FailureAction::Continue, _) => {
                        self.set_status(release, Status::Failed { why }, &mut change);
                        self.record.phase = Phase::Held { at: release, from };
                    }
                }
            }
            Phase::RollingBack { failed, to } if to == release => {
                let message = format!("release {release} did not come back: {why}");
                change.events.push(self.event("RollbackFailed", subject, message));
                let first = match self.releases.get(&failed).map(|it| &it.status) {
                    Some(Status::RolledBack { why, .. }) => why.clone(),
                    _ => "it failed".to_owned(),
                };
                let why = format!("{first}; release {release} did not come back: {why}");
                self.set_status(failed, Status::Failed { why }, &mut change);
                self.record.phase = Phase::Held { at: to, from: Some(failed) };
            }
            Phase::Empty
            | Phase::Rolling { .. }
            | Phase::RollingBack { .. }
            | Phase::Steady { .. }
            | Phase::Held { .. }
            | Phase::Leaving { .. } => {}
        }
        change
    }

    /// Nothing is left of the app.
    pub fn retired(&mut self) -> Change {
        let mut change = Change::default();
        if let Phase::Leaving { .. } = self.record.phase {
            let name = &self.record.name;
            change.events.push(self.event("AppGone", format!("app {name}"), format!("`{name}` is gone")));
            change.dropped = self.releases.keys().copied().collect();
            change.gone = true;
            self.releases.clear();
            self.record.phase = Phase::Empty;
        }
        change
    }
}
