//! Pause and unpause.

use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::Shared;
use crate::answer::Refusal;

/// `POST /containers/{id}/pause`.
pub(super) async fn pause(State(docker): Shared, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let id = docker.containers.find(&name)?;
    if !docker.containers.inspect(&id)?.record.state.runs() {
        return Err(Refusal::conflict(format!("container {id} is not running")));
    }
    if docker.containers.pause(&id, true).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::conflict(format!("Container {id} is already paused")))
    }
}

/// `POST /containers/{id}/unpause`. What is not paused is docker's failure, and no conflict.
pub(super) async fn unpause(State(docker): Shared, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let id = docker.containers.find(&name)?;
    let runs = docker.containers.inspect(&id)?.record.state.runs();
    if runs && docker.containers.pause(&id, false).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::failed(format!("Container {id} is not paused")))
    }
}
