//! `GET /containers/{id}/export`: the whole root of a container as an archive.

use axum::extract::{Path, State};
use axum::response::Response;
use containers::CopyError;

use super::archive::streamed;
use crate::Shared;
use crate::answer::Refusal;

pub(super) async fn export(State(docker): Shared, Path(name): Path<String>) -> Result<Response, Refusal> {
    let id = docker.containers.find(&name)?;
    let packed = docker.containers.export(&id).await.map_err(|error| match error {
        CopyError::Container(error) => error.into(),
        other => Refusal::failed(format!("Error exporting container {name}: {other}")),
    })?;
    Ok(streamed(packed, "application/octet-stream"))
}
