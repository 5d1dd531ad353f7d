//! Whose failures they were: a crash excuses those that happened with it, as many as the edge counts for it too.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::book::{Book, Failure, KINDS, Kind};
use crate::course::Course;
use crate::fleet::Crash;

/// Whether this crash explains the failure.
fn explains(crash: &Crash, failure: &Failure) -> bool {
    let then = failure.began <= crash.until && failure.ended >= crash.at;
    then && !failure.wrong && failure.instance.as_ref().is_none_or(|instance| *instance == crash.name)
}

/// Whether the edge counts it: what becomes of a connection after an upgrade is not its affair.
fn is_counted(failure: &Failure) -> bool {
    failure.kind != Kind::Message || failure.instance.is_none()
}

/// How many of the failures that the edge counts too this crash explains.
pub(crate) fn claims(failures: &[Failure], crash: &Crash) -> u64 {
    failures.iter().filter(|failure| is_counted(failure) && explains(crash, failure)).count() as u64
}

/// The failures that nobody's crash excuses, in words.
pub(crate) fn losses(failures: &[Failure], crashes: &[Crash]) -> Vec<String> {
    let blamed = |failure: &Failure| crashes.iter().any(|crash| explains(crash, failure));
    let mut losses: Vec<_> = failures.iter().filter(|failure| !blamed(failure)).map(told).collect();
    for crash in crashes {
        let claimed = claims(failures, crash);
        if claimed > crash.lost {
            let Crash { name, lost, .. } = crash;
            losses
                .push(format!("{claimed} failures at the crash of {name}, for which the edge counts {lost}"));
        }
    }
    losses
}

fn told(failure: &Failure) -> String {
    let Failure { kind, cause, instance, .. } = failure;
    let took = failure.ended.duration_since(failure.began).as_millis();
    format!("{kind:?} after {took} ms: {cause} ({})", instance.as_deref().unwrap_or("no instance known"))
}

/// The whole table.
pub(crate) fn text(book: &Book, course: &Course, losses: &[String]) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "  {text}");
    };
    let failures = book.failures();
    for (kind, name) in KINDS {
        let (good, slowest) = book.good_of(kind);
        let failed = failures.iter().filter(|failure| failure.kind == kind).count();
        line(format!("{good:>10} {name:<28} {failed:>6} failed, slowest {:>6} ms", slowest.as_millis()));
    }
    let (untold, again, sessions) = book.rest();
    line(format!("{sessions:>10} WebSockets, event streams and downloads were opened"));
    line(format!("{again:>10} streams were asked for again, as the edge said that it had not begun them"));
    for (what, count) in &course.changed {
        line(format!("{count:>10} documents changed {what}"));
    }
    line(format!(
        "{:>10} ms for the slowest document, {} for the slowest upgrade",
        course.slowest_change.as_millis(),
        course.slowest_upgrade.as_millis()
    ));
    line(format!("{:>10} instances were out of the table and at rest, and killed", course.put_away));
    line(format!("{:>10} edges at most had left and were not done", course.most_leaving));
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for failure in &failures {
        *causes.entry(&failure.cause).or_default() += 1;
    }
    for (cause, count) in causes {
        line(format!("{count:>10} failed: {cause}"));
    }
    let tunnels =
        failures.len() as u64 - failures.iter().filter(|failure| is_counted(failure)).count() as u64;
    let counted: u64 = course.crashes.iter().map(|crash| crash.lost).sum();
    let claimed: u64 = course.crashes.iter().map(|crash| claims(&failures, crash)).sum();
    line(format!(
        "{claimed:>10} failures at {} crashes, for which the edge counts {counted}; and {tunnels} WebSockets",
        course.crashes.len()
    ));
    for loss in losses.iter().take(50) {
        line(format!("LOST: {loss}"));
    }
    line(format!("{:>10} lost", losses.len() as u64 + untold));
    out
}
