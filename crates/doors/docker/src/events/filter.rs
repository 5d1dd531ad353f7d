//! Which events a client wants to hear, by docker's filters.
//!
//! Docker does not refuse filters that it does not know here, and neither do we.

use super::words::DockerEvent;
use crate::params::Filters;

/// Actions that say more behind a colon, and are meant without it.
const LONG: [&str; 3] = ["health_status", "exec_create", "exec_start"];

/// The filters.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter(Filters);

impl Filter {
    pub(super) fn of(filters: &Filters) -> Self {
        Self(filters.clone())
    }

    /// Whether this event is meant.
    pub(super) fn takes(&self, event: &DockerEvent) -> bool {
        let exact = |name: &str, text: &str| self.0.any(name, |value| value == text);
        self.action("event", event)
            && self.action("action", event)
            && exact("type", event.kind)
            && exact("scope", "local")
            && ["daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config"]
                .iter()
                .all(|name| self.thing(name, event))
            && self.image(event)
            && self.0.labels(|name| event.attributes.get(name).map(String::as_str))
    }

    fn action(&self, name: &str, event: &DockerEvent) -> bool {
        let loose = self.0.values(name).iter().any(|value| LONG.contains(&value.as_str()));
        self.0.any(name, |value| value == event.action || (loose && event.action.starts_with(value)))
    }

    /// By id or name, or the beginning of either.
    fn thing(&self, kind: &str, event: &DockerEvent) -> bool {
        let name = event.attributes.get("name").map(String::as_str).unwrap_or_default();
        self.0.any(kind, |value| event.id.starts_with(value) || name.starts_with(value))
    }

    /// By id or name, with or without its tag; containers by their image.
    fn image(&self, event: &DockerEvent) -> bool {
        let attribute = if event.kind == "image" { "name" } else { "image" };
        let name = event.attributes.get(attribute).map(String::as_str).unwrap_or_default();
        self.0.any("image", |value| {
            [event.id.as_str(), name].iter().any(|text| *text == value || repository(text) == value)
        })
    }
}

fn repository(text: &str) -> String {
    text.parse::<oci::Reference>().map_or_else(|_| text.to_owned(), |name| name.familiar_repository())
}

#[cfg(test)]
mod tests;
