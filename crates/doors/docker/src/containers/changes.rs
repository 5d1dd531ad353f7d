//! `GET /containers/{id}/changes`: what a container changed of its image.

use axum::Json;
use axum::extract::{Path, State};
use containers::ChangeKind;
use serde_json::{Value, json};

use crate::Shared;
use crate::answer::Answer;

pub(super) async fn changes(State(docker): Shared, Path(name): Path<String>) -> Answer<Value> {
    let id = docker.containers.find(&name)?;
    let changes = docker.containers.changes(&id).await?;
    if changes.is_empty() {
        return Ok(Json(Value::Null));
    }
    let number = |kind| match kind {
        ChangeKind::Modified => 0,
        ChangeKind::Added => 1,
        ChangeKind::Deleted => 2,
    };
    let all = changes
        .iter()
        .map(|change| json!({ "Path": change.path.to_string_lossy(), "Kind": number(change.kind) }));
    Ok(Json(all.collect()))
}
