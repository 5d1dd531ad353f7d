//! The rest of a request's body that a handler did not need.
//!
//! An archive is over before its body is: zeros may follow, or only the word that the body ends. A connection with
//! such a rest would be closed, and a client that keeps connections for its next request finds that out too late. As
//! in Go's server, a rest of some size is therefore read and forgotten.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// The largest rest that is read.
const REST_BYTES: usize = 256 << 10;
/// How long it may take to come.
const REST_WAIT: Duration = Duration::from_secs(2);

/// Lets the body of a request be read to its end whoever stops before.
pub(crate) async fn to_the_end(request: Request) -> Request {
    // Who expects to be asked for a body and was not asked will not send it.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return request;
    }
    request.map(|body| Body::from_stream(Drained(Some(body.into_data_stream()))))
}

/// A body that is read to its end when nobody wants more of it; none once it has ended.
struct Drained(Option<BodyDataStream>);

impl Stream for Drained {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        next
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(body) = self.0.take() else { return };
        // Outside a runtime, which is ending then, nobody waits for it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(REST_WAIT, forget(body)));
        }
    }
}

async fn forget(mut body: BodyDataStream) {
    let mut left = REST_BYTES;
    while let Some(Ok(bytes)) = body.next().await {
        let Some(less) = left.checked_sub(bytes.len()) else { return };
        left = less;
    }
}

#[cfg(test)]
mod tests;
