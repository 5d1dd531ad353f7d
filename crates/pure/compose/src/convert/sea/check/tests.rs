//! Checks of the edge as the file says them, and what is said of those that make no sense.

use expect_test::{Expect, expect};

use crate::{LoadError, MemoryFiles, Request, load};

/// The check of a service at port 8080, or what is wrong with it.
#[track_caller]
fn check(text: &str, want: Expect) {
    want.assert_eq(&said(&routed(text)));
}

fn routed(check: &str) -> String {
    format!("{{image: x, x-sea: {{route: a.b -> 8080, edge: {{check: {check}}}}}}}")
}

fn said(service: &str) -> String {
    let files = MemoryFiles::default().with("/app/compose.yaml", format!("services: {{a: {service}}}"));
    match load(&Request::new("/app"), &files).and_then(|loaded| loaded.project.app()) {
        Ok(converted) => {
            let service = &converted.app.services[0];
            assert!(service.healthcheck.is_none() || service.check.is_none(), "nobody knocks beside it");
            serde_json::to_string(service.check.as_ref().expect("a check")).expect("texts as keys")
        }
        Err(LoadError::Invalid(findings)) => {
            let line = |f: &crate::Finding| {
                let key = f.key.trim_start_matches("services.a.x-sea.edge.");
                format!("{key}: {} | {}", f.message, f.help.clone().unwrap_or_default())
            };
            findings.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_check_is_read_in_every_form() {
    check(
        "tcp",
        expect![[
            r#"{"probe":{"tcp":{"port":8080}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#
        ]],
    );
    check(
        "'/healthz?full=1'",
        expect![[
            r#"{"probe":{"http":{"port":8080,"path":"/healthz?full=1"}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#
        ]],
    );
    check(
        "grpc",
        expect![[
            r#"{"probe":{"grpc":{"port":8080,"service":""}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#
        ]],
    );
    check(
        "{grpc: shop.Cart, port: 9000}",
        expect![[
            r#"{"probe":{"grpc":{"port":9000,"service":"shop.Cart"}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#
        ]],
    );
    check(
        "{tcp: true, interval: 10s, timeout: 1s, retries: 1, start_period: 0s, start_interval: 1s}",
        expect![[
            r#"{"probe":{"tcp":{"port":8080}},"interval":{"secs":10,"nanos":0},"timeout":{"secs":1,"nanos":0},"retries":1,"start_period":{"secs":0,"nanos":0},"start_interval":{"secs":1,"nanos":0}}"#
        ]],
    );
    check(
        "{http: /, host: 'shop.example:1', headers: {X-Check: edge}, status: [200, 300-399]}",
        expect![[
            r#"{"probe":{"http":{"port":8080,"path":"/","host":"shop.example:1","headers":{"x-check":"edge"},"statuses":[{"from":200,"to":200},{"from":300,"to":399}]}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#
        ]],
    );
    expect![[r#"{"probe":{"http":{"port":80,"path":"/","http2":true}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#]].assert_eq(&said(
        "{image: x, expose: ['81'], x-sea: {routes: [{path: /a, port: 80}], edge: {check: /, protocol: h2}}}",
    ));
    expect![[r#"{"probe":{"tcp":{"port":81}},"interval":{"secs":5,"nanos":0},"timeout":{"secs":2,"nanos":0},"retries":3,"start_period":{"secs":60,"nanos":0},"start_interval":{"secs":0,"nanos":200000000}}"#]].assert_eq(&said("{image: x, expose: ['81'], x-sea: {edge: {check: tcp, between: 81}}}"));
}

#[test]
fn checks_that_ask_for_nothing_are_told() {
    let flaws = [
        "5",
        "healthz",
        "{}",
        "{http: /, grpc: x}",
        "{http: healthz}",
        "{http: /a/../b}",
        "'/a b'",
        "{http: '/?a b'}",
        "{http: true}",
        "{grpc: 'a b'}",
        "{tcp: 80}",
    ];
    expect![[r#"
        check: a check cannot be an integer | write `tcp`, `grpc`, a path as in `/healthz`, or as in `{http: /healthz, port: 8080}`
        check: `healthz` is no check | write `tcp`, `grpc`, a path as in `/healthz`, or as in `{http: /healthz, port: 8080}`
        check: this does not say what is asked | keep one of `tcp: true`, `http: PATH` and `grpc: SERVICE`
        check: `http` and `grpc` exclude each other | keep one of `tcp: true`, `http: PATH` and `grpc: SERVICE`
        check.http: `healthz` is no path: a path begins with one `/` | write as in `/healthz?full=1`
        check.http: `/a/../b` is no path: `.` and `..` lead to different places with different servers | write as in `/healthz?full=1`
        check: `/a b` is no path: it holds what a path cannot hold; write that as `%` and two hexadecimal digits | write as in `/healthz?full=1`
        check.http: `/?a b` is no path: its query holds what a query cannot hold | write as in `/healthz?full=1`
        check.http: `true` is not a value of this key | write a path, as in `/healthz`
        check.grpc: `a b` is not a value of this key | write a service's name, as in `shop.Cart`, or `true` for the server as a whole
        check.tcp: `80` is not a value of this key | write `tcp: true`; the port stands under `port`"#]].assert_eq(&flaws.map(|text| said(&routed(text))).join("\n"));
}

#[test]
fn parts_of_checks_that_make_no_sense_are_told() {
    let flaws = [
        "{http: /, port: 65536}",
        "{http: /, prot: 1}",
        "{grpc: x, status: 200}",
        "{http: /, status: [99, 300-200, x, 600]}",
        "{http: /, status: []}",
        "{http: /, host: 'a/b', headers: {Host: x, Content-Length: '1', X-A: 'ä'}}",
        "{http: /, headers: 5, interval: 0s, timeout: x, retries: 0}",
    ];
    expect![[r#"
        check.port: `65536` is no port | ports are 1 to 65535
        check.prot: there is no such key | the keys here are tcp, http, grpc, port, host, headers, status, interval, timeout, retries, start_period, start_interval
        check.status: a check by `grpc` has no `status` | leave it out, or ask by `http: PATH`
        check.status: `99` is not a value of this key | write as in `200`, `200-299` or `[200, 404]`, from 100 to 599
        check.status: `300-200` is not a value of this key | write as in `200`, `200-299` or `[200, 404]`, from 100 to 599
        check.status: `x` is not a value of this key | write as in `200`, `200-299` or `[200, 404]`, from 100 to 599
        check.status: `600` is not a value of this key | write as in `200`, `200-299` or `[200, 404]`, from 100 to 599
        check.status: `[]` is not a value of this key | write as in `200`, `200-299` or `[200, 404]`, from 100 to 599
        check.host: `a/b` is not a value of this key | write a host, as in `shop.example` or `shop.example:8080`
        check.headers.Host: the host has a key of its own | write `host: NAME` beside `headers`
        check.headers.Content-Length: `Content-Length` belongs to the connection, not to the message | leave it out
        check.headers.X-A: no field can have this value | a value is visible ASCII with spaces between, at most 8 KiB
        check.headers: `5` is not a value of this key | write as in `{X-Check: edge}`
        check.interval: `0s` is not a value of this key | write a time, as in `500ms`, `5s` or `2m`
        check.timeout: `x` is not a value of this key | write a time, as in `500ms`, `5s` or `2m`
        check.retries: `0` is not a value of this key | write a whole number from 1 to 100"#]].assert_eq(&flaws.map(|text| said(&routed(text))).join("\n"));
    let ports = [
        "{image: x, x-sea: {edge: {check: tcp}}}",
        "{image: x, expose: ['1', '2'], x-sea: {edge: {check: /}}}",
    ];
    expect![[r#"
        check.port: which port of the container? the service exposes and publishes none | add it, as in `{http: /healthz, port: 8080}`
        check.port: which port of the container? the service has several | add it, as in `{http: /healthz, port: 8080}`"#]].assert_eq(&ports.map(said).join("\n"));
}
