//! Published UDP ports: datagrams of each client go to one instance, and its datagrams go back.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use base::Instant;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::handover::Talk;
use crate::limits::UDP_SESSIONS;
use crate::local::{Flight, LocalEndpoint};
use crate::worker::Worker;

/// The largest datagram that IP can carry.
const DATAGRAM_BYTES: usize = 65_535;

/// One client and the instance that it was given.
struct Session {
    socket: Rc<UdpSocket>,
    endpoint: Rc<LocalEndpoint>,
    last: Rc<Cell<Instant>>,
    answers: AbortHandle,
}

impl Session {
    fn new(
        worker: &Rc<Worker>,
        client: SocketAddr,
        socket: UdpSocket,
        endpoint: Rc<LocalEndpoint>,
        front: &Rc<UdpSocket>,
    ) -> Self {
        let socket = Rc::new(socket);
        let last = Rc::new(Cell::new(worker.watches.now()));
        let answers = answers(worker.clone(), front.clone(), socket.clone(), client, last.clone());
        let flight = Flight::begin(&endpoint);
        let task = tokio::task::spawn_local(async move {
            let _flight = flight;
            answers.await;
        });
        Self { socket, endpoint, last, answers: task.abort_handle() }
    }

    /// What another edge needs to go on with it.
    fn talk(&self, port: SocketAddr, client: SocketAddr) -> Option<(Talk, OwnedFd)> {
        let socket = rustix::io::fcntl_dupfd_cloexec(&*self.socket, 0).ok()?;
        let state = &self.endpoint.state;
        Some((Talk { port, client, instance: state.instance.clone(), address: state.address }, socket))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The task holds the flight, so the instance counts as at rest as soon as it is gone.
        self.answers.abort();
    }
}

/// Serves a UDP port until it is stopped, and gives its clients, whom another edge can take over.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    address: SocketAddr,
    socket: std::net::UdpSocket,
    talks: Vec<(Talk, OwnedFd)>,
    stop: Rc<Notify>,
) -> Vec<(Talk, OwnedFd)> {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => {
            tracing::error!(%address, %error, "could not listen on `{address}` (UDP)");
            return Vec::new();
        }
    };
    let mut sessions: HashMap<SocketAddr, Session> = HashMap::new();
    for (talk, own) in talks {
        if let Some(session) = resume(&worker, address, &talk, own, &socket).await {
            sessions.insert(talk.client, session);
        }
    }
    let mut buf = vec![0; DATAGRAM_BYTES];
    loop {
        let came = tokio::select! {
            biased;
            () = stop.notified() => break,
            () = worker.changed.notified() => None,
            () = tokio::time::sleep(worker.settings.udp_idle / 4) => None,
            came = socket.recv_from(&mut buf) => came.ok(),
        };
        let Some((count, client)) = came else {
            forget(&worker, address, &mut sessions);
            continue;
        };
        if !sessions.contains_key(&client)
            && sessions.len() < UDP_SESSIONS
            && let Some(session) = begin(&worker, address, client, &socket).await
        {
            sessions.insert(client, session);
        }
        if let Some(session) = sessions.get(&client) {
            session.last.set(worker.watches.now());
            // A full or refused datagram is lost, as datagrams are.
            let _ = session.socket.try_send(&buf[..count]);
        }
    }
    sessions.iter().filter_map(|(client, session)| session.talk(address, *client)).collect()
}

/// Drops the sessions that are silent for long or whose instance gets no new requests.
fn forget(worker: &Rc<Worker>, address: SocketAddr, sessions: &mut HashMap<SocketAddr, Session>) {
    let table = worker.table();
    let pool = table.shared.listeners.get(&(address, true)).map(|(_, pool)| table.pools[*pool].clone());
    let now = worker.watches.now();
    sessions.retain(|_, session| {
        let stays = pool.as_ref().is_some_and(|pool| {
            pool.endpoints.iter().any(|endpoint| Rc::ptr_eq(endpoint, &session.endpoint))
        });
        stays && now.since(session.last.get()) < worker.settings.udp_idle
    });
}

/// Gives a client an instance.
async fn begin(
    worker: &Rc<Worker>,
    address: SocketAddr,
    client: SocketAddr,
    front: &Rc<UdpSocket>,
) -> Option<Session> {
    let table = worker.table();
    let (_, pool) = table.shared.listeners.get(&(address, true)).copied()?;
    let now = worker.watches.now();
    let key = table.pools[pool].key_of_peer(client);
    let endpoint = table.pools[pool].pick(&[], now, (key, &mut worker.rng.borrow_mut()))?;
    let target = endpoint.state.address;
    let any: SocketAddr = if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(target).await.ok()?;
    // Here and below: the first write must not find the socket unregistered.
    socket.writable().await.ok()?;
    Some(Session::new(worker, client, socket, endpoint, front))
}

/// Goes on with a client of the edge before, by the socket that its instance knows.
async fn resume(
    worker: &Rc<Worker>,
    address: SocketAddr,
    talk: &Talk,
    socket: OwnedFd,
    front: &Rc<UdpSocket>,
) -> Option<Session> {
    let table = worker.table();
    let (_, pool) = table.shared.listeners.get(&(address, true)).copied()?;
    let known = |e: &&Rc<LocalEndpoint>| e.state.instance == talk.instance && e.state.address == talk.address;
    let endpoint = table.pools[pool].endpoints.iter().find(known)?.clone();
    let socket = UdpSocket::from_std(socket.into()).ok()?;
    socket.writable().await.ok()?;
    Some(Session::new(worker, talk.client, socket, endpoint, front))
}

/// Carries an instance's datagrams back to the client.
async fn answers(
    worker: Rc<Worker>,
    front: Rc<UdpSocket>,
    socket: Rc<UdpSocket>,
    client: SocketAddr,
    last: Rc<Cell<Instant>>,
) {
    loop {
        // Bytes are asked for only when there are some, so that a silent session holds no buffer.
        if socket.readable().await.is_err() {
            continue;
        }
        if relay(&worker, &front, &socket, client) {
            last.set(worker.watches.now());
        } else {
            // Nothing there, or the instance's port is closed: the client finds out by silence, as with UDP.
            tokio::task::yield_now().await;
        }
    }
}

/// Carries one datagram back if there is one.
fn relay(worker: &Worker, front: &UdpSocket, socket: &UdpSocket, client: SocketAddr) -> bool {
    let mut buf = worker.datagram.borrow_mut();
    let Ok(count) = socket.try_recv(&mut buf) else { return false };
    // A full socket loses it, as datagrams are lost.
    let _ = front.try_send_to(&buf[..count], client);
    true
}
