//! How much of a pool's traffic an endpoint is worth.

use std::fmt;

/// A share relative to that of other endpoints, in thousandths of a usual one; from 0 to 1,000,000.
///
/// It wishes for capacity in use, not for an exact share: policies that look at load or latency send a fast endpoint
/// more. An exact split, as for a canary, is made before the pick, by choosing between pools.
///
/// ```
/// use resilience::balance::Weight;
///
/// assert_eq!(Weight::USUAL.scaled(0.25), Weight::of_thousandths(250));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// No new requests at all.
    pub const ZERO: Self = Self(0);
    /// That of an endpoint of which nothing special is known.
    pub const USUAL: Self = Self(1_000);
    /// The largest. Sums of four billion of them fit into 64 bits.
    pub const MOST: Self = Self(1_000_000);

    /// So many thousandths of the usual weight, at most [`Weight::MOST`].
    pub const fn of_thousandths(thousandths: u32) -> Self {
        if thousandths > Self::MOST.0 { Self::MOST } else { Self(thousandths) }
    }

    /// In thousandths of the usual weight.
    pub const fn thousandths(self) -> u32 {
        self.0
    }

    /// Multiplied by a factor. What is above zero stays so unless the factor is 0.
    pub fn scaled(self, factor: f64) -> Self {
        if self.0 == 0 || factor <= 0.0 {
            return Self::ZERO;
        }
        // The cast of a float saturates.
        Self::of_thousandths(((f64::from(self.0) * factor).round() as u32).max(1))
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::USUAL
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}
