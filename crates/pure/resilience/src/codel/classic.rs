//! `CoDel` as RFC 8289 writes it, section 5: the law that drops ever faster while waits stay above the target.

use std::time::Duration;

use base::Instant;

use super::{Policy, Verdict};

/// The state of RFC 8289's dropper.
#[derive(Debug, Clone, Default)]
pub(super) struct Classic {
    /// When waits will have been above the target for an interval.
    above_at: Option<Instant>,
    dropping: bool,
    next: Instant,
    /// Drops since it began to drop, and those of the time before.
    count: u32,
    last_count: u32,
}

impl Classic {
    pub(super) fn is_dropping(&self) -> bool {
        self.dropping
    }

    pub(super) fn judge(&mut self, policy: Policy, waited: Duration, empty: bool, now: Instant) -> Verdict {
        let may_drop = self.may_drop(policy, waited, empty, now);
        if self.dropping {
            if !may_drop {
                self.dropping = false;
                return Verdict::Serve;
            }
            if now < self.next {
                return Verdict::Serve;
            }
            self.count = self.count.saturating_add(1);
            self.next = law(self.next, policy, self.count);
            return Verdict::Drop;
        }
        if !may_drop {
            return Verdict::Serve;
        }
        self.dropping = true;
        // If it dropped a short while ago, it goes on near the rate that was right then.
        let recent = now.since(self.next) < policy.interval * 16;
        let delta = self.count.saturating_sub(self.last_count);
        self.count = if recent && delta > 1 { delta } else { 1 };
        self.last_count = self.count;
        self.next = law(now, policy, self.count);
        Verdict::Drop
    }

    /// Whether waits have been above the target for an interval, with something left behind.
    fn may_drop(&mut self, policy: Policy, waited: Duration, empty: bool, now: Instant) -> bool {
        if waited < policy.target || empty {
            self.above_at = None;
            return false;
        }
        match self.above_at {
            None => {
                self.above_at = Some(now + policy.interval);
                false
            }
            Some(at) => now >= at,
        }
    }
}

/// The time of the next drop.
fn law(from: Instant, policy: Policy, count: u32) -> Instant {
    from + policy.interval.div_f64(f64::from(count.max(1)).sqrt())
}
