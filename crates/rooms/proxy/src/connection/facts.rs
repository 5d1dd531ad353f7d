//! What is known of a client by its connection.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use plan::tls::ClientCertificates;

use crate::forward;
use crate::local::LocalTable;
use crate::stream::Stream;
use crate::watch::Holder;
use crate::worker::Worker;

/// The beginning of the line that tells instances of a client's address.
const FORWARDED_FOR: &[u8] = b"x-forwarded-for: ";
/// An address that nobody asks for, or that is not known any more.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What is known of a client by its connection.
pub(crate) struct Facts {
    /// The address that it came to, once somebody has asked.
    local: Cell<Option<SocketAddr>>,
    /// Addresses of services, by where they are listened on; none where no service has any.
    between: Option<Arc<BTreeMap<SocketAddr, SocketAddr>>>,
    /// Its own, with its port and without it.
    pub(super) from: SocketAddr,
    pub(super) address: IpAddr,
    /// It is a proxy of ours.
    pub(super) trusted: bool,
    /// The lines that tell instances of it, and how long its address is, with which the first of them ends.
    pub(super) forwarded: Vec<u8>,
    peer: usize,
    /// The one of them that tells of its certificate.
    pub(super) presented: Vec<u8>,
    /// It came over TLS, and this was demanded of it there.
    pub(super) secure: bool,
    pub(super) clients: Option<Arc<ClientCertificates>>,
}

impl Facts {
    /// Of a client with this address that came by this stream.
    pub(crate) fn of(worker: &Worker, stream: &Stream, peer_address: SocketAddr) -> Rc<Self> {
        let tls = stream.tls();
        let address = peer_address.ip().to_canonical();
        let mut forwarded = Vec::with_capacity(128);
        forwarded.extend_from_slice(FORWARDED_FOR);
        // Memory takes everything.
        let _ = write!(forwarded, "{address}");
        let peer = forwarded.len() - FORWARDED_FOR.len();
        forwarded.extend_from_slice(b"\r\n");
        forwarded.extend_from_slice(forward::proto(tls.is_some()));
        let presented = tls.map_or_else(Vec::new, |tls| tls.presented.clone());
        forwarded.extend_from_slice(&presented);
        let table = worker.table();
        let between = &table.shared.between;
        Rc::new(Self {
            local: Cell::default(),
            between: (!between.is_empty()).then(|| between.clone()),
            from: peer_address,
            address,
            trusted: table.shared.trusts(address),
            forwarded,
            peer,
            presented,
            secure: tls.is_some(),
            clients: tls.and_then(|tls| tls.clients().cloned()),
        })
    }

    /// Whose connections it counts among.
    pub(crate) fn holder(&self, worker: &Worker) -> Holder {
        if self.trusted { Holder::MANY } else { worker.table().shared.holder(self.address) }
    }

    /// Its address as text.
    pub(super) fn peer(&self) -> &[u8] {
        &self.forwarded[FORWARDED_FOR.len()..][..self.peer]
    }

    /// The address that it came to. It takes a system call, and few want to know.
    pub(crate) fn local(&self, stream: &Stream) -> SocketAddr {
        let outer = |bound| self.between.as_ref().and_then(|all| all.get(&bound)).copied().unwrap_or(bound);
        let known = self.local.get().or_else(|| stream.local_addr().map(outer));
        self.local.set(known);
        known.unwrap_or(NOWHERE)
    }

    /// Whether it is no stranger who asks for this client. A proxy of ours that passes on a request passes on what that
    /// one's client says.
    pub(super) fn is_internal(&self, table: &LocalTable, client: IpAddr, stream: &Stream) -> bool {
        table.shared.is_between(&self.local(stream)) || (self.trusted && client == self.address)
    }
}
