//! Who gives way when a thread has as many connections as it may have, so that nobody keeps others out.
//!
//! First connections that rest between requests: those of whoever holds the most, the longest at rest before others. Then
//! those of which no whole request has come, of whoever holds an eighth of all or more. Last those at work, of whoever
//! holds more than a quarter, until it holds no more than that; what has moved last stays. Without such a holder nobody
//! who asks for something is disturbed, and who comes waits. Who has come a moment ago is about to ask.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use base::Instant;

/// Whose connection it is: an address, or the network of 64 bits that a client has in IPv6 who is no container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Holder(Option<u64>);

impl Holder {
    /// For those that speak for many, as proxies of ours do: they never give way.
    pub(crate) const MANY: Self = Self(None);

    pub(crate) fn of(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_bits().into(),
            // Nobody has a network whose first half is zero.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        }))
    }

    /// For a client that others stand beside in its network of IPv6: an address there is one client, too.
    pub(crate) fn among_neighbours(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::of(address),
            IpAddr::V6(v6) => Self(Some(((v6.to_bits() >> 64) ^ v6.to_bits()) as u64)),
        }
    }
}

/// What a connection does, from what is missed least to what is missed most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Activity {
    /// Nobody waits for anything.
    Resting,
    /// A handshake or the head of a request is under way.
    #[default]
    Asking,
    /// A request is.
    Busy,
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) place: usize,
    pub(super) holder: Holder,
    pub(super) activity: Activity,
    /// When bytes moved last, or about then.
    pub(super) moved: Instant,
}

/// So many give way at once, of those that there may be: a look at all of them is to be worth it.
const AT_ONCE: usize = 32;
/// Who holds this part of all loses what has not asked yet.
const LARGE: usize = 8;
/// Who holds more than this part of all loses what it has asked.
const TOO_LARGE: usize = 4;

/// A connection at rest for less is one that asks: its first bytes may be on their way.
const MOMENT: Duration = Duration::from_secs(1);

/// The places of those that give way, where there may be `most`.
pub(super) fn give_way(mut all: Vec<Held>, most: usize, now: Instant) -> Vec<usize> {
    let mut counts: HashMap<Holder, usize> = HashMap::new();
    for held in &all {
        *counts.entry(held.holder).or_default() += 1;
    }
    all.retain(|held| held.holder != Holder::MANY);
    for held in &mut all {
        if held.activity == Activity::Resting && now.since(held.moved) < MOMENT {
            held.activity = Activity::Asking;
        }
    }
    all.sort_unstable_by_key(|held| (held.activity, Reverse(counts[&held.holder]), held.moved));
    let wanted = (most / AT_ONCE).max(1);
    let mut gone = Vec::with_capacity(wanted);
    for held in all {
        let count = counts.get_mut(&held.holder).expect("it was counted");
        let goes = match held.activity {
            Activity::Resting => true,
            Activity::Asking => *count >= (most / LARGE).max(2),
            Activity::Busy => *count > (most / TOO_LARGE).max(1),
        };
        if goes && gone.len() < wanted {
            *count -= 1;
            gone.push(held.place);
        }
    }
    gone
}

#[cfg(test)]
mod tests;
