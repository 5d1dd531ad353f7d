//! Carrying long work to its end while a client hears of its steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::answer::{Pieces, Refusal};
use crate::images::failure;

/// So many steps may wait to be told before those that only count bytes are left out. Of the others there are a handful
/// a layer, and an image has few layers.
const WAITING: usize = 256;

/// An answer whose first piece decides whether it is a stream or a refusal.
pub(super) struct Story {
    pieces: Pieces,
    told: bool,
}

impl Story {
    /// A story, and the answer that it becomes.
    pub(super) fn begin() -> (Self, impl Future<Output = Result<Response, Refusal>>) {
        let (pieces, answer) = Pieces::json_once_said();
        (Self { pieces, told: false }, answer)
    }

    /// Tells a piece; false when nobody hears it any more.
    pub(super) async fn tell(&mut self, document: &Value) -> bool {
        self.told = true;
        self.pieces.send(document).await
    }

    /// Ends with what went wrong: with a status of its own when nothing was told yet.
    pub(super) async fn fail(self, refusal: Refusal) {
        if self.told {
            // Who went away needs no word.
            self.pieces.send(&failure(&refusal.message)).await;
        } else {
            self.pieces.refuse(refusal).await;
        }
    }

    /// Carries work to its end and its steps to whoever reads; nothing when nobody does any more.
    pub(super) async fn carry<T, S>(
        &mut self,
        work: impl Future<Output = T>,
        mut steps: Steps<S>,
        mut words: impl FnMut(S) -> Vec<Value>,
    ) -> Option<T> {
        let watched = self.pieces.clone();
        tokio::pin!(work);
        loop {
            let (step, done) = tokio::select! {
                done = &mut work => (None, Some(done)),
                step = steps.heard.recv() => (step, None),
                () = watched.closed() => return None,
            };
            if let Some(step) = step {
                steps.waiting.fetch_sub(1, Ordering::Relaxed);
                if !self.all(words(step)).await {
                    return None;
                }
            }
            if let Some(done) = done {
                while let Ok(step) = steps.heard.try_recv() {
                    self.all(words(step)).await;
                }
                return Some(done);
            }
        }
    }

    async fn all(&mut self, documents: Vec<Value>) -> bool {
        for document in documents {
            if !self.tell(&document).await {
                return false;
            }
        }
        true
    }
}

/// Steps that wait to be told.
pub(super) struct Steps<S> {
    heard: mpsc::UnboundedReceiver<S>,
    waiting: Arc<AtomicUsize>,
}

/// Hands steps over without making the work wait; `counts` says which of them only count bytes.
pub(super) fn telling<S: Send + 'static>(
    counts: impl Fn(&S) -> bool + Send + Sync + 'static,
) -> (impl Fn(S) + Send + Sync + 'static, Steps<S>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = waiting.clone();
    let tell = move |step| {
        if counts(&step) && counted.load(Ordering::Relaxed) > WAITING {
            return;
        }
        counted.fetch_add(1, Ordering::Relaxed);
        // A reader that is gone ends the work by itself.
        let _ = sender.send(step);
    };
    (tell, Steps { heard, waiting })
}
