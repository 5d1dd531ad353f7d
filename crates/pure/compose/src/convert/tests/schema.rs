//! The schema and the guide know the keys that are read, and each key of the guide's example does something.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// A key that is none, and too far from all of them to be taken for one.
const STRANGE: &str = "quite-another-matter";

/// A page of the guide.
fn guide(name: &str) -> String {
    let path = format!("{}/../../../docs/guide/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema() -> Value {
    serde_json::from_str(&guide("x-sea.schema.json")).expect("JSON")
}

/// Every mapping of the schema that takes no other keys than its own: a value of `x-sea` in which it holds the strange
/// key alone, and its own keys.
fn mappings(root: &Value, node: &Value, wrap: &dyn Fn(Value) -> Value, all: &mut Vec<(Value, Vec<String>)>) {
    if let Some(reference) = node["$ref"].as_str() {
        mappings(root, root.pointer(reference.trim_start_matches('#')).expect("a definition"), wrap, all);
    }
    let keys = node["properties"].as_object();
    if node["additionalProperties"] == false {
        let keys = keys.into_iter().flat_map(|keys| keys.keys().cloned()).collect();
        all.push((wrap(json!({ STRANGE: 1 })), keys));
    }
    for (key, inner) in keys.into_iter().flatten() {
        mappings(root, inner, &|value| wrap(json!({ key.as_str(): value })), all);
    }
    if node["additionalProperties"].is_object() {
        mappings(root, &node["additionalProperties"], &|value| wrap(json!({ "a": value })), all);
    }
    if node["items"].is_object() {
        mappings(root, &node["items"], &|value| wrap(json!([value])), all);
    }
    for inner in node["oneOf"].as_array().into_iter().flatten() {
        mappings(root, inner, wrap, all);
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let mut all = Vec::new();
    let schema = schema();
    mappings(&schema, &schema, &|value| value, &mut all);
    assert!(all.len() > 10, "a schema of few mappings: {}", all.len());
    for (mut sea, keys) in all {
        // The rest of these is read when they say the most needed.
        let needed = [
            ("/route", "path", json!("/")),
            ("/routes/0", "path", json!("/")),
            ("/edge/split", "sides", json!({"a": 1})),
        ];
        for (place, key, value) in needed {
            // A split is either between services or between releases.
            if let Some(Value::Object(map)) = sea.pointer_mut(place)
                && !map.contains_key("release")
            {
                map.entry(key).or_insert(value);
            }
        }
        let file = json!({ "services": { "a": { "image": "x", "expose": ["80"], "x-sea": sea } } });
        let Err(LoadError::Invalid(findings)) = convert(&file.to_string()) else {
            panic!("{sea} is taken");
        };
        let finding = findings.iter().find(|finding| finding.key.ends_with(STRANGE));
        let help = finding.and_then(|finding| finding.help.as_deref()).unwrap_or_default();
        let read: BTreeSet<_> = help.trim_start_matches("the keys here are ").split(", ").collect();
        assert_eq!(read, keys.iter().map(String::as_str).collect(), "{sea}");
    }
}

/// The lines of the guide's example of `edge`, from its keys on, each with its key.
fn example(page: &str) -> Vec<(&str, &str)> {
    let (_, section) = page.split_once("## What a service may want").expect("the section");
    let block = section.split("```").nth(1).expect("a block");
    let (_, lines) = block.split_once("      edge:\n").expect("the edge");
    lines.lines().map(|line| (line.split_once(':').expect("a key").0.trim(), line)).collect()
}

/// The file of the example down to the wishes, with what they name.
const ABOVE: &str = "
configs: {missing: {content: gone}, sorry: {content: sorry}}
services:
  api-next: {image: x, expose: [8080]}
  api-shadow: {image: x, expose: [8080]}
  api:
    image: x
    expose: [9090]
    x-sea:
      route: shop.example/api
      edge:
";

/// What the services come to when one wants of the edge what these lines say, or why it may not.
fn wanting(lines: &[&str]) -> Result<String, String> {
    let converted = convert(&format!("{ABOVE}{}", lines.join("\n")));
    converted.map(|converted| format!("{:?}", converted.app.services)).map_err(|error| error.to_string())
}

#[test]
fn the_guide_has_an_example_of_each_key_and_each_does_something() {
    let page = guide("edge.md");
    let example = example(&page);
    let listed: BTreeSet<_> = example.iter().map(|(key, _)| *key).collect();
    let schema = schema();
    let keys = schema["definitions"]["edge"]["properties"].as_object().expect("keys of the edge");
    assert_eq!(listed, keys.keys().map(String::as_str).collect());
    for (key, line) in &example {
        let others = example.iter().filter(|(other, _)| other != key && *other != "protocol");
        let mut lines: Vec<_> = others.map(|(_, line)| *line).collect();
        if *key == "protocol" {
            // Some of the others are of HTTP/1.1 alone.
            lines.truncate(1);
        }
        let without = wanting(&lines);
        lines.push(line);
        let with = wanting(&lines);
        assert!(with.is_ok(), "`{key}`: {with:?}");
        assert!(with != without, "`{key}` does nothing");
    }
}
