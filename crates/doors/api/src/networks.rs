//! `/v1/networks`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::{Kind, NetworkName, Report};
use network::{IpamOrder, NetworkOrder};
use talk::{NetworkCreate, NetworkView, Pruned};

use crate::answer::{Answer, Refusal, ok};
use crate::{Daemon, Shared, views};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/networks", get(list).post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{name}", get(inspect).delete(remove))
}

impl Daemon {
    fn network_view(&self, view: &network::NetworkView) -> NetworkView {
        views::network(view, |id| {
            self.containers
                .inspect(id)
                .map_or_else(|_| id.short().to_owned(), |view| view.record.name.to_string())
        })
    }
}

/// `GET /v1/networks`.
async fn list(State(daemon): Shared) -> Answer<Vec<NetworkView>> {
    ok(daemon.networks.list().await.iter().map(|view| daemon.network_view(view)).collect())
}

/// `GET /v1/networks/{name}`.
async fn inspect(State(daemon): Shared, Path(name): Path<String>) -> Answer<NetworkView> {
    ok(daemon.network_view(&daemon.networks.inspect(&name).await?))
}

/// `POST /v1/networks`.
async fn create(State(daemon): Shared, Json(order): Json<NetworkCreate>) -> Answer<NetworkView> {
    if daemon.networks.inspect(&order.name).await.is_ok() {
        let report = Report::new(Kind::Conflict, format!("there is a network `{}` already", order.name));
        return Err(Refusal(report.hint("take another name, or remove that one with `sea network rm`")));
    }
    let ranges = order.subnet.is_some() || order.gateway.is_some();
    let ipam = IpamOrder { subnet: order.subnet, gateway: order.gateway, ..IpamOrder::default() };
    let order = NetworkOrder {
        internal: order.internal,
        enable_ipv6: order.ipv6,
        ipam: if ranges { vec![ipam] } else { Vec::new() },
        labels: order.labels,
        ..NetworkOrder::named(NetworkName::new(order.name)?)
    };
    ok(daemon.network_view(&daemon.networks.create(order).await?))
}

/// `DELETE /v1/networks/{name}`.
async fn remove(State(daemon): Shared, Path(name): Path<String>) -> Answer<()> {
    let name = daemon.networks.inspect(&name).await?.name;
    daemon.containers.let_departed_go(name.as_str()).await;
    ok(daemon.networks.remove(&name).await?)
}

/// `POST /v1/networks/prune`: those that nobody is on and no app wants.
async fn prune(State(daemon): Shared) -> Answer<Pruned> {
    ok(crate::prune::networks(&daemon).await?)
}
