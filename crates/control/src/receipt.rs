//! The receipt of a release: what became of the requests while it took over.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{ContainerId, ReleaseNumber};
use plan::ledger::Phase;
use plan::seen::Seen;
use plan::traffic::{Answered, TrafficSeen};
use plan::{Ledger, Receipt};

/// Counts along the way of one release.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    release: Option<ReleaseNumber>,
    whole: bool,
    /// By instance: the edge's counts at the begin, and the last.
    answered: BTreeMap<ContainerId, (Answered, Answered)>,
    /// By instance: how long its requests took to end, and whether they were cut off.
    drains: BTreeMap<ContainerId, (Duration, bool)>,
}

impl Counts {
    /// For a loop that finds the app like this.
    pub(crate) fn resumed(ledger: &Ledger) -> Self {
        Self { release: under_way(ledger), ..Self::default() }
    }

    /// Takes in what the edge counts.
    pub(crate) fn follow(&mut self, ledger: &Ledger, instances: &[Seen], traffic: Option<&TrafficSeen>) {
        let release = under_way(ledger);
        if release.is_none() {
            return;
        }
        let is_new = release != self.release;
        if is_new {
            *self = Self { release, whole: true, ..Self::default() };
        }
        let Some(traffic) = traffic else { return };
        for seen in instances {
            let Some(now) = traffic.answered.get(&seen.id) else { continue };
            // One that was there before the release begins with what it had; a later one with nothing.
            let begin = if is_new { *now } else { Answered::default() };
            self.answered.entry(seen.id.clone()).or_insert((begin, *now)).1 = *now;
        }
    }

    /// An instance is stopped: its last request was `drained` ago, or is still open.
    pub(crate) fn left(&mut self, id: &ContainerId, drained: Duration, open: bool) {
        self.drains.insert(id.clone(), (drained, open));
    }

    /// The sum of it.
    pub(crate) fn receipt(&self) -> Receipt {
        let mut receipt = Receipt {
            whole: self.whole,
            drained: u32::try_from(self.drains.len()).unwrap_or(u32::MAX),
            longest_drain: self.drains.values().map(|(took, _)| *took).max().unwrap_or_default(),
            cut_off: u32::try_from(self.drains.values().filter(|(_, open)| *open).count())
                .unwrap_or(u32::MAX),
            ..Receipt::default()
        };
        for (then, now) in self.answered.values() {
            let failed = now.failed.saturating_sub(then.failed);
            let lost = now.lost.saturating_sub(then.lost);
            receipt.failed += failed;
            receipt.lost += lost;
            receipt.requests += now.good.saturating_sub(then.good) + failed + lost;
        }
        receipt
    }
}

/// The release whose way is counted.
fn under_way(ledger: &Ledger) -> Option<ReleaseNumber> {
    match &ledger.record.phase {
        Phase::Rolling { to, .. } => Some(*to),
        Phase::RollingBack { failed, .. } => Some(*failed),
        Phase::Held { at, .. } => Some(*at),
        Phase::Empty | Phase::Steady { .. } | Phase::Leaving { .. } => None,
    }
}
