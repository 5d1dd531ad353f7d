//! Tests of the shapes: they agree with the specification's own schema, which lies beside the project.

use std::collections::BTreeSet;

use serde_json::Value;

/// Every key of the schema, as paths of ours.
pub(crate) fn schema_paths() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/compose/compose-spec.schema.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut all = BTreeSet::new();
    walk(&schema, &schema, "", &mut all);
    all
}

fn walk(root: &Value, node: &Value, path: &str, all: &mut BTreeSet<String>) {
    if let Some(reference) = node["$ref"].as_str() {
        walk(root, root.pointer(reference.trim_start_matches('#')).unwrap(), path, all);
    }
    for (key, inner) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        all.insert(path.clone());
        walk(root, inner, &path, all);
    }
    for (pattern, inner) in node["patternProperties"].as_object().into_iter().flatten() {
        if pattern != "^x-" {
            walk(root, inner, &format!("{path}.*"), all);
        }
    }
    if node["items"].is_object() {
        walk(root, &node["items"], &format!("{path}[]"), all);
    }
    for inner in node["oneOf"].as_array().into_iter().flatten() {
        walk(root, inner, path, all);
    }
}

#[test]
fn every_key_of_the_schema_has_a_shape_and_the_other_way_round() {
    let ours: BTreeSet<String> = super::paths().into_iter().collect();
    let theirs = schema_paths();
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}\nextra {extra:#?}");
}
