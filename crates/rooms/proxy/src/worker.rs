//! One thread of the edge: its runtime, its view of the table, and the connections that it serves.

mod accept;
mod gauges;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Clock, Rng, SystemClock};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::access_log::Line;
use crate::buffer::Buffers;
use crate::explain::{Circuit, Present};
use crate::handover::Talk;
use crate::head::Field;
use crate::limits::{LEAVING, Settings};
use crate::local::{LocalEndpoint, LocalTable};
use crate::places::Places;
use crate::refusal::Refusal;
use crate::seats::Seats;
use crate::table::{PoolKey, Table};
use crate::today::Today;
use crate::watch::Watches;

pub(crate) use gauges::{Decided, Gauges};

/// What the control thread asks of a worker.
pub(crate) enum Command {
    /// Go by this table, with these listeners opened before and these closed after.
    Table {
        table: Arc<Table>,
        open: Vec<(SocketAddr, Socket)>,
        close: Vec<(SocketAddr, bool)>,
        done: oneshot::Sender<()>,
    },
    /// Tell what this thread knows of a pool; nothing where it does not have it.
    Tell { key: PoolKey, told: oneshot::Sender<Option<Present>> },
    /// Accept nothing more, and end when the last request has ended; gives the clients of UDP ports.
    Leave { manner: Manner, done: oneshot::Sender<Vec<(Talk, OwnedFd)>> },
}

/// How a worker leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Another edge has taken over: clients that rest may ask once more, and what is under way has [`LEAVING`].
    Replaced,
    /// The same, but connections that rest are closed, as the present routes are not known here.
    Finishing,
    /// The end was wished for: connections that rest are closed after a last call, and what is under way has the grace.
    Told,
}

/// A listening socket that a worker is given.
pub(crate) enum Socket {
    /// The edge's own HTTP address.
    Front(TcpListener),
    /// The edge's own HTTPS address.
    Secure(TcpListener),
    /// A published TCP port.
    Stream(TcpListener),
    /// A published UDP port, and the clients that another edge had there.
    Datagram(UdpSocket, Vec<(Talk, OwnedFd)>),
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) buffers: Buffers,
    pub(crate) watches: Rc<Watches>,
    pub(crate) today: Today,
    /// The fields of the head that is being read; heads are read and written on without a pause.
    pub(crate) fields: RefCell<Vec<Field>>,
    /// A datagram on its way back to a client.
    pub(crate) datagram: RefCell<Vec<u8>>,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) budget: Budget,
    /// Nothing new is accepted, and what is answered says so.
    pub(crate) draining: Cell<bool>,
    /// Connections that rest are closed.
    pub(crate) clearing: Cell<bool>,
    /// The table has changed.
    pub(crate) changed: Notify,
    /// The instance that was picked for a request whose connection is still to be made.
    pub(crate) turn: RefCell<Option<Rc<LocalEndpoint>>>,
    pub(crate) log: RefCell<Line>,
    /// Connections that this thread may serve at once.
    pub(crate) most_connections: usize,
    /// A connection has ended, or the end has begun.
    pub(crate) left: Notify,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) seats: Seats,
    /// For handshakes of TLS.
    pub(crate) places: RefCell<Places>,
    table: RefCell<Rc<LocalTable>>,
    accepting: RefCell<BTreeMap<(SocketAddr, bool), Vec<Accepting>>>,
}

/// A loop that takes connections or datagrams from a socket.
struct Accepting {
    stop: Rc<Notify>,
    /// Gives the clients of a UDP port.
    task: JoinHandle<Vec<(Talk, OwnedFd)>>,
}

/// How many repetitions are allowed: a share of the requests, and a stock for bad moments.
pub(crate) struct Budget(Cell<f64>);

impl Budget {
    const MOST: f64 = 1000.0;
    /// One repetition for every five requests.
    const SHARE: f64 = 0.2;

    fn new() -> Self {
        Self(Cell::new(Self::MOST))
    }

    /// A request came.
    pub(crate) fn earn(&self) {
        self.0.set((self.0.get() + Self::SHARE).min(Self::MOST));
    }

    /// How many are left, and how many there can be.
    fn left(&self) -> (u32, u32) {
        (self.0.get() as u32, Self::MOST as u32)
    }

    /// Takes one repetition if there is one.
    pub(crate) fn spend(&self) -> bool {
        let left = self.0.get();
        if left >= 1.0 {
            self.0.set(left - 1.0);
        }
        left >= 1.0
    }
}

/// A place among the requests that wait for an instance.
pub(crate) struct Held(Rc<Worker>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.gauges.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a worker is made of.
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) table: Arc<Table>,
    pub(crate) log: Line,
    pub(crate) most_connections: usize,
    pub(crate) gauges: Arc<Gauges>,
}

/// Runs one worker until it has drained; the thread's main function.
pub(crate) fn run(plan: Plan, commands: mpsc::UnboundedReceiver<Command>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(Default::default())?;
    runtime.block_on(async move {
        let worker = Worker::new(plan);
        tokio::task::spawn_local(sweep(worker.clone()));
        worker.obey(commands).await;
    });
    Ok(())
}

/// Looks at all deadlines, idle connections and the log once a tick.
async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(worker.settings.tick).await;
        worker.watches.sweep();
        worker.today.look(SystemClock.wall());
        worker.gauges.connections.store(worker.watches.count() as u64, Ordering::Relaxed);
        worker.table().sweep(worker.watches.now(), worker.settings.upstream_idle);
        worker.log.borrow_mut().flush();
    }
}

/// Closes what rests after a last call.
async fn clear(worker: Rc<Worker>) {
    tokio::time::sleep(worker.settings.last_call).await;
    worker.clearing.set(true);
    worker.watches.wake_resting();
}

impl Worker {
    fn new(plan: Plan) -> Rc<Self> {
        let table = LocalTable::build(plan.table, plan.index, None, SystemClock.now());
        Rc::new(Self {
            index: plan.index,
            places: RefCell::new(Places::new(plan.settings.handshakes)),
            settings: plan.settings,
            buffers: Buffers::default(),
            watches: Watches::new(),
            today: Today::new(SystemClock.wall()),
            fields: RefCell::default(),
            datagram: RefCell::new(vec![0; 65_535]),
            rng: RefCell::new(Rng::from_kernel()),
            budget: Budget::new(),
            draining: Cell::new(false),
            clearing: Cell::new(false),
            changed: Notify::new(),
            turn: RefCell::default(),
            log: RefCell::new(plan.log),
            most_connections: plan.most_connections,
            left: Notify::new(),
            gauges: plan.gauges,
            seats: Seats::default(),
            table: RefCell::new(Rc::new(table)),
            accepting: RefCell::default(),
        })
    }

    /// The table as it is now.
    pub(crate) fn table(&self) -> Rc<LocalTable> {
        self.table.borrow().clone()
    }

    /// A place to wait for an instance, if there is one left.
    pub(crate) fn hold(self: &Rc<Self>) -> Result<Held, Refusal> {
        if self.gauges.held.load(Ordering::Relaxed) >= self.settings.held as u64 {
            return Err(Refusal::HELD_TOO_MANY);
        }
        self.gauges.held.fetch_add(1, Ordering::Relaxed);
        Ok(Held(self.clone()))
    }

    /// Does what the control thread says, until the end.
    async fn obey(self: &Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        // When the last request must have ended.
        let mut end: Option<Pin<Box<Sleep>>> = None;
        loop {
            let command = tokio::select! {
                biased;
                command = commands.recv() => command,
                () = self.emptied(&mut end), if self.draining.get() => break,
            };
            match command {
                Some(Command::Table { table, open, close, done }) => {
                    self.take(table);
                    open.into_iter().for_each(|(address, socket)| self.open(address, socket));
                    close.iter().for_each(|key| self.close(*key));
                    // The control thread may have gone; the table is in force all the same.
                    let _ = done.send(());
                }
                Some(Command::Tell { key, told }) => {
                    // Nobody need hear it.
                    let _ = told.send(self.present(&key));
                }
                Some(Command::Leave { manner, done }) => {
                    let talks = self.stop_accepting().await;
                    self.draining.set(true);
                    match manner {
                        Manner::Replaced => {}
                        Manner::Finishing => self.clearing.set(true),
                        Manner::Told => {
                            tokio::task::spawn_local(clear(self.clone()));
                        }
                    }
                    match (manner, &end) {
                        (Manner::Told, _) => end = Some(Box::pin(tokio::time::sleep(self.settings.grace))),
                        (_, None) => end = Some(Box::pin(tokio::time::sleep(LEAVING))),
                        (_, Some(_)) => {}
                    }
                    self.watches.wake_resting();
                    let _ = done.send(talks);
                }
                // The control thread has gone, and nobody can say anything any more.
                None => break,
            }
        }
        self.log.borrow_mut().flush();
    }

    /// What is in force for a pool on this thread.
    fn present(&self, key: &PoolKey) -> Option<Present> {
        let table = self.table();
        let pool = table.pool(key)?;
        let now = SystemClock.now();
        Some(Present {
            breaker: pool.breaker.as_ref().map(|breaker| Circuit::of(&breaker.borrow(), now)),
            delay: pool.hedger.as_ref().and_then(|hedger| hedger.borrow().delay()),
            retries: self.budget.left(),
        })
    }

    fn take(&self, table: Arc<Table>) {
        let old = self.table();
        let new = LocalTable::build(table, self.index, Some(&old), SystemClock.now());
        *self.table.borrow_mut() = Rc::new(new);
        self.turn.take();
        self.changed.notify_waiters();
    }

    fn open(self: &Rc<Self>, address: SocketAddr, socket: Socket) {
        let stop = Rc::new(Notify::new());
        let udp = matches!(socket, Socket::Datagram(..));
        let task = tokio::task::spawn_local(accept::listen(self.clone(), address, socket, stop.clone()));
        self.accepting.borrow_mut().entry((address, udp)).or_default().push(Accepting { stop, task });
    }

    fn close(&self, key: (SocketAddr, bool)) {
        for accepting in self.accepting.borrow_mut().remove(&key).into_iter().flatten() {
            accepting.stop.notify_one();
        }
    }

    /// Accepts nothing more but what the kernel has accepted for us; gives the clients of UDP ports.
    async fn stop_accepting(&self) -> Vec<(Talk, OwnedFd)> {
        let all = std::mem::take(&mut *self.accepting.borrow_mut());
        let mut talks = Vec::new();
        for accepting in all.into_values().flatten() {
            accepting.stop.notify_one();
            // A loop that panicked has no clients any more.
            talks.extend(accepting.task.await.unwrap_or_default());
        }
        talks
    }

    /// Waits until no connection is left, or until the end.
    async fn emptied(&self, end: &mut Option<Pin<Box<Sleep>>>) {
        let all_gone = async {
            // Connections that were taken in at last have to begin.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            while self.watches.count() > 0 {
                self.left.notified().await;
                self.watches.wake_resting();
            }
        };
        tokio::select! {
            () = all_gone => {}
            () = async {
                match end {
                    Some(end) => end.as_mut().await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}
