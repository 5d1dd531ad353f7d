//! The clients: each asks, waits for the answer, looks at it, and asks again.

mod http1;
mod http2;
mod sessions;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base::Rng;
use tokio::task::{JoinHandle, spawn_local as local};

use crate::book::{Book, Fault};

/// Longer than this nothing may take that is not a download or a session.
const PATIENCE: Duration = Duration::from_secs(30);
/// Clients of each kind, and streams of each connection in HTTP/2.
const HTTP1: u64 = 20;
const LANES: u64 = 4;
const STREAMS: u64 = 6;
const SOCKETS: u64 = 12;
const QUIET_SOCKETS: u64 = 6;
const EVENT_STREAMS: u64 = 16;
const DOWNLOADS: u64 = 3;

/// What all of them know.
pub(crate) struct World {
    pub(crate) book: Book,
    pub(crate) edge: SocketAddr,
    /// Sessions by the instance that they are with.
    sessions: RefCell<BTreeMap<String, usize>>,
}

impl World {
    pub(crate) fn new(edge: SocketAddr) -> Self {
        Self { book: Book::default(), edge, sessions: RefCell::default() }
    }

    /// How many sessions this instance has.
    pub(crate) fn sessions(&self, instance: &str) -> usize {
        self.sessions.borrow().get(instance).copied().unwrap_or(0)
    }

    /// One more, as long as this is held.
    fn session(&self, instance: &str) -> Session<'_> {
        *self.sessions.borrow_mut().entry(instance.into()).or_default() += 1;
        Session { world: self, instance: instance.into() }
    }
}

/// A session with an instance.
struct Session<'a> {
    world: &'a World,
    instance: String,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut sessions = self.world.sessions.borrow_mut();
        if let Some(count) = sessions.get_mut(&self.instance) {
            *count -= 1;
        }
    }
}

/// Begins all of them.
pub(crate) fn begin(world: &Rc<World>, seed: u64) -> Vec<JoinHandle<()>> {
    let mut seeds = Rng::seeded(seed);
    let mut rng = || Rng::seeded(seeds.next_u64());
    let mut all = Vec::new();
    all.extend((0..HTTP1).map(|_| local(http1::ask(world.clone(), rng()))));
    for _ in 0..LANES {
        let lane = Rc::new(http2::Lane::default());
        all.extend((0..STREAMS).map(|_| local(http2::ask(world.clone(), lane.clone(), rng()))));
    }
    all.extend((0..SOCKETS).map(|_| local(sessions::sockets(world.clone(), rng(), false))));
    all.extend((0..QUIET_SOCKETS).map(|_| local(sessions::sockets(world.clone(), rng(), true))));
    all.extend((0..EVENT_STREAMS).map(|_| local(sessions::events(world.clone(), rng()))));
    all.extend((0..DOWNLOADS).map(|_| local(sessions::downloads(world.clone(), rng()))));
    all
}

/// A question of the kinds that have a body of moderate size.
struct Ask {
    id: u64,
    path: String,
    /// What is sent with it.
    body: Option<&'static [u8]>,
    /// What has to come back.
    wanted: &'static [u8],
    /// In HTTP/1.1: the body goes in chunks, and the connection ends with this one.
    chunked: bool,
    close: bool,
}

impl Ask {
    fn draw(world: &World, rng: &mut Rng) -> Self {
        let id = world.book.number();
        let (kind, length) = match rng.below(100) {
            0..70 => ("plain", rng.below(300)),
            70..72 => ("plain", 10_000 + rng.below(50_000)),
            72..84 => ("pieces", rng.below(6000)),
            _ => ("echo", rng.below(3000)),
        };
        let wanted = crate::pattern::piece(id, length as usize);
        let body = (kind == "echo").then_some(wanted);
        let path = format!("/{kind}/{id}?n={length}");
        Self { id, path, body, wanted, chunked: rng.chance(0.3), close: rng.chance(0.02) }
    }

    /// Whether this is the answer to this question.
    fn check(&self, (status, id): (u16, Option<u64>), instance: &str, body: &[u8]) -> Result<(), Fault> {
        if id.is_none() {
            return Err(Fault::broken(format!("the edge answered {status} {instance}")));
        }
        if status == 200 && id == Some(self.id) && body == self.wanted {
            return Ok(());
        }
        Err(Fault::wrong(format!("to {} came {status} for {id:?} with {} bytes", self.path, body.len())))
    }
}
