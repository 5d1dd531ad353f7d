//! The layers, each by timelines of calls on a simulated clock, and all of them in storms of calls that are dropped.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's answer")]

mod balance;
mod breaker;
mod bulkhead;
mod deadline;
mod flights;
mod hedge;
mod judge;
mod limit;
mod rate;
mod retry;
mod shed;
mod storms;
mod support;
