//! `/session` and `/grpc`: the connections of BuildKit's clients, and `POST /build` of the first of them.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper_util::rt::TokioIo;

use crate::answer::Refusal;
use crate::{Docker, Shared};

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new().route("/session", post(session)).route("/grpc", post(grpc))
}

/// Leaves HTTP/1 for what the client speaks from here on.
fn upgraded(headers: &HeaderMap) -> Result<Response, Refusal> {
    let wanted = headers.get(header::UPGRADE).cloned();
    let wanted = wanted.ok_or_else(|| Refusal::invalid("no upgrade proto in request"))?;
    let headers = [(header::CONNECTION, HeaderValue::from_static("Upgrade")), (header::UPGRADE, wanted)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response())
}

/// `POST /session`: the client is called over it as long as it lasts.
async fn session(State(docker): Shared, mut request: Request) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    match headers.get(header::UPGRADE).map(|proto| proto.to_str().unwrap_or_default()) {
        None => return Err(Refusal::invalid("no upgrade proto in request")),
        Some("h2c") => {}
        Some(other) => return Err(Refusal::invalid(format!("protocol {other} not supported"))),
    }
    docker.buildkit.admits_session(&headers).map_err(|error| Refusal::invalid(error.to_string()))?;
    let response = upgraded(&headers)?;
    let upgrade = hyper::upgrade::on(&mut request);
    docker.tasks.clone().spawn("a session of a builder", async move {
        // A client that went away before is no session.
        if let Ok(io) = upgrade.await
            && let Err(error) = docker.buildkit.session(TokioIo::new(io), &headers).await
        {
            tracing::debug!("a session of a builder ended: {error}");
        }
    });
    Ok(response)
}

/// `POST /grpc`: BuildKit's services.
async fn grpc(State(docker): Shared, mut request: Request) -> Result<Response, Refusal> {
    let response = upgraded(request.headers())?;
    let upgrade = hyper::upgrade::on(&mut request);
    docker.tasks.clone().spawn("a connection of a builder", async move {
        if let Ok(io) = upgrade.await
            && let Err(error) = docker.buildkit.grpc(TokioIo::new(io)).await
        {
            tracing::debug!("a connection of a builder ended: {error}");
        }
    });
    Ok(response)
}

/// `POST /build` of a client that wants it done by BuildKit's means.
pub(crate) async fn build(docker: &Docker, request: Request) -> Result<Response, Refusal> {
    let response = docker.buildkit.build(request).await.map_err(|report| Refusal::told(&report))?;
    Ok(response.map(Body::new))
}
