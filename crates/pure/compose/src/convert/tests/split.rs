//! Sides and mirrors in every form, and what is said of those that make no sense.

use super::*;

/// What the first service of these wants of the edge.
fn edge(services: &str) -> String {
    let app = app(&format!("services:\n{services}"));
    // What is chosen by the ports that they name is not meant here.
    let edge = spec::EdgePolicy { between: Vec::new(), ..app.services[0].edge.clone() };
    serde_json::to_string(&edge).expect("text keys")
}

/// `web` with this `edge`, beside others.
fn web(edge: &str, others: &str) -> String {
    format!("  web: {{image: x, x-sea: {{route: a.b -> 8080, edge: {{{edge}}}}}}}\n{others}")
}

const NEXT: &str = "  next: {image: y}\n";

#[test]
fn splits_are_read_in_every_form() {
    let split = |text: &str, others: &str| edge(&web(&format!("split: {{{text}}}"), others));
    assert_eq!(
        split("sides: {web: 90, next: 10}", NEXT),
        r#"{"split":{"sides":{"next":{"weight":10},"web":{"weight":90}}}}"#
    );
    assert_eq!(
        split(
            "sides: {web: 1, next: {weight: 0, port: 9}}, sticky: cookie, match: [{header: X-Canary, value: always, to: next}, {cookie: be_ta, to: web}]",
            NEXT
        ),
        r#"{"split":{"sides":{"next":{"weight":0,"port":9},"web":{"weight":1}},"matches":[{"by":{"header":"x-canary"},"value":"always","to":"next"},{"by":{"cookie":"be_ta"},"to":"web"}],"sticky":"edge"}}"#
    );
    let sticky = |text: &str| {
        let read = split(&format!("sides: {{web: 1}}, sticky: {text}"), "");
        read.split_once(r#""web":{"weight":1}}"#).map_or(String::new(), |(_, rest)| rest.to_owned())
    };
    assert_eq!(sticky("client"), r#","sticky":"client"}}"#);
    assert_eq!(sticky("'header:X-User'"), r#","sticky":{"header":"x-user"}}}"#);
    assert_eq!(sticky("'cookie:Session_Id'"), r#","sticky":{"cookie":"Session_Id"}}}"#);
    assert_eq!(sticky("false"), "}}");
}

#[test]
fn a_side_is_asked_at_the_port_that_it_has() {
    let port = |next: &str| {
        let read =
            edge(&web("split: {sides: {web: 1, next: 1}}", &format!("  next: {{image: y, {next}}}\n")));
        read.split_once(r#""port":"#)
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
    };
    // The same number as the route's, unless the side has another one and no other.
    assert_eq!(port("x-sea: {}"), None);
    assert_eq!(port("expose: ['8080', '9090']"), None);
    assert_eq!(port("expose: ['3000']"), Some("3000".into()));
    assert_eq!(port("ports: ['80:3000', '81:4/udp']"), Some("3000".into()));
}

#[test]
fn mirrors_are_read_in_every_form() {
    let mirror = |text: &str| edge(&web(&format!("mirror: {text}"), "  shadow: {image: y}\n"));
    assert_eq!(mirror("shadow"), r#"{"mirror":{"to":"shadow","of_10_000":10000}}"#);
    assert_eq!(mirror("'shadow:9'"), r#"{"mirror":{"to":"shadow","port":9,"of_10_000":10000}}"#);
    assert_eq!(mirror("{to: shadow, percent: 5}"), r#"{"mirror":{"to":"shadow","of_10_000":500}}"#);
    assert_eq!(mirror("{to: shadow, percent: 0.25%}"), r#"{"mirror":{"to":"shadow","of_10_000":25}}"#);
}

#[test]
fn splits_that_make_no_sense_are_told() {
    let wrong = |text: &str| format!("services:\n{}", web(&format!("split: {text}"), NEXT));
    told(
        &wrong("5"),
        expect![[r#"
            services.web.x-sea.edge.split: this takes a mapping, not an integer | write as in `sides: {web: 90, web-next: 10}`, with the names of services of this file, or `release: 10` for a new release of this one
        "#]],
    );
    told(
        &wrong("{side: {web: 1}}"),
        expect![[r#"
            services.web.x-sea.edge.split.sides: this takes services with their weights | write as in `sides: {web: 90, web-next: 10}`, with the names of services of this file, or `release: 10` for a new release of this one
            services.web.x-sea.edge.split.side: there is no such key | did you mean `sides`?
        "#]],
    );
    told(
        &wrong("{sides: {next: 10}}"),
        expect![[r#"
        services.web.x-sea.edge.split.sides: what `web` itself gets is not said | add `web: 90`; 0 is nothing
    "#]],
    );
    told(
        &wrong("{sides: {web: 0, next: 0}}"),
        expect![[r#"
        services.web.x-sea.edge.split.sides: no side has any weight | write as in `sides: {web: 90, web-next: 10}`, with the names of services of this file
    "#]],
    );
    told(
        &wrong("{sides: {web: 90%, nxt: 10}, match: [{cookie: c, to: web}]}"),
        expect![[r#"
        services.web.x-sea.edge.split.sides.web: `90%` is no weight | write a whole number from 0 to 1000000: how much beside the others
        services.web.x-sea.edge.split.sides.nxt: there is no service `nxt` here | did you mean `next`?
    "#]],
    );
    told(
        &wrong("{sides: {web: -1, next: {weight: 1, port: 0}}}"),
        expect![[r#"
        services.web.x-sea.edge.split.sides.web: `-1` is no weight | write a whole number from 0 to 1000000: how much beside the others
        services.web.x-sea.edge.split.sides.next.port: `0` is no port | ports are 1 to 65535
    "#]],
    );
    told(
        &wrong(
            "{sides: {web: 1}, sticky: ip, match: [{header: 'a b', to: web}, {cookie: c, header: c, to: web}, {to: web}, {header: a, to: next}, 1]}",
        ),
        expect![[r#"
            services.web.x-sea.edge.split.sticky: `ip` is not a value of this key | allowed are cookie, client, `header:NAME`, `cookie:NAME` and false
            services.web.x-sea.edge.split.match[0]: `a b` is no name of a field | write as in `[{header: X-Canary, value: always, to: web-next}]`
            services.web.x-sea.edge.split.match[1]: this takes either `header` or `cookie` | write as in `[{header: X-Canary, value: always, to: web-next}]`
            services.web.x-sea.edge.split.match[2]: this takes either `header` or `cookie` | write as in `[{header: X-Canary, value: always, to: web-next}]`
            services.web.x-sea.edge.split.match[3].to: `next` is not one of the sides | write one of `web`
            services.web.x-sea.edge.split.match[4]: this takes a mapping, not an integer | write as in `[{header: X-Canary, value: always, to: web-next}]`
        "#]],
    );
}

#[test]
fn sides_of_another_kind_are_told() {
    let text = |next: &str| {
        format!(
            "services:\n{}",
            web(
                "split: {sides: {web: 1, next: 1}}, mirror: next",
                &format!("  next: {{image: y, {next}}}\n")
            )
        )
    };
    told(
        &text("expose: ['1', '2']"),
        expect![[r#"
        services.web.x-sea.edge.split.sides.next: which port of `next`? it has 1, 2, and requests come for 8080 | add it, as in `next: {weight: 10, port: 1}`
        services.web.x-sea.edge.mirror: which port of `next`? it has 1, 2, and requests come for 8080 | add it, as in `next:1`
    "#]],
    );
    told(
        &text("x-sea: {edge: {protocol: h2}}"),
        expect![[r#"
        services.web.x-sea.edge.split.sides.next: `next` speaks HTTP/2, and `web` HTTP/1.1 | give both the same `x-sea.edge.protocol`
        services.web.x-sea.edge.mirror: `next` speaks HTTP/2, and `web` HTTP/1.1 | give both the same `x-sea.edge.protocol`
    "#]],
    );
}

#[test]
fn mirrors_that_make_no_sense_are_told() {
    let wrong = |text: &str| format!("services:\n{}", web(text, NEXT));
    told(
        &wrong("mirror: [next]"),
        expect![[r#"
        services.web.x-sea.edge.mirror: `` is no service | write as in `mirror: web-shadow` or `mirror: {to: "web-shadow:8080", percent: 5}`
    "#]],
    );
    told(
        &wrong("mirror: web"),
        expect![[r#"
        services.web.x-sea.edge.mirror: a service cannot get the copies of its own requests | write as in `mirror: web-shadow` or `mirror: {to: "web-shadow:8080", percent: 5}`
    "#]],
    );
    told(
        &wrong("mirror: 'next:x'"),
        expect![[r#"
        services.web.x-sea.edge.mirror: `next:x` is no service | write as in `mirror: web-shadow` or `mirror: {to: "web-shadow:8080", percent: 5}`
    "#]],
    );
    told(
        &wrong("mirror: {to: next, percent: 0, more: 1}"),
        expect![[r#"
        services.web.x-sea.edge.mirror.percent: `0` is not a value of this key | write a number from 0.01 to 100
        services.web.x-sea.edge.mirror.more: there is no such key | the keys here are to, percent
    "#]],
    );
    told(
        &wrong("mirror: other"),
        expect![[r#"
        services.web.x-sea.edge.mirror: there is no service `other` here | write the name of a service of this file
    "#]],
    );
    told(
        &wrong("mirror: next, protocol: h2"),
        expect![[r#"
        services.web.x-sea.edge.mirror: `web` speaks HTTP/2, and copies are sent in HTTP/1.1 only | leave `mirror` or `protocol: h2` out
    "#]],
    );
}

#[test]
fn who_gets_requests_as_a_side_or_copies_has_use_for_an_edge() {
    let others = "  next: {image: y, x-sea: {edge: {limit: 5}}}\n  shadow: {image: y, x-sea: {edge: {limit: 5}}}\n  none: {image: y, x-sea: {edge: {limit: 5}}}\n";
    let text = format!("services:\n{}", web("split: {sides: {web: 1, next: 1}}, mirror: 'shadow:1'", others));
    let warnings = convert(&text).unwrap_or_else(|error| panic!("{error}")).warnings;
    let keys: Vec<_> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["services.none.x-sea.edge"]);
}

#[test]
fn a_share_for_a_new_release_is_read_in_every_form() {
    let split = |text: &str| edge(&web(&format!("split: {{{text}}}"), ""));
    assert_eq!(split("release: 10"), r#"{"release":{"of_10_000":1000}}"#);
    assert_eq!(split("release: 12.5%"), r#"{"release":{"of_10_000":1250}}"#);
    assert_eq!(split("release: 0.29"), r#"{"release":{"of_10_000":29}}"#);
    assert_eq!(split("release: {percent: 0, replicas: 1}"), r#"{"release":{"of_10_000":0,"replicas":1}}"#);
    assert_eq!(
        split(
            "release: 100, sticky: cookie, match: [{header: X-Canary, value: always, to: new}, {cookie: c, to: old}]"
        ),
        r#"{"release":{"of_10_000":10000,"matches":[{"by":{"header":"x-canary"},"value":"always","to":"new"},{"by":{"cookie":"c"},"to":"old"}],"sticky":"edge"}}"#
    );
}

#[test]
fn shares_for_a_new_release_that_make_no_sense_are_told() {
    let wrong = |text: &str, expected: Expect| {
        let text = format!("services:\n{}", web(&format!("split: {text}"), "  new: {image: y}\n"));
        told(&text, expected);
    };
    wrong(
        "{release: 10, sides: {web: 1, new: 1}}",
        expect![[r#"
        services.web.x-sea.edge.split: requests are split either between services or between releases of this one | leave out one of `sides` and `release`
    "#]],
    );
    wrong(
        "{release: 101}",
        expect![[r#"
        services.web.x-sea.edge.split.release: `101` is no share of the requests | write how much the new release gets, from 0 to 100 percent in steps of 0.01
    "#]],
    );
    wrong(
        "{release: -1}",
        expect![[r#"
        services.web.x-sea.edge.split.release: `-1` is no share of the requests | write how much the new release gets, from 0 to 100 percent in steps of 0.01
    "#]],
    );
    wrong(
        "{release: 99.999}",
        expect![[r#"
        services.web.x-sea.edge.split.release: `99.999` is no share of the requests | write how much the new release gets, from 0 to 100 percent in steps of 0.01
    "#]],
    );
    wrong(
        "{release: some}",
        expect![[r#"
        services.web.x-sea.edge.split.release: `some` is no share of the requests | write how much the new release gets, from 0 to 100 percent in steps of 0.01
    "#]],
    );
    wrong(
        "{release: [10]}",
        expect![[r#"
        services.web.x-sea.edge.split.release: `[10]` is no share of the requests | write how much the new release gets, from 0 to 100 percent in steps of 0.01
    "#]],
    );
    wrong(
        "{release: {replicas: 1}}",
        expect![[r#"
        services.web.x-sea.edge.split.release: `percent` is missing | write as in `release: 10` or `release: {percent: 10, replicas: 1}`
    "#]],
    );
    wrong(
        "{release: {percent: 1, replicas: 0, weight: 1}}",
        expect![[r#"
        services.web.x-sea.edge.split.release.replicas: `0` is no number of instances | write a whole number from 1 up
        services.web.x-sea.edge.split.release.weight: there is no such key | the keys here are percent, replicas
    "#]],
    );
    wrong(
        "{release: 10, match: [{cookie: c, to: web}, {cookie: c}, {to: new}], side: 1, sticky: ip}",
        expect![[r#"
        services.web.x-sea.edge.split.match[0].to: `web` is neither of the two releases | write `new` or `old`
        services.web.x-sea.edge.split.match[1].to: `` is neither of the two releases | write `new` or `old`
        services.web.x-sea.edge.split.match[2]: this takes either `header` or `cookie` | write as in `[{header: X-Canary, value: always, to: web-next}]`
        services.web.x-sea.edge.split.side: there is no such key | did you mean `sides`?
        services.web.x-sea.edge.split.sticky: `ip` is not a value of this key | allowed are cookie, client, `header:NAME`, `cookie:NAME` and false
    "#]],
    );
    // It is the release also where a service has that name.
    assert_eq!(
        edge(&web("split: {release: 1, match: [{cookie: c, to: new}]}", "  new: {image: y}\n")),
        r#"{"release":{"of_10_000":100,"matches":[{"by":{"cookie":"c"},"to":"new"}]}}"#
    );
}
