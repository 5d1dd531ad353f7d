//! The futures of services: what is held for a call goes back whether the call ends or is dropped.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{BoxError, Refusal};

/// A call whose waits have no name.
pub type BoxAnswer<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// What a layer holds for a call. Dropped without being settled, it goes back as of a call that was cancelled.
pub trait Settle<T> {
    /// The call has ended so.
    fn settle(self, answer: Result<&T, &BoxError>);
}

impl<T> Settle<T> for () {
    fn settle(self, _answer: Result<&T, &BoxError>) {}
}

pin_project! {
    /// A call that was refused, or that runs and holds something.
    #[must_use = "futures do nothing unless polled"]
    pub struct Answer<F, H> {
        #[pin]
        stage: Stage<F, H>,
    }
}

pin_project! {
    #[project = StageOf]
    enum Stage<F, H> {
        Refused { refusal: Option<Refusal> },
        Running { #[pin] call: F, held: Option<H> },
    }
}

impl<F, H> Answer<F, H> {
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { stage: Stage::Refused { refusal: Some(refusal) } }
    }

    pub(crate) fn running(call: F, held: H) -> Self {
        Self { stage: Stage::Running { call, held: Some(held) } }
    }
}

impl<F, H, T, E> Future for Answer<F, H>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    H: Settle<T>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            StageOf::Refused { refusal } => {
                let refusal = refusal.take().expect("a future is not polled after it has ended");
                Poll::Ready(Err(refusal.into()))
            }
            StageOf::Running { call, held } => {
                let answer = ready!(call.poll(cx)).map_err(Into::into);
                if let Some(held) = held.take() {
                    held.settle(answer.as_ref());
                }
                Poll::Ready(answer)
            }
        }
    }
}

/// Makes a call on a service that was not asked yet whether it is ready.
pub(crate) async fn ask<S, R>(mut service: S, request: R) -> Result<S::Response, BoxError>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    ready(&mut service).await?;
    service.call(request).await.map_err(Into::into)
}

/// Waits until a service is ready for one call.
pub(crate) async fn ready<S, R>(service: &mut S) -> Result<(), BoxError>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)
}

/// Takes the service that is ready, and leaves one that is not in its place.
pub(crate) fn take_ready<S: Clone>(service: &mut S) -> S {
    let fresh = service.clone();
    std::mem::replace(service, fresh)
}
