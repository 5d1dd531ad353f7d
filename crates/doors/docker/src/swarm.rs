//! Swarm and plugins: docker's own words where there is no swarm.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum::{Json, Router};

use crate::Docker;
use crate::answer::Refusal;

pub(crate) fn routes() -> Router<Arc<Docker>> {
    let mut routes = Router::new()
        .route("/swarm", any(no_swarm))
        .route("/swarm/init", any(no_swarm_here))
        .route("/swarm/join", any(no_swarm_here))
        .route("/swarm/{*rest}", any(no_swarm))
        .route("/plugins", get(no_plugins))
        .route("/plugins/{*rest}", any(no_plugins_here).get(no_plugin));
    for kind in ["nodes", "services", "tasks", "secrets", "configs"] {
        routes = routes
            .route(&format!("/{kind}"), any(no_swarm))
            .route(&format!("/{kind}/{{*rest}}"), any(no_swarm));
    }
    routes
}

async fn no_swarm() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
    )
}

async fn no_swarm_here() -> Refusal {
    Refusal::unsupported("there is no swarm here: apps are deployed with `sea up`")
}

/// There are none.
async fn no_plugins() -> Json<[(); 0]> {
    Json([])
}

/// `GET /plugins/{name}/json`: none is found, which `docker inspect` relies on.
async fn no_plugin(Path(rest): Path<String>) -> Refusal {
    match rest.strip_suffix("/json") {
        Some(name) => Refusal::missing(format!("plugin \"{name}\" not found")),
        None => Refusal::unsupported("there are no plugins here"),
    }
}

async fn no_plugins_here() -> Refusal {
    Refusal::unsupported("there are no plugins here")
}
