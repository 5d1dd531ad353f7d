//! Mirrors: which requests are copied to another service, whose answers nobody reads, so that it never costs the real ones.
//!
//! MODEL. A version that is to be tried sees real requests without answering any: a share of them goes to it as copies.
//! A copy waits for nothing and holds nothing up. It is made at once or not at all, and what would be too much is left
//! out and counted: more at once than the bound says, or more bytes that wait to be sent. So a shadow that is slow or dead
//! costs the bound and no more, and the share that is really copied falls instead.
//!
//! SOURCE. Envoy's `request_mirror_policies` and Traefik's mirroring, and what went wrong with the latter: copies without
//! a bound took all memory (its issue 6125).
//!
//! DEFAULTS of [`Policy`]: `share` 1, every request that may be copied; `at_once` 64, which at 100 ms each are 640 copies
//! a second; `bytes` 1 MiB, 64 requests of 16 KiB.
//!
//! ```
//! use base::Rng;
//! use resilience::mirror::{Mirror, Policy, Skipped};
//!
//! let policy = Policy { at_once: 1, ..Policy::default() };
//! let (mut mirror, mut rng) = (Mirror::default(), Rng::seeded(1));
//! let copy = mirror.admit(policy, 400, &mut rng).expect("nothing is under way");
//! assert_eq!(mirror.admit(policy, 400, &mut rng).err(), Some(Skipped::Busy));
//! mirror.settle(copy);
//! assert!(mirror.admit(policy, 400, &mut rng).is_ok());
//! ```

use base::Rng;

use crate::refusal::sentences;

/// How much is copied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The part of the requests that is copied, from 0 to 1.
    pub share: f64,
    /// Copies that are not over, at most.
    pub at_once: u32,
    /// Their bytes, at most.
    pub bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { share: 1.0, at_once: 64, bytes: 1 << 20 }
    }
}

/// Why a request is not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// It is not in the share.
    Share,
    /// As many copies or bytes are under way as may.
    Busy,
}

sentences! {
    Skipped: |it, f| f.write_str(match it {
        Skipped::Share => "the request is not in the share that is copied",
        Skipped::Busy => "as many copies are under way as may",
    });
}

/// A copy that is under way; give it back with [`Mirror::settle`].
#[must_use = "its place is held until it is settled"]
#[derive(Debug)]
pub struct Ticket {
    bytes: u64,
}

/// The copies of one service's requests. The policy is told with each, so that another one needs no other mirror.
#[derive(Debug, Default)]
pub struct Mirror {
    at_once: u32,
    bytes: u64,
}

impl Mirror {
    /// Leave to copy a request of so many bytes.
    ///
    /// # Errors
    /// When it is not in the share, or when there is no room for it.
    pub fn admit(&mut self, policy: Policy, bytes: u64, rng: &mut Rng) -> Result<Ticket, Skipped> {
        if !rng.chance(policy.share) {
            return Err(Skipped::Share);
        }
        if self.at_once >= policy.at_once || self.bytes.saturating_add(bytes) > policy.bytes {
            return Err(Skipped::Busy);
        }
        self.at_once += 1;
        self.bytes += bytes;
        Ok(Ticket { bytes })
    }

    /// A copy is over, however it went.
    pub fn settle(&mut self, ticket: Ticket) {
        self.at_once -= 1;
        self.bytes -= ticket.bytes;
    }

    /// Copies that are not over.
    pub fn under_way(&self) -> u32 {
        self.at_once
    }
}

#[cfg(test)]
mod tests;
