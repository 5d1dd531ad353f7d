//! What a request takes at an endpoint that has so many others in flight, from its recent answers.
//!
//! SOURCE. Prequal, section 4: the server answers a probe with the median latency of recent requests that arrived at
//! about the present RIF. Here RIFs from 0 to 3 stand alone, above that by doubling, and the last 9 latencies of each
//! are kept; 9 is the least that two strays do not move far. What was not seen for long is forgotten by halves, so that
//! an endpoint which was slow is tried again; see [`Ewma`](crate::balance::Ewma), whose reasons hold here too.

use std::time::Duration;

use base::Instant;

/// RIF 0, 1, 2, 3, 4-7, 8-15, … 512 and more.
const GROUPS: usize = 12;
const KEPT: usize = 9;

/// The latencies of one endpoint. One an endpoint and picker, or one in the endpoint to answer probes with.
///
/// ```
/// use std::time::Duration;
/// use base::Instant;
/// use resilience::balance::prequal::LatencyByRif;
///
/// let (mut latencies, now) = (LatencyByRif::default(), Instant::from_secs(1));
/// latencies.answered(0, Duration::from_millis(10), now);
/// latencies.answered(20, Duration::from_millis(90), now);
/// let half_life = Duration::from_secs(2);
/// assert_eq!(latencies.at(16, now, half_life), Some(Duration::from_millis(90)));
/// assert_eq!(latencies.at(2, now, half_life), Some(Duration::from_millis(10)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct LatencyByRif {
    groups: [Group; GROUPS],
    /// Bit `n` is set when group `n` has an answer.
    filled: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    at: Instant,
    /// In microseconds.
    median: u32,
    count: u8,
    next: u8,
    last: [u32; KEPT],
}

impl LatencyByRif {
    /// Notes how long a request took that found so many in flight when it came.
    pub fn answered(&mut self, rif: u32, took: Duration, now: Instant) {
        let index = group_of(rif);
        let group = &mut self.groups[index];
        group.last[usize::from(group.next)] = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        group.next = (group.next + 1) % KEPT as u8;
        group.count = (group.count + 1).min(KEPT as u8);
        let mut sorted = group.last;
        let known = &mut sorted[..usize::from(group.count)];
        known.sort_unstable();
        group.median = known[known.len() / 2];
        group.at = now;
        self.filled |= 1 << index;
    }

    /// What a request takes that finds so many in flight, by the answers at the nearest RIF; nothing before the first.
    pub fn at(&self, rif: u32, now: Instant, half_life: Duration) -> Option<Duration> {
        let group = &self.groups[self.nearest(group_of(rif))?];
        let halvings = now.since(group.at).as_nanos() / half_life.as_nanos().max(1);
        let micros = u64::from(group.median).checked_shr(u32::try_from(halvings).unwrap_or(64)).unwrap_or(0);
        Some(Duration::from_micros(micros))
    }

    fn nearest(&self, wanted: usize) -> Option<usize> {
        let (below, above) = (self.filled & ((2 << wanted) - 1), self.filled >> wanted);
        let down = (below != 0).then(|| 15 - below.leading_zeros() as usize);
        let up = (above != 0).then(|| wanted + above.trailing_zeros() as usize);
        match (down, up) {
            (Some(down), Some(up)) => Some(if up - wanted < wanted - down { up } else { down }),
            (one, other) => one.or(other),
        }
    }
}

fn group_of(rif: u32) -> usize {
    match rif {
        0..=3 => rif as usize,
        _ => (rif.ilog2() as usize + 2).min(GROUPS - 1),
    }
}

#[cfg(test)]
mod tests;
