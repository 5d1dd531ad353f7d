//! What was asked and what came of it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// More failures than these are counted, and not told.
const KEPT: usize = 10_000;

/// What counts as one: a question with its answer, a message with its echo, an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http1,
    Http2,
    Message,
    Event,
    Download,
}

/// All of them, in the order of the report.
pub(crate) const KINDS: [(Kind, &str); 5] = [
    (Kind::Http1, "requests over HTTP/1.1"),
    (Kind::Http2, "requests over HTTP/2"),
    (Kind::Message, "messages over WebSockets"),
    (Kind::Event, "events of streams"),
    (Kind::Download, "downloads, read slowly"),
];

/// Something that did not come as it should.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) cause: String,
    /// Who had begun to answer, where that is known.
    pub(crate) instance: Option<String>,
    /// What came was not what was asked for: nobody's crash excuses that.
    pub(crate) wrong: bool,
}

/// Why one request failed, before it is known when.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) cause: String,
    pub(crate) instance: Option<String>,
    pub(crate) wrong: bool,
}

impl Fault {
    /// The connection or the edge said no.
    pub(crate) fn broken(cause: impl ToString) -> Self {
        Self { cause: cause.to_string(), instance: None, wrong: false }
    }

    /// The same within an answer of this instance.
    pub(crate) fn torn(instance: &str, cause: impl ToString) -> Self {
        Self { cause: cause.to_string(), instance: Some(instance.into()), wrong: false }
    }

    pub(crate) fn wrong(cause: impl ToString) -> Self {
        Self { cause: cause.to_string(), instance: None, wrong: true }
    }
}

/// The counts of a run.
#[derive(Default)]
pub(crate) struct Book {
    done: [Cell<u64>; 5],
    slowest: [Cell<Duration>; 5],
    failures: RefCell<Vec<Failure>>,
    untold: Cell<u64>,
    /// Requests that the edge said it had not begun, and that were sent again.
    again: Cell<u64>,
    /// WebSockets and event streams that were opened.
    sessions: Cell<u64>,
    next: Cell<u64>,
    over: Cell<bool>,
}

fn add(cell: &Cell<u64>) -> u64 {
    cell.set(cell.get() + 1);
    cell.get()
}

impl Book {
    /// The number of the next request.
    pub(crate) fn number(&self) -> u64 {
        add(&self.next)
    }

    /// One has come as it should.
    pub(crate) fn good(&self, kind: Kind, began: Instant) {
        add(&self.done[kind as usize]);
        let slowest = &self.slowest[kind as usize];
        slowest.set(slowest.get().max(began.elapsed()));
    }

    pub(crate) fn failed(&self, kind: Kind, began: Instant, fault: Fault) {
        let mut failures = self.failures.borrow_mut();
        if failures.len() == KEPT {
            add(&self.untold);
            return;
        }
        let Fault { cause, instance, wrong } = fault;
        failures.push(Failure { kind, began, ended: Instant::now(), cause, instance, wrong });
    }

    pub(crate) fn again(&self) {
        add(&self.again);
    }

    pub(crate) fn opened(&self) {
        add(&self.sessions);
    }

    /// Clients end with what they have begun.
    pub(crate) fn finish(&self) {
        self.over.set(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// All that was asked and has an outcome.
    pub(crate) fn total(&self) -> u64 {
        let good: u64 = self.done.iter().map(Cell::get).sum();
        good + self.failures.borrow().len() as u64 + self.untold.get()
    }

    pub(crate) fn good_of(&self, kind: Kind) -> (u64, Duration) {
        (self.done[kind as usize].get(), self.slowest[kind as usize].get())
    }

    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.failures.borrow().clone()
    }

    /// Failures that were not kept, repetitions by the protocol, sessions.
    pub(crate) fn rest(&self) -> (u64, u64, u64) {
        (self.untold.get(), self.again.get(), self.sessions.get())
    }
}
