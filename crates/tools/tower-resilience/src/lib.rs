//! Stability patterns as `tower` layers: the machines of [`resilience`], with a clock, a lock and tokio's timers.
//!
//! Each layer is a policy of [`resilience`], a [`World`] that says where time and chance come from, and what it must be
//! told of requests, as a closure. A layer *is* its machine: the services that it makes, and their clones, share one, so
//! make a layer for each thing that fails, fills up or is counted by itself.
//!
//! | layer | does | `poll_ready` |
//! | --- | --- | --- |
//! | [`deadline::DeadlineLayer`] | refuses what is too late, ends what takes too long | as inside |
//! | [`retry::RetryLayer`] | tries again what is safe, within a budget, after a random wait | as inside |
//! | [`breaker::BreakerLayer`] | spares a service that fails | as inside; at once while open |
//! | [`bulkhead::BulkheadLayer`] | so many calls at once, and a bounded queue, fair by client | always |
//! | [`limit::LimitLayer`] | as many calls in flight as the service can do, found by itself | as inside |
//! | [`shed::ShedLayer`] | refuses the least important first | as inside |
//! | [`rate::RateLayer`] | so many requests in a time of each client | as inside |
//! | [`hedge::HedgeLayer`] | asks twice when an answer is late | as inside |
//! | [`flights::FlightsLayer`] | joins identical requests | as inside |
//! | [`balance::Balance`] | sends each request to the best of several services | when one of them is |
//!
//! # Ready, and refused
//!
//! Those that are ready "as inside" pass backpressure on and add none: what they refuse they refuse in `call`, as tower's
//! `LoadShed` does, with a [`Refusal`] that says when to come back, where that is known. A layer that waited in
//! `poll_ready` for a place would hold it for callers who may never call, and could not know what the request says:
//! whose it is, how important, and by when it is needed. The one place to wait is the bulkhead's queue.
//!
//! Errors are [`BoxError`], as in tower: a [`Refusal`], or what the service inside said. How a call ended is judged by a
//! [`Judge`], one for all layers: [`AnyAnswer`] by default, [`ByStatus`] for HTTP.
//!
//! What a call holds goes back when its future ends *or is dropped*; nothing is spawned, and no lock is held while
//! anything is waited for. Waits need a tokio runtime with its timers.
//!
//! # In which order
//!
//! From the outside in: [`rate`], [`shed`], [`flights`], [`deadline`], [`retry`], [`hedge`], [`bulkhead`] or [`limit`],
//! [`balance`], and for each endpoint [`breaker`] and a [`deadline`] of its own, so that what hangs is seen to fail.
//! `examples/overload.rs` runs such a stack.

pub mod balance;
pub mod breaker;
pub mod bulkhead;
pub mod deadline;
pub mod flights;
pub mod hedge;
pub mod limit;
pub mod rate;
pub mod retry;
pub mod shed;

mod answer;
mod client;
mod judge;
mod refusal;
mod signals;
mod world;

pub use answer::{Answer, BoxAnswer, Settle};
pub use client::{ByKey, Client, Everyone};
pub use judge::{AnyAnswer, ByStatus, Ending, Judge, Trouble};
pub use refusal::{BoxError, Refusal};
pub use signals::Signals;
pub use world::World;
