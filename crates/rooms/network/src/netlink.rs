//! A conversation with the kernel: several requests in one packet, all answers at once.
//!
//! Sockets here are plain and blocking, because the kernel does the work while `send` runs: the answers lie
//! ready when it returns. A socket belongs to the network namespace in which it was opened and may then be
//! used from any thread, which is how a container's namespace is set up without standing in it.

pub(crate) mod flow;
pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod numbers;

use std::fs::File;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use message::{Answer, Request};

/// Large enough for a packet of a dump, which the kernel keeps to 32 KiB.
const RECEIVE_BYTES: usize = 64 << 10;
/// Room for one batch of filters with rules for each of the networks and for each of their services.
const SEND_BYTES: usize = 64 << 20;

/// How often, and with which pause, a link is looked at that is about to come up.
const LOOKS: u32 = 4000;
const PAUSE: Duration = Duration::from_micros(50);

/// A socket to one of the kernel's netlink families.
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

/// Which part of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Links, addresses and routes.
    Route,
    /// Filters.
    Netfilter,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(family: Family) -> io::Result<Self> {
        let protocol = match family {
            Family::Route => None, // NETLINK_ROUTE is protocol 0.
            Family::Netfilter => Some(rustix::net::netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        if family == Family::Netfilter {
            // Beyond the usual limit only with CAP_NET_ADMIN, which changing filters takes anyway.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&fd, SEND_BYTES);
        }
        Ok(Self { fd, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Opens a socket in another network namespace.
    ///
    /// A thread of its own goes there and ends there, so no thread that lives on is ever in the wrong place.
    pub(crate) fn open_in(namespace: &File, family: Family) -> io::Result<Self> {
        std::thread::scope(|scope| {
            let visit =
                std::thread::Builder::new().name("netns-visit".to_owned()).spawn_scoped(scope, || {
                    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                    Self::open(family)
                })?;
            visit.join().unwrap_or_else(|_| Err(io::Error::other("the visiting thread panicked")))
        })
    }

    /// Sends the requests as one packet and fails with the first refusal, by its place in the packet.
    ///
    /// The kernel takes them one by one and goes on after a refusal, except between the marks of a batch,
    /// which takes effect as a whole or not at all.
    pub(crate) fn change(&mut self, requests: &[Request]) -> Result<(), Refusal> {
        let whole = |source| Refusal { index: 0, source };
        let answers = self.exchange(requests).map_err(whole)?;
        let mut confirmed = false;
        let mut first: Option<Refusal> = None;
        for answer in answers {
            let Answer::Result { sequence, code } = answer else { continue };
            confirmed = true;
            let index = sequence.saturating_sub(1) as usize;
            if code != 0 && first.as_ref().is_none_or(|f| index < f.index) {
                first = Some(Refusal { index, source: io::Error::from_raw_os_error(-code) });
            }
        }
        match first {
            Some(refusal) => Err(refusal),
            None if confirmed => Ok(()),
            None => Err(whole(io::Error::new(io::ErrorKind::TimedOut, "the kernel gave no answer"))),
        }
    }

    /// Asks for things and returns the payloads of the answers, each with its message type.
    pub(crate) fn ask(&mut self, request: Request) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let mut found = Vec::new();
        for answer in self.exchange(&[request])? {
            match answer {
                Answer::Thing { kind, payload } => found.push((kind, payload)),
                Answer::Result { code: 0, .. } | Answer::Done => {}
                Answer::Result { code, .. } => return Err(io::Error::from_raw_os_error(-code)),
            }
        }
        Ok(found)
    }

    /// Waits until a link is as it should be, which the kernel sees to a moment after both its ends are up.
    ///
    /// Packets before that moment are lost, and asking for a neighbour again takes a second, so the first word
    /// of a container would come late. A link that takes longer than any does is left to come by itself.
    pub(crate) fn await_link(&mut self, name: &str, so: impl Fn(&link::Link) -> bool) -> io::Result<()> {
        self.look_until(&link::get(name), |found| {
            found.iter().find_map(link::read_link).is_none_or(|link| so(&link))
        })
    }

    /// Waits until neighbours can ask a link for these addresses, for the same reason.
    pub(crate) fn await_addresses(&mut self, link: u32, addresses: &[Ipv6Addr]) -> io::Result<()> {
        if addresses.is_empty() {
            return Ok(());
        }
        self.look_until(&link::list_groups(), |found| {
            let asked = |address: &_| found.iter().any(|group| link::is_group_of(link, *address, group));
            addresses.iter().all(asked)
        })
    }

    fn look_until(&mut self, look: &Request, so: impl Fn(&[(u16, Vec<u8>)]) -> bool) -> io::Result<()> {
        for _ in 0..LOOKS {
            if so(&self.ask(look.clone())?) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn exchange(&mut self, requests: &[Request]) -> io::Result<Vec<Answer>> {
        let packet = message::packet(requests);
        rustix::net::send(&self.fd, &packet, SendFlags::empty())?;
        let mut answers = Vec::new();
        loop {
            match rustix::net::recv(&self.fd, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(rustix::io::Errno::AGAIN) => return Ok(answers),
                Ok((length, _)) => message::answers(&self.buffer[..length], &mut answers)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Which request of a packet was refused, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) index: usize,
    pub(crate) source: io::Error,
}

impl Refusal {
    /// Whether it is this error of the system.
    pub(crate) fn is(&self, errno: rustix::io::Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }
}
