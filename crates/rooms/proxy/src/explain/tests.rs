//! What is said of requests, step by step.

pub(super) mod patterns;
mod sides;

use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use expect_test::{Expect, expect};
use plan::tls::RuleHttps;
use plan::traffic::{Endpoint, Listener, Pool, RouteRule, RouteShare};
use spec::{EdgePolicy, Limit, PathPrefix, Rate, RateKey, Redirect, RouteRules};

use super::*;
use crate::table::Document;

/// The moment at which is asked.
pub(super) const NOW: Instant = Instant(1_000_000_000_000);

/// `shop` has two services by host and path, one of them bounded, and a published port; `other` has all other hosts.
fn table() -> Table {
    let endpoint = |port: u16| Endpoint {
        instance: ContainerId::from_bytes([port as u8; 32]),
        address: ([10, 0, 0, 1], port).into(),
    };
    let pool = |service: &str, ports: &[u16], policy: EdgePolicy| Pool {
        service: service.into(),
        endpoints: ports.iter().map(|port| endpoint(*port)).collect(),
        policy,
        ..Pool::default()
    };
    let bounds = EdgePolicy {
        rate: Some(Rate { requests: 2, per: Duration::from_secs(3600), burst: 2, by: RateKey::Client }),
        limit: Some(Limit { requests: Some(1), queue: 0, wait: Duration::from_secs(1) }),
        max_body: Some(base::Bytes(100)),
        ..EdgePolicy::default()
    };
    let shop = RouteShare {
        rules: rules_of_shop(),
        listeners: vec![Listener {
            address: ([0, 0, 0, 0], 5000).into(),
            protocol: Protocol::Auto,
            pool: "api".into(),
            between: false,
        }],
        pools: [
            ("web".to_owned(), pool("shop/web", &[1, 2], EdgePolicy::default())),
            ("api".to_owned(), pool("shop/api", &[3], bounds)),
        ]
        .into(),
        ..RouteShare::default()
    };
    let other = RouteShare {
        rules: vec![rule(None, "/none", "none", false)],
        pools: [("none".to_owned(), pool("other/none", &[], EdgePolicy::default()))].into(),
        ..RouteShare::default()
    };
    let shares = [("shop".to_owned(), shop), ("other".to_owned(), other)].into();
    Table::build(&Document { generation: 1, shares, ..Document::default() }, None, 1, |instance, address| {
        Arc::new(EndpointState::new(instance.clone(), address, 2))
    })
    .expect("a table")
}

pub(super) fn rule(host: Option<&str>, path: &str, pool: &str, only: bool) -> RouteRule {
    RouteRule {
        host: host.map(str::to_owned),
        path: PathPrefix(path.into()),
        strip_prefix: path == "/api",
        pool: pool.into(),
        https: RuleHttps { only, ..RuleHttps::default() },
        rules: RouteRules::default(),
        users: None,
        asks: String::new(),
    }
}

fn rules_of_shop() -> Vec<RouteRule> {
    let moved = Some(Redirect {
        status: 301,
        scheme: Some("https".into()),
        host: Some("new.example".into()),
        path: None,
        keep_path: true,
        keep_query: true,
    });
    vec![
        rule(Some("shop.example"), "/", "web", false),
        rule(Some("shop.example"), "/api", "api", false),
        rule(Some("safe.example"), "/", "web", true),
        rule(Some("*.example"), "/img", "web", false),
        RouteRule {
            rules: RouteRules {
                deny: vec!["192.0.2.0/24".parse().expect("a range")],
                ..RouteRules::default()
            },
            ..rule(Some("shop.example"), "/closed", "web", false)
        },
        RouteRule {
            rules: RouteRules { replace_prefix: Some(PathPrefix("/v2".into())), ..RouteRules::default() },
            ..rule(Some("shop.example"), "/v1", "web", false)
        },
        RouteRule {
            rules: RouteRules { redirect: moved, ..RouteRules::default() },
            ..rule(Some("old.example"), "/", "", false)
        },
    ]
}

/// `[METHOD] URL`, then fields.
pub(super) fn ask(text: &str) -> Ask {
    let mut lines = text.lines();
    let (method, url) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a URL");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (host, target) = rest.split_at(rest.find('/').expect("a path"));
    Ask {
        method: method.into(),
        secure: scheme == "https",
        host: host.into(),
        port: host.split_once(':').map(|(_, port)| port.parse().expect("a port")),
        target: target.into(),
        fields: lines
            .map(|line| line.split_once(": ").expect("a field"))
            .map(|(a, b)| (a.into(), b.into()))
            .collect(),
        client: [192, 0, 2, 7].into(),
    }
}

#[track_caller]
fn check(table: &Table, text: &str, want: Expect) {
    let (http, https) = ([([0, 0, 0, 0], 80).into()], [([0, 0, 0, 0], 8443).into()]);
    let told = explain(&Seen { table, http: &http, https: &https, now: NOW, threads: None }, &ask(text));
    let mut shown: String =
        told.steps.iter().map(|step| format!("{}: {}\n", step.name, step.found)).collect();
    for one in told.candidates.iter().filter(|one| one.passed_over.is_some()) {
        shown += &format!("{}: {}\n", one.address, one.passed_over.as_deref().unwrap_or_default());
    }
    want.assert_eq(&format!("{shown}{:?}\n", told.verdict));
}

#[test]
fn the_most_exact_host_and_the_longest_prefix_are_named() {
    let table = table();
    check(
        &table,
        "GET http://shop.example/x",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/web`, by the rule for this very host and `/`
            instances: 2 of 2; the one for which latency times load is least
            Sent { service: "shop/web", target: "/x" }
        "#]],
    );
    check(
        &table,
        "GET http://shop.example/api/x?y=1",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/api`, by the rule for this very host and `/api`; longer than `/`
            rate: 2 of 2 requests are left
            limit: 0 of 1 requests are at work, 0 wait
            instances: 1 of 1; the one for which latency times load is least
            Sent { service: "shop/api", target: "/x?y=1" }
        "#]],
    );
    check(
        &table,
        "GET https://a.example/img",
        expect![[r#"
            entrance: HTTPS by host and path, at 0.0.0.0:8443
            head: nothing in it can be read in two ways
            route: to `shop/web`, by the rule for its wildcard and `/img`
            instances: 2 of 2; the one for which latency times load is least
            Sent { service: "shop/web", target: "/img" }
        "#]],
    );
    check(
        &table,
        "GET http://a.example/x",
        expect![[r#"
        entrance: HTTP by host and path, at 0.0.0.0:80
        head: nothing in it can be read in two ways
        route: none of the 2 rules for `a.example` fits
        Refused { status: 404, code: "no-route", why: "No service answers at this host and path.", location: None }
    "#]],
    );
    check(
        &table,
        "GET http://a.b/none",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `other/none`, by the rule for every host and `/none`
            instances: there is none: the request waits for one
            Held { service: "other/none" }
        "#]],
    );
}

#[test]
fn what_is_refused_is_told_with_its_code() {
    let table = table();
    check(
        &table,
        "GET http://shop.example/a/../b",
        expect![[r#"
        entrance: HTTP by host and path, at 0.0.0.0:80
        Refused { status: 400, code: "dot-segments", why: "The path holds `.` or `..` segments, which servers read differently.", location: None }
    "#]],
    );
    check(
        &table,
        "GET http://shop.example/\ncontent-length: 1\ntransfer-encoding: chunked",
        expect![[r#"
        entrance: HTTP by host and path, at 0.0.0.0:80
        Refused { status: 400, code: "length-and-chunked", why: "Content-Length and Transfer-Encoding contradict each other.", location: None }
    "#]],
    );
    check(
        &table,
        "GET http://shop.example/%61pi/x",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/web`, by the rule for this very host and `/`
            Refused { status: 400, code: "two-routes", why: "Servers may read the path as one of another route.", location: None }
        "#]],
    );
    check(
        &table,
        "GET http://safe.example/x",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/web`, by the rule for this very host and `/`
            Refused { status: 308, code: "https-only", why: "This host is asked over HTTPS only.", location: Some("https://safe.example/x") }
        "#]],
    );
    check(
        &table,
        "POST http://shop.example/api\ncontent-length: 101",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/api`, by the rule for this very host and `/api`; longer than `/`
            body: 101 bytes, of 100 at most
            Refused { status: 413, code: "body-size", why: "The body of the request is longer than the service allows.", location: None }
        "#]],
    );
}

#[test]
fn what_routes_do_with_requests_is_told() {
    let table = table();
    check(
        &table,
        "GET http://shop.example/closed",
        expect![[r#"
        entrance: HTTP by host and path, at 0.0.0.0:80
        head: nothing in it can be read in two ways
        route: to `shop/web`, by the rule for this very host and `/closed`; longer than `/`
        Refused { status: 403, code: "address", why: "This is not for clients with this address.", location: None }
    "#]],
    );
    check(
        &table,
        "GET http://shop.example/v1/x?y=1",
        expect![[r#"
        entrance: HTTP by host and path, at 0.0.0.0:80
        head: nothing in it can be read in two ways
        route: to `shop/web`, by the rule for this very host and `/v1`; longer than `/`
        instances: 2 of 2; the one for which latency times load is least
        Sent { service: "shop/web", target: "/v2/x?y=1" }
    "#]],
    );
    check(
        &table,
        "GET http://old.example/x?y=1",
        expect![[r#"
        entrance: HTTP by host and path, at 0.0.0.0:80
        head: nothing in it can be read in two ways
        route: by the rule for this very host and `/`
        Refused { status: 301, code: "redirect", why: "What was asked for is found at another place.", location: Some("https://new.example/x?y=1") }
    "#]],
    );
}

#[test]
fn the_entrance_decides_too() {
    let table = table();
    check(
        &table,
        "GET http://any:5000/x",
        expect![[r#"
        entrance: the published port 0.0.0.0:5000 of `shop/api`: read request by request where it is HTTP
        head: nothing in it can be read in two ways
        rate: 2 of 2 requests are left
        limit: 0 of 1 requests are at work, 0 wait
        instances: 1 of 1; the one for which latency times load is least
        Sent { service: "shop/api", target: "/x" }
    "#]],
    );
    check(
        &table,
        "GET http://shop.example:81/x",
        expect![[r#"
        Nowhere { why: "no port 81 is answered by the edge" }
    "#]],
    );
    check(
        &table,
        "GET http://shop.example:8443/x",
        expect![[r#"
        Refused { status: 400, code: "plain-http", why: "This port speaks HTTPS only: ask with https:// instead of http://.", location: None }
    "#]],
    );
    check(
        &table,
        "GET https://shop.example:80/x",
        expect![[r#"
        Refused { status: 400, code: "tls-here", why: "This port speaks HTTP without TLS: ask with http:// instead of https://.", location: None }
    "#]],
    );
}

#[test]
fn bounds_are_looked_at_and_not_used_up() {
    let table = table();
    (0..3).for_each(|_| {
        drop(explain(
            &Seen { table: &table, http: &[([0, 0, 0, 0], 80).into()], https: &[], now: NOW, threads: None },
            &ask("GET http://shop.example/api"),
        ))
    });
    check(
        &table,
        "GET http://shop.example/api",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/api`, by the rule for this very host and `/api`; longer than `/`
            rate: 2 of 2 requests are left
            limit: 0 of 1 requests are at work, 0 wait
            instances: 1 of 1; the one for which latency times load is least
            Sent { service: "shop/api", target: "/" }
        "#]],
    );
    let gate = table.pools.iter().find_map(|pool| pool.gate.clone()).expect("a gate");
    (0..2).for_each(|_| gate.take([192, 0, 2, 7].into(), None).expect("it is allowed"));
    check(
        &table,
        "GET http://shop.example/api",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/api`, by the rule for this very host and `/api`; longer than `/`
            rate: 0 of 2 requests are left
            Refused { status: 429, code: "rate", why: "The client has sent more requests than the service allows in a time.", location: None }
        "#]],
    );
}

#[test]
fn who_is_passed_over_is_told_with_the_reason() {
    let table = table();
    let pool = table.pools.iter().find(|pool| pool.service == "shop/web").expect("a pool");
    let after = |ms: u64| NOW + Duration::from_millis(ms);
    pool.endpoints[0].ejected(1, after(30_000));
    pool.endpoints[0].ejected(0, NOW);
    pool.endpoints[1].spare(0, after(900));
    pool.endpoints[1].spare(1, after(1500));
    check(
        &table,
        "GET http://shop.example/x",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/web`, by the rule for this very host and `/`
            instances: all 2 are passed over; one is tried all the same, unless all asked to be spared
            10.0.0.1:1: ejected by 1 of 2 threads, for 30 s at most
            10.0.0.1:2: asked to be spared, heard by 2 of 2 threads, for 1500 ms at most
            Sent { service: "shop/web", target: "/x" }
        "#]],
    );
    pool.endpoints[0].returned(1);
    check(
        &table,
        "GET http://shop.example/x",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            route: to `shop/web`, by the rule for this very host and `/`
            instances: 1 of 2; the one for which latency times load is least
            10.0.0.1:2: asked to be spared, heard by 2 of 2 threads, for 1500 ms at most
            Sent { service: "shop/web", target: "/x" }
        "#]],
    );
}

#[test]
fn a_request_goes_no_more_hops_than_it_says() {
    let table = table();
    check(
        &table,
        "OPTIONS http://shop.example/x\nmax-forwards: 3",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            hops: `max-forwards` lets it go 2 further than the instance
            route: to `shop/web`, by the rule for this very host and `/`
            instances: 2 of 2; the one for which latency times load is least
            Sent { service: "shop/web", target: "/x" }
        "#]],
    );
    check(
        &table,
        "OPTIONS http://shop.example/x\nmax-forwards: 0",
        expect![[r#"
            entrance: HTTP by host and path, at 0.0.0.0:80
            head: nothing in it can be read in two ways
            Refused { status: 200, code: "last-hop", why: "The request is to go no further than here.", location: None }
        "#]],
    );
}
