//! Work that goes on though its client has gone: a container that is being stopped is not left half stopped.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use crate::{Docker, answer};

/// Carries a request that changes something to its end, whether or not somebody waits for the answer.
pub(crate) async fn to_the_end(State(docker): State<Arc<Docker>>, request: Request, next: Next) -> Response {
    if *request.method() == Method::GET || *request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let (sender, answered) = oneshot::channel();
    docker.tasks.spawn("a request of a Docker client", async move {
        // Nobody waits any more: what was asked is done all the same.
        let _ = sender.send(next.run(request).await);
    });
    answered.await.unwrap_or_else(|_| answer::cut_off().into_response())
}
