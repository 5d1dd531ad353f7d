//! When the next edge is started after one has died: at once, unless one after the other dies as soon as it serves.
//!
//! It is told the time and never asks for it. It never gives up: without an edge nobody is answered.

use std::time::Duration;

use base::Instant;

/// An edge that lived shorter than this died early, and so did one that did not come to serve.
const EARLY: Duration = Duration::from_secs(1);
/// So many early deaths in a row cost no pause.
pub(super) const AT_ONCE: u32 = 3;
/// The first pause after that, of which each is twice as long as the one before, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How it stands with the lives of edges.
#[derive(Debug, Default)]
pub(super) struct Revival {
    /// When the present one began to serve, while it does.
    serves_since: Option<Instant>,
    /// How many died early, one after the other.
    early: u32,
}

/// What follows from a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// How many died early in a row, this one among them; 0 after a life that was long enough.
    pub(super) early: u32,
    /// How long the next is waited with.
    pub(super) pause: Duration,
}

impl Revival {
    /// An edge serves.
    pub(super) fn serves(&mut self, now: Instant) {
        self.serves_since = Some(now);
    }

    /// It has died, or the one that was started in its place has before it served.
    pub(super) fn died(&mut self, now: Instant) -> Death {
        let lived = self.serves_since.take().map_or(Duration::ZERO, |since| now.since(since));
        self.early = if lived < EARLY { self.early.saturating_add(1) } else { 0 };
        let pause = match self.early.checked_sub(AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(further) => PAUSES.0.saturating_mul(1 << further.min(16)).min(PAUSES.1),
        };
        Death { early: self.early, pause }
    }

    /// In what time an edge that follows so many will have lived long enough; none if that says nothing new.
    pub(super) fn settles_in(&self, now: Instant) -> Option<Duration> {
        let since = self.serves_since.filter(|_| self.early > AT_ONCE)?;
        Some((since + EARLY).since(now))
    }

    /// That time has come: gives how many died early before.
    pub(super) fn settle(&mut self) -> u32 {
        std::mem::take(&mut self.early)
    }
}

#[cfg(test)]
mod tests {
    //! Lives and deaths as words: how many milliseconds each edge lived, and the pauses that follow.

    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn an_edge_that_dies_now_and_then_is_replaced_at_once() {
        check(&[5_000, 1_000, 90_000, 1_000, 1_000, 1_000], expect!["0 0 0 0 0 0"]);
    }

    #[test]
    fn a_few_early_deaths_cost_no_pause() {
        check(&[5_000, 20, 0, 999, 1_000, 0, 0, 0], expect!["0 0 0 0 0 0 0 0"]);
    }

    #[test]
    fn edges_that_die_one_after_the_other_are_started_less_and_less_often_and_for_ever() {
        let lives = [&[5_000][..], &[0; 12]].concat();
        check(&lives, expect!["0 0 0 0 50 100 200 400 800 1600 2000 2000 2000"]);
    }

    #[test]
    fn a_life_that_is_long_enough_ends_the_row() {
        check(&[0, 0, 0, 0, 0, 0, 1_000, 0, 0, 0, 0], expect!["0 0 0 50 100 200 0 0 0 0 50"]);
    }

    #[test]
    fn it_is_told_once_that_the_row_is_over() {
        let at = |ms: u64| Instant::from_secs(100) + Duration::from_millis(ms);
        let mut revival = Revival::default();
        revival.serves(at(0));
        assert_eq!(revival.settles_in(at(0)), None, "nothing was the matter");
        for _ in 0..=AT_ONCE {
            revival.died(at(10));
        }
        assert_eq!(revival.settles_in(at(10)), None, "none serves");
        revival.serves(at(100));
        assert_eq!(revival.settles_in(at(400)), Some(Duration::from_millis(700)));
        assert_eq!(revival.settles_in(at(1_200)), Some(Duration::ZERO));
        assert_eq!(revival.settle(), AT_ONCE + 1);
        assert_eq!(revival.settles_in(at(1_200)), None);
    }

    /// The one place that knows how a revival is told of lives.
    #[track_caller]
    fn check(lives_ms: &[u64], pauses_ms: Expect) {
        let (mut revival, mut now) = (Revival::default(), Instant::from_secs(100));
        let mut after = |lived: &u64| {
            if *lived > 0 {
                revival.serves(now);
            }
            now = now + Duration::from_millis(*lived);
            let Death { pause, .. } = revival.died(now);
            now = now + pause;
            pause.as_millis().to_string()
        };
        pauses_ms.assert_eq(&lives_ms.iter().map(&mut after).collect::<Vec<_>>().join(" "));
    }
}
