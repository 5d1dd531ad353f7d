//! Clients that stay with the instance that they were once sent to, by a cookie of ours.
//!
//! The cookie holds the mark of the instance: a hash under a secret that lies in the edge's folder, so that it says nothing,
//! nobody can make one up, and every thread and every edge after this one knows it again. Nothing is remembered. Who
//! brings none is sent where balancing sends him and gets one; who brings one of an instance that is gone, ejected or
//! takes no connections is sent elsewhere and gets a new one. While the instance asks for a short pause the client makes
//! a detour, and keeps what he has: see `resilience::balance::sticky`.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Instant;
use resilience::balance::sticky::{Affinity, CookieValue, Unbound};
use spec::EdgePolicy;

use crate::fork::cookie;
use crate::head::Field;
use crate::local::{LocalEndpoint, LocalPool};
use crate::worker::Worker;

/// What a pool's service wants.
pub(crate) struct Stick {
    wanted: spec::Stick,
    pub(crate) name: String,
    counts: StickCounts,
}

/// Answers to requests, by what became of the bond of their client.
#[derive(Default)]
struct StickCounts {
    stayed: AtomicU64,
    bound: AtomicU64,
    moved: AtomicU64,
    detours: AtomicU64,
}

/// What a request brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Brought {
    #[default]
    Nothing,
    /// Something that we do not write.
    Garbled,
    Value([u8; 16]),
}

impl Brought {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Nothing => None,
            Self::Garbled => Some(b""),
            Self::Value(value) => Some(value),
        }
    }
}

impl Stick {
    /// What a pool's service wants; what was counted before goes on.
    pub(crate) fn of(policy: &EdgePolicy, service: &str, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let wanted = policy.stick.as_ref()?;
        let service = service.split_once('/').map_or(service, |(_, name)| name);
        let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let usual = || format!("sea-at-{}", service.chars().map(fits).collect::<String>());
        let name = wanted.cookie.clone().unwrap_or_else(usual);
        let known = before.filter(|before| before.wanted == *wanted && before.name == name).cloned();
        Some(known.unwrap_or_else(|| {
            Arc::new(Self { wanted: wanted.clone(), name, counts: StickCounts::default() })
        }))
    }

    /// What a request brings.
    pub(crate) fn read(&self, fields: &[Field], buf: &[u8]) -> Brought {
        match cookie(fields, buf, &self.name).map(<[u8; 16]>::try_from) {
            None => Brought::Nothing,
            Some(Err(_)) => Brought::Garbled,
            Some(Ok(value)) => Brought::Value(value),
        }
    }

    /// How many stayed, were bound for the first time, moved for good, and made a detour.
    pub(crate) fn sums(&self) -> [u64; 4] {
        let StickCounts { stayed, bound, moved, detours } = &self.counts;
        [stayed, bound, moved, detours].map(|count| count.load(Ordering::Relaxed))
    }

    /// The line that binds a client to the instance with this mark.
    fn line(&self, mark: u64, secure: bool) -> Vec<u8> {
        let mut line = format!("set-cookie: {}=", self.name);
        line.push_str(CookieValue::of(mark).as_str());
        line.push_str("; Path=/; HttpOnly; SameSite=Lax");
        if secure {
            line.push_str("; Secure");
        }
        if let Some(age) = self.wanted.max_age {
            line.push_str(&format!("; Max-Age={}", age.as_secs()));
        }
        line.push_str("\r\n");
        line.into_bytes()
    }
}

/// The instance that a client is bound to, if it takes requests.
pub(crate) fn own_instance(
    worker: &Worker,
    pool: &LocalPool,
    brought: &Brought,
    now: Instant,
) -> Option<Rc<LocalEndpoint>> {
    if pool.stick.is_none() || *brought == Brought::Nothing {
        return None;
    }
    match affinity(worker, pool, brought, now) {
        Affinity::Stay(place) => Some(pool.endpoints[place].clone()),
        Affinity::Detour | Affinity::Bind(_) => None,
    }
}

fn affinity(worker: &Worker, pool: &LocalPool, brought: &Brought, now: Instant) -> Affinity {
    let rng = &mut worker.rng.borrow_mut();
    pool.balance.borrow_mut().affinity(&pool.endpoints, brought.bytes(), now, rng)
}

/// The line of an answer of this instance that binds its client, if he is not bound to it.
pub(crate) fn bind(
    worker: &Worker,
    pool: &LocalPool,
    (brought, secure): (&Brought, bool),
    answered: &Rc<LocalEndpoint>,
    now: Instant,
) -> Option<Vec<u8>> {
    let stick = pool.stick.as_ref()?;
    let mark = answered.state.mark;
    let stays = *brought == Brought::Value(CookieValue::of(mark).as_bytes().try_into().ok()?);
    let (count, binds) = match affinity(worker, pool, brought, now) {
        _ if stays => (&stick.counts.stayed, false),
        Affinity::Detour => (&stick.counts.detours, false),
        Affinity::Bind(Unbound::New | Unbound::Garbled) => (&stick.counts.bound, true),
        // One that failed this very request is no better for the next.
        Affinity::Stay(_) | Affinity::Bind(Unbound::Gone | Unbound::Out) => (&stick.counts.moved, true),
    };
    count.fetch_add(1, Ordering::Relaxed);
    binds.then(|| stick.line(mark, secure))
}

#[cfg(test)]
mod tests;
