//! `POST /containers/prune`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::describe;
use crate::Shared;
use crate::answer::Answer;
use crate::networks::until;
use crate::params::Params;

pub(super) async fn prune(State(docker): Shared, params: Params) -> Answer<Value> {
    let filters = params.filters()?;
    filters.only(&["label", "label!", "until"])?;
    let until = until(&filters, docker.clock.wall())?;
    let pruned = docker
        .containers
        .prune(|record| {
            let labels = describe::labels(record);
            until.is_none_or(|until| record.created <= until)
                && filters.labels(|label| labels.get(label).map(String::as_str))
        })
        .await;
    let removed = if pruned.removed.is_empty() { Value::Null } else { json!(pruned.removed) };
    Ok(Json(json!({ "ContainersDeleted": removed, "SpaceReclaimed": pruned.bytes })))
}
