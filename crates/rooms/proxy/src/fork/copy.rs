//! Copies of requests for a service that sees them without answering anybody (a mirror, or shadow traffic).
//!
//! A copy is sent beside the request by a task of its own, which nobody waits for. It takes no place among the requests that
//! wait, never makes more than one attempt at a connection, and ends after a short time.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resilience::mirror::{Mirror, Policy, Skipped, Ticket};
use tokio::io::AsyncWrite;

use crate::chunk::{Decoder, Step};
use crate::exchange;
use crate::head;
use crate::head::response::{self, ResponseHead};
use crate::limits::{BUFFER_BYTES, COPY_ANSWER_BYTES, RESPONSE_HEAD_BYTES};
use crate::local::Upstream;
use crate::table::PoolKey;
use crate::worker::Worker;

/// Where copies of one pool's requests go.
pub(crate) struct Shadow {
    pub(crate) pool: PoolKey,
    /// The line that marks them.
    line: Box<[u8]>,
    /// How many of 10,000 requests are copied.
    pub(crate) of_10_000: u32,
    policy: Policy,
    copies: Arc<Copies>,
}

/// The copies that are under way, and what became of all of them, over all threads and tables.
#[derive(Default)]
struct Copies {
    mirror: Mutex<Mirror>,
    sent: AtomicU64,
    /// Answers by the first digit of their status, 1 to 5.
    classes: [AtomicU64; 5],
    lost: AtomicU64,
    skipped: AtomicU64,
}

/// What became of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CopySums {
    pub(crate) under_way: u32,
    /// Begun.
    pub(crate) sent: u64,
    /// Answers by the first digit of their status, 1 to 5.
    pub(crate) classes: [u64; 5],
    /// Without an answer in time.
    pub(crate) lost: u64,
    /// Left out, as too many were under way.
    pub(crate) skipped: u64,
}

impl Copies {
    /// A panic under the lock leaves counts as good as before.
    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the place back, however the copy ends.
struct UnderWay {
    copies: Arc<Copies>,
    ticket: Option<Ticket>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.copies.mirror().settle(ticket);
        }
    }
}

impl Shadow {
    pub(super) fn of(
        (owner, pool): (&str, &str),
        service: &str,
        mirror: &spec::Mirror,
        before: Option<&Self>,
    ) -> Arc<Self> {
        let pool = (owner.to_owned(), pool.to_owned());
        let copies = before.filter(|before| before.pool == pool).map(|before| before.copies.clone());
        Arc::new(Self {
            pool,
            line: format!("x-sea-mirror: {service}\r\n").into_bytes().into(),
            of_10_000: mirror.of_10_000,
            policy: Policy { share: f64::from(mirror.of_10_000) / 10_000.0, ..Policy::default() },
            copies: copies.unwrap_or_default(),
        })
    }

    pub(crate) fn sums(&self) -> CopySums {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Copies { mirror: _, sent, classes, lost, skipped } = &*self.copies;
        CopySums {
            under_way: self.copies.mirror().under_way(),
            sent: read(sent),
            classes: classes.each_ref().map(read),
            lost: read(lost),
            skipped: read(skipped),
        }
    }

    /// Copies a request with this head, if it is in the share and there is room.
    pub(super) fn copy(self: &Arc<Self>, worker: &Rc<Worker>, head: &[u8]) {
        let bytes = (head.len() + self.line.len()) as u64;
        let admitted = self.copies.mirror().admit(self.policy, bytes, &mut worker.rng.borrow_mut());
        let ticket = match admitted {
            Ok(ticket) => ticket,
            Err(Skipped::Share) => return,
            Err(Skipped::Busy) => return bump(&self.copies.skipped),
        };
        let under_way = UnderWay { copies: self.copies.clone(), ticket: Some(ticket) };
        bump(&self.copies.sent);
        // What stands ready is a head and nothing else.
        let mut request = Vec::with_capacity(head.len() + self.line.len());
        request.extend_from_slice(head.strip_suffix(b"\r\n").unwrap_or(head));
        request.extend_from_slice(&self.line);
        request.extend_from_slice(b"\r\n");
        let (worker, pool) = (worker.clone(), self.pool.clone());
        tokio::task::spawn_local(async move {
            let status = Cell::new(None);
            // An answer that does not end in time was one all the same.
            let _ = tokio::time::timeout(worker.settings.copy, talk(&worker, &pool, &request, &status)).await;
            let copies = &under_way.copies;
            let class = status.get().map(|status| usize::from(status / 100));
            bump(class.and_then(|class| copies.classes.get(class.checked_sub(1)?)).unwrap_or(&copies.lost));
        });
    }
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Sends a copy and reads its answer to the end; tells its status as soon as it is known. None if it came to nothing.
async fn talk(worker: &Rc<Worker>, pool: &PoolKey, request: &[u8], status: &Cell<Option<u16>>) -> Option<()> {
    let pool = worker.table().pool(pool)?.clone();
    let now = worker.watches.now();
    let endpoint = pool.pick(&[], now, (None, &mut worker.rng.borrow_mut()))?;
    let kept = endpoint.take_idle(now, worker.settings.upstream_idle, true);
    // A kept connection may end at the moment of its use, and what only looks may be asked twice.
    let first = match kept {
        Some(mut up) => ask(worker, &mut up, request).await.map(|head| (up, head)),
        None => None,
    };
    let (mut up, head) = match first {
        Some(done) => done,
        None => {
            let mut up = exchange::connect_once(&endpoint, &worker.settings).await?;
            let head = ask(worker, &mut up, request).await?;
            (up, head)
        }
    };
    status.set(Some(head.status));
    let whole = request.starts_with(b"HEAD ") || discard(worker, &mut up, &head).await;
    if whole && head.keeps() && up.input.is_empty() {
        up.input.rest(&worker.buffers);
        up.rest(worker.watches.now());
    }
    Some(())
}

/// Sends a copy over this connection; gives the head of the answer, which is taken from the input.
async fn ask(worker: &Worker, up: &mut Upstream, request: &[u8]) -> Option<ResponseHead> {
    let mut sent = 0;
    let write = poll_fn(|cx| {
        while sent < request.len() {
            match std::task::ready!(Pin::new(&mut up.stream).poll_write(cx, &request[sent..])) {
                Ok(0) => return io::Result::Err(io::ErrorKind::WriteZero.into()).into(),
                Ok(count) => sent += count,
                Err(error) => return Err(error).into(),
            }
        }
        Ok(()).into()
    });
    write.await.ok()?;
    let mut scanned = 0;
    loop {
        if head::head_end(up.input.filled(), &mut scanned).is_some() {
            let head = response::parse(up.input.filled(), &mut worker.fields.borrow_mut()).ok()?;
            up.input.consume(head.bytes);
            if !head.interim() {
                // Nobody asked for a tunnel.
                return Some(head).filter(|head| head.status != 101);
            }
            scanned = 0;
        } else if up.input.len() >= RESPONSE_HEAD_BYTES || !fill(worker, up, RESPONSE_HEAD_BYTES).await {
            return None;
        }
    }
}

/// Reads more of the answer; false at its end.
async fn fill(worker: &Worker, up: &mut Upstream, most: usize) -> bool {
    let read = poll_fn(|cx| up.input.poll_fill(cx, &mut up.stream, &worker.buffers, most));
    read.await.is_ok_and(|count| count > 0)
}

/// Drops the body of an answer; true if its end was seen and the connection goes on behind it. One that is long is not read
/// to its end.
async fn discard(worker: &Worker, up: &mut Upstream, head: &ResponseHead) -> bool {
    let mut decoder = Decoder::new();
    let mut left = match (head.status, head.framing.length) {
        (204 | 304, _) => Some(0),
        (_, length) => length.filter(|_| !head.framing.chunked),
    };
    let mut read = 0;
    loop {
        let here = up.input.len();
        let used = if let Some(left) = &mut left {
            let used = usize::try_from(*left).map_or(here, |left| left.min(here));
            *left -= used as u64;
            if *left == 0 {
                up.input.consume(used);
                return true;
            }
            used
        } else if head.framing.chunked {
            match decoder.step(up.input.filled()) {
                Ok(Step::More) => 0,
                Ok(Step::Done) => return true,
                Ok(Step::Framing(count) | Step::Data(count) | Step::Trailer(_, count)) => count,
                Err(_) => return false,
            }
        } else {
            here
        };
        up.input.consume(used);
        read += used as u64;
        if read > COPY_ANSWER_BYTES || (used == 0 && !fill(worker, up, BUFFER_BYTES).await) {
            return false;
        }
    }
}
