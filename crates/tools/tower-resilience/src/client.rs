//! Who asks: clients as numbers, which strangers cannot choose.

use std::hash::{BuildHasher, Hash, RandomState};

/// Tells clients apart.
pub trait Client<R> {
    /// The number of the client that sent this.
    fn client(&self, request: &R) -> u64;
}

/// Clients are not told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Everyone;

impl<R> Client<R> for Everyone {
    fn client(&self, _request: &R) -> u64 {
        0
    }
}

/// Clients by a key, hashed with a secret of this process.
#[derive(Debug, Clone)]
pub struct ByKey<F> {
    key: F,
    secret: RandomState,
}

impl<F> ByKey<F> {
    pub(crate) fn new(key: F) -> Self {
        Self { key, secret: RandomState::new() }
    }
}

impl<R, K: Hash, F: Fn(&R) -> K> Client<R> for ByKey<F> {
    fn client(&self, request: &R) -> u64 {
        self.secret.hash_one((self.key)(request))
    }
}
