//! A request that may be answered with what is kept, or with the answer to another's request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, SystemClock};

use super::Exchange;
use crate::buffer::Input;
use crate::cache::{self, Done, Kept, Led, Look, Noted, Order, Told, Turn, Waiting, Wanted};
use crate::head::request;
use crate::local::{Flight, LocalEndpoint, Upstream};
use crate::refusal::Refusal;
use crate::stream::Stream;

/// A request looks again when what it waited for is not for it; after so often it goes its own way.
const LOOKS: usize = 3;

impl Exchange<'_> {
    /// Finds an answer that need not be asked for by this request; false if it goes its own way. Whoever comes here has been
    /// let in.
    pub(super) async fn consult_cache(&mut self, mut wanted: Box<Wanted>) -> Result<bool, Refusal> {
        let found = match wanted.passes() {
            Some(why) => Err(why),
            None => self.seek(&mut wanted).await?,
        };
        if let Err(why) = found {
            wanted.note_passed(why);
        }
        self.client.note_cache(match found {
            Ok(done) => done,
            Err(_) => Done::Passed,
        });
        self.client.wanted = Some(wanted);
        Ok(found.is_ok())
    }

    async fn seek(&mut self, wanted: &mut Wanted) -> Result<Result<Done, &'static str>, Refusal> {
        let cache = wanted.cache.clone();
        let mut fields = Vec::new();
        for _ in 0..LOOKS {
            let buf = &self.client.sent.bytes;
            if request::parse(buf, &mut fields).is_err() {
                return Ok(Err("unread"));
            }
            let down = !self.pool.takes_requests(SystemClock.now());
            match cache.look(wanted, (&fields, buf), down) {
                Look::Alone(why) => return Ok(Err(why)),
                Look::Refuse => return Err(Refusal::ONLY_IF_CACHED),
                Look::Serve { kept, how, renew } => {
                    if let Some(led) = renew {
                        cache.counts.note(Done::Renewed);
                        let order = self.order(led, Some(kept.clone()));
                        cache::begin(self.worker, wanted, order, false);
                    }
                    return Ok(Ok(self.give(wanted, &kept, how, (None, false))));
                }
                Look::Lead(led, before) => return self.fetch(wanted, led, before).await.map(Ok),
                Look::Follow(waiting) => match self.follow(&cache, waiting).await? {
                    Turn::Alone => return Ok(Err("not-shared")),
                    Turn::Lead(led) => return self.fetch(wanted, led, None).await.map(Ok),
                    Turn::Refused(refusal, marked) => {
                        self.marked.set(marked);
                        cache.counts.note(Done::Joined);
                        return Err(refusal);
                    }
                    Turn::Take(kept) => {
                        let buf = &self.client.sent.bytes;
                        if kept.fits(wanted, (&fields, buf)) {
                            return Ok(Ok(self.give(wanted, &kept, Done::Joined, (None, false))));
                        }
                    }
                },
            }
        }
        Ok(Err("vary"))
    }

    /// Waits for the answer to another's request.
    async fn follow(&mut self, cache: &Arc<cache::Cache>, mut waiting: Waiting) -> Result<Turn, Refusal> {
        // Waiting has its own timer.
        self.client.watched.within(Duration::from_secs(3600));
        let left = self.question.limit.map(|limit| limit.since(SystemClock.now()));
        let time = left.map_or(cache.wait(), |left| left.min(cache.wait()));
        match tokio::time::timeout(time, &mut waiting.turn).await {
            Ok(turn) => Ok(turn.unwrap_or(Turn::Alone)),
            Err(_) if left.is_some_and(|left| left <= cache.wait()) => Err(Refusal::SLOW_ANSWER),
            Err(_) => Ok(Turn::Alone),
        }
    }

    /// Has an answer fetched and waits for it.
    async fn fetch(
        &mut self,
        wanted: &mut Wanted,
        led: Led,
        before: Option<Arc<Kept>>,
    ) -> Result<Done, Refusal> {
        let is_stale = before.is_some();
        let order = self.order(led, before);
        let told = cache::begin(self.worker, wanted, order, true).expect("somebody waits");
        self.client.watched.within(Duration::from_secs(3600));
        let told = match self.question.limit {
            None => told.await,
            Some(limit) => match tokio::time::timeout(limit.since(SystemClock.now()), told).await {
                Ok(told) => told,
                Err(_) => return Err(Refusal::SLOW_ANSWER),
            },
        };
        match told {
            Ok(Told::There { kept, status, on_error }) => {
                let how = match (on_error, is_stale) {
                    (true, _) => Done::OnError,
                    (false, true) if status == Some(304) => Done::Confirmed,
                    (false, _) => Done::Miss,
                };
                Ok(self.give(wanted, &kept, how, (status, is_stale)))
            }
            Ok(Told::Comes { outlet, stored }) => {
                let noted = Noted { done: Done::Miss, status: None, ttl: None, was_stale: is_stale, stored };
                wanted.note(noted);
                self.read_from(Stream::Outlet(Box::new(outlet)));
                Ok(Done::Miss)
            }
            Ok(Told::Refused(refusal, marked)) => {
                self.marked.set(marked);
                wanted.cache.counts.note(Done::Miss);
                Err(refusal)
            }
            // The thread is ending.
            Err(_) => Err(Refusal::GONE),
        }
    }

    fn order(&self, led: Led, before: Option<Arc<Kept>>) -> Order {
        Order {
            led,
            before,
            request: self.client.sent.bytes.clone(),
            pool: self.pool.clone(),
            question: self.question,
            forked: self.client.forked.as_ref().map(|forked| forked.for_fetch()),
            facts: self.client.facts(),
        }
    }

    /// Answers with what is there.
    fn give(
        &mut self,
        wanted: &mut Wanted,
        kept: &Arc<Kept>,
        done: Done,
        (status, was_stale): (Option<u16>, bool),
    ) -> Done {
        let now = SystemClock.now();
        let ttl = kept.ttl(now);
        let stored = matches!(done, Done::Miss | Done::Confirmed) && ttl.is_some();
        wanted.note(Noted { done, status, ttl, was_stale, stored });
        self.read_from(Stream::Outlet(Box::new(kept.outlet(wanted, now))));
        done
    }

    /// Has this in the place of a connection to an instance.
    fn read_from(&mut self, stream: Stream) {
        let cache = self.pool.cache.as_ref().expect("only pools with a cache come here");
        let nobody: Rc<LocalEndpoint> = LocalEndpoint::new(cache.nobody(), self.worker.index);
        self.client.sent.clear();
        // It has been asked already, or need not be.
        self.replayable = false;
        self.up = Some(Upstream { stream, input: Input::default(), flight: Flight::begin(&nobody) });
        self.touch();
    }
}
