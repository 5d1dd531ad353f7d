//! What the edge does for a service's requests when instances are slow, have too much to do, or hold the state of their
//! clients (`x-sea.edge.breaker`, `.hedge`, `.priority`, `.sticky`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::route::PathPrefix;

/// What becomes of requests to a service that has stopped to answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Breaking {
    /// They are refused at once for a while.
    #[default]
    On,
    /// They go on to it.
    Off,
}

impl Breaking {
    /// Whether it is what services get that say nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Documents say whether a service goes without.
impl From<bool> for Breaking {
    fn from(without: bool) -> Self {
        if without { Self::Off } else { Self::On }
    }
}

impl From<Breaking> for bool {
    fn from(breaking: Breaking) -> Self {
        breaking == Breaking::Off
    }
}

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

/// How urgent requests are, for when there are more than the service can do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Priority {
    /// The first that fits says it; what none fits is [`Urgency::Default`].
    pub matches: Vec<PriorityMatch>,
}

/// Requests of which all this is true are so urgent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorityMatch {
    /// The path that they ask for begins with this, by whole segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPrefix>,
    /// By one of these methods; none stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// They have this field, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// And this is its value; none is whatever it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How urgent.
    pub class: Urgency,
}

/// How much it hurts to refuse a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Refusing it is an outage.
    Critical,
    /// Whatever says nothing else.
    #[default]
    Default,
    /// It can be done later, or not.
    Sheddable,
}

/// Clients stay with the instance that they were once sent to, by a cookie of the edge's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stick {
    /// Its name; none is one that is made from the service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// How long clients keep it; none is until the browser is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

#[cfg(test)]
mod tests;
