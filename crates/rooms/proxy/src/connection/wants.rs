//! What requests want of their service's cache, and what a connection has to say for them there.

use std::rc::Rc;

use base::{Clock, SystemClock};
use spec::EdgePolicy;

use super::{Client, Facts, came_by_https};
use crate::buffer::Output;
use crate::cache::{Done, Incoming, Wanted};
use crate::exchange::{Body, Question};
use crate::head::Field;
use crate::head::request::{Method, RequestHead};
use crate::local::LocalPool;
use crate::rules::Care;
use crate::stick::Brought;

/// What a request wants of the pool's cache, if there is one; `sent` is its head as an instance would see it.
pub(super) fn of(
    pool: &LocalPool,
    facts: &Facts,
    (care, sent): (Option<&Care>, &Output),
    (head, fields, buf): (&RequestHead, &[Field], &[u8]),
) -> Option<Box<Wanted>> {
    let cache = pool.cache.as_ref()?;
    let rewrite = care.and_then(|care| care.onward());
    let asked = Incoming {
        head,
        fields,
        buf,
        secure: facts.secure || came_by_https(facts, fields, buf),
        trusted: facts.trusted,
        known: !facts.presented.is_empty() || care.is_some_and(|care| care.asks().is_some()),
        onward: (target_of(&sent.bytes), rewrite.map_or(&[], |rewrite| rewrite.lines())),
    };
    Some(Wanted::of(cache, &asked))
}

/// The target in the first line of a head of ours.
fn target_of(head: &[u8]) -> &[u8] {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    line.split(|c| *c == b' ').nth(1).unwrap_or_default()
}

impl Client {
    /// Notes for the log what the cache did for the request.
    pub(crate) fn note_cache(&mut self, done: Done) {
        self.entry.cache = done.name();
    }

    /// What is known of it by its connection.
    pub(crate) fn facts(&self) -> Rc<Facts> {
        self.facts.clone()
    }
}

impl Question {
    /// That of a request of the edge's own to a service with this policy, in the place of this one.
    pub(crate) fn own(self, policy: &EdgePolicy) -> Self {
        let began = SystemClock.now();
        Self {
            method: Method::Get,
            old: false,
            keep: true,
            takes_trailers: true,
            body: Body::NONE,
            began,
            patient: false,
            limit: policy.request.map(|time| began + time),
            key: self.key,
            hurried: false,
            denied: None,
            rank: self.rank,
            // Who answers it answers for all.
            brought: Brought::Nothing,
            hedgeable: self.hedgeable,
        }
    }
}
