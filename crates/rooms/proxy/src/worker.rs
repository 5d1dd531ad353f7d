//! One thread of the edge: its runtime, its view of the table, and the connections that it serves.

mod accept;
mod gauges;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Clock, Rng, SystemClock};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::access_log::Line;
use crate::buffer::Buffers;
use crate::head::Field;
use crate::http2::Seats;
use crate::limits::Settings;
use crate::local::{LocalEndpoint, LocalTable};
use crate::refusal::Refusal;
use crate::table::Table;
use crate::watch::Watches;

pub(crate) use gauges::Gauges;

/// What the control thread asks of a worker.
pub(crate) enum Command {
    /// Go by this table, with these listeners opened before and these closed after.
    Table {
        table: Arc<Table>,
        open: Vec<(SocketAddr, Socket)>,
        close: Vec<(SocketAddr, bool)>,
        done: oneshot::Sender<()>,
    },
    /// Accept nothing more, and end when the last request has ended.
    Drain,
}

/// A listening socket that a worker is given.
pub(crate) enum Socket {
    /// The edge's own HTTP address.
    Front(TcpListener),
    /// The edge's own HTTPS address.
    Secure(TcpListener),
    /// A published TCP port.
    Stream(TcpListener),
    /// A published UDP port.
    Datagram(UdpSocket),
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) buffers: Buffers,
    pub(crate) watches: Rc<Watches>,
    /// The fields of the head that is being read; heads are read and written on without a pause.
    pub(crate) fields: RefCell<Vec<Field>>,
    /// A datagram on its way back to a client.
    pub(crate) datagram: RefCell<Vec<u8>>,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) budget: Budget,
    pub(crate) draining: Cell<bool>,
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
    table: RefCell<Rc<LocalTable>>,
    accepting: RefCell<BTreeMap<(SocketAddr, bool), Rc<Notify>>>,
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
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
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
        worker.gauges.connections.store(worker.watches.count() as u64, Ordering::Relaxed);
        worker.table().sweep(worker.watches.now(), worker.settings.upstream_idle);
        worker.log.borrow_mut().flush();
    }
}

impl Worker {
    fn new(plan: Plan) -> Rc<Self> {
        let table = LocalTable::build(plan.table, plan.index, None, SystemClock.now());
        Rc::new(Self {
            index: plan.index,
            settings: plan.settings,
            buffers: Buffers::default(),
            watches: Watches::new(),
            fields: RefCell::default(),
            datagram: RefCell::new(vec![0; 65_535]),
            rng: RefCell::new(Rng::from_kernel()),
            budget: Budget::new(),
            draining: Cell::new(false),
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
        while let Some(command) = commands.recv().await {
            match command {
                Command::Table { table, open, close, done } => {
                    self.take(table);
                    open.into_iter().for_each(|(address, socket)| self.open(address, socket));
                    close.iter().for_each(|key| self.close(*key));
                    // The control thread may have gone; the table is in force all the same.
                    let _ = done.send(());
                }
                Command::Drain => break,
            }
        }
        self.drain().await;
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
        let udp = matches!(socket, Socket::Datagram(_));
        let before = self.accepting.borrow_mut().insert((address, udp), stop.clone());
        if let Some(before) = before {
            before.notify_one();
        }
        tokio::task::spawn_local(accept::listen(self.clone(), address, socket, stop));
    }

    fn close(&self, key: (SocketAddr, bool)) {
        if let Some(stop) = self.accepting.borrow_mut().remove(&key) {
            stop.notify_one();
        }
    }

    /// Accepts nothing more and waits for what is under way, within the grace.
    async fn drain(&self) {
        self.draining.set(true);
        for (_, stop) in std::mem::take(&mut *self.accepting.borrow_mut()) {
            stop.notify_one();
        }
        self.watches.wake_resting();
        let all_gone = async {
            // The accept loops take in what the kernel has accepted for us, and then those connections begin.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            while self.watches.count() > 0 {
                self.left.notified().await;
                self.watches.wake_resting();
            }
        };
        let _ = tokio::time::timeout(self.settings.grace, all_gone).await;
        self.log.borrow_mut().flush();
    }
}
