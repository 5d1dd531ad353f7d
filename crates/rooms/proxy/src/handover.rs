//! What an edge hands to the next: its listening sockets, its UDP clients, and the keys of its tickets.
//!
//! Sockets go over the control socket as themselves, not as addresses to be opened again: connections that the kernel
//! has accepted and nobody has taken yet wait in them.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use base::ContainerId;
use plan::tls::ClientCertificates;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Sockets that go with one byte; the kernel takes 253.
const BATCH: usize = 200;
/// Sockets that are taken at once; more is no handover but an attack or a mistake.
const MOST: usize = 1 << 20;

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// The edge's own HTTP address.
    Front,
    /// The edge's own HTTPS address.
    Secure,
    /// A published TCP port.
    Stream,
    /// A published UDP port.
    Datagram,
}

/// An address and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) purpose: Purpose,
    pub(crate) address: SocketAddr,
}

/// Listening sockets by place: as many as threads share it.
pub(crate) type Sockets = BTreeMap<Place, Vec<OwnedFd>>;

/// A handover without the sockets themselves, which follow it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Inventory {
    /// Grows when sockets are opened or closed.
    pub(crate) revision: u64,
    /// Each place with the number of its sockets, in the order in which they follow.
    pub(crate) places: Vec<(Place, usize)>,
    #[serde(default)]
    pub(crate) tickets: Vec<TicketKeys>,
}

/// A handover.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    pub(crate) revision: u64,
    pub(crate) sockets: Sockets,
    pub(crate) tickets: Vec<TicketKeys>,
}

/// Keys of tickets for clients of which this is demanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketKeys {
    pub(crate) clients: Option<ClientCertificates>,
    /// From the newest to the oldest.
    pub(crate) keys: Vec<TicketKey>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketKey {
    pub(crate) name: [u8; 16],
    pub(crate) secret: [u8; 32],
    /// When it was made, in seconds since 1970.
    pub(crate) made_secs: u64,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

/// A client of a UDP port, and the instance that it was given; the socket to it follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Talk {
    /// The published address.
    pub(crate) port: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) instance: ContainerId,
    /// Where the instance listens.
    pub(crate) address: SocketAddr,
}

impl Handover {
    pub(crate) fn inventory(&self) -> Inventory {
        let places = self.sockets.iter().map(|(place, sockets)| (*place, sockets.len()));
        Inventory { revision: self.revision, places: places.collect(), tickets: self.tickets.clone() }
    }

    /// All sockets in the order of the inventory.
    pub(crate) fn in_order(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.values().flatten().map(AsFd::as_fd).collect()
    }

    /// Takes what follows an inventory.
    pub(crate) async fn receive(stream: &UnixStream, inventory: Inventory) -> io::Result<Self> {
        let count = inventory.places.iter().fold(0usize, |sum, (_, count)| sum.saturating_add(*count));
        let mut all = receive(stream, count).await?.into_iter();
        let mut sockets = Sockets::new();
        for (place, count) in inventory.places {
            sockets.entry(place).or_default().extend(all.by_ref().take(count));
        }
        Ok(Self { revision: inventory.revision, sockets, tickets: inventory.tickets })
    }
}

/// Sends sockets, which the other side gets as its own.
pub(crate) async fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in sockets.chunks(BATCH) {
        stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
                let mut along = SendAncillaryBuffer::new(&mut space);
                along.push(SendAncillaryMessage::ScmRights(batch));
                sendmsg(stream, &[IoSlice::new(b"s")], &mut along, SendFlags::NOSIGNAL)?;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// Takes so many sockets.
pub(crate) async fn receive(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    if count > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many sockets"));
    }
    let mut all = Vec::new();
    while all.len() < count {
        let batch = stream.async_io(Interest::READABLE, || receive_batch(stream)).await?;
        if batch.is_empty() {
            // The kernel leaves out what this process has no room for.
            return Err(io::Error::other("sockets were announced that did not come"));
        }
        all.extend(batch);
    }
    Ok(all)
}

fn receive_batch(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    // One byte and no more: what follows belongs to the next batch or frame.
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    let mut batch = Vec::new();
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            batch.extend(sockets);
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests;
