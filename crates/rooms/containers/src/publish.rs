//! The published ports of containers that belong to no app. Those of apps are the loop's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base::Report;
use plan::traffic::{Endpoint, Listener, Pool, RouteShare};

use crate::cell::Cell;
use crate::health::reach;
use crate::{Containers, start};

impl Containers {
    /// Has the edge listen on its published ports.
    pub(crate) async fn publish(&self, cell: &Arc<Cell>) -> Result<(), Report> {
        let record = cell.record();
        if record.owner.is_some() || record.service.ports.is_empty() {
            return Ok(());
        }
        let address = reach(cell, &record).ok_or_else(|| start::gone(record.name.as_str()))?;
        let mut share = RouteShare { rules: Vec::new(), listeners: Vec::new(), pools: BTreeMap::new() };
        for port in &record.service.ports {
            let pool = port.port.to_string();
            let host = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            share.listeners.push(Listener {
                address: SocketAddr::new(host, port.host_port),
                protocol: port.protocol,
                pool: pool.clone(),
            });
            let endpoint =
                Endpoint { instance: cell.id.clone(), address: SocketAddr::new(address, port.port) };
            share.pools.insert(pool, Pool { service: record.name.to_string(), endpoints: vec![endpoint] });
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

fn owner(cell: &Cell) -> String {
    format!("container:{}", cell.id)
}
