//! Which events pass which filters.

use std::collections::BTreeMap;

use super::Filter;
use crate::events::DockerEvent;
use crate::params::Params;

fn event(kind: &'static str, action: &str, id: &str, attributes: &[(&str, &str)]) -> DockerEvent {
    let attributes: BTreeMap<_, _> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    DockerEvent { kind, action: action.into(), id: id.into(), attributes, at: 0 }
}

#[test]
fn filters_pass_what_docker_lets_pass() {
    let die =
        event("container", "die", "abcdef", &[("name", "web"), ("image", "redis:7"), ("tier", "front")]);
    let well = event("container", "health_status: healthy", "abcdef", &[("name", "web")]);
    let tag = event("image", "tag", "sha256:1", &[("name", "x/y:2")]);
    let join = event("network", "connect", "n1", &[("name", "front"), ("container", "abcdef")]);
    for (filters, event, passes) in [
        (r#"{}"#, &die, true),
        (r#"{"type":["container"]}"#, &die, true),
        (r#"{"type":["container","image"]}"#, &tag, true),
        (r#"{"type":["image"]}"#, &die, false),
        (r#"{"event":["die"]}"#, &die, true),
        (r#"{"event":["start"]}"#, &die, false),
        (r#"{"event":["health_status"]}"#, &well, true),
        (r#"{"event":["health_status: healthy"]}"#, &well, true),
        (r#"{"event":["health_status: unhealthy"]}"#, &well, false),
        (r#"{"container":["abc"]}"#, &die, true),
        (r#"{"container":["web"]}"#, &die, true),
        (r#"{"container":["api"]}"#, &die, false),
        (r#"{"image":["redis:7"]}"#, &die, true),
        (r#"{"image":["redis"]}"#, &die, true),
        (r#"{"image":["postgres"]}"#, &die, false),
        (r#"{"image":["x/y"]}"#, &tag, true),
        (r#"{"label":["tier=front"]}"#, &die, true),
        (r#"{"label":["tier=back"]}"#, &die, false),
        (r#"{"label":["tier"]}"#, &die, true),
        (r#"{"network":["front"]}"#, &join, true),
        (r#"{"network":["n1"]}"#, &join, true),
        (r#"{"scope":["swarm"]}"#, &join, false),
        (r#"{"nosuch":["a"]}"#, &join, true),
        (r#"{"type":{"container":true}}"#, &die, true),
    ] {
        let read = Params::parse(&format!("filters={filters}")).filters().expect("filters");
        assert_eq!(Filter::of(&read).takes(event), passes, "{filters} {event:?}");
    }
}
