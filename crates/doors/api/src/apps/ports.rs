//! Published ports that the file leaves open (`ports: ["80"]`): each gets a free one, and keeps it across releases.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use spec::{App, Published};

/// Fills open ports in: with what the release before had for the same port, else with a free one.
pub(crate) fn fill(app: &mut App, before: Option<&App>) -> io::Result<()> {
    // All are held until all are chosen, so that none is chosen twice.
    let mut held = Vec::new();
    for (name, service) in &mut app.services {
        let known = before.and_then(|app| app.services.get(name)).map(|service| service.ports.as_slice());
        for port in service.ports.iter_mut().filter(|port| port.host_port == 0) {
            let same = |other: &&Published| {
                (other.host_ip, other.port, other.protocol) == (port.host_ip, port.port, port.protocol)
            };
            port.host_port = match known.unwrap_or_default().iter().find(same) {
                Some(kept) => kept.host_port,
                None => {
                    let host = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                    let listener = TcpListener::bind(SocketAddr::new(host, 0))?;
                    let chosen = listener.local_addr()?.port();
                    held.push(listener);
                    chosen
                }
            };
        }
    }
    Ok(())
}
