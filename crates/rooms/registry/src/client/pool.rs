//! Connections that wait for the next call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use hyper::client::conn::http1::SendRequest;

use super::transport::{Origin, Payload};

/// So many wait for each origin; more are closed.
const IDLE: usize = 8;

/// So long one waits: servers close theirs after about a minute.
const WAITS: Duration = Duration::from_secs(30);

/// A connection, and since when it waits.
type Idle = (SendRequest<Payload>, Instant);

/// Connections without a call under way, by where they lead.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
}

impl Pool {
    /// A connection that still stands, as far as we know.
    pub(super) fn take(&self, origin: &Origin) -> Option<SendRequest<Payload>> {
        let now = SystemClock.now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, waiting| {
            waiting.retain(|(sender, since)| !sender.is_closed() && now.since(*since) < WAITS);
            !waiting.is_empty()
        });
        idle.get_mut(origin).and_then(Vec::pop).map(|(sender, _)| sender)
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn put(&self, origin: Origin, sender: SendRequest<Payload>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.entry(origin).or_default();
        if waiting.len() < IDLE && !sender.is_closed() {
            waiting.push((sender, SystemClock.now()));
        }
    }
}
