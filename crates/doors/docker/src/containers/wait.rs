//! `POST /containers/{id}/wait`: answers at once that it waits, and later how the container ended.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use containers::{State as Is, Until};
use futures_util::FutureExt as _;
use serde_json::json;

use crate::Shared;
use crate::answer::Refusal;
use crate::params::Params;
use crate::version::ApiVersion;

pub(super) async fn wait(
    State(docker): Shared,
    Path(id): Path<String>,
    version: ApiVersion,
    params: Params,
) -> Result<Response, Refusal> {
    let condition = if version < ApiVersion(1, 30) { None } else { params.text("condition") };
    let until = match condition {
        None | Some("not-running") => Until::NotRunning,
        Some("next-exit") => Until::NextExit,
        Some("removed") => Until::Removed,
        Some(other) => return Err(Refusal::invalid(format!("invalid condition: \"{other}\""))),
    };
    let id = docker.containers.find(&id)?;
    // From here on no end is missed, though the client may start it only when it has the head of our answer.
    let ended = docker.containers.wait_until(&id, until)?;
    let body = ended.map(|view| {
        let code = match view.record.state {
            Is::Exited { code, .. } => code,
            Is::Created | Is::Running { .. } => 0,
        };
        let text = format!("{}\n", json!({ "StatusCode": code }));
        std::io::Result::Ok(Bytes::from(text))
    });
    let body = Body::from_stream(body.into_stream());
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}
