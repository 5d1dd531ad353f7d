//! `GET /containers/{id}/top`: the processes in a container.

use axum::Json;
use axum::extract::{Path, State};
use containers::TopError;
use serde_json::{Value, json};

use crate::Shared;
use crate::answer::{Answer, Refusal};
use crate::params::Params;

pub(super) async fn top(State(docker): Shared, Path(name): Path<String>, params: Params) -> Answer<Value> {
    let id = docker.containers.find(&name)?;
    let words = params.text("ps_args").unwrap_or_default();
    let table = docker.containers.top(&id, words).await.map_err(|error| match error {
        TopError::Container(containers::ContainerError::NotRunning(_)) => {
            Refusal::conflict(format!("container {id} is not running"))
        }
        TopError::Container(error) => error.into(),
        TopError::Words(text) => Refusal::failed(text),
    })?;
    Ok(Json(json!({ "Titles": table.titles, "Processes": table.rows })))
}
