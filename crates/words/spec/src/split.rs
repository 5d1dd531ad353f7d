//! Where requests for a service go beside it: sides of a split, and mirrors (`x-sea.edge.split` and `.mirror`).

use std::collections::BTreeMap;

use base::ServiceName;
use serde::{Deserialize, Serialize};

/// Requests for a service are split between it and others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// By service; the one that is split is one of them.
    pub sides: BTreeMap<ServiceName, Side>,
    /// Requests that go to a side whatever the weights are; the first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<SideMatch>,
    /// How clients stay at their side.
    #[serde(default, skip_serializing_if = "Sticky::is_default")]
    pub sticky: Sticky,
}

/// One side of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// How much it gets beside the others; 0 is nothing but what matches send there.
    pub weight: u32,
    /// The container's port; none is the one that the request would have come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The highest weight.
pub const HIGHEST_WEIGHT: u32 = 1_000_000;

/// Requests that say so go to this side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideMatch {
    /// Where they say it.
    pub by: MatchBy,
    /// What they say; none is whatever they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The side.
    pub to: ServiceName,
}

/// What is looked at in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// A field, in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// How clients stay at the side of a split that they were once sent to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// They do not: each request is drawn by itself.
    #[default]
    No,
    /// By a cookie that the edge gives them.
    Edge,
    /// By their address.
    Client,
    /// By the value of this field, in lower case; those without it by address.
    Header(String),
    /// By the value of this cookie of the app's own; those without it by address.
    Cookie(String),
}

impl Sticky {
    /// Whether it is what splits do that say nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A new release of a service gets a share of its requests while the one that runs goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSplit {
    /// How many of 10,000 requests the new release gets; with all of them nothing is split.
    pub of_10_000: u32,
    /// How many instances of the new release run beside the old ones; as many as of these when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Requests that go to one of the two whatever the share is; the first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<ReleaseMatch>,
    /// How clients stay with the one that they were once sent to.
    #[serde(default, skip_serializing_if = "Sticky::is_default")]
    pub sticky: Sticky,
}

impl ReleaseSplit {
    /// All requests, as `of_10_000` counts them.
    pub const ALL: u32 = 10_000;

    /// Whether the new release is to have everything, so that it takes over as ever.
    pub fn is_whole(&self) -> bool {
        self.of_10_000 >= Self::ALL
    }

    /// The new release's share, in percent.
    pub fn percent(&self) -> f64 {
        f64::from(self.of_10_000) / 100.0
    }
}

/// Requests that say so go to this release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseMatch {
    /// Where they say it.
    pub by: MatchBy,
    /// What they say; none is whatever they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The release.
    pub to: Which,
}

/// One of the two releases between which requests are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one that comes.
    New,
    /// The one that runs.
    Old,
}

/// Copies of requests for a service go to another one, whose answers nobody reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The other service.
    pub to: ServiceName,
    /// The container's port; none is the one that the request came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many of 10,000 requests are copied.
    pub of_10_000: u32,
}
