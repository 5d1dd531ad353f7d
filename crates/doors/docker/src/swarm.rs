//! Swarm and plugins: docker's own words where there is no swarm.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use crate::Docker;
use crate::answer::Refusal;
use axum::Json;
use axum::http::StatusCode;

pub(crate) fn routes() -> Router<Arc<Docker>> {
    let mut routes = Router::new()
        .route("/swarm", any(no_swarm))
        .route("/swarm/init", any(no_swarm_here))
        .route("/swarm/join", any(no_swarm_here))
        .route("/swarm/{*rest}", any(no_swarm))
        .route("/plugins", get(no_plugins))
        .route("/plugins/{*rest}", any(no_plugins_here));
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

async fn no_plugins_here() -> Refusal {
    Refusal::unsupported("there are no plugins here")
}
