//! Does one step through the ports, within its time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::{AppName, Kind, Report};
use plan::ports::{Driver, StartOrder, Traffic};
use plan::{Release, Slot, Step};

/// The ports of the rooms.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) traffic: Arc<dyn Traffic>,
}

/// How long a step may take. A stop has a grace of its own within this.
const STEP: Duration = Duration::from_secs(600);
/// How long the edge may take to go by a new share.
const SEND: Duration = Duration::from_secs(30);

impl Rooms {
    /// Does the step; an error says what it was about.
    pub(crate) async fn act(
        &self,
        app: &AppName,
        release: Option<Arc<Release>>,
        step: &Step,
    ) -> Result<(), Report> {
        let gone = || Report::new(Kind::Conflict, "the release is no longer kept");
        match step {
            Step::Prepare { .. } => {
                let release = release.ok_or_else(gone)?;
                within(STEP, self.driver.prepare(&release.app)).await
            }
            Step::Start(slot) => {
                let release = release.ok_or_else(gone)?;
                self.start(&release, slot, false).await
            }
            Step::RunJob(slot) => {
                let release = release.ok_or_else(gone)?;
                self.start(&release, slot, true).await
            }
            Step::Restart { who, restarts } => within(STEP, self.driver.restart(&who.id, *restarts)).await,
            Step::Send(share) => within(SEND, self.traffic.apply(app.as_str(), share.clone())).await,
            Step::Stop(who) => within(STEP, self.driver.stop(&who.id)).await,
            Step::Remove(who) => within(STEP, self.driver.remove(&who.id)).await,
            Step::Retire { volumes } => {
                let release = release.ok_or_else(gone)?;
                within(STEP, self.driver.retire(&release.app, *volumes)).await
            }
            // These only change the ledger.
            Step::Finish { .. } | Step::Settle { .. } | Step::Fail { .. } => Ok(()),
        }
    }

    async fn start(&self, release: &Release, slot: &Slot, job: bool) -> Result<(), Report> {
        let image = release.made.get(&slot.service).map(|made| made.image.clone()).unwrap_or_default();
        let order = StartOrder {
            app: release.app.clone(),
            release: release.number,
            service: slot.service.clone(),
            image,
            revision: slot.revision.clone(),
            number: slot.number,
            job,
        };
        within(STEP, self.driver.start(order)).await.map(drop)
    }
}

/// The call's answer, or an error when it takes too long.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Report>>,
) -> Result<T, Report> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(Report::new(Kind::TimedOut, format!("no answer in {} s", limit.as_secs()))))
}
