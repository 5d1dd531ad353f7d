//! Listening sockets: one a thread for TCP, so that the kernel shares connections out without a lock between us.
//!
//! The first socket is bound alone and shared afterwards: an address that any other program listens on is an
//! error, also when that program is another edge that shares its own.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use base::{Kind, Problem};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that the kernel may accept for us while we are busy; it takes the least of this and its own bound.
pub(crate) const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("{transport} address `{address}` is in use{by}")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// TCP or UDP.
        transport: &'static str,
        /// As in ` by `nginx` (process 812)`, or nothing.
        by: String,
    },
    /// We may not.
    #[error("no right to listen on {transport} address `{address}`")]
    Denied {
        /// The address.
        address: SocketAddr,
        /// TCP or UDP.
        transport: &'static str,
    },
    /// The machine does not have it.
    #[error("this machine has no address `{address}`")]
    NoAddress {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("could not listen on {transport} address `{address}`")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// TCP or UDP.
        transport: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl Problem for ListenError {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse { .. } => Kind::Conflict,
            Self::Denied { .. } => Kind::Denied,
            Self::NoAddress { .. } => Kind::Invalid,
            Self::Failed { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("stop the other program, or publish another port".into()),
            Self::Denied { address, .. } => Some(format!(
                "run as root, publish a port from 1024 up, or allow it: `sysctl net.ipv4.ip_unprivileged_port_start={}`",
                address.port()
            )),
            Self::NoAddress { .. } => Some("`ip addr` shows the addresses of this machine".into()),
            Self::Failed { .. } => None,
        }
    }
}

/// How a listener is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nobody else has the port.
    Alone,
    /// Listeners of ours may have it on other addresses, of which one may stand for all.
    Shared,
    /// The same, and the machine need not have the address yet.
    Ahead,
}

/// So many listeners on one address, and the address with the port that was chosen if it was 0.
pub(crate) fn streams(
    address: SocketAddr,
    count: usize,
    binding: Binding,
) -> Result<(SocketAddr, Vec<TcpListener>), ListenError> {
    let failed = |error: rustix::io::Errno, address| explain(error.into(), address, "TCP");
    let first =
        TcpListener::from(bound(address, SocketType::STREAM, binding).map_err(|e| failed(e, address))?);
    rustix::net::listen(&first, BACKLOG).map_err(|e| failed(e, address))?;
    sockopt::set_socket_reuseport(&first, true).map_err(|e| failed(e, address))?;
    let address = first.local_addr().map_err(|e| explain(e, address, "TCP"))?;
    let mut all = vec![first];
    let others = if binding == Binding::Alone { Binding::Shared } else { binding };
    all.extend(further(address, count.saturating_sub(1), others)?);
    Ok((address, all))
}

/// So many more listeners on an address of ours.
pub(crate) fn further(
    address: SocketAddr,
    count: usize,
    binding: Binding,
) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |error: rustix::io::Errno| explain(error.into(), address, "TCP");
    let one = || {
        let next = TcpListener::from(bound(address, SocketType::STREAM, binding).map_err(failed)?);
        rustix::net::listen(&next, BACKLOG).map_err(failed)?;
        Ok(next)
    };
    (0..count).map(|_| one()).collect()
}

/// A UDP socket on the address.
pub(crate) fn datagrams(address: SocketAddr) -> Result<UdpSocket, ListenError> {
    let socket =
        bound(address, SocketType::DGRAM, Binding::Alone).map_err(|e| explain(e.into(), address, "UDP"))?;
    Ok(UdpSocket::from(socket))
}

fn bound(address: SocketAddr, kind: SocketType, binding: Binding) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if kind == SocketType::STREAM {
        // Connections that ended a moment ago do not keep the address.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    match binding {
        Binding::Alone => {}
        Binding::Shared => sockopt::set_socket_reuseport(&socket, true)?,
        Binding::Ahead => {
            sockopt::set_socket_reuseport(&socket, true)?;
            sockopt::set_ip_freebind(&socket, true)?;
        }
    }
    if address.is_ipv6() {
        // The addresses of IPv4 are listened on by themselves, or not at all.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

fn explain(error: io::Error, address: SocketAddr, transport: &'static str) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, transport, by: holder(address, transport) },
        io::ErrorKind::PermissionDenied => ListenError::Denied { address, transport },
        io::ErrorKind::AddrNotAvailable => ListenError::NoAddress { address },
        _ => ListenError::Failed { address, transport, source: error },
    }
}

/// Who holds the port, as far as `/proc` tells us: as in ` by `nginx` (process 812)`.
fn holder(address: SocketAddr, transport: &str) -> String {
    let table = transport.to_ascii_lowercase();
    ["", "6"]
        .iter()
        .filter_map(|six| std::fs::read_to_string(format!("/proc/net/{table}{six}")).ok())
        .flat_map(|text| inodes(&text, address.port(), transport == "TCP"))
        .find_map(|inode| process_with(&format!("socket:[{inode}]")))
        .map_or_else(String::new, |(pid, name)| format!(" by `{name}` (process {pid})"))
}

/// The inodes of the sockets that are bound to the port, from the text of `/proc/net/tcp` and the like.
fn inodes(text: &str, port: u16, listening: bool) -> Vec<u64> {
    let port = format!(":{port:04X}");
    let rows = text.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&port)))
        .filter(|row| !listening || row.get(3) == Some(&"0A"))
        .filter_map(|row| row.get(9)?.parse().ok())
        .collect()
}

/// The process that has this file open, with its name.
fn process_with(link: &str) -> Option<(u32, String)> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let has =
            |file: std::fs::DirEntry| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == link);
        files.flatten().any(has).then(|| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim().to_string())
        })
    })
}

#[cfg(test)]
mod tests;
