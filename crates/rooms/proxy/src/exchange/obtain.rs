//! A connection to an instance for a request: picked, reused or made, and waited for when there is none.
//!
//! The search goes in rounds. In a round each instance is asked once: the next at once when one refuses, and after
//! a short time when one is slow, which then stays in the race. The search ends when it has a connection or when
//! the hold has passed since it began or since the table last brought a new instance. Where no instance says anything,
//! not even that nobody listens, it ends after a second, and for those that come then at once: what is gone costs a
//! caller that time once, and one that starts again is waited for.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use resilience::breaker::Outcome;

use super::Exchange;
use super::race::Race;
use crate::fork::Forked;
use crate::head::request::Method;
use crate::http2::FarTrunk;
use crate::local::{LocalEndpoint, LocalPool, Upstream};
use crate::preface::introduce;
use crate::refusal::Refusal;
use crate::stick;
use crate::stream::Stream;
use crate::worker::{Held, Worker};

/// Between two rounds over a pool whose instances take no connections; they back off by themselves.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Exchange<'_> {
    /// Gets a connection, or the reason why there is none.
    pub(super) async fn obtain(&mut self) -> Result<(), Refusal> {
        if let Some(up) = self.reuse() {
            self.up = Some(up);
            self.touch();
            return Ok(());
        }
        let got = loop {
            // Connecting and holding have their own timers.
            self.client.watched.within(Duration::from_secs(3600));
            let forked = self.client.forked.as_deref();
            let own = stick::own_instance(self.worker, &self.pool, &self.question.brought, SystemClock.now());
            let key = (self.question.key, own);
            let connecting = search(self.worker, &mut self.pool, &self.tried, key, forked);
            let got = match self.question.limit {
                None => connecting.await,
                Some(limit) => {
                    let left = limit.since(SystemClock.now());
                    tokio::time::timeout(left, connecting).await.unwrap_or(Err(Refusal::SLOW_ANSWER))
                }
            };
            match got {
                Ok(up) => break up,
                // Rare, so that other requests need not have room for it.
                Err(refusal) => Box::pin(self.fall(refusal)).await?,
            }
        };
        let got = introduce(&self.pool, got, Some(self.client.ends())).await?;
        self.up = Some(dress(self.worker, &self.pool, got).await?);
        self.asked_at = SystemClock.now();
        self.touch();
        Ok(())
    }

    /// Goes over to another side of the split, if there is one whose instances take requests.
    async fn fall(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        let now = SystemClock.now();
        let absent = [Refusal::NO_INSTANCE.code, Refusal::UNREACHABLE.code, Refusal::NOT_NOW.code];
        let forked = self.client.forked.as_mut().filter(|_| absent.contains(&refusal.code));
        let other = forked.and_then(|forked| forked.fall(self.worker, now));
        let Some(pool) = other else { return Err(refusal) };
        // What it had leave for, it has not done.
        self.judge_service(Outcome::Ignored, now);
        self.turn = None;
        if let Stream::Inlet(inlet) = &mut self.client.stream {
            inlet.note_fall();
        }
        self.pool = pool;
        self.tried.clear();
        self.enter().await
    }

    /// A kept connection to the instance whose turn it is.
    fn reuse(&mut self) -> Option<Upstream> {
        if !self.tried.is_empty() {
            return None;
        }
        let worker = self.worker;
        let now = worker.watches.now();
        let own = stick::own_instance(worker, &self.pool, &self.question.brought, now);
        let pick = || self.pool.pick(&[], now, (self.question.key, &mut worker.rng.borrow_mut()));
        let endpoint = own.or_else(pick)?;
        if self.pool.http2 {
            let up = endpoint.take_stream(worker);
            if up.is_none() {
                worker.turn.replace(Some(endpoint));
            }
            return up;
        }
        // A connection that was made for one client says so, and is no other's.
        if self.pool.policy.proxy_protocol.is_some() {
            worker.turn.replace(Some(endpoint));
            return None;
        }
        let once = self.question.method == Method::Once;
        let most = if once { worker.settings.upstream_idle_unsafe } else { worker.settings.upstream_idle };
        let up = endpoint.take_idle(now, most, once);
        if up.is_none() {
            worker.turn.replace(Some(endpoint));
        } else {
            self.pool.down_since.set(None);
        }
        up
    }
}

/// The connection as the pool speaks it: where that is HTTP/2, a stream on it.
pub(crate) async fn dress(worker: &Rc<Worker>, pool: &LocalPool, up: Upstream) -> Result<Upstream, Refusal> {
    if !pool.http2 {
        return Ok(up);
    }
    let Stream::Plain(tcp) = up.stream else { return Ok(up) };
    let endpoint = up.flight.0.clone();
    // Another request may have been faster, or has left room.
    if let Some(up) = endpoint.take_stream(worker) {
        return Ok(up);
    }
    let now = worker.watches.now();
    let tcp = tcp.into_tcp().map_err(|_| Refusal::UNREACHABLE)?;
    let trunk = FarTrunk::open(tcp, now).await.ok_or(Refusal::UNREACHABLE)?;
    let stream = Stream::Far(Box::new(trunk.lane(worker, now)));
    endpoint.keep(trunk);
    Ok(Upstream { stream, ..up })
}

/// Makes a connection to an instance of the pool; holds the request while there is none that takes it.
///
/// The instances in `failed` have failed this request before: they are asked after the others.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    pool: &mut Rc<LocalPool>,
    failed: &[Rc<LocalEndpoint>],
    key: Option<u64>,
) -> Result<Upstream, Refusal> {
    search(worker, pool, failed, (key, None), None).await
}

/// The same for a request that may go elsewhere: it is held only where that is no better.
async fn search(
    worker: &Rc<Worker>,
    pool: &mut Rc<LocalPool>,
    failed: &[Rc<LocalEndpoint>],
    (key, own): (Option<u64>, Option<Rc<LocalEndpoint>>),
    forked: Option<&Forked>,
) -> Result<Upstream, Refusal> {
    let mut search = Search::new(worker, pool, failed, key);
    search.forked = forked;
    // A kept connection that was closed at the wrong moment is no reason to move; a second failure is.
    search.own = own.filter(|own| failed.iter().filter(|e| Rc::ptr_eq(e, own)).count() < 2);
    loop {
        // A table that comes from here on is not missed.
        let changed = worker.changed.notified();
        let now = SystemClock.now();
        search.follow(now);
        let until = search.step(now)?;
        let first = poll_fn(|cx| search.race.poll(cx, &worker.settings));
        tokio::select! {
            biased;
            made = first => {
                if let Some(up) = made {
                    search.pool.down_since.set(None);
                    return Ok(up);
                }
                search.due = now;
            }
            () = changed => {}
            () = tokio::time::sleep(until.since(now)) => {}
        }
    }
}

/// The search of one request for a connection.
struct Search<'a> {
    worker: &'a Rc<Worker>,
    pool: &'a mut Rc<LocalPool>,
    failed: &'a [Rc<LocalEndpoint>],
    key: Option<u64>,
    forked: Option<&'a Forked>,
    /// The instance that the client is bound to.
    own: Option<Rc<LocalEndpoint>>,
    race: Race,
    /// The instances that were asked in this round.
    asked: Vec<Rc<LocalEndpoint>>,
    /// When the next instance is asked.
    due: Instant,
    began: Instant,
    /// When the pool last got an instance, or the beginning.
    fresh: Instant,
    /// After so long, instances that say nothing are not waited for.
    patience: Duration,
    held: Option<Held>,
}

impl<'a> Search<'a> {
    fn new(
        worker: &'a Rc<Worker>,
        pool: &'a mut Rc<LocalPool>,
        failed: &'a [Rc<LocalEndpoint>],
        key: Option<u64>,
    ) -> Self {
        let now = SystemClock.now();
        let patience = worker.settings.connect * if are_silent(pool) { 1 } else { 4 };
        Self {
            worker,
            pool,
            failed,
            key,
            forked: None,
            own: None,
            race: Race::default(),
            asked: Vec::new(),
            due: now,
            began: now,
            fresh: now,
            patience,
            held: None,
        }
    }

    /// When a request without a connection is refused. New instances are waited for anew, but not for ever.
    fn deadline(&self) -> Instant {
        let settings = &self.worker.settings;
        let hold = settings.hold.max(settings.connect);
        (self.fresh + hold).min(self.began + hold.max(settings.hold_while_down))
    }

    fn refusal(&self) -> Refusal {
        if self.pool.endpoints.is_empty() { Refusal::NO_INSTANCE } else { Refusal::UNREACHABLE }
    }

    /// Goes by the present table: instances that have left it get nothing more, also no connection that is being made.
    fn follow(&mut self, now: Instant) {
        let table = self.worker.table();
        let present = match table.pool(&self.pool.key) {
            Some(present) if Rc::ptr_eq(present, self.pool) => return,
            Some(present) => present.clone(),
            None if self.pool.endpoints.is_empty() => return,
            None => LocalPool::emptied(&self.pool.key, now),
        };
        let before = std::mem::replace(self.pool, present);
        let known = |e: &Rc<LocalEndpoint>| before.endpoints.iter().any(|b| Rc::ptr_eq(b, e));
        let gained = !self.pool.endpoints.iter().all(known);
        self.race.keep_only(self.pool);
        if gained {
            self.fresh = now;
        }
        if gained || self.race.is_empty() {
            self.due = now;
        }
    }

    /// Asks the next instance if it is time; gives the time of the next step.
    fn step(&mut self, now: Instant) -> Result<Instant, Refusal> {
        let settings = &self.worker.settings;
        self.race.note_slow(settings, now);
        let shut = |e: &Rc<LocalEndpoint>| e.state.is_shut(now);
        let first = self.asked.is_empty() && self.race.is_empty() && self.held.is_none();
        if now >= self.deadline() || (first && are_silent(self.pool) && self.pool.endpoints.iter().all(shut))
        {
            return Err(self.refusal());
        }
        if now >= self.due {
            match self.candidate(now) {
                Some(endpoint) => {
                    self.race.begin(&endpoint, settings, now);
                    self.asked.push(endpoint);
                    self.due = now + settings.connect;
                }
                None => self.rest(now)?,
            }
        }
        Ok(self.due.min(self.deadline()))
    }

    /// The instance to ask next, if one is left in this round.
    fn candidate(&self, now: Instant) -> Option<Rc<LocalEndpoint>> {
        let turn = self.worker.turn.take();
        let own = self.own.as_ref().filter(|own| self.asked.is_empty() && is_in(&self.pool.endpoints, own));
        if let Some(own) = own.filter(|own| self.race.is_open_to(own, now)) {
            return Some(own.clone());
        }
        if self.asked.is_empty() && self.race.is_empty() && self.failed.is_empty() {
            let turn = turn.filter(|turn| is_in(&self.pool.endpoints, turn));
            if turn.is_some() {
                return turn;
            }
        }
        let fit = |e: &&Rc<LocalEndpoint>| is_in(&self.asked, e) || !self.race.is_open_to(e, now);
        let mut out: Vec<_> = self.pool.endpoints.iter().filter(fit).cloned().collect();
        let asked = out.len();
        out.extend_from_slice(self.failed);
        let mut rng = self.worker.rng.borrow_mut();
        let mut pick = |out: &[_]| self.pool.pick(out, now, (self.key, &mut rng)).filter(|e| !is_in(out, e));
        pick(&out).or_else(|| pick(&out[..asked]))
    }

    /// Ends a round without a connection: takes a place among those that wait, and lets a little time pass.
    fn rest(&mut self, now: Instant) -> Result<(), Refusal> {
        self.asked.clear();
        if self.forked.is_some_and(|forked| forked.has_another(self.worker, now)) {
            return Err(self.refusal());
        }
        if let Some(secs) = self.pool.spared(now).filter(|_| self.race.is_empty()) {
            return Err(Refusal { retry_after: secs, ..Refusal::NOT_NOW });
        }
        let down = self.pool.down_since.get().unwrap_or(now);
        self.pool.down_since.set(Some(down));
        let silent = are_silent(self.pool) && now.since(self.began) >= self.patience;
        if silent || now.since(down) >= self.worker.settings.hold_while_down {
            return Err(self.refusal());
        }
        if self.held.is_none() && self.race.is_empty() {
            self.held = Some(self.worker.hold()?);
        }
        self.due = if self.pool.endpoints.is_empty() { self.deadline() } else { now + LOOK_AGAIN };
        Ok(())
    }
}

/// Whether no instance says anything to who wants to connect.
fn are_silent(pool: &LocalPool) -> bool {
    !pool.endpoints.is_empty() && pool.endpoints.iter().all(|e| e.state.is_silent())
}

fn is_in(list: &[Rc<LocalEndpoint>], endpoint: &Rc<LocalEndpoint>) -> bool {
    list.iter().any(|e| Rc::ptr_eq(e, endpoint))
}
