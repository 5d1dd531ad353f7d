//! The forms of the answer, by version.

use serde_json::json;

use super::{Kinds, Usage, document};
use crate::params::Params;
use crate::version::{ApiVersion, NEWEST};

fn usage() -> Usage {
    let images = vec![
        json!({ "Containers": 1, "Size": 100, "SharedSize": 40 }),
        json!({ "Containers": 0, "Size": 70, "SharedSize": 40 }),
    ];
    let volumes = vec![
        json!({ "UsageData": { "RefCount": 1, "Size": 5 } }),
        json!({ "UsageData": { "RefCount": 0, "Size": 7 } }),
    ];
    Usage { images: Some((images, 130)), volumes: Some(volumes), ..Usage::default() }
}

#[test]
fn older_clients_get_lists() {
    let said = document(&usage(), ApiVersion(1, 51), false);
    assert_eq!(said["LayersSize"], 130);
    assert_eq!(said["Images"].as_array().map(Vec::len), Some(2));
    assert!(said["Containers"].is_null() && said.get("ImageUsage").is_none());
}

#[test]
fn newer_clients_get_sums() {
    let said = document(&usage(), NEWEST, true);
    assert!(said.get("Images").is_none() && said.get("ContainerUsage").is_none());
    let sums = |name: &str| {
        let sum = &said[name];
        [&sum["ActiveCount"], &sum["TotalCount"], &sum["TotalSize"], &sum["Reclaimable"]].map(|n| n.as_i64())
    };
    assert_eq!(sums("ImageUsage"), [Some(1), Some(2), Some(130), Some(30)]);
    assert_eq!(sums("VolumeUsage"), [Some(1), Some(2), Some(12), Some(7)]);
    assert_eq!(said["VolumeUsage"]["Items"].as_array().map(Vec::len), Some(2));
    // Who does not say which is given both.
    let both = document(&usage(), NEWEST, false);
    assert!(both.get("Images").is_some() && both["ImageUsage"].get("Items").is_none());
}

#[test]
fn kinds_are_chosen_since_1_42() {
    let kinds = |query, version| Kinds::of(&Params::parse(query), version);
    let some = kinds("type=volume&type=image", NEWEST).expect("kinds");
    assert!(some.volumes && some.images && !some.containers && !some.cache);
    assert!(kinds("type=volume", ApiVersion(1, 41)).expect("kinds").containers);
    assert_eq!(kinds("type=foo", NEWEST).expect_err("refused").message, "unknown object type: foo");
}
