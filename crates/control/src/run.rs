//! The loop of one app: looks, plans, acts, and waits for word or for the next tick.
//!
//! Exactly one runs for an app at a time, and it alone changes the app's records. Whatever it is told only makes it look
//! sooner. It may be cut off at any moment: a new one goes on from the records and from what is seen.

use std::sync::Arc;
use std::time::Duration;

use base::{AppName, Clock, Problem, ReleaseNumber, Report, Tasks};
use plan::backoff::doubling;
use plan::seen::Seen;
use plan::{Change, Ledger, RequestError, Standing, Step};
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};

use crate::act::{Rooms, within};
use crate::helm::{Helm, Trouble};
use crate::{AskError, events, records};

/// Looks this often when nothing is heard.
const TICK: Duration = Duration::from_secs(5);
/// A look may take so long.
const LOOK: Duration = Duration::from_secs(30);
/// So many wishes may wait.
pub(crate) const WISHES: usize = 32;
/// So many ended steps may wait to be heard; no more are ever under way.
const ENDED: usize = 64;

/// A change of the ledger that somebody wants.
pub(crate) type Wish = Box<
    dyn FnOnce(&mut Ledger, base::Timestamp) -> Result<(Option<ReleaseNumber>, Change), RequestError> + Send,
>;

/// A wish, and where its answer goes.
pub(crate) struct Ask {
    pub(crate) wish: Wish,
    pub(crate) answer: oneshot::Sender<Result<Option<ReleaseNumber>, AskError>>,
}

/// How an app stands, as its loop saw it last.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its releases and what is wanted.
    pub ledger: Arc<Ledger>,
    /// Its services.
    pub services: Vec<Standing>,
    /// Its instances.
    pub instances: Vec<Seen>,
    /// Steps that fail at present.
    pub troubles: Vec<Trouble>,
    /// Nothing is to be done.
    pub at_rest: bool,
    /// It left, and nothing of it remains.
    pub gone: bool,
}

/// What the loop hears of.
enum Heard {
    Ask(Ask),
    Ended(Step, Result<(), Report>),
    /// Something changed, or the time has come.
    Nudge,
    /// Nobody can ask any more.
    Closed,
}

/// A step with what became of it.
type Ended = (Step, Result<(), Report>);

pub(crate) struct Loop {
    app: AppName,
    helm: Helm,
    rooms: Rooms,
    store: Store,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    asks: mpsc::Receiver<Ask>,
    ended: (mpsc::Sender<Ended>, mpsc::Receiver<Ended>),
    pictures: watch::Sender<Picture>,
    /// What a failed write left behind.
    unwritten: Option<Change>,
    failures: u32,
}

/// What every loop of a daemon shares.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) rooms: Rooms,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
}

impl Loop {
    pub(crate) fn new(
        common: Common,
        ledger: Ledger,
        asks: mpsc::Receiver<Ask>,
    ) -> (Self, watch::Receiver<Picture>) {
        let (pictures, receiver) = watch::channel(Picture {
            ledger: Arc::new(ledger.clone()),
            services: Vec::new(),
            instances: Vec::new(),
            troubles: Vec::new(),
            at_rest: false,
            gone: false,
        });
        let Common { rooms, store, clock, tasks } = common;
        let it = Self {
            app: ledger.record.name.clone(),
            helm: Helm::new(ledger, clock.now()),
            rooms,
            store,
            clock,
            tasks,
            asks,
            ended: mpsc::channel(ENDED),
            pictures,
            unwritten: None,
            failures: 0,
        };
        (it, receiver)
    }

    /// Runs until the app is gone, or nobody can ask any more.
    pub(crate) async fn run(mut self) {
        loop {
            let debts = self.settle_debts().await;
            if self.pictures.borrow().gone {
                return;
            }
            let wake = match debts {
                Ok(()) => self.round().await,
                Err(wait) => wait,
            };
            let mut heard = self.wait(wake).await;
            // Everything that is there is taken in before the next look, which costs more.
            loop {
                match heard {
                    Heard::Ask(ask) => self.answer(ask).await,
                    Heard::Ended(step, result) => self.take_in(&step, result),
                    Heard::Nudge => {}
                    Heard::Closed => return,
                }
                heard = if let Ok((step, result)) = self.ended.1.try_recv() {
                    Heard::Ended(step, result)
                } else if let Ok(ask) = self.asks.try_recv() {
                    Heard::Ask(ask)
                } else {
                    break;
                };
            }
        }
    }

    /// Looks, decides, writes down and begins to act. Answers with the time until the next look.
    async fn round(&mut self) -> Duration {
        let looked = within(LOOK, self.rooms.driver.look(&self.app)).await;
        let instances = match looked {
            Ok(instances) => instances,
            Err(report) => {
                events::look_failed(&self.app, &report);
                self.failures = self.failures.saturating_add(1);
                return self.pause();
            }
        };
        // Without word from the edge nothing that it may send to is stopped; the rest goes on.
        let traffic = within(LOOK, self.rooms.traffic.look()).await.ok();
        let round = self.helm.round(&instances, traffic.as_ref(), self.clock.now(), self.clock.wall());
        for change in round.changes {
            self.owe(change);
        }
        if let Err(wait) = self.settle_debts().await {
            // What was not written down must not be acted on.
            let report = || Report::new(base::Kind::Unavailable, "its cause could not be written down");
            for step in &round.act {
                self.helm.ended(step, Err(report()), self.clock.now());
            }
            return wait;
        }
        let at_rest = round.act.is_empty() && round.wake.is_none() && self.helm.is_idle();
        for step in round.act {
            self.begin(step);
        }
        self.show(instances, at_rest, false);
        round.wake.unwrap_or(TICK).min(TICK)
    }

    fn begin(&self, step: Step) {
        events::step_began(&self.app, &step);
        let (rooms, app) = (self.rooms.clone(), self.app.clone());
        let release = self.helm.ledger.target().cloned();
        let ended = self.ended.0.clone();
        self.tasks.spawn(format!("{app}: {step}"), async move {
            base::crash::point("loop: step begins");
            let result = rooms.act(&app, release, &step).await;
            base::crash::point("loop: step ended");
            if let Err(report) = &result {
                events::step_failed(&app, &step, report);
            }
            // The loop may be gone; a later one sees what became of the step.
            let _ = ended.send((step, result)).await;
        });
    }

    fn take_in(&mut self, step: &Step, result: Result<(), Report>) {
        if let Some(change) = self.helm.ended(step, result, self.clock.now()) {
            self.owe(change);
        }
    }

    /// Waits for the first word, or for the time.
    async fn wait(&mut self, time: Duration) -> Heard {
        tokio::select! {
            biased;
            Some((step, result)) = self.ended.1.recv() => Heard::Ended(step, result),
            ask = self.asks.recv() => ask.map_or(Heard::Closed, Heard::Ask),
            () = self.rooms.driver.changed(&self.app) => Heard::Nudge,
            () = tokio::time::sleep(time) => Heard::Nudge,
        }
    }

    /// Takes a wish: it counts from the moment it is written down.
    async fn answer(&mut self, ask: Ask) {
        let mut ledger = self.helm.ledger.clone();
        let result = match (ask.wish)(&mut ledger, self.clock.wall()) {
            Ok((number, change)) => self.write(ledger, change).await.map(|()| number),
            Err(error) => Err(AskError::Refused(error)),
        };
        base::crash::point("loop: wish taken");
        let instances = self.pictures.borrow().instances.clone();
        self.show(instances, false, false);
        // Whoever asked may have gone.
        let _ = ask.answer.send(result);
    }

    async fn write(&mut self, ledger: Ledger, change: Change) -> Result<(), AskError> {
        let mut all = self.unwritten.clone().unwrap_or_default();
        all.append(change.clone());
        records::write(&self.store, &ledger, all).await.map_err(AskError::Store)?;
        events::wrote(&self.app, &change);
        self.unwritten = None;
        self.helm.ledger = ledger;
        Ok(())
    }

    /// Notes what is to be written down.
    fn owe(&mut self, change: Change) {
        events::wrote(&self.app, &change);
        self.unwritten.get_or_insert_default().append(change);
    }

    /// Writes down what is owed, or says how long to wait.
    async fn settle_debts(&mut self) -> Result<(), Duration> {
        let Some(change) = self.unwritten.clone() else { return Ok(()) };
        let gone = change.gone;
        match records::write(&self.store, &self.helm.ledger, change).await {
            Ok(()) => {
                self.unwritten = None;
                self.failures = 0;
                if gone {
                    self.show(Vec::new(), true, true);
                }
                Ok(())
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let wait = self.pause();
                events::write_failed(&self.app, &Report::of(&error as &dyn Problem), wait);
                Err(wait)
            }
        }
    }

    fn pause(&self) -> Duration {
        doubling(Duration::from_millis(100), self.failures, TICK)
    }

    fn show(&self, instances: Vec<Seen>, at_rest: bool, gone: bool) {
        let services = self.helm.standing(&instances, self.clock.now(), self.clock.wall());
        let ledger = Arc::new(self.helm.ledger.clone());
        let troubles = self.helm.troubles();
        self.pictures.send_replace(Picture { ledger, services, instances, troubles, at_rest, gone });
    }
}
