//! Tests of what is said when a file is wrong.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::tree::{Map, Node, Value};
use crate::{LoadError, MemoryFiles, Request, load};

#[track_caller]
fn check(text: &str, want: Expect) {
    let files = MemoryFiles::default().with("/app/compose.yaml", text);
    let got = match load(&Request::new("/app"), &files) {
        Ok(_) => "fine".to_owned(),
        Err(LoadError::Invalid(findings)) => findings
            .iter()
            .map(|finding| {
                let place =
                    finding.place.as_ref().map(|p| format!("{}:{}", p.line, p.column)).unwrap_or_default();
                format!(
                    "{place} {}: {} | {}\n",
                    finding.key,
                    finding.message,
                    finding.help.clone().unwrap_or_default()
                )
            })
            .collect(),
        Err(error) => error.to_string(),
    };
    want.assert_eq(&got);
}

#[test]
fn several_errors_are_told_at_once_each_with_its_place() {
    check(
        "services:\n  web:\n    image: 5\n    port: [80]\n    restart: {a: b}\n    deploy: {replicas: lots}\n",
        expect![[r#"
            3:12 services.web.image: this takes a text, not an integer (5) | write a text: put the value into quotes
            4:5 services.web.port: a service has no such key | did you mean `ports`?
            5:14 services.web.restart: this takes a text, not a mapping | write a text
            6:24 services.web.deploy.replicas: this takes an integer, not the text `lots` | write an integer
        "#]],
    );
}

#[test]
fn wrong_words_show_what_is_allowed() {
    check(
        "services:\n  web:\n    image: x\n    volumes: [{type: bnd, target: /x}]\n    deploy: {update_config: {order: start-frist}}\n",
        expect![[r#"
            4:22 services.web.volumes[0].type: `bnd` is not a value of this key | did you mean `bind`? allowed are bind, volume, tmpfs, cluster, npipe, image
            5:37 services.web.deploy.update_config.order: `start-frist` is not a value of this key | did you mean `start-first`? allowed are start-first, stop-first
        "#]],
    );
}

#[test]
fn names_that_nothing_has_are_told_with_the_nearest() {
    check(
        "services:\n  web: {image: x, networks: [frnt], volumes: [dta:/d], depends_on: [bd], secrets: [s]}\n  db: {image: y, networks: [front]}\nnetworks: {front: }\nvolumes: {data: }\n",
        expect![[r#"
            2:30 services.web.networks: there is no network `frnt` | did you mean `front`?
            2:47 services.web.volumes: there is no volume `dta` | did you mean `data`?
            2:69 services.web.depends_on: there is no service `bd` | the services are web, db
            2:84 services.web.secrets: there is no secret `s` | add `s` to the top level's `secrets`
        "#]],
    );
}

#[test]
fn what_excludes_each_other_is_told() {
    check(
        "services:\n  a: {image: x, container_name: cc, scale: 2}\n  b: {image: x, network_mode: host, networks: [n]}\n  c: {}\nnetworks: {n: }\n",
        expect![[r#"
            2:33 services.a.container_name: `container_name` and `scale` above 1 exclude each other | a container's name is unique; remove `container_name`
            3:31 services.b.network_mode: `network_mode` and `networks` exclude each other | keep one of them
            4:6 services.c: this service has neither `image` nor `build` | say with `image` what to run, or with `build` how to make it
        "#]],
    );
}

#[test]
fn circles_are_told() {
    check(
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
        expect![[r#"
            3:29 services.b.depends_on: services wait for each other in a circle: a -> b -> a | remove one of these dependencies
        "#]],
    );
    check(
        "services:\n  a: {extends: b}\n  b: {extends: a, image: x}\n",
        expect![[r#"
            2:16 services.a.extends: services extend each other in a circle: a -> b -> a | let one of them stand alone
        "#]],
    );
}

#[test]
fn the_yaml_itself_may_be_wrong() {
    check(
        "services:\n  a: {image: x}\n  a: {image: y}\n",
        expect![[r#"
        3:3 : the key `a` is here twice | it is already on line 2
    "#]],
    );
    check(
        "a: &a [*a]\n",
        expect![[r#"
        1:8 : this alias stands inside of what it names | 
    "#]],
    );
    check(
        "services: {1: x}\n",
        expect![[r#"
        1:12 : a key must be a text, and this is an integer | put it into quotes
    "#]],
    );
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("x-a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("x-a{level}: &a{level} [{}]\n", vec![below; 10].join(",")));
    }
    check(
        &text,
        expect![[r#"
        6:12 : the aliases of this file stand for too much | all aliases together may stand for 200000 values
    "#]],
    );
}

#[test]
fn an_excerpt_shows_the_line() {
    let files = MemoryFiles::default().with("/app/compose.yaml", "services:\n  web:\n    imag: nginx\n");
    let error = load(&Request::new("/app"), &files).unwrap_err();
    expect![[r#"
        the compose file has a problem

          × `services.web.imag`: a service has no such key
           ╭─[/app/compose.yaml:3:5]
         2 │   web:
         3 │     imag: nginx
           ·     ────
           ╰────
          help: did you mean `image`?"#]]
    .assert_eq(&error.to_string());
}

/// What files are made of.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "services", "web", "image", "ports", "volumes", "deploy", "replicas", "x-sea", "route", "networks",
    "default", "extends", "service", "include", "environment", "healthcheck", "test", "build", "secrets", "configs",
    "file", "depends_on", "command", "labels", "ulimits", "logging", "options", "profiles", "name", "external",
    "develop", "\"80:80\"", "./a:/b", "true", "~", "1", "-1", "1.5", "0644", "${A:-b}",
    "$", "!reset", "!override", "<<", "&a", "*a", "{", "}", "[", "]",
    ":", ": ", ", ", "- ", "\n", "\n  ", "\n    ", "\n      ", "---", "|",
    "#", "'", "\"", "a=b", "10s", "64m", "2020-01-01", "null", "ü",
];

fn piece() -> impl Strategy<Value = String> {
    let words = prop::sample::select(PIECES);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

/// Whether a key anywhere in it has a dollar.
fn has_dollar_key(map: &Map) -> bool {
    map.iter().any(|(key, node)| key.contains('$') || is_with_dollar_key(node))
}

fn is_with_dollar_key(node: &Node) -> bool {
    match &node.value {
        Value::Map(map) => has_dollar_key(map),
        Value::List(list) => list.iter().any(is_with_dollar_key),
        _ => false,
    }
}

proptest! {
    #[test]
    fn no_file_makes_the_load_panic(text in piece()) {
        let files = MemoryFiles::default().with("/app/compose.yaml", text);
        if let Ok(loaded) = load(&Request::new("/app"), &files) {
            let _ = (loaded.project.to_yaml(), loaded.project.to_json(), loaded.project.app());
        }
    }

    #[test]
    fn no_service_makes_the_load_panic(key in prop::sample::select(crate::shape::service_keys()), value in piece()) {
        let text = format!("services:\n  web:\n    image: x\n    {key}: {value}\n");
        let files = MemoryFiles::default().with("/app/compose.yaml", text);
        if let Ok(loaded) = load(&Request::new("/app"), &files) {
            let printed = loaded.project.to_yaml();
            let _ = loaded.project.app();
            // The reference too prints an empty build without its context, and fills it in when it reads that.
            prop_assume!(key != "build" || !printed.contains("    build:") || printed.contains("      context:"));
            // It does not print an empty mode, which says that there is no default network either.
            prop_assume!(key != "network_mode" || printed.contains("    network_mode:"));
            // It prints sizes below zero, which it does not read.
            prop_assume!(!printed.contains(": \"-"));
            // It doubles the dollars of keys, which it never fills in.
            prop_assume!(!has_dollar_key(&loaded.project.root));
            let again = MemoryFiles::default().with("/app/compose.yaml", printed.clone());
            let twice = load(&Request::new("/app"), &again).map(|loaded| loaded.project.to_yaml());
            prop_assert_eq!(twice.unwrap_or_else(|error| error.to_string()), printed);
        }
    }
}
