//! The listening sockets of an edge: those that it was handed, those that it opened, and a duplicate of each for the next.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use plan::traffic::Listener;

use crate::handover::{Handover, Place, Purpose, Sockets, TicketKeys};
use crate::listen::{self, Binding, ListenError};
use crate::worker::Socket;

/// Sockets by thread.
pub(super) type Dealt = Vec<Vec<(SocketAddr, Socket)>>;

/// An address with its sockets.
pub(super) type Opened = (SocketAddr, Vec<OwnedFd>);

/// All listening sockets.
pub(super) struct Listening {
    threads: usize,
    /// Handed over and not used yet.
    given: Sockets,
    /// Duplicates of those that are open.
    held: Sockets,
    /// Those of them that were bound ahead.
    ahead: BTreeSet<SocketAddr>,
    revision: u64,
}

impl Listening {
    /// For so many threads, from what the edge before had.
    pub(super) fn new(threads: usize, given: Sockets, revision: u64) -> Self {
        Self { threads, given, held: Sockets::new(), ahead: BTreeSet::new(), revision }
    }

    /// Grows when sockets are opened or closed.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Where the edge before listened for the same purpose and the same wish.
    pub(super) fn before(&self, purpose: Purpose, wanted: SocketAddr) -> Option<SocketAddr> {
        let fits = |place: &&Place| {
            place.purpose == purpose
                && place.address.ip() == wanted.ip()
                && (wanted.port() == 0 || place.address.port() == wanted.port())
        };
        self.given.keys().find(fits).map(|place| place.address)
    }

    /// The sockets of a place: those of the edge before, with all that waits in them, or new ones.
    ///
    /// None of them is closed here when there are more than threads: what waits in it would be lost.
    pub(super) fn open(&mut self, place: Place) -> Result<Opened, ListenError> {
        let port = place.address.port();
        let is_shared = port != 0 && self.ahead.iter().any(|ahead| Listener::bound(*ahead).port() == port);
        self.open_as(place, place.address, if is_shared { Binding::Shared } else { Binding::Alone })
    }

    /// The same for the address of a service, which the machine need not have yet, at the port behind it.
    pub(super) fn open_ahead(&mut self, place: Place) -> Result<Opened, ListenError> {
        let (_, sockets) = self.open_as(place, Listener::bound(place.address), Binding::Ahead)?;
        self.ahead.insert(place.address);
        Ok((place.address, sockets))
    }

    fn open_as(
        &mut self,
        place: Place,
        address: SocketAddr,
        binding: Binding,
    ) -> Result<Opened, ListenError> {
        let purpose = place.purpose;
        let given = self.given.remove(&place).unwrap_or_default();
        match (purpose, given.is_empty()) {
            (Purpose::Datagram, true) => Ok((address, vec![listen::datagrams(address)?.into()])),
            (Purpose::Datagram, false) => Ok((address, given)),
            (Purpose::Front | Purpose::Secure | Purpose::Stream, true) => {
                let (address, listeners) = listen::streams(address, self.threads, binding)?;
                Ok((address, listeners.into_iter().map(OwnedFd::from).collect()))
            }
            (Purpose::Front | Purpose::Secure | Purpose::Stream, false) => {
                let missing = self.threads.saturating_sub(given.len());
                let others = if binding == Binding::Alone { Binding::Shared } else { binding };
                let more = listen::further(address, missing, others)?;
                Ok((address, given.into_iter().chain(more.into_iter().map(OwnedFd::from)).collect()))
            }
        }
    }

    /// Keeps a duplicate of each socket and deals them out to the threads; `turn` is where the first goes.
    pub(super) fn deal(
        &mut self,
        purpose: Purpose,
        (address, sockets): Opened,
        dealt: &mut Dealt,
        turn: usize,
    ) -> Result<(), ListenError> {
        let failed = |source| ListenError::Failed { address, transport: "TCP", source };
        let copies = sockets.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>().map_err(failed)?;
        self.held.insert(Place { purpose, address }, copies);
        self.revision += 1;
        for (at, socket) in sockets.into_iter().enumerate() {
            let socket = match purpose {
                Purpose::Front => Socket::Front(TcpListener::from(socket)),
                Purpose::Secure => Socket::Secure(TcpListener::from(socket)),
                Purpose::Stream => Socket::Stream(TcpListener::from(socket)),
                Purpose::Datagram => Socket::Datagram(UdpSocket::from(socket), Vec::new()),
            };
            dealt[(turn + at) % self.threads].push((address, socket));
        }
        Ok(())
    }

    /// Lets go of published ports that the threads have closed or will close.
    pub(super) fn close(&mut self, gone: &[(SocketAddr, bool)]) {
        for (address, udp) in gone {
            let purpose = if *udp { Purpose::Datagram } else { Purpose::Stream };
            self.held.remove(&Place { purpose, address: *address });
            self.ahead.remove(address);
            self.revision += 1;
        }
    }

    /// Lets go of what was handed over and is not needed.
    pub(super) fn forget_rest(&mut self) {
        self.given.clear();
    }

    /// Lets go of everything.
    pub(super) fn leave(&mut self) {
        self.given.clear();
        self.held.clear();
    }

    /// What the next edge needs.
    pub(super) fn handover(&self, tickets: Vec<TicketKeys>) -> io::Result<Handover> {
        let copy = |(place, sockets): (&Place, &Vec<OwnedFd>)| {
            let copies = sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<Vec<_>>>();
            copies.map(|copies| (*place, copies))
        };
        let sockets = self.held.iter().map(copy).collect::<io::Result<_>>()?;
        Ok(Handover { revision: self.revision, sockets, tickets })
    }
}
