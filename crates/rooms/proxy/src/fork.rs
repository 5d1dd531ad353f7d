//! Where requests for a service go beside it: to the sides of its split, and as copies to its mirror.
//!
//! A pool whose service asks for neither has no [`Fork`], which costs its requests one look. The side is drawn once, when
//! the head is read; from there on the request is one of that side's pool, with its bounds and its instances, and stays
//! there when it is repeated. Where none of the side's instances takes it, it goes to another side.

mod copy;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Clock, Instant, Rng, ServiceName, SystemClock};
use plan::traffic::Pool;
use resilience::split::{self, Drawn};
use spec::{MatchBy, Sticky};

use crate::balance;
use crate::head::Field;
use crate::head::request::{Method, RequestHead};
use crate::local::{LocalPool, LocalTable};
use crate::rules::Incoming;
use crate::table::PoolKey;
use crate::worker::Worker;
use copy::Shadow;

pub(crate) use copy::CopySums;

/// The cookie by which clients stay at their side.
const COOKIE: &str = "sea-side";

/// What a pool's service wants beside its own instances.
pub(crate) struct Fork {
    pub(crate) sides: Option<Sides>,
    pub(crate) shadow: Option<Arc<Shadow>>,
}

/// The sides of a split.
pub(crate) struct Sides {
    split: split::Split,
    pub(crate) list: Vec<Side>,
    matches: Vec<SideMatch>,
    sticky: Sticky,
}

/// One side.
pub(crate) struct Side {
    pub(crate) service: ServiceName,
    pub(crate) pool: PoolKey,
    pub(crate) weight: u32,
    pub(crate) counts: Arc<SideCounts>,
}

/// What a side got, over all threads and tables.
#[derive(Default)]
pub(crate) struct SideCounts {
    taken: AtomicU64,
    fell: AtomicU64,
}

impl SideCounts {
    /// Requests that went to it, and those of its own that went to others.
    pub(crate) fn sums(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.fell.load(Ordering::Relaxed))
    }
}

struct SideMatch {
    by: MatchBy,
    value: Option<String>,
    side: usize,
}

/// Where a request goes, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) side: usize,
    /// The side whose request it is, if that has no instance that takes it.
    pub(crate) instead_of: Option<usize>,
    pub(crate) why: Why,
    /// What it is drawn by.
    point: u64,
}

/// Why a request belongs to its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// By the match with this number.
    Match(usize),
    /// By chance, each time anew.
    Chance,
    /// By a cookie of ours that it brought.
    Cookie,
    /// By one that it is given now: the place that it stands for.
    Given(u16),
    /// By the address of its client.
    Client,
    /// By what a field or cookie of it says.
    Value,
}

/// What is still to be known of a request that came to a fork.
pub(crate) struct Forked {
    fork: Arc<Fork>,
    /// Where it goes, if there are sides.
    taken: Option<Taken>,
    /// Sides that had no instance for it.
    left: Vec<usize>,
    /// The line that has its client come to the same side again.
    line: Vec<u8>,
    /// It may be copied.
    copyable: bool,
}

impl Fork {
    /// The fork of a pool, if its service wants one, or what is wrong with it. What was counted in the one before goes on.
    pub(crate) fn of(key: &PoolKey, pool: &Pool, before: Option<&Self>) -> Result<Option<Arc<Self>>, String> {
        if pool.policy.split.is_none() && pool.policy.mirror.is_none() {
            return Ok(None);
        }
        let sides =
            pool.policy.split.as_ref().map(|split| Sides::of(key, pool, split, before)).transpose()?;
        let shadow = pool.policy.mirror.as_ref().map(|mirror| {
            let known = before.and_then(|before| before.shadow.as_deref());
            Shadow::of((&key.0, &pool.mirror), &pool.service, mirror, known)
        });
        Ok(Some(Arc::new(Self { sides, shadow })))
    }
}

impl Sides {
    fn of(key: &PoolKey, pool: &Pool, split: &spec::Split, before: Option<&Fork>) -> Result<Self, String> {
        let before = before.and_then(|before| before.sides.as_ref());
        let mut list = Vec::with_capacity(split.sides.len());
        for (service, side) in &split.sides {
            // The one without a pool of its own is the service that is split.
            let own = || key.clone();
            let pool = pool.sides.get(service).map_or_else(own, |pool| (key.0.clone(), pool.clone()));
            let known = before.and_then(|before| before.list.iter().find(|side| side.service == *service));
            let counts = known.map(|side| side.counts.clone()).unwrap_or_default();
            list.push(Side { service: service.clone(), pool, weight: side.weight, counts });
        }
        if list.iter().filter(|side| side.pool == *key).count() > 1 {
            return Err("a side of its split has no pool".into());
        }
        if list.iter().all(|side| side.weight == 0) {
            return Err("no side of its split has any weight".into());
        }
        let place = |service: &ServiceName| list.iter().position(|side| side.service == *service);
        let matches = split.matches.iter().map(|it| {
            let side = place(&it.to).ok_or_else(|| format!("`{}` is no side of its split", it.to))?;
            Ok::<_, String>(SideMatch { by: it.by.clone(), value: it.value.clone(), side })
        });
        let matches = matches.collect::<Result<_, _>>()?;
        // The service's name is in it, so that clients are not at the new side of every service at once.
        let key_of =
            |side: &Side| balance::key(&[pool.service.as_bytes(), b"\0", side.service.as_str().as_bytes()]);
        let split_up =
            split::Split::new(list.iter().map(|side| split::Side { key: key_of(side), weight: side.weight }));
        Ok(Self { split: split_up, matches, sticky: split.sticky.clone(), list })
    }

    /// Where a request goes; `usable` says which sides have an instance that takes it.
    pub(crate) fn take(
        &self,
        (client, fields, buf): (IpAddr, &[Field], &[u8]),
        usable: impl Fn(usize) -> bool,
        rng: &mut Rng,
    ) -> Taken {
        let (point, why) = self.point(client, fields, buf, rng);
        let matched = self.matches.iter().position(|it| it.fits(fields, buf));
        if let Some(at) = matched {
            let side = self.matches[at].side;
            let why = Why::Match(at);
            let own = Taken { side, instead_of: None, why, point };
            if usable(side) {
                return own;
            }
            let other = self.split.draw(point, &usable).filter(|drawn| usable(drawn.side));
            return other.map_or(own, |drawn| Taken { side: drawn.side, instead_of: Some(side), ..own });
        }
        let own = Drawn { side: 0, instead_of: None };
        let Drawn { side, instead_of } = self.split.draw(point, usable).unwrap_or(own);
        Taken { side, instead_of, why, point }
    }

    /// What a request is drawn by.
    fn point(&self, client: IpAddr, fields: &[Field], buf: &[u8], rng: &mut Rng) -> (u64, Why) {
        let value = match &self.sticky {
            Sticky::No => return (rng.next_u64(), Why::Chance),
            Sticky::Edge => {
                let brought = cookie(fields, buf, COOKIE).and_then(read_place);
                let place = brought.unwrap_or_else(|| rng.next_u64() as u16);
                let why = if brought.is_some() { Why::Cookie } else { Why::Given(place) };
                return (balance::key(&[b"place", &place.to_be_bytes()]), why);
            }
            Sticky::Client => None,
            Sticky::Header(name) => header(fields, buf, name).next(),
            Sticky::Cookie(name) => cookie(fields, buf, name),
        };
        match value {
            Some(value) => (balance::key(&[b"value", value]), Why::Value),
            None => (balance::of_address(client), Why::Client),
        }
    }

    /// Where a request would go, and why. Where that is by chance it is the side that gets most.
    pub(crate) fn explain(
        &self,
        request: (IpAddr, &[Field], &[u8]),
        usable: impl Fn(usize) -> bool,
    ) -> (&Side, String) {
        let taken = self.take(request, &usable, &mut Rng::seeded(0));
        let shown = |side: usize| {
            let percent = (self.split.share(side) * 1000.0).round() / 10.0;
            format!("`{}` {percent} %", self.list[side].service)
        };
        let shares = (0..self.list.len()).map(shown).collect::<Vec<_>>().join(", ");
        let name = |side: usize| &self.list[side].service;
        let likely = || {
            let weights = (0..self.list.len()).filter(|side| self.list[*side].weight > 0 && usable(*side));
            weights.max_by_key(|side| self.list[*side].weight).unwrap_or(taken.side)
        };
        let own = name(taken.instead_of.unwrap_or(taken.side));
        let why = match taken.why {
            Why::Match(at) => format!("to `{own}` by {}", self.shown_match(at)),
            Why::Chance => {
                let side = &self.list[likely()];
                return (side, format!("by chance, of {shares}; to `{}` here", side.service));
            }
            Why::Given(_) => {
                let side = &self.list[likely()];
                let stays = format!("by chance, of {shares}, to stay there by the cookie `{COOKIE}`");
                return (side, format!("{stays}; to `{}` here", side.service));
            }
            Why::Cookie => format!("to `{own}` by its cookie `{COOKIE}`, of {shares}"),
            Why::Client => format!("to `{own}` by the client's address, of {shares}"),
            Why::Value => format!("to `{own}` by its {}, of {shares}", self.shown_key()),
        };
        let fell = || format!("; that has no instance that takes requests, so to `{}`", name(taken.side));
        let fell = taken.instead_of.map_or_else(String::new, |_| fell());
        (&self.list[taken.side], why + &fell)
    }

    /// What the match with this number looks for, for people.
    fn shown_match(&self, at: usize) -> String {
        let SideMatch { by, value, side: _ } = &self.matches[at];
        let value = value.as_ref().map_or_else(String::new, |value| format!(": {value}"));
        match by {
            MatchBy::Header(name) => format!("header `{name}{value}`"),
            MatchBy::Cookie(name) => format!("cookie `{name}{value}`"),
        }
    }

    /// By what clients stay, for people.
    fn shown_key(&self) -> String {
        match &self.sticky {
            Sticky::No | Sticky::Client => "the client's address".into(),
            Sticky::Edge => format!("cookie `{COOKIE}`"),
            Sticky::Header(name) => format!("header `{name}`"),
            Sticky::Cookie(name) => format!("cookie `{name}`"),
        }
    }
}

impl SideMatch {
    fn fits(&self, fields: &[Field], buf: &[u8]) -> bool {
        let is = |have: &[u8]| self.value.as_ref().is_none_or(|value| have == value.as_bytes());
        match &self.by {
            MatchBy::Header(name) => header(fields, buf, name).any(is),
            MatchBy::Cookie(name) => cookie(fields, buf, name).is_some_and(is),
        }
    }
}

/// The values of the fields of this name.
fn header<'a>(fields: &'a [Field], buf: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = move |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes());
    fields.iter().filter(named).map(move |field| field.value.of(buf))
}

/// The value of the first cookie of this name.
pub(crate) fn cookie<'a>(fields: &'a [Field], buf: &'a [u8], name: &'a str) -> Option<&'a [u8]> {
    header(fields, buf, "cookie").flat_map(|value| value.split(|c| *c == b';')).find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

/// The place that a cookie of ours stands for: four hexadecimal digits, as we write them. So few, and no number that is
/// one client's alone, because it need not know who somebody is.
fn read_place(value: &[u8]) -> Option<u16> {
    let digits = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    let text = std::str::from_utf8(value).ok().filter(|_| value.len() == 4 && value.iter().all(digits))?;
    u16::from_str_radix(text, 16).ok()
}

/// Where a request of this pool goes; the pool itself, and nothing more to be known, where its service asks for no fork.
pub(crate) fn take(
    worker: &Worker,
    table: &LocalTable,
    pool: Rc<LocalPool>,
    (asked, secure): (&Incoming<'_>, bool),
) -> (Rc<LocalPool>, Option<Box<Forked>>) {
    let Some(fork) = pool.fork.clone() else { return (pool, None) };
    let mut forked = Box::new(Forked {
        taken: None,
        left: Vec::new(),
        line: Vec::new(),
        copyable: is_copyable(asked.head, asked.buf),
        fork,
    });
    let Some(sides) = &forked.fork.sides else { return (pool, Some(forked)) };
    let now = SystemClock.now();
    let usable = |side: usize| sides.is_usable(side, table, now);
    let request = (asked.client, asked.fields, asked.buf);
    let taken = sides.take(request, usable, &mut worker.rng.borrow_mut());
    if let Why::Given(place) = taken.why {
        let secure = if secure { "; Secure" } else { "" };
        let line = format!("set-cookie: {COOKIE}={place:04x}; Path=/; HttpOnly; SameSite=Lax{secure}\r\n");
        forked.line = line.into_bytes();
    }
    let side = &sides.list[taken.side];
    side.counts.taken.fetch_add(1, Ordering::Relaxed);
    if let Some(own) = taken.instead_of {
        sides.list[own].counts.fell.fetch_add(1, Ordering::Relaxed);
    }
    // One that the table does not have has no instances either: requests that are all for it are held.
    let pool = table.pool(&side.pool).cloned().unwrap_or_else(|| LocalPool::emptied(&side.pool, now));
    forked.taken = Some(taken);
    (pool, Some(forked))
}

/// Whether a copy of a request can do no harm: it is for looking only, and all of it is in its head.
pub(crate) fn is_copyable(head: &RequestHead, buf: &[u8]) -> bool {
    let looks = match head.kind {
        Method::Get | Method::Head => true,
        Method::Idempotent => head.method.of(buf) == b"OPTIONS",
        Method::Once => false,
    };
    let bare = !head.framing.chunked && head.framing.length.is_none_or(|length| length == 0);
    looks && bare && head.upgrade.is_none() && !head.expects_continue
}

impl Sides {
    /// Whether a side has an instance that takes requests at this moment.
    fn is_usable(&self, side: usize, table: &LocalTable, now: Instant) -> bool {
        table.pool(&self.list[side].pool).is_some_and(|pool| pool.takes_requests(now))
    }
}

impl Forked {
    /// The same for a fetch on behalf of the request and others: it may fall to another side, and is copied as the request
    /// would be.
    pub(crate) fn for_fetch(&self) -> Box<Self> {
        Box::new(Self {
            fork: self.fork.clone(),
            taken: self.taken,
            left: self.left.clone(),
            line: Vec::new(),
            copyable: self.copyable,
        })
    }

    /// The line of the answer that has the client come to the same side again.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The side that a request goes to when its own has no instance for it, if there is one that it has not been to.
    fn another(&self, worker: &Worker, now: Instant) -> Option<Taken> {
        let (sides, taken) = (self.fork.sides.as_ref()?, self.taken?);
        let table = worker.table();
        let usable = |side: usize| {
            side != taken.side && !self.left.contains(&side) && sides.is_usable(side, &table, now)
        };
        let drawn = sides.split.draw(taken.point, usable).filter(|drawn| usable(drawn.side))?;
        Some(Taken { side: drawn.side, instead_of: taken.instead_of.or(Some(taken.side)), ..taken })
    }

    /// Whether a request that its side has no instance for is better off elsewhere.
    pub(crate) fn has_another(&self, worker: &Worker, now: Instant) -> bool {
        self.another(worker, now).is_some()
    }

    /// The pool of another side, for a request that its own has no instance for.
    pub(crate) fn fall(&mut self, worker: &Worker, now: Instant) -> Option<Rc<LocalPool>> {
        let (other, from) = (self.another(worker, now)?, self.taken?);
        let sides = self.fork.sides.as_ref()?;
        let (side, left) = (&sides.list[other.side], &sides.list[from.side]);
        let pool = worker.table().pool(&side.pool).cloned()?;
        left.counts.taken.fetch_sub(1, Ordering::Relaxed);
        side.counts.taken.fetch_add(1, Ordering::Relaxed);
        if from.instead_of.is_none() {
            left.counts.fell.fetch_add(1, Ordering::Relaxed);
        }
        self.left.push(from.side);
        self.taken = Some(other);
        Some(pool)
    }

    /// Sends a copy of a request whose head stands ready, if it is one that is copied.
    pub(crate) fn copy(&mut self, worker: &Rc<Worker>, head: &[u8]) {
        if let Some(shadow) = self.fork.shadow.as_ref().filter(|_| self.copyable) {
            // Once, also where it is repeated.
            self.copyable = false;
            shadow.copy(worker, head);
        }
    }
}

#[cfg(test)]
mod tests;
