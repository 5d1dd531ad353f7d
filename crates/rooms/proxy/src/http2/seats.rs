//! Tasks that serve one stream after the other: to make one for each stream would cost as much as to read its head.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::Lane;
use crate::connection::{self, Client, Entrance, Facts};
use crate::limits::H2_SEATS;
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::worker::Worker;

/// A stream to be served.
pub(super) struct Job {
    pub(super) lane: Lane,
    /// What its head deserves.
    pub(super) refusal: Option<Refusal>,
    pub(super) facts: Rc<Facts>,
    pub(super) entrance: Entrance,
}

/// A thread's tasks that have nothing to do.
#[derive(Default)]
pub(crate) struct Seats {
    idle: RefCell<Vec<Rc<Seat>>>,
}

#[derive(Default)]
struct Seat {
    job: RefCell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
}

impl Seats {
    /// Has a task serve the stream.
    pub(super) fn serve(&self, worker: &Rc<Worker>, job: Job) {
        let free = self.idle.borrow_mut().pop();
        match free {
            Some(seat) => {
                seat.job.replace(Some(job));
                if let Some(waker) = &*seat.waker.borrow() {
                    waker.wake_by_ref();
                }
            }
            None => {
                let seat = Rc::new(Seat { job: RefCell::new(Some(job)), ..Seat::default() });
                tokio::task::spawn_local(work(worker.clone(), seat));
            }
        }
    }

    /// Whether the task may wait for the next stream.
    fn rest(&self, seat: &Rc<Seat>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < H2_SEATS;
        if room {
            idle.push(seat.clone());
        }
        room
    }
}

async fn work(worker: Rc<Worker>, seat: Rc<Seat>) {
    loop {
        let job = poll_fn(|cx| match seat.job.take() {
            Some(job) => Poll::Ready(job),
            None => {
                // It is the same task for ever, so once is enough.
                seat.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
                Poll::Pending
            }
        });
        let Job { lane, refusal, facts, entrance } = job.await;
        let client = Client::with(&worker, Stream::Lane(Box::new(lane)), facts);
        match refusal {
            Some(refusal) => client.refuse(&worker, refusal).await,
            None => connection::converse(&worker, client, entrance, None).await,
        }
        worker.left.notify_one();
        if !worker.seats.rest(&seat) {
            return;
        }
    }
}
