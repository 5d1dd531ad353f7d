//! A call to one endpoint: counted while it is out, and learned from when it ends.

use std::sync::Arc;

use base::Instant;

use super::state::Shared;
use crate::{BoxError, Judge, Settle};

/// A call that is out at an endpoint.
pub struct Lease<K, S, J> {
    shared: Arc<Shared<K, S>>,
    judge: Arc<J>,
    number: u64,
    began: Instant,
    is_out: bool,
}

impl<K, S, J> Lease<K, S, J> {
    pub(super) fn new(shared: &Arc<Shared<K, S>>, judge: &Arc<J>, number: u64, began: Instant) -> Self {
        Self { shared: Arc::clone(shared), judge: Arc::clone(judge), number, began, is_out: true }
    }
}

impl<T, K, S, J: Judge<T>> Settle<T> for Lease<K, S, J> {
    fn settle(mut self, answer: Result<&T, &BoxError>) {
        let ending = self.judge.judge(answer);
        self.is_out = false;
        self.shared.settle(self.number, self.began, Some(ending));
    }
}

impl<K, S, J> Drop for Lease<K, S, J> {
    fn drop(&mut self) {
        if self.is_out {
            self.shared.settle(self.number, self.began, None);
        }
    }
}
