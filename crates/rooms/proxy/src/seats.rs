//! Tasks that serve one client after the other, be it a connection or a stream of HTTP/2: to make one for each would cost
//! as much as to read its head.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::connection::{self, Client, Entrance};
use crate::limits::SEATS;
use crate::refusal::Refusal;
use crate::worker::Worker;

/// A client to be served.
pub(crate) struct Job {
    pub(crate) client: Client,
    /// What its head deserves, where that was read already.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) entrance: Entrance,
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
    /// Has a task serve the client.
    pub(crate) fn serve(&self, worker: &Rc<Worker>, job: Job) {
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

    /// Whether the task may wait for the next client.
    fn rest(&self, seat: &Rc<Seat>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < SEATS;
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
        let Job { client, refusal, entrance } = job.await;
        match refusal {
            Some(refusal) => Box::pin(client.refuse(&worker, refusal)).await,
            None => connection::converse(&worker, client, entrance, None).await,
        }
        worker.left.notify_one();
        if !worker.seats.rest(&seat) {
            return;
        }
    }
}
