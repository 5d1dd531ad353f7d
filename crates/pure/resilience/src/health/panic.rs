//! The panic threshold: when too few endpoints are well, health is ignored and all are used.
//!
//! MODEL. Checks and ejections only suspect; an endpoint whose process is gone has left the pool anyway. When most of a
//! pool is suspected at once, either the suspicion is wrong (a check that asks too much, a dependency that all share)
//! or the trouble is load, and then the few that still seem well go down next if they must carry everything.
//!
//! SOURCE. Envoy's panic threshold; Nygard, "Release It!", 2nd edition, 2018, on chain reactions.
//!
//! DEFAULTS. Below 50 % well. A pool that is sized with the usual reserve of a half carries all its traffic on one half
//! of its endpoints; below that the well ones would be given more than twice their usual load. Of two endpoints one may
//! be out, and of three one: panic begins when the second goes. Requests then still reach the well ones by their share,
//! and a retry finds them, so spreading costs errors that can be retried, where an overload would cost everything.

/// How few must be well for all to be used.
///
/// ```
/// use resilience::health::panic::Threshold;
///
/// let threshold = Threshold::default();
/// assert!(!threshold.is_crossed(2, 4));
/// assert!(threshold.is_crossed(1, 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// From 0 (never) to 1 (as soon as one is out).
    share: f64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { share: 0.5 }
    }
}

impl Threshold {
    /// Endpoints that are out are never used.
    pub const OFF: Self = Self { share: 0.0 };

    /// Panic when less than this share is well, from 0 to 1; what lies outside is brought inside.
    pub fn below(share: f64) -> Self {
        Self { share: if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) } }
    }

    /// Whether so many well ones of all are too few.
    pub fn is_crossed(self, well: usize, all: usize) -> bool {
        (well as f64) < self.share * all as f64
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(threshold: Threshold, all: usize, expected: Expect) {
        let crossed: Vec<_> = (0..=all).filter(|well| threshold.is_crossed(*well, all)).collect();
        expected.assert_eq(&format!("{crossed:?}"));
    }

    #[test]
    fn panic_begins_below_the_share_and_not_at_it() {
        check(Threshold::default(), 1, expect!["[0]"]);
        check(Threshold::default(), 2, expect!["[0]"]);
        check(Threshold::default(), 3, expect!["[0, 1]"]);
        check(Threshold::default(), 4, expect!["[0, 1]"]);
        check(Threshold::below(1.0), 3, expect!["[0, 1, 2]"]);
        check(Threshold::below(7.0), 2, expect!["[0, 1]"]);
        check(Threshold::below(f64::NAN), 2, expect!["[]"]);
        check(Threshold::OFF, 3, expect!["[]"]);
    }
}
