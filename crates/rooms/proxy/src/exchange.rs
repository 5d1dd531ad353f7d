//! One request and its answer: bytes both ways at once, and what happens when one side fails.
//!
//! Everything that goes to the instance is written to `sent` first and stays there while it is short, so that
//! the request can be sent again to another instance. The rules for that: a connection that could not be made, or
//! that failed before a byte was written, may be repeated for any method; one that closed before a byte of the
//! answer came, only for methods that may be repeated, and within a budget.

mod answer;
mod cached;
mod file;
mod hedge;
mod obtain;
mod press;
mod question;
mod race;
mod replace;

pub(crate) use hedge::{hedger, may_hedge};
pub(crate) use obtain::{connect, dress};
pub(crate) use race::connect_once;
pub(crate) use replace::push_lines;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use resilience::breaker::{Change, Outcome, Permit};

use crate::balance::Verdict;
use crate::buffer::Output;
use crate::chunk::Decoder;
use crate::connection::Client;
use crate::events;
use crate::forward;
use crate::gate::Turn;
use crate::head::request::Method;
use crate::local::{LocalEndpoint, LocalPool, Upstream};
use crate::priority::Rank;
use crate::refusal::Refusal;
use crate::stick::Brought;
use crate::stream::Stream;
use crate::worker::Worker;
use hedge::{Hedging, mark_again};

/// What may wait to be written to a client that reads slowly.
const WAITING_BYTES: usize = 64 * 1024;

/// A body by its framing, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

impl Body {
    pub(crate) const NONE: Self = Self::Length(0);

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.done(),
            Self::UntilClose => false,
        }
    }
}

/// What is still to be known of a request when its head has gone on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) old: bool,
    /// The client wants the connection to stay.
    pub(crate) keep: bool,
    pub(crate) takes_trailers: bool,
    pub(crate) body: Body,
    pub(crate) began: Instant,
    /// Either side may be silent for long while the other has not ended.
    pub(crate) patient: bool,
    /// When the caller has no use for an answer any more.
    pub(crate) limit: Option<Instant>,
    /// What it has in common with those that go to the same instance, where the service wants that.
    pub(crate) key: Option<u64>,
    /// The client waits too short for a late answer to say anything.
    pub(crate) hurried: bool,
    /// It is one too many of its client's.
    pub(crate) denied: Option<Refusal>,
    /// It may be sent to two instances at once.
    pub(crate) hedgeable: bool,
    /// How urgent it is.
    pub(crate) rank: Rank,
    /// The instance that its client is bound to, as its cookie has it.
    pub(crate) brought: Brought,
}

/// Where the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its head is awaited.
    Head,
    /// Its head has gone to the client.
    Body(Body),
    /// It ended in a tunnel.
    Switched,
}

/// Why the two directions stopped.
enum End {
    Done,
    Switched,
    /// The instance closed the connection, or it broke, before a byte of the answer.
    Cut,
    /// The instance wants to be spared, and another is asked.
    Elsewhere,
    /// The edge answers instead; nothing of an answer has gone out.
    Refuse(Refusal),
    /// Nothing right can be said to the client any more.
    Abort,
    /// The same, as the instance broke off within its answer.
    Torn,
}

/// What becomes of the client's connection.
pub(crate) enum After {
    /// The next request may come.
    Next,
    /// It is closed, as the client has said that it would send nothing more.
    Leave,
    /// It is closed; the rest of the request, if any, is thrown away first.
    Close,
    /// It is closed at once and hard, so that a cut answer is not taken for a whole one.
    Reset,
    /// It goes on as a tunnel.
    Tunnel(Box<Upstream>),
}

/// One request under way.
pub(crate) struct Exchange<'a> {
    worker: &'a Rc<Worker>,
    client: &'a mut Client,
    question: Question,
    pool: Rc<LocalPool>,
    up: Option<Upstream>,
    tried: Vec<Rc<LocalEndpoint>>,
    /// The whole request so far is still in `client.sent`.
    replayable: bool,
    /// The instance takes no more bytes.
    up_deaf: bool,
    /// The instance says that it has not looked at the request.
    untouched: bool,
    /// The client has ended within the body of its request.
    cut: bool,
    scanned: usize,
    stage: Stage,
    /// The body is written to the client in chunks.
    rechunk: bool,
    /// The body is compressed on its way, and written in chunks.
    pressing: bool,
    /// A page went in the place of the body.
    replaced: bool,
    /// The body is thrown away, and how much more of it.
    dropping: Option<u64>,
    /// Leave to ask the service at all.
    permit: Option<Permit>,
    /// Leave to be at work, until the head of the answer is here.
    turn: Option<Turn>,
    /// When the instance was asked: the time that is held against it begins.
    asked_at: Instant,
    /// The time as it was when bytes were last moved, once somebody has asked: to read the clock costs as much as to read
    /// a field.
    now: Cell<Option<Instant>>,
    /// Bytes have moved since the deadline was set.
    moved: bool,
    /// The client is looked at while nothing is wanted of it; on its own connection only of what lasts longer than a tick,
    /// as to be woken by it costs as much as a tenth of the rest.
    watching: bool,
    /// Bytes of the answer have come.
    heard: bool,
    /// The client's connection ends with this answer.
    close: bool,
    up_keeps: bool,
    /// The answer may be silent for long.
    events: bool,
    status: u16,
    /// Interim answers so far.
    interims: u32,
    /// It was repeated, or would have been.
    marked: Cell<bool>,
    /// Trailer fields of the request, and of the answer, have begun to go on.
    trailing: bool,
    answer_trailing: bool,
    /// The race with a second request, until the head of an answer is here.
    hedge: Option<Box<Hedging>>,
}

impl<'a> Exchange<'a> {
    /// Of a request whose head, for the instance, stands in `client.sent`.
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        client: &'a mut Client,
        question: Question,
        pool: Rc<LocalPool>,
    ) -> Self {
        Self {
            worker,
            watching: !client.stream.is_socket(),
            client,
            question,
            pool,
            up: None,
            tried: Vec::new(),
            replayable: true,
            up_deaf: false,
            untouched: false,
            cut: false,
            scanned: 0,
            stage: Stage::Head,
            rechunk: false,
            pressing: false,
            replaced: false,
            dropping: None,
            permit: None,
            turn: None,
            asked_at: question.began,
            now: Cell::default(),
            moved: true,
            heard: false,
            close: false,
            up_keeps: true,
            events: false,
            status: 0,
            interims: 0,
            marked: Cell::new(false),
            trailing: false,
            answer_trailing: false,
            hedge: None,
        }
    }

    /// Carries the request to an instance and the answer back. `early` is a connection that exists already.
    pub(crate) async fn run(mut self, early: Option<Upstream>) -> After {
        if let Err(refusal) = self.admit().await {
            return self.refuse(refusal, false);
        }
        if self.client.care.as_ref().is_some_and(|care| care.wants_file())
            && let Some(after) = Box::pin(self.answer_with_file()).await
        {
            return after;
        }
        if let Err(refusal) = self.come_in(early).await {
            return self.refuse(refusal, false);
        }
        loop {
            if self.up.is_none()
                && let Err(refusal) = self.obtain().await
            {
                return self.refuse(refusal, false);
            }
            let end = poll_fn(|cx| self.drive(cx)).await;
            match end {
                End::Done => return self.settle(),
                End::Switched => {
                    self.account();
                    let up = self.up.take().expect("an answer came over this connection");
                    return After::Tunnel(Box::new(up));
                }
                End::Elsewhere => self.again(),
                End::Cut if self.may_repeat() => {
                    self.judge(Verdict::Lost);
                    self.again();
                }
                End::Cut => return self.refuse(Refusal::GONE, true),
                End::Refuse(refusal) => return self.refuse(refusal, refusal.status >= 500),
                End::Abort => return self.abort(),
                End::Torn => {
                    self.lost();
                    return self.abort();
                }
            }
        }
    }

    /// Leave of the rules.
    async fn admit(&mut self) -> Result<(), Refusal> {
        if let Some(refusal) = self.question.denied {
            return Err(refusal);
        }
        if self.client.care.as_ref().is_some_and(|care| care.is_unproven()) {
            // Rare, so that other requests need not have room for it.
            Box::pin(self.client.prove(self.worker)).await?;
        }
        Ok(())
    }

    /// Leave of the pool, unless the answer is there already.
    async fn come_in(&mut self, early: Option<Upstream>) -> Result<(), Refusal> {
        if let Some(wanted) = self.client.wanted.take()
            && Box::pin(self.consult_cache(wanted)).await?
        {
            return Ok(());
        }
        self.enter().await?;
        if let Some(forked) = &mut self.client.forked {
            forked.copy(self.worker, &self.client.sent.bytes);
        }
        if let Some(early) = early {
            self.up = Some(dress(self.worker, &self.pool, early).await?);
        }
        Ok(())
    }

    /// Leave of the pool to be at work, if the service has bounds.
    async fn enter(&mut self) -> Result<(), Refusal> {
        if let Some(breaker) = &self.pool.breaker {
            let told = breaker.borrow_mut().admit(self.question.began);
            self.permit = Some(told.map_err(|refused| {
                let secs = refused.until.since(self.question.began).as_secs_f64().ceil().max(1.0);
                Refusal { retry_after: secs as u32, ..Refusal::BREAKER }
            })?);
        }
        if let Some(gate) = self.pool.gate.clone() {
            // Waiting for a turn has its own timer.
            self.client.watched.within(Duration::from_secs(3600));
            self.turn = gate.admit(self.question.rank).await?;
            self.asked_at = SystemClock.now();
        }
        self.hedge = Hedging::of(&self.question, &self.pool);
        Ok(())
    }

    /// Moves bytes in all directions until nothing moves.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.now.set(None);
        let late = self.client.watched.watch.is_late();
        if late && std::mem::take(&mut self.moved) {
            // It was the deadline of what is over.
            self.set_deadline();
        } else if late && !self.has_waited() {
            if !self.client.watched.watch.is_look() {
                return Poll::Ready(self.late());
            }
            // It lasts: from here on a client that goes is noticed.
            if self.client.stream.make_known().is_err() {
                return Poll::Ready(End::Abort);
            }
            self.watching = true;
            self.touch();
        }
        loop {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) if self.hedge.is_some() && self.look_aside(cx) => {}
                Ok(false) => {
                    if std::mem::take(&mut self.moved) {
                        self.set_deadline();
                    }
                    return Poll::Pending;
                }
                Err(end) if self.hedge.is_some() && self.falls_back(&end) => {}
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// One try in each direction; true if another round may move more.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        self.send(cx)?;
        if self.question.body.is_done() {
            // The answer first: with its end nothing is wanted of the client.
            let freed = self.receive(cx)?;
            self.finished()?;
            self.look_at_client(cx)?;
            return Ok(freed);
        }
        if self.listen(cx)? {
            return Ok(true);
        }
        let freed = self.receive(cx)?;
        self.finished()?;
        Ok(freed)
    }

    /// Ends the exchange when the answer is with the client.
    fn finished(&self) -> Result<(), End> {
        if !self.client.output.is_flushed() {
            return Ok(());
        }
        match self.stage {
            Stage::Body(body) if body.is_done() => Err(End::Done),
            Stage::Switched => Err(End::Switched),
            Stage::Body(_) | Stage::Head => Ok(()),
        }
    }

    /// The deadline has passed: who was it that we waited for?
    fn late(&self) -> End {
        if self.client.watched.watch.is_crowded_out() {
            return End::Abort;
        }
        match self.stage {
            Stage::Head if self.heard => End::Refuse(Refusal::SLOW_ANSWER),
            Stage::Head if !self.question.body.is_done() && !self.up_deaf && self.nothing_to_send() => {
                End::Refuse(Refusal::SLOW_BODY)
            }
            Stage::Head => End::Refuse(Refusal::SLOW_ANSWER),
            Stage::Body(_) if self.is_starved() => End::Torn,
            Stage::Body(_) | Stage::Switched => End::Abort,
        }
    }

    /// All that came of the answer is with the client, so that it is the instance that lets it wait.
    fn is_starved(&self) -> bool {
        self.client.output.is_flushed() && self.up.as_ref().is_some_and(|up| up.input.is_empty())
    }

    fn nothing_to_send(&self) -> bool {
        self.client.sent.is_flushed() || (self.replayable && self.client.sent.pending().is_empty())
    }

    /// Has the deadline set anew, as bytes have moved: once, when nothing moves any more.
    fn touch(&mut self) {
        self.moved = true;
    }

    /// Sets the deadline anew, from now on.
    fn set_deadline(&self) {
        let (settings, policy) = (&self.worker.settings, &self.pool.policy);
        let time = match self.stage {
            // Who says how long it waits is believed, within reason.
            Stage::Head if self.question.limit.is_some() && self.question.patient => settings.tunnel_idle,
            Stage::Head if self.question.body.is_done() => policy.first_byte.unwrap_or(settings.answer),
            Stage::Head if self.question.patient => settings.tunnel_idle,
            Stage::Head => policy.idle.unwrap_or(settings.body_idle),
            Stage::Body(_) if self.dropping.is_some() && self.client.output.is_flushed() => replace::PATIENCE,
            Stage::Body(_) if self.events || self.question.patient => settings.tunnel_idle,
            Stage::Body(_) | Stage::Switched => policy.idle.unwrap_or(settings.body_idle),
        };
        let left = |limit: Instant| limit.since(self.worker.watches.now());
        let time = self.question.limit.map_or(time, |limit| time.min(left(limit)));
        let watched = &self.client.watched;
        if !self.watching && settings.tick < time {
            watched.look_within(settings.tick);
        } else {
            watched.within(time);
        }
    }

    /// Whether the request may be sent again after a cut.
    fn may_repeat(&self) -> bool {
        !self.heard && self.could_repeat() && self.may_spend()
    }

    /// Takes a repetition from the budget. Whether there is one or not, nobody further out is to repeat this request too.
    fn may_spend(&self) -> bool {
        self.marked.set(true);
        self.worker.budget.spend()
    }

    fn could_repeat(&self) -> bool {
        let safe = self.question.method != Method::Once || self.client.sent.at == 0 || self.untouched;
        let most = self.pool.policy.retries.map_or(self.worker.settings.tries, |retries| retries + 1);
        let tries = self.tried.len() + 1 < most as usize;
        self.replayable && safe && tries
    }

    /// Makes ready for another try.
    fn again(&mut self) {
        if let Some(up) = self.up.take() {
            up.flight.0.state.retried(self.worker.index);
            if self.tried.is_empty() {
                mark_again(&mut self.client.sent.bytes);
            }
            self.hedge = None;
            // A connection that was kept and closed says nothing against the instance, which may be tried afresh.
            self.tried.push(up.flight.0.clone());
        }
        self.client.sent.at = 0;
        self.up_deaf = false;
        self.untouched = false;
        self.scanned = 0;
        self.heard = false;
        self.asked_at = SystemClock.now();
    }

    /// Tells the pool what became of the request, as far as it is the instance's doing.
    fn judge(&self, verdict: Verdict) {
        if let Some(up) = &self.up {
            let now = self.now();
            let times = (now.since(self.asked_at), now);
            self.pool.settle(&up.flight.0, verdict, times, &mut self.worker.rng.borrow_mut());
        }
    }

    /// Tells the breaker how it went.
    fn judge_service(&mut self, outcome: Outcome, now: Instant) {
        let (Some(permit), Some(breaker)) = (self.permit.take(), &self.pool.breaker) else { return };
        let rng = &mut self.worker.rng.borrow_mut();
        if let Some(change) = breaker.borrow_mut().settle(permit, outcome, now, rng) {
            events::breaker(&self.pool.key, change, now);
            if matches!(change, Change::Opened { .. }) {
                self.worker.gauges.decided.opened(&self.pool.key);
            }
        }
    }

    /// The edge's own answer. `lost` blames the instance that was asked.
    fn refuse(&mut self, refusal: Refusal, lost: bool) -> After {
        let late = refusal == Refusal::SLOW_ANSWER;
        // Who waits too short for any answer says nothing about others.
        let lost = lost && !(late && self.question.hurried);
        let outcome = if late && lost { Outcome::Failure } else { Outcome::Ignored };
        self.judge_service(outcome, SystemClock.now());
        if lost {
            self.lost();
            self.judge(Verdict::Lost);
        }
        self.up = None;
        self.worker.gauges.decided.refused(Some(&self.pool.key), refusal.code);
        self.client.note(refusal.status, refusal.code);
        if self.client.output.at > 0 || self.client.stream.is_torn() {
            // The client has read half of an interim answer.
            return After::Reset;
        }
        let keep = self.question.keep && self.question.body.is_done() && !self.worker.draining.get();
        self.client.output.clear();
        if let Stream::Inlet(inlet) = &mut self.client.stream {
            inlet.refuse(refusal, self.marked.get());
        }
        if self.marked.get() && refusal.status >= 500 {
            forward::push_mark(&mut self.client.lines);
        }
        self.client.write_refusal(self.worker, refusal, !keep);
        if keep { After::Next } else { After::Close }
    }

    /// The time of the present drive.
    fn now(&self) -> Instant {
        let now = self.now.get().unwrap_or_else(|| SystemClock.now());
        self.now.set(Some(now));
        now
    }

    /// Counts that the instance gave no answer, or not all of one.
    fn lost(&self) {
        if let Some(up) = &self.up {
            up.flight.0.state.lost(self.worker.index);
        }
    }

    /// The client's connection ends so that what it has is not taken for a whole answer.
    fn abort(&mut self) -> After {
        let crowded = self.client.watched.watch.is_crowded_out();
        self.client.note(self.status, if crowded { Refusal::CROWDED.code } else { "aborted" });
        After::Reset
    }

    /// Counts the answer.
    fn account(&mut self) {
        let now = self.now();
        let took = now.since(self.question.began);
        if let Some(up) = &self.up {
            up.flight.0.state.answered(self.worker.index, self.status, took);
        }
        self.judge_service(Outcome::Success, now);
        self.client.note(self.status, if self.replaced { "page" } else { "" });
        self.client.note_end(now);
    }

    /// Whether the client has said that this is its last request, and nothing has to be said to it in parting. Who sends a
    /// body may send a line end behind it, which would reset the connection that is closed at once.
    fn leaves(&self) -> bool {
        !self.question.keep
            && self.client.input.is_empty()
            && self.client.received == 0
            && matches!(self.client.stream, Stream::Plain(_))
    }

    /// Whether the instance has all of the request.
    fn is_through(&self) -> bool {
        self.question.body.is_done() && self.client.sent.pending().is_empty()
    }

    /// The answer is whole: counts it, and decides about both connections.
    fn settle(mut self) -> After {
        self.account();
        let whole = self.is_through();
        if let Some(up) = self.up.take() {
            let clean = whole && self.up_keeps && up.input.is_empty();
            let mut up = up;
            up.input.rest(&self.worker.buffers);
            if clean && self.pool.policy.proxy_protocol.is_none() {
                up.rest(self.worker.watches.now());
            }
        }
        match self.close || !whole {
            false => After::Next,
            true if whole && self.leaves() => After::Leave,
            true => After::Close,
        }
    }
}

/// Clears what was written if it need not be kept.
fn drop_sent(sent: &mut Output, replayable: bool) {
    if !replayable && sent.is_flushed() {
        sent.clear();
    }
}
