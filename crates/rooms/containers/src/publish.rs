//! The published ports of containers that belong to no app. Those of apps are the loop's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use base::{Kind, Report};
use plan::traffic::{Endpoint, Listener, Pool, RouteShare};
use spec::{NetworkMode, Published};

use crate::cell::Cell;
use crate::health::reach;
use crate::{Containers, start};

/// How often another port is tried when somebody else took the one that was chosen.
const TRIES: u32 = 5;

impl Containers {
    /// Has the edge listen on its published ports.
    pub(crate) async fn publish(&self, cell: &Arc<Cell>) -> Result<(), Report> {
        let record = cell.record();
        // On the host's network its ports are the host's already, and without a network nobody reaches it.
        let apart = matches!(record.service.network_mode, NetworkMode::Host | NetworkMode::None);
        if record.owner.is_some() || record.service.ports.is_empty() || apart {
            return Ok(());
        }
        let open = record.service.ports.iter().any(|port| port.host_port == 0);
        if !open {
            return self.listen(cell).await;
        }
        for _ in 0..TRIES {
            choose(cell, &record.service.ports).map_err(|error| {
                Report::new(Kind::Exhausted, format!("no free port for `{}`", record.name)).because(error)
            })?;
            match self.listen(cell).await {
                // Somebody else was faster.
                Err(report) if report.kind == Kind::Conflict => {}
                outcome => return outcome,
            }
        }
        Err(Report::new(Kind::Exhausted, format!("no free port for `{}`", record.name)))
    }

    async fn listen(&self, cell: &Arc<Cell>) -> Result<(), Report> {
        let record = cell.record();
        let address = reach(cell, &record).ok_or_else(|| start::gone(record.name.as_str()))?;
        let mut share = RouteShare::default();
        for port in &record.service.ports {
            let pool = port.port.to_string();
            let host = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            share.listeners.push(Listener {
                address: SocketAddr::new(host, port.host_port),
                protocol: port.protocol,
                pool: pool.clone(),
                between: false,
            });
            let endpoint =
                Endpoint { instance: cell.id.clone(), address: SocketAddr::new(address, port.port) };
            let service = record.name.to_string();
            share.pools.insert(pool, Pool { service, endpoints: vec![endpoint], ..Pool::default() });
        }
        self.inner.rooms.traffic.apply(&owner(cell), share).await
    }

    /// Has the edge forget them.
    pub(crate) async fn unpublish(&self, cell: &Cell) {
        let record = cell.record();
        if record.owner.is_some() || record.service.ports.is_empty() {
            return;
        }
        if let Err(problem) = self.inner.rooms.traffic.apply(&owner(cell), RouteShare::default()).await {
            tracing::warn!(container.id = %cell.id, "could not take back the ports of a container: {problem}");
        }
    }
}

/// Gives each port that was left open (0) a free one of the host, and keeps it in the record.
fn choose(cell: &Cell, asked: &[Published]) -> io::Result<()> {
    // All are held until all are chosen, so that none is chosen twice.
    let mut held = Vec::new();
    let mut ports = asked.to_vec();
    for port in ports.iter_mut().filter(|port| port.host_port == 0) {
        let host = SocketAddr::new(port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0);
        let listener = TcpListener::bind(host)?;
        port.host_port = listener.local_addr()?.port();
        held.push(listener);
    }
    cell.update(|live| live.record.service.ports = ports).map_err(io::Error::other)
}

fn owner(cell: &Cell) -> String {
    format!("container:{}", cell.id)
}
