//! Rosters for the tests of this module, from a line of text.

use std::time::Duration;

use base::{Instant, Rng};

use super::{Roster, Rules, Standing, Weight};

pub(super) const NOW: Instant = Instant(10_000_000_000_000);

/// A roster by a list like `open, 2.5 out, open @3s`: weight, standing, and age, which is else an hour.
pub(super) fn roster(text: &str) -> Roster {
    let mut roster = Roster::new(Rules::default());
    let mut standings = Vec::new();
    let mut seats = Vec::new();
    for (key, seat) in (0u64..).zip(text.split(", ").filter(|seat| !seat.is_empty())) {
        let (mut weight, mut standing, mut age) = (Weight::USUAL, Standing::Open, Duration::from_secs(3_600));
        for word in seat.split(' ') {
            match word {
                "open" => standing = Standing::Open,
                "out" => standing = Standing::Out,
                "spared" => standing = Standing::Spared,
                "draining" => standing = Standing::Draining,
                _ => match word.strip_prefix('@').and_then(|word| word.strip_suffix('s')) {
                    Some(secs) => age = Duration::from_secs(secs.parse().expect("seconds")),
                    None => weight = Weight::USUAL.scaled(word.parse().expect("a weight")),
                },
            }
        }
        seats.push((100 + key, weight, NOW - age));
        standings.push(standing);
    }
    // The ones that are there keep their age, so those that came first are put first.
    let mut moments: Vec<Instant> = seats.iter().map(|seat| seat.2).collect();
    moments.sort_unstable();
    for moment in moments {
        roster
            .replace(seats.iter().filter(|s| s.2 <= moment).map(|(key, weight, _)| (*key, *weight)), moment);
    }
    for (place, standing) in standings.into_iter().enumerate() {
        roster.stand(place, standing, NOW);
    }
    roster.refresh(NOW);
    roster
}

/// How often each place is picked.
pub(super) fn counts(
    roster: &Roster,
    picks: usize,
    mut pick: impl FnMut(&mut Rng) -> Option<usize>,
) -> Vec<usize> {
    let (mut counts, mut rng) = (vec![0; roster.seats().len()], Rng::seeded(2));
    for _ in 0..picks {
        if let Some(place) = pick(&mut rng) {
            counts[place] += 1;
        }
    }
    counts
}

/// In hundredths of all, rounded.
pub(super) fn percents(counts: &[usize]) -> String {
    let all: usize = counts.iter().sum();
    let percents: Vec<_> =
        counts.iter().map(|count| format!("{:.0}", 100.0 * *count as f64 / all.max(1) as f64)).collect();
    percents.join(" ")
}
