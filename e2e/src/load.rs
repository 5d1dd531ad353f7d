//! An open-loop client: requests leave at their times whether or not earlier ones were answered.
//!
//! Three of four requests go over connections that are kept, every fourth over one of its own. What is not the app's
//! own answer is kept with the moment at which it came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Answer, Connection};

/// So many requests may be under way at once.
const WORKERS: usize = 48;
/// So many failures are kept in words.
const KEPT: usize = 20;

/// What is asked, how often, and what an answer of the app looks like.
#[derive(Clone)]
pub struct Order {
    /// Where the edge answers.
    pub address: SocketAddr,
    /// For which host.
    pub host: String,
    /// Requests a second.
    pub rate: u64,
    /// Whether an answer is the app's own.
    pub own: fn(&Answer) -> bool,
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Requests that were sent.
    pub sent: u64,
    /// Answers of the app.
    pub own: u64,
    /// Other answers.
    pub foreign: u64,
    /// Connections that were refused, reset, ended early or silent for too long.
    pub broken: u64,
    /// Requests that left more than a second late, because all before them hung: the client's own weakness.
    pub late: u64,
    /// The first failures in words.
    pub told: Vec<String>,
    /// The longest time from a request's moment to its answer.
    pub slowest: Duration,
}

impl Tally {
    /// Fails the test unless every request was answered by the app.
    #[track_caller]
    pub fn lost_nothing(&self) {
        let Self { sent, own, foreign, broken, .. } = self;
        assert!(
            *foreign == 0 && *broken == 0 && sent == own && *sent > 0,
            "of {sent} requests {own} were answered by the app, {foreign} by somebody else, {broken} broke:\n  {}",
            self.told.join("\n  ")
        );
    }
}

/// Requests under way.
pub struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    order: Order,
    begin: Instant,
    next: AtomicU64,
    over: AtomicBool,
    tally: Mutex<Tally>,
}

impl Load {
    /// Begins.
    pub fn begin(order: Order) -> Self {
        let shared = Arc::new(Shared {
            order,
            begin: Instant::now(),
            next: AtomicU64::new(0),
            over: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        let worker = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.work())
        };
        let workers = (0..WORKERS).map(worker).collect();
        Self { shared, workers }
    }

    /// What came of it so far.
    pub fn so_far(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// Ends, once all that was sent is answered.
    pub fn end(self) -> Tally {
        self.shared.over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            assert!(worker.join().is_ok(), "a client of the load panicked");
        }
        self.shared.tally().clone()
    }
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn work(&self) {
        let mut kept = None;
        while !self.over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.begin + Duration::from_micros(number * 1_000_000 / self.order.rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let late = due.elapsed() > Duration::from_secs(1);
            let outcome = match number % 4 {
                0 => self.ask(&mut None),
                _ => self.ask(&mut kept),
            };
            self.count(outcome, due, late);
        }
    }

    /// Over this connection, or a new one that takes its place.
    fn ask(&self, connection: &mut Option<Connection>) -> std::io::Result<Answer> {
        let mut taken = match connection.take() {
            Some(open) => open,
            None => Connection::open(self.order.address)?,
        };
        let answer = taken.get(&self.order.host, "/")?;
        if !answer.closes() {
            *connection = Some(taken);
        }
        Ok(answer)
    }

    fn count(&self, outcome: std::io::Result<Answer>, due: Instant, late: bool) {
        let mut tally = self.tally();
        tally.sent += 1;
        tally.late += u64::from(late);
        tally.slowest = tally.slowest.max(due.elapsed());
        let told = match outcome {
            Ok(answer) if (self.order.own)(&answer) => {
                tally.own += 1;
                return;
            }
            Ok(answer) => {
                tally.foreign += 1;
                format!("{} {:?} {}", answer.status, answer.headers, answer.body.trim())
            }
            Err(error) => {
                tally.broken += 1;
                error.to_string()
            }
        };
        if tally.told.len() < KEPT {
            tally.told.push(format!("{:.3} s: {told}", self.begin.elapsed().as_secs_f64()));
        }
    }
}
