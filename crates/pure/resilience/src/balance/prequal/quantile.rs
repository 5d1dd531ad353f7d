//! A quantile of the last requests-in-flight that were seen, kept up to date in constant time.

/// How many are looked back at.
const WINDOW: usize = 128;
/// RIFs from here on are not told apart; were all so high, all would count as cold and go by latency.
const HIGHEST: usize = 511;

/// The last RIFs, and the value that a part of them does not exceed.
#[derive(Debug, Clone)]
pub(super) struct RecentRif {
    ring: [u16; WINDOW],
    seen: usize,
    counts: Box<[u8; HIGHEST + 1]>,
    quantile: f64,
    limit: usize,
    /// How many in the ring are at or below the limit.
    within: usize,
}

impl RecentRif {
    pub(super) fn new(quantile: f64) -> Self {
        Self {
            ring: [0; WINDOW],
            seen: 0,
            counts: Box::new([0; HIGHEST + 1]),
            quantile: quantile.clamp(0.0, 1.0),
            limit: 0,
            within: 0,
        }
    }

    pub(super) fn note(&mut self, rif: u32) {
        let at = self.seen % WINDOW;
        if self.seen >= WINDOW {
            let old = usize::from(self.ring[at]);
            self.counts[old] -= 1;
            self.within -= usize::from(old <= self.limit);
        }
        let new = (rif as usize).min(HIGHEST);
        self.ring[at] = new as u16;
        self.counts[new] += 1;
        self.within += usize::from(new <= self.limit);
        self.seen += 1;
        self.settle();
    }

    /// Moves the limit to the least value that enough do not exceed.
    fn settle(&mut self) {
        let filled = self.seen.min(WINDOW);
        let enough = (self.quantile * filled as f64).ceil() as usize;
        while self.within < enough && self.limit < HIGHEST {
            self.limit += 1;
            self.within += usize::from(self.counts[self.limit]);
        }
        while self.limit > 0 && self.within - usize::from(self.counts[self.limit]) >= enough {
            self.within -= usize::from(self.counts[self.limit]);
            self.limit -= 1;
        }
    }

    /// What is above it is hot. Nothing is, if the quantile is 1.
    pub(super) fn limit(&self) -> u32 {
        if self.quantile >= 1.0 || self.limit == HIGHEST { u32::MAX } else { self.limit as u32 }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(quantile: f64, rifs: &[u32], expected: Expect) {
        let mut recent = RecentRif::new(quantile);
        let limits: Vec<_> = rifs
            .iter()
            .map(|rif| {
                recent.note(*rif);
                recent.limit().to_string()
            })
            .collect();
        expected.assert_eq(&limits.join(" "));
    }

    #[test]
    fn the_limit_is_the_value_that_the_part_does_not_exceed() {
        check(0.5, &[4, 4, 9, 9, 9, 1, 1, 1, 1], expect!["4 4 4 4 9 4 4 4 4"]);
        check(0.84, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], expect!["1 2 3 4 5 6 6 7 8 9"]);
        check(0.0, &[3, 1, 2], expect!["0 0 0"]);
        check(1.0, &[3, 1, 2], expect!["4294967295 4294967295 4294967295"]);
    }

    #[test]
    fn what_is_old_is_forgotten_and_any_order_gives_the_sorted_answer() {
        let mut rng = base::Rng::seeded(7);
        let (mut recent, mut all) = (RecentRif::new(0.84), Vec::new());
        for round in 0..2_000u64 {
            let rif = rng.below(1 + round % 600) as u32;
            recent.note(rif);
            all.push(rif.min(HIGHEST as u32));
            let mut last: Vec<u32> = all.iter().rev().take(WINDOW).copied().collect();
            last.sort_unstable();
            let right = last[((0.84 * last.len() as f64).ceil() as usize).max(1) - 1];
            let shown = if right == HIGHEST as u32 { u32::MAX } else { right };
            assert_eq!(recent.limit(), shown, "round {round}");
        }
    }
}
