//! A second request to another instance, when the first has said nothing for longer than nearly all do.
//!
//! One of the two is in the lead: the exchange goes on with its connection as if there were no other. The other one is
//! kept here, written and listened to while the lead is silent; as soon as it says something it takes the lead. The
//! answer whose head is read and good ends the race, and the connection of the other is dropped, which the instance sees
//! and nobody holds against it. A bad answer, or none, counts only when no other can come.
//!
//! Only what looks and has no body is asked twice, so all of the request is a head, which is written a second time with
//! a line that says so: a hop further in does not ask twice for that one in its turn.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use resilience::breaker::Position;
use resilience::hedge::{Hedger, NoHedge, Policy, Sight};
use spec::HedgeAfter;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use super::obtain::dress;
use super::{End, Exchange, Question, Stage, connect_once};
use crate::balance::Verdict;
use crate::buffer::Output;
use crate::head::request::{Method, RequestHead};
use crate::head::{Field, elements};
use crate::limits::RESPONSE_HEAD_BYTES;
use crate::local::{LocalEndpoint, LocalPool, Upstream};
use crate::preface::introduce;
use crate::refusal::Refusal;
use crate::stick::Brought;
use crate::worker::Worker;

/// The field by which a second request, and one that is repeated, is known to hops further in.
pub(crate) const AGAIN: &str = "x-sea-again";

/// The race of a request that may be asked twice.
pub(super) struct Hedging {
    hedger: Rc<RefCell<Hedger>>,
    /// After which silence another instance is asked; none while too little is known.
    delay: Option<Duration>,
    second: Second,
    /// The second request is in the lead.
    leads: bool,
    /// A second request was sent.
    sent: bool,
}

/// Where the second request is.
enum Second {
    /// Its time has not come.
    Later(Option<Pin<Box<Sleep>>>),
    /// Its connection is being made.
    Connecting(Pin<Box<dyn Future<Output = Option<Upstream>>>>),
    /// The one of the two that is not in the lead.
    Out(Box<Leg>),
    /// There is none, or none any more.
    No,
}

/// A request that is not in the lead.
struct Leg {
    up: Upstream,
    sent: Output,
    asked_at: Instant,
}

/// A pool's rule for second requests, which goes on over changes of the table while the service wants the same.
pub(crate) fn hedger(wanted: Option<spec::Hedge>, before: Option<&LocalPool>) -> Option<Rc<RefCell<Hedger>>> {
    let spec::Hedge { after, share } = wanted?;
    let known = before.filter(|pool| pool.policy.hedge == wanted).and_then(|pool| pool.hedger.clone());
    let new = || {
        let usual = Policy { share: f64::from(share) / 10_000.0, ..Policy::default() };
        Rc::new(RefCell::new(Hedger::new(match after {
            HedgeAfter::Quantile(of) => Policy { quantile: f64::from(of) / 10_000.0, ..usual },
            HedgeAfter::Time(time) => Policy { delay_fixed: Some(time), ..usual },
        })))
    };
    Some(known.unwrap_or_else(new))
}

/// Whether a request does no more when it is sent twice, and all of it is in its head. Streams of events begin when there
/// is one, and what was sent twice further out is not doubled again here.
pub(crate) fn may_hedge(head: &RequestHead, fields: &[Field], buf: &[u8]) -> bool {
    let looks = match head.kind {
        Method::Get | Method::Head => true,
        Method::Idempotent => matches!(head.method.of(buf), b"OPTIONS" | b"TRACE"),
        Method::Once => false,
    };
    let bare = !head.framing.chunked && head.framing.length.is_none_or(|length| length == 0);
    let forbids = |field: &Field| {
        let name = field.name.of(buf);
        name.eq_ignore_ascii_case(AGAIN.as_bytes())
            || (name.eq_ignore_ascii_case(b"accept") && elements(field.value.of(buf)).any(is_events))
    };
    looks && bare && head.upgrade.is_none() && !head.expects_continue && !fields.iter().any(forbids)
}

fn is_events(range: &[u8]) -> bool {
    let kind = range.split(|c| *c == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Writes behind the first line of a head that it was sent before.
pub(super) fn mark_again(head: &mut Vec<u8>) {
    if let Some(end) = memchr::memchr(b'\n', head) {
        head.splice(end + 1..end + 1, format!("{AGAIN}: 1\r\n").into_bytes());
    }
}

impl Hedging {
    /// Of a request that is about to be sent, if its service wants that.
    pub(super) fn of(question: &Question, pool: &LocalPool) -> Option<Box<Self>> {
        // Who is bound to an instance has something there that others have not.
        let bound = pool.stick.is_some() && question.brought != Brought::Nothing;
        let fits = question.hedgeable && !bound && pool.endpoints.len() > 1;
        let hedger = pool.hedger.as_ref().filter(|_| fits)?;
        let delay = hedger.borrow_mut().begin();
        let second = if delay.is_some() { Second::Later(None) } else { Second::No };
        Some(Box::new(Self { hedger: hedger.clone(), delay, second, leads: false, sent: false }))
    }

    fn is_out(&self) -> bool {
        matches!(self.second, Second::Out(_))
    }

    /// The head of the answer is good, or no other can come: ends the race. Gives what the log says of it.
    pub(super) fn end(
        self,
        worker: &Worker,
        pool: &LocalPool,
        status: u16,
        asked_at: Instant,
    ) -> &'static str {
        let now = SystemClock.now();
        if self.leads {
            worker.gauges.decided.hedged(&pool.key, |hedges| hedges.won += 1);
        }
        // How long the first took, or had taken when it lost; one that failed says nothing of that.
        let first = match &self.second {
            Second::Out(leg) if self.leads => {
                let times = (now.since(leg.asked_at), now);
                pool.settle(&leg.up.flight.0, Verdict::Overtaken, times, &mut worker.rng.borrow_mut());
                Some(leg.asked_at)
            }
            Second::Later(_) | Second::Connecting(_) | Second::No if self.leads => None,
            Second::Out(_) | Second::Later(_) | Second::Connecting(_) | Second::No => Some(asked_at),
        };
        if let Some(asked_at) = first.filter(|_| status < 500) {
            self.hedger.borrow_mut().observe(now.since(asked_at), now);
        }
        match (self.sent, self.leads) {
            (false, _) => "",
            (true, true) => "won",
            (true, false) => "lost",
        }
    }
}

impl Exchange<'_> {
    /// Whether another answer may still come.
    pub(super) fn awaits_another(&self) -> bool {
        self.hedge.as_ref().is_some_and(|hedge| hedge.is_out())
    }

    /// Nothing moves with the one in the lead: sends the second request when it is time, and listens to it. True if it
    /// has taken the lead.
    pub(super) fn look_aside(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let Some(hedge) = self.hedge.as_deref_mut() else { return false };
            match &mut hedge.second {
                Second::No => return false,
                // It has begun to answer.
                Second::Later(_) | Second::Connecting(_) if self.heard => hedge.second = Second::No,
                Second::Later(sleep) => {
                    let delay = hedge.delay.unwrap_or_default();
                    let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(delay)));
                    if sleep.as_mut().poll(cx).is_pending() {
                        return false;
                    }
                    hedge.second = Second::No;
                    self.ask_another();
                }
                Second::Connecting(connecting) => match connecting.as_mut().poll(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(None) => hedge.second = Second::No,
                    Poll::Ready(Some(up)) => {
                        let mut bytes = self.client.sent.bytes.clone();
                        mark_again(&mut bytes);
                        hedge.sent = true;
                        let (sent, asked_at) = (Output { bytes, at: 0 }, SystemClock.now());
                        hedge.second = Second::Out(Box::new(Leg { up, sent, asked_at }));
                        self.worker.gauges.decided.hedged(&self.pool.key, |hedges| hedges.sent += 1);
                    }
                },
                Second::Out(_) if self.heard => return false,
                Second::Out(leg) => match leg.listen(cx, self.worker) {
                    Poll::Pending => return false,
                    Poll::Ready(true) => {
                        self.change_places();
                        self.heard = true;
                        return true;
                    }
                    Poll::Ready(false) => {
                        let Second::Out(leg) = std::mem::replace(&mut hedge.second, Second::No) else {
                            continue;
                        };
                        self.settle_for(&leg.up, Verdict::Lost, leg.asked_at);
                    }
                },
            }
        }
    }

    /// Begins a connection to another instance, if there is one and nothing speaks against it.
    fn ask_another(&mut self) {
        let (Some(hedge), Some(up)) = (self.hedge.as_deref_mut(), &self.up) else { return };
        let now = SystemClock.now();
        let worker = self.worker;
        let tried = [&self.tried[..], std::slice::from_ref(&up.flight.0)].concat();
        // Those that have left meanwhile get nothing more.
        let table = worker.table();
        let fits =
            |e: &Rc<LocalEndpoint>| !tried.iter().any(|t| Rc::ptr_eq(t, e)) && !e.state.is_avoided(now);
        let present = table.pool(&self.pool.key).and_then(|pool| {
            let picked = pool.pick(&tried, now, (None, &mut worker.rng.borrow_mut()))?;
            fits(&picked).then(|| (pool.clone(), picked))
        });
        let Some((pool, endpoint)) = present else {
            return worker.gauges.decided.hedged(&self.pool.key, |hedges| hedges.alone += 1);
        };
        let closed = |breaker: &RefCell<_>| {
            let breaker: &resilience::breaker::Breaker = &breaker.borrow();
            breaker.position() == Position::Closed
        };
        let sight = Sight {
            safe: true,
            breaker_closed: self.pool.breaker.as_ref().is_none_or(|breaker| closed(breaker)),
            load: self.pool.gate.as_ref().map_or(0.0, |gate| gate.load()),
        };
        match hedge.hedger.borrow_mut().fire(sight) {
            Ok(()) => {}
            Err(NoHedge::BudgetSpent) => {
                return worker.gauges.decided.hedged(&self.pool.key, |hedges| hedges.unpaid += 1);
            }
            Err(NoHedge::Busy | NoHedge::BreakerOpen | NoHedge::Unsafe) => {
                return worker.gauges.decided.hedged(&self.pool.key, |hedges| hedges.busy += 1);
            }
        }
        let ends = self.client.ends();
        hedge.second = Second::Connecting(Box::pin(second(worker.clone(), pool, endpoint, ends)));
    }

    /// The other one takes the lead, and the lead waits behind it.
    fn change_places(&mut self) {
        let Some(hedge) = self.hedge.as_deref_mut() else { return };
        let (Second::Out(leg), Some(up)) = (&mut hedge.second, &mut self.up) else { return };
        std::mem::swap(up, &mut leg.up);
        std::mem::swap(&mut self.client.sent, &mut leg.sent);
        std::mem::swap(&mut self.asked_at, &mut leg.asked_at);
        hedge.leads = !hedge.leads;
        self.up_deaf = false;
        self.untouched = false;
        self.scanned = 0;
    }

    /// What came of the one in the lead is no good: true if the other goes on for it.
    pub(super) fn falls_back(&mut self, end: &End) -> bool {
        if self.stage != Stage::Head || !self.awaits_another() {
            return false;
        }
        match end {
            // It was judged by its head.
            End::Elsewhere => {}
            End::Cut => self.judge(Verdict::Lost),
            End::Refuse(refusal) if [Refusal::GONE, Refusal::BAD_ANSWER].contains(refusal) => {
                self.judge(Verdict::Lost);
            }
            End::Refuse(_) | End::Abort | End::Torn | End::Done | End::Switched => return false,
        }
        self.change_places();
        self.heard = false;
        let hedge = self.hedge.as_deref_mut();
        if let Some(Second::Out(leg)) = hedge.map(|hedge| std::mem::replace(&mut hedge.second, Second::No)) {
            leg.up.flight.0.state.retried(self.worker.index);
            self.tried.push(leg.up.flight.0.clone());
        }
        true
    }

    fn settle_for(&self, up: &Upstream, verdict: Verdict, asked_at: Instant) {
        let now = SystemClock.now();
        let times = (now.since(asked_at), now);
        self.pool.settle(&up.flight.0, verdict, times, &mut self.worker.rng.borrow_mut());
    }
}

impl Leg {
    /// Writes what is left and reads once: true when something has come, false when nothing will.
    fn listen(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<bool> {
        while !self.sent.is_flushed() {
            match Pin::new(&mut self.up.stream).poll_write(cx, self.sent.pending()) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => self.sent.at += count,
                // An answer may have been sent before the connection was closed: the read decides.
                Poll::Ready(Err(_)) => self.sent.at = self.sent.bytes.len(),
            }
        }
        let Upstream { stream, input, .. } = &mut self.up;
        input
            .poll_fill(cx, stream, &worker.buffers, RESPONSE_HEAD_BYTES)
            .map(|read| read.is_ok_and(|count| count > 0))
    }
}

/// A connection for a second request: one that rests, or one attempt at a new one.
async fn second(
    worker: Rc<Worker>,
    pool: Rc<LocalPool>,
    endpoint: Rc<LocalEndpoint>,
    ends: (SocketAddr, SocketAddr),
) -> Option<Upstream> {
    let kept = match pool.http2 {
        true => endpoint.take_stream(&worker),
        // A connection that was made for one client is no other's.
        false if pool.policy.proxy_protocol.is_some() => None,
        false => endpoint.take_idle(worker.watches.now(), worker.settings.upstream_idle, false),
    };
    if kept.is_some() {
        return kept;
    }
    let made = connect_once(&endpoint, &worker.settings).await?;
    let made = introduce(&pool, made, Some(ends)).await.ok()?;
    dress(&worker, &pool, made).await.ok()
}

#[cfg(test)]
mod tests;
