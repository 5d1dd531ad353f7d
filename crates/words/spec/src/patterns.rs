//! What the edge does for a service's requests when instances are slow (`x-sea.edge.hedge`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A second request to another instance, when the first has said nothing for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hedge {
    /// After which silence.
    pub after: HedgeAfter,
    /// Second requests are at most so many of 10,000.
    pub share: u32,
}

/// After which silence a second request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HedgeAfter {
    /// That which so many of 10,000 answers come before, as the edge has seen it.
    Quantile(u32),
    /// This one.
    Time(Duration),
}

impl Hedge {
    /// What `true` stands for: what 95 % are quicker than, for 5 % of the requests.
    pub const USUAL: Self = Self { after: HedgeAfter::Quantile(9_500), share: 500 };
}
