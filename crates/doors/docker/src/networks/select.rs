//! Which networks a client wants to see, by docker's filters.

use base::Timestamp;

use super::until;
use super::views::{Known, Members};
use crate::Docker;
use crate::answer::Refusal;
use crate::params::Filters;
use crate::patterns::fits;

/// The filters, read.
pub(super) struct Selection {
    filters: Filters,
    /// Only those that nobody uses, or only those that somebody does.
    dangling: Option<bool>,
    until: Option<Timestamp>,
}

impl Selection {
    /// Those of a list.
    pub(super) fn of(filters: &Filters, now: Timestamp) -> Result<Self, Refusal> {
        filters.only(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
        let dangling = match filters.values("dangling") {
            [] => None,
            [one] => match one.as_str() {
                "1" | "true" => Some(true),
                "0" | "false" => Some(false),
                _ => {
                    return Err(Refusal::invalid(
                        "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
                    ));
                }
            },
            _ => return Err(Refusal::invalid("got more than one value for filter key \"dangling\"")),
        };
        for kind in filters.values("type") {
            if kind != "builtin" && kind != "custom" {
                return Err(Refusal::failed(format!("invalid filter: 'type'='{kind}'")));
            }
        }
        Ok(Self { filters: filters.clone(), dangling, until: until(filters, now)? })
    }

    /// Those that nobody uses, of which a prune may choose.
    pub(super) fn dangling(filters: &Filters, now: Timestamp) -> Result<Self, Refusal> {
        Ok(Self { filters: filters.clone(), dangling: Some(true), until: until(filters, now)? })
    }

    /// Whether this network is meant.
    pub(super) fn takes(&self, docker: &Docker, known: &Known, members: &Members) -> bool {
        let filters = &self.filters;
        let own = known.is_predefined();
        let kind = |kind: &str| (kind == "builtin") == own;
        let used = own || !members.on(known).is_empty();
        filters.any("driver", |driver| driver == known.driver())
            && fits(filters, "name", known.name())
            && fits(filters, "id", &known.id(docker))
            && filters.any("scope", |scope| scope == "local")
            && filters.any("type", kind)
            && filters.labels(|name| known.label(name))
            && self.dangling.is_none_or(|dangling| dangling != used)
            && self.until.is_none_or(|until| known.created(docker) <= until)
    }
}
