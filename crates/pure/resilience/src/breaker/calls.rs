//! How the last calls of a breaker ended, by count or by time.

use std::time::Duration;

use base::Instant;

use super::Window;
use crate::window::Ring;

const FAILED: u8 = 1;
const SLOW: u8 = 2;

/// How many of the window's calls failed, and how many were slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shares {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Calls {
    Last { ends: Box<[u8]>, at: usize, shares: Shares },
    Recent(Ring<3>),
}

impl Calls {
    pub(super) fn new(window: Window) -> Self {
        match window {
            Window::Calls(count) => Self::Last {
                ends: vec![0; count.clamp(1, 65_536) as usize].into_boxed_slice(),
                at: 0,
                shares: Shares::default(),
            },
            Window::Time { length, slots } => {
                Self::Recent(Ring::new(length.max(Duration::from_millis(1)), slots.clamp(1, 120) as usize))
            }
        }
    }

    /// Takes in a call and says how the window looks with it.
    pub(super) fn add(&mut self, failed: bool, slow: bool, now: Instant) -> Shares {
        match self {
            Self::Last { ends, at, shares } => {
                if shares.calls == ends.len() as u64 {
                    let gone = ends[*at];
                    shares.failed -= u64::from(gone & FAILED != 0);
                    shares.slow -= u64::from(gone & SLOW != 0);
                } else {
                    shares.calls += 1;
                }
                shares.failed += u64::from(failed);
                shares.slow += u64::from(slow);
                ends[*at] = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
                *at = if *at + 1 == ends.len() { 0 } else { *at + 1 };
                *shares
            }
            Self::Recent(ring) => {
                let [calls, failed, slow] = ring.record([1, u32::from(failed), u32::from(slow)], now);
                Shares { calls, failed, slow }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Last { at, shares, .. } => {
                // What `ends` holds counts again only after it was written anew.
                *at = 0;
                *shares = Shares::default();
            }
            Self::Recent(ring) => ring.clear(),
        }
    }
}
