//! What happened at the edge, in words for the log.

use std::net::SocketAddr;
use std::time::Duration;

use base::{ContainerId, Instant, Report};
use resilience::breaker::{Cause, Change};
use resilience::health::outliers::Reason;

use crate::preface::Flaw;
use crate::table::PoolKey;

/// An instance gets nothing new for a while.
pub(crate) fn ejected(instance: &ContainerId, address: SocketAddr, time: Duration, reason: Reason) {
    let why = match reason {
        Reason::Errors(count) => format!("{count} errors in a row"),
        Reason::GatewayErrors(count) => format!("{count} requests in a row without an answer"),
        Reason::SuccessRate { rate, least } => {
            format!("{:.0} % of its answers were good, where {:.0} % would do", rate * 1e2, least * 1e2)
        }
        Reason::Failures { share, others } => {
            format!("{:.0} % of its answers were failures, of the others' {:.0} %", share * 1e2, others * 1e2)
        }
        Reason::Slow { latency, others } => format!("it takes {latency:.0?}, the others {others:.0?}"),
    };
    tracing::warn!(container.id = %instance, %address, time_ms = time.as_millis(), "ejected `{}`: {why}", instance.short());
}

/// A proxy is said to open its connections with the PROXY protocol, and has not.
pub(crate) fn bad_preface(peer: SocketAddr, flaw: Flaw) {
    tracing::warn!(client.address = %peer, "closed a connection of the proxy {peer}: {flaw}");
}

/// A file that a service's list names cannot be opened.
pub(crate) fn no_file((owner, pool): &PoolKey, error: &std::io::Error) {
    tracing::error!(owner, pool, "could not open a file of `{owner}/{pool}`: {error}");
}

/// The list of a folder cannot be read, which is as good as empty until the next table.
pub(crate) fn no_list(tree: &str, error: &std::io::Error) {
    tracing::error!(tree, "could not read the list of files `{tree}`: {error}");
}

/// It gets requests again.
pub(crate) fn returned(instance: &ContainerId, address: SocketAddr) {
    tracing::info!(container.id = %instance, %address, "`{}` gets requests again", instance.short());
}

/// A service is spared, or gets its requests again.
pub(crate) fn breaker((owner, pool): &PoolKey, change: Change, now: Instant) {
    match change {
        Change::Opened { until, cause } => {
            let why = match cause {
                Cause::Failures | Cause::Slow => "too many of its requests got no answer in time",
                Cause::InARow => "its last requests got no answer in time",
                Cause::Trial => "it still does not answer in time",
                Cause::Tripped => "somebody said so",
            };
            let time_ms = until.since(now).as_millis();
            tracing::warn!(owner, pool, time_ms, "the breaker of `{owner}/{pool}` opened: {why}");
        }
        Change::Closed => tracing::info!(owner, pool, "the breaker of `{owner}/{pool}` closed"),
    }
}

/// Another program's edge has given its place to one of ours.
pub(crate) fn replaced(old_pid: u32, new_pid: u32) {
    tracing::info!(
        old_pid,
        new_pid,
        "the edge was replaced without a break; the old one finishes what it has"
    );
}

/// It could not be done, and how it goes on is said by what follows.
pub(crate) fn not_replaced(why: &Report) {
    tracing::error!("the edge could not be replaced without a break: {why}");
}

/// A thread has as many connections as it may have, and some of them give way.
pub(crate) fn crowded(most: usize, gone: usize) {
    tracing::warn!(
        most,
        gone,
        "a thread of the edge has its {most} connections; {gone} were closed to make room"
    );
}

/// One edge after the other dies as soon as it is started, or before.
pub(crate) fn dies_early(early: u32, pause: Duration) {
    let pause_ms = pause.as_millis();
    tracing::error!(
        early,
        pause_ms,
        "{early} edges in a row died within a second; the next is started in {pause_ms} ms"
    );
}

/// The row of those has ended.
pub(crate) fn lives(died: u32) {
    tracing::info!(died, "the edge serves again, after {died} in a row that died within a second");
}

/// None could be started in place of one that is gone; it is tried again.
pub(crate) fn not_started(why: &Report) {
    tracing::error!("the edge could not be replaced: {why}");
}

/// An edge hangs, and is ended.
pub(crate) fn silent(pid: i32) {
    tracing::error!(pid, "the edge does not answer; it is ended, and another takes its place");
}
