//! `POST /containers/{id}/rename`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use base::ContainerName;
use containers::RenameError;

use crate::Shared;
use crate::answer::Refusal;
use crate::params::Params;

pub(super) async fn rename(
    State(docker): Shared,
    Path(old): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let text = params.get("name").unwrap_or_default().trim();
    let bare = text.strip_prefix('/').unwrap_or(text);
    if bare.is_empty() {
        return Err(Refusal::invalid("Neither old nor new names may be empty"));
    }
    let id = docker.containers.find(&old)?;
    let allocating = |refusal: Refusal| Refusal {
        message: format!("Error when allocating new name: {}", refusal.message),
        ..refusal
    };
    let name = ContainerName::new(bare).map_err(|_| {
        allocating(Refusal::invalid(format!(
            "Invalid container name (/{bare}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    })?;
    match docker.containers.rename(&id, name).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(RenameError::Same(_)) => {
            Err(Refusal::invalid("Renaming a container with the same name as its current name"))
        }
        Err(RenameError::Container(error @ containers::ContainerError::NameTaken { .. })) => {
            Err(allocating(error.into()))
        }
        Err(RenameError::Container(error)) => Err(error.into()),
    }
}
