//! Tests of what a file comes to as an app.

mod patterns;
mod schema;
mod split;

use expect_test::{Expect, expect, expect_file};
use spec::{App, Order, Restart};

use crate::{Converted, LoadError, MemoryFiles, Request, load};

fn convert(text: &str) -> Result<Converted, LoadError> {
    let files = MemoryFiles::default()
        .with("/app/compose.yaml", text)
        .with("/app/s.txt", "secret")
        .with("/app/users", USERS);
    load(&Request::new("/app"), &files)?.project.app()
}

fn app(text: &str) -> App {
    convert(text).unwrap_or_else(|error| panic!("{error}")).app
}

/// Warnings and choices, or what is wrong.
#[track_caller]
fn told(text: &str, want: Expect) {
    let got = match convert(text) {
        Ok(converted) => {
            let warnings = converted.warnings.iter().map(|w| format!("{w}\n"));
            let chosen = converted
                .chosen
                .iter()
                .map(|c| format!("{} {} = {}: {}\n", c.service, c.key, c.value, c.why));
            warnings.chain(chosen).collect()
        }
        Err(LoadError::Invalid(findings)) => findings
            .iter()
            .map(|f| format!("{}: {} | {}\n", f.key, f.message, f.help.clone().unwrap_or_default()))
            .collect::<String>(),
        Err(error) => error.to_string(),
    };
    want.assert_eq(&got);
}

#[test]
fn a_silent_file_gets_safe_defaults_and_is_told_of_them() {
    told(
        "services: {web: {image: x, ports: ['80:8080']}}",
        expect![[r#"
            web x-sea.edge.between = [8080]: other services that call its name there have the edge balance, hold and repeat for them
            web restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            web deploy.update_config.order = start-first: the new one is ready before the old one leaves
            web healthcheck = a connection to port 8080: a deploy waits until new instances take connections
            web logging = 3 files of 10.0 MiB: a log without a bound fills the disk
        "#]],
    );
    told(
        "services: {job: {image: x}, web: {image: x, depends_on: {job: {condition: service_completed_successfully}}}}",
        expect![[r#"
            job restart = no: another service waits for it to end, so it is a job
            job deploy.update_config.order = start-first: the new one is ready before the old one leaves
            job logging = 3 files of 10.0 MiB: a log without a bound fills the disk
            web restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            web deploy.update_config.order = start-first: the new one is ready before the old one leaves
            web logging = 3 files of 10.0 MiB: a log without a bound fills the disk
        "#]],
    );
}

#[test]
fn an_explicit_key_keeps_its_meaning() {
    let app = app("
services:
  a: {image: x, restart: 'no', deploy: {update_config: {order: start-first, parallelism: 0}}, volumes: ['vol:/v']}
  b: {image: x, restart: on-failure:3}
  c: {image: x, restart: always, deploy: {restart_policy: {condition: none}}}
volumes: {vol: }
");
    let service = |name: &str| app.services.iter().find(|(key, _)| key.as_str() == name).unwrap().1;
    assert_eq!(service("a").restart, Restart::No);
    assert_eq!((service("a").update.order, service("a").update.parallelism), (Order::StartFirst, 0));
    assert_eq!(service("b").restart, Restart::OnFailure { max_retries: 3 });
    assert_eq!(service("c").restart, Restart::No);
}

#[test]
fn two_at_once_are_avoided_where_they_would_do_harm() {
    let order = |service: &str| {
        let text = format!(
            "services:\n  a: {service}\n  other: {{image: x, volumes: ['shared:/s']}}\nvolumes: {{own: , shared: }}\nnetworks: {{n: }}\n"
        );
        app(&text).services[0].update.order
    };
    use Order::{StartFirst, StopFirst};
    assert_eq!(order("{image: x}"), StartFirst);
    assert_eq!(order("{image: x, volumes: ['own:/d']}"), StopFirst);
    assert_eq!(order("{image: x, volumes: ['own:/d:ro']}"), StartFirst);
    assert_eq!(order("{image: x, volumes: ['own:/d'], deploy: {replicas: 2}}"), StartFirst);
    assert_eq!(order("{image: x, volumes: ['shared:/d']}"), StartFirst);
    assert_eq!(order("{image: x, volumes: ['./here:/d']}"), StartFirst);
    assert_eq!(order("{image: x, volumes: ['own:/d'], x-sea: {writer: many}}"), StartFirst);
    assert_eq!(order("{image: x, x-sea: {writer: single}}"), StopFirst);
    assert_eq!(order("{image: x, container_name: one}"), StopFirst);
    assert_eq!(order("{image: x, networks: {n: {ipv4_address: 10.0.0.9}}}"), StopFirst);
    assert_eq!(order("{image: x, network_mode: host}"), StopFirst);
}

#[test]
fn keys_without_effect_are_told_and_keys_that_would_break_are_refused() {
    told(
        "services:\n  a:\n    image: x\n    restart: 'no'\n    cpu_count: 2\n    deploy: {placement: {constraints: [a]}, update_config: {order: stop-first}}\n    logging: {driver: syslog, options: {max-size: 1m, max-file: 2, tag: t}}\n",
        expect![[r#"
            C0102: /app/compose.yaml:5:16: `services.a.cpu_count`: this has no effect here: only Windows has it
            C0101: /app/compose.yaml:6:25: `services.a.deploy.placement`: this has no effect here: there is one machine: placement and clusters mean nothing
            C0203: /app/compose.yaml:7:23: `services.a.logging.driver`: logs are kept here, where `logs` shows them, and do not go to `syslog`
            C0204: /app/compose.yaml:7:73: `services.a.logging.options.tag`: this option has no effect here
        "#]],
    );
    told(
        "services:\n  a: {image: x, gpus: all, volumes_from: [b], ports: ['1:1/sctp']}\n  c: {provider: {type: p}}\n",
        expect![[r#"
            services.a.depends_on: there is no service `b` | did you mean `a`?
        "#]],
    );
}

#[test]
fn routes_are_read_in_every_form() {
    let routes = |service: &str| {
        let app = app(&format!("services:\n  a: {service}\n"));
        let routes = app.services[0].routes.iter();
        routes
            .map(|r| {
                let strip = if r.strip_prefix { " stripped" } else { "" };
                format!("{}{} -> {}{strip}", r.host.as_deref().unwrap_or("*"), r.path, r.port)
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(routes("{image: x, expose: ['8080'], x-sea: {route: Shop.Example}}"), "shop.example/ -> 8080");
    assert_eq!(routes("{image: x, ports: ['80:8080', '81:9/udp'], x-sea: {route: /api}}"), "*/api -> 8080");
    assert_eq!(
        routes(
            "{image: x, x-sea: {routes: ['a.b/c -> 1', {host: '*.d', path: /e, port: 2, strip_prefix: true}]}}"
        ),
        "a.b/c -> 1, *.d/e -> 2 stripped"
    );
}

#[test]
fn what_is_wanted_of_the_edge_is_read_in_every_form() {
    let edge = |text: &str| {
        let app = app(&format!("services:\n  a: {{image: x, x-sea: {{edge: {text}}}}}\n"));
        serde_json::to_string(&app.services[0].edge).expect("text keys")
    };
    assert_eq!(edge("{}"), "{}");
    assert_eq!(
        edge("{first_byte: 30s, idle: 500ms, request: 2m, retries: 0, max_body: 10m}"),
        r#"{"first_byte":{"secs":30,"nanos":0},"idle":{"secs":0,"nanos":500000000},"request":{"secs":120,"nanos":0},"retries":0,"max_body":10485760}"#
    );
    let limit = |requests: &str, queue: u32, secs: u32| {
        format!(r#"{{"limit":{{"requests":{requests},"queue":{queue},"wait":{{"secs":{secs},"nanos":0}}}}}}"#)
    };
    assert_eq!(edge("{balance: latency, breaker: true}"), "{}");
    assert_eq!(edge("{trace: true}"), r#"{"trace":1000000}"#);
    assert_eq!(edge("{trace: 2.5%}"), r#"{"trace":25000}"#);
    assert_eq!(edge("{trace: false}"), "{}");
    assert_eq!(edge("{balance: round_robin}"), r#"{"balance":"round_robin"}"#);
    assert_eq!(
        edge("{balance: 'header:X-User', breaker: false}"),
        r#"{"balance":{"header":"x-user"},"no_breaker":true}"#
    );
    assert_eq!(edge("{limit: auto}"), limit("null", 100, 1));
    assert_eq!(edge("{limit: 50}"), limit("50", 100, 1));
    assert_eq!(edge("{limit: {requests: auto, queue: 0, wait: 5s}}"), limit("null", 0, 5));
    let rate = |requests: u32, secs: u32, burst: u32, by: &str| {
        format!(
            r#"{{"rate":{{"requests":{requests},"per":{{"secs":{secs},"nanos":0}},"burst":{burst},"by":{by}}}}}"#
        )
    };
    assert_eq!(edge("{rate: 100/s}"), rate(100, 1, 100, r#""client""#));
    assert_eq!(
        edge("{rate: {requests: 600, per: 1m, burst: 20, by: 'header:X-Api-Key'}}"),
        rate(600, 60, 20, r#"{"header":"x-api-key"}"#)
    );
    assert_eq!(edge("{proxy_protocol: v2}"), r#"{"proxy_protocol":"v2"}"#);
    assert_eq!(edge("{rate: {requests: 5, by: service}}"), rate(5, 1, 5, r#""service""#));
}

#[test]
fn wishes_to_the_edge_that_make_no_sense_are_told() {
    told(
        "services:\n  a: {image: x, x-sea: {edge: {request: 5, retries: 11, max_body: big, limit: 0, rate: 5/d, ratte: 1}}}\n  b: {image: x, x-sea: {edge: {rate: {per: 1s}, limit: {request: 1}}}}\n  c: {image: x, x-sea: {edge: {rate: {requests: 1, by: 'header:'}}}}\n  d: {image: x, x-sea: {edge: {proxy_protocol: 2}}}\n  e: {image: x, x-sea: {edge: {proxy_protocol: v2, protocol: h2}}}\n",
        expect![[r#"
            services.a.x-sea.edge.request: `5` is not a value of this key | write a time, as in `500ms`, `30s` or `2m`
            services.a.x-sea.edge.retries: `11` is not a value of this key | write a whole number from 0 to 10
            services.a.x-sea.edge.max_body: `big` is not a value of this key | write a size, as in `512k` or `10m`
            services.a.x-sea.edge.limit: `0` is not a value of this key | write `auto`, a number, or `{requests: 100, queue: 100, wait: 1s}`
            services.a.x-sea.edge.rate: `5/d` is not a value of this key | write as in `100/s`, `600/m` or `{requests: 100, per: 1s, burst: 200, by: client}`
            services.a.x-sea.edge.ratte: there is no such key | did you mean `rate`?
            services.b.x-sea.edge.rate: `map[per:1s]` is not a value of this key | write as in `100/s`, `600/m` or `{requests: 100, per: 1s, burst: 200, by: client}`
            services.b.x-sea.edge.limit.request: there is no such key | did you mean `requests`?
            services.c.x-sea.edge.rate.by: `header:` is not a value of this key | write `client`, `service` or `header:NAME`
            services.d.x-sea.edge.proxy_protocol: `2` is not a value of this key | allowed are v1 and v2
            services.e.x-sea.edge.proxy_protocol: connections of HTTP/2 carry requests of many clients, and cannot open with the address of one | leave out one of the two
        "#]],
    );
}

#[test]
fn a_service_may_want_its_answers_kept() {
    let app = app("
services:
  a: {image: x, x-sea: {edge: {cache: true}}}
  b: {image: x, x-sea: {edge: {cache: false}}}
  c: {image: x, x-sea: {edge: {cache: {ttl: 5s, stale_if_error: 1m, join: true, size: 4m}}}}
");
    let lines: Vec<_> =
        app.services.values().map(|service| serde_json::to_string(&service.edge).unwrap()).collect();
    expect![[r#"
        {"cache":{"wait":{"secs":30,"nanos":0},"size":33554432,"answer":1048576}}
        {}
        {"cache":{"ttl":{"secs":5,"nanos":0},"stale_if_error":{"secs":60,"nanos":0},"join":true,"wait":{"secs":30,"nanos":0},"size":4194304,"answer":524288}}"#]]
    .assert_eq(&lines.join("\n"));
    told(
        "services:\n  a: {image: x, x-sea: {edge: {cache: {ttl: 0s, size: 1k, max_answer: 5m, joined: true}}}}\n  b: {image: x, x-sea: {edge: {cache: 5s}}}\n",
        expect![[r#"
            services.a.x-sea.edge.cache.ttl: `0s` is not a value of this key | write a time, as in `500ms`, `30s` or `2m`
            services.a.x-sea.edge.cache.size: `1k` is not a value of this key | write a size from 1.0 MiB to 64.0 GiB
            services.a.x-sea.edge.cache.max_answer: `5m` is not a value of this key | write a size from 1.0 KiB to 4.0 MiB
            services.a.x-sea.edge.cache.joined: there is no such key | did you mean `join`?
            services.b.x-sea.edge.cache: `5s` is not a value of this key | write `true`, `false` or `{ttl: 5s, stale_while_revalidate: 1m}`
        "#]],
    );
}

#[test]
fn a_service_may_want_the_edge_between_it_and_others() {
    let app = app("
services:
  a: {image: x, x-sea: {edge: {between: [9090, 80, 80], connections: 200}}}
  b: {image: x, x-sea: {edge: {between: 5432}}}
  c: {image: x, expose: [80], x-sea: {edge: {between: []}}}
  d: {image: x, expose: [80], x-sea: {edge: {between: false}}}
");
    told(
        "services: {a: {image: x, deploy: {replicas: 2}, x-sea: {edge: {between: false}}}}",
        expect![[r#"
            a restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            a deploy.update_config.order = start-first: the new one is ready before the old one leaves
            a logging = 3 files of 10.0 MiB: a log without a bound fills the disk
        "#]],
    );
    let lines: Vec<_> =
        app.services.values().map(|service| serde_json::to_string(&service.edge).unwrap()).collect();
    expect![[r#"
        {"between":[80,9090],"connections":200}
        {"between":[5432]}
        {}
        {}"#]]
    .assert_eq(&lines.join("\n"));
    told(
        "services:\n  a: {image: x, x-sea: {edge: {between: [0, 8125/udp, true], connections: 0}}}\n",
        expect![[r#"
            services.a.x-sea.edge.between: `0` is not a value of this key | write the ports of TCP at which other services call it, as in `[8080, 9090]`, or `false` for none
            services.a.x-sea.edge.between: `8125/udp` is not a value of this key | write the ports of TCP at which other services call it, as in `[8080, 9090]`, or `false` for none
            services.a.x-sea.edge.between: `true` is not a value of this key | write the ports of TCP at which other services call it, as in `[8080, 9090]`, or `false` for none
            services.a.x-sea.edge.connections: `0` is not a value of this key | write a whole number from 1 to 1000000
        "#]],
    );
}

#[test]
fn the_edge_answers_at_the_ports_that_a_file_names_for_a_service() {
    let app = app("
services:
  exposed: {image: x, expose: ['80', 81/tcp, 82/udp], ports: ['1:8080', '2:53/udp'], x-sea: {route: {host: a.example, port: 9000}}}
  silent: {image: x, ports: ['3:53/udp'], depends_on: {job: {condition: service_completed_successfully}}}
  job: {image: x, expose: [80]}
  host: {image: x, expose: [80], network_mode: host}
  range: {image: x, ports: ['4000-4016:4000-4016']}
  moved: {image: x, expose: [80], x-sea: {edge: {limit: 5}}}
");
    let lines: Vec<_> =
        app.services.iter().map(|(name, service)| format!("{name} {:?}", service.edge.between)).collect();
    expect![[r#"
        exposed [80, 81, 8080, 9000]
        silent []
        job []
        host []
        range []
        moved [80]"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn wishes_to_an_edge_that_has_no_way_to_the_service_are_warned_of() {
    told(
        "services:\n  a: {image: x, x-sea: {edge: {limit: 5}}}\n  b: {image: x, ports: ['1:1'], x-sea: {edge: {limit: 5}}}\n  c: {image: x, network_mode: host, x-sea: {edge: {between: 80}}}\n  d: {image: x, x-sea: {edge: {between: [8080, 12176]}}}\n",
        expect![[r#"
            C0209: /app/compose.yaml:2:31: `services.a.x-sea.edge`: no request comes here through the edge, for want of a route or a published port
            C0209: /app/compose.yaml:4:51: `services.c.x-sea.edge.between`: nobody comes through here, as `network_mode: host` has no network of its own
            C0209: /app/compose.yaml:5:31: `services.d.x-sea.edge.between`: calls of port 12176 go straight to instances, as the edge has one place for it and 8080: they are a multiple of 4096 apart
            a restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            a deploy.update_config.order = start-first: the new one is ready before the old one leaves
            a logging = 3 files of 10.0 MiB: a log without a bound fills the disk
            b x-sea.edge.between = [1]: other services that call its name there have the edge balance, hold and repeat for them
            b restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            b deploy.update_config.order = start-first: the new one is ready before the old one leaves
            b healthcheck = a connection to port 1: a deploy waits until new instances take connections
            b logging = 3 files of 10.0 MiB: a log without a bound fills the disk
            c restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            c deploy.update_config.order = stop-first: on the host's network a port cannot be taken twice
            c logging = 3 files of 10.0 MiB: a log without a bound fills the disk
            d restart = unless-stopped: a service that runs for long comes back after a failure and after a start of the machine
            d deploy.update_config.order = start-first: the new one is ready before the old one leaves
            d logging = 3 files of 10.0 MiB: a log without a bound fills the disk
        "#]],
    );
}

#[test]
fn a_check_that_is_disabled_is_none_of_the_image_either() {
    for wish in ["{disable: true}", "{test: NONE}", "{test: [NONE]}"] {
        let text = format!("services: {{a: {{image: x, ports: ['1:1'], healthcheck: {wish}}}}}");
        let app = app(&text);
        let check = app.services.values().next().and_then(|service| service.healthcheck.as_ref());
        let disabled = check.is_some_and(|check| check.is_disabled());
        assert_eq!(disabled, wish != "{test: NONE}", "{wish}: {check:?}");
    }
}

#[test]
fn https_is_asked_for_by_route_and_by_service() {
    let app = app(
        "services:\n  a:\n    image: x\n    x-sea:\n      routes: [{host: a.b, port: 1, https: only, hsts: 365d}, {host: c.d, port: 1}]\n      certificate: {chain: c, key: k}\n      edge: {protocol: h2}\nsecrets: {k: {file: s.txt}}\nconfigs: {c: {content: chain}}\n",
    );
    let service = &app.services[0];
    let https: Vec<_> = service.routes.iter().map(|route| format!("{:?}", route.https)).collect();
    expect![[r#"
        RouteHttps { only: true, remembered: Some(31536000s) }, RouteHttps { only: false, remembered: None }
        Some(Files(CertificateFiles { chain: "c", key: "k" })) true"#]]
    .assert_eq(&format!("{}\n{:?} {}", https.join(", "), service.certificate, service.edge.http2));
    told(
        "services:\n  a: {image: x, x-sea: {routes: [{path: /, port: 1, https: yes, hsts: long}], certificate: {chain: c}}}\n  b: {image: x, x-sea: {route: a.b -> 1, certificate: {chain: c, key: c, more: 1}}}\nsecrets: {c: {external: true}}\n",
        expect![[r#"
            services.a.x-sea.routes[0].https: `yes` is not a value of this key | allowed are only and allowed
            services.a.x-sea.certificate: `key` is missing | write `certificate: acme`, or `{chain: NAME, key: NAME}` with NAMEs of secrets or configs of this file
            services.a.x-sea.certificate.chain: `c` is external, so the edge cannot read it | write `certificate: acme`, or `{chain: NAME, key: NAME}` with NAMEs of secrets or configs of this file
            services.b.x-sea.certificate.chain: `c` is external, so the edge cannot read it | write `certificate: acme`, or `{chain: NAME, key: NAME}` with NAMEs of secrets or configs of this file
            services.b.x-sea.certificate.key: `c` is external, so the edge cannot read it | write `certificate: acme`, or `{chain: NAME, key: NAME}` with NAMEs of secrets or configs of this file
            services.b.x-sea.certificate.more: there is no such key | the keys here are chain, key
        "#]],
    );
}

#[test]
fn a_route_says_what_is_done_with_its_requests() {
    let app = app("
services:
  a:
    image: x
    x-sea:
      routes:
        - path: /api
          port: 80
          request_headers: {set: {X-Env: prod, X-Count: 5}, add: {x-tag: b}, remove: [X-Debug]}
          response_headers: {remove: Server}
          replace_prefix: /v2
          rewrite_host: Inside.example:81
          allow: [10.0.0.0/8, 192.0.2.7, 'fd00::/8']
          deny: 10.1.0.0/16
        - {host: old.example, redirect: 'https://www.new.example:8443/x/'}
        - {path: /old, redirect: {to: /, status: 301, keep_path: false, keep_query: false}}
");
    let routes = &app.services[0].routes;
    let lines: Vec<_> =
        routes.iter().map(|r| format!("{} {}", r.port, serde_json::to_string(&r.rules).unwrap())).collect();
    expect![[r#"
        80 {"request_headers":{"set":{"x-count":"5","x-env":"prod"},"add":{"x-tag":"b"},"remove":["x-debug"]},"response_headers":{"remove":["server"]},"replace_prefix":"/v2","rewrite_host":"inside.example:81","allow":["10.0.0.0/8","192.0.2.7/32","fd00::/8"],"deny":["10.1.0.0/16"]}
        0 {"redirect":{"status":307,"scheme":"https","host":"www.new.example:8443","path":"/x/","keep_path":true,"keep_query":true}}
        0 {"redirect":{"status":301,"path":"/","keep_path":false,"keep_query":false}}"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn rules_that_make_no_sense_are_told() {
    told(
        "services:\n  a:\n    image: x\n    x-sea:\n      routes:\n        - {path: /a, port: 1, request_headers: {set: {Host: a, x_a: b, X-B: [1], X-C: \"a\\nb\", X-D: 1, x-d: 2, x-forwarded-for: 1}, remove: [X-D, TE], more: 1}}\n        - {path: /b, port: 1, response_headers: {set: {X-A: 1}, add: {x-a: 2}}, allow: [10.0.0.5/8, '::ffff:10.0.0.0/104', x, 10.0.0.0/33], deny: {}}\n        - {path: /c, port: 1, replace_prefix: /a/../b, strip_prefix: true, rewrite_host: 'a b'}\n        - {path: /d, port: 1, hsts: 1d, response_headers: {set: {Strict-Transport-Security: max-age=1}}}\n",
        expect![[r#"
            services.a.x-sea.routes[0].request_headers.set.Host: `Host` belongs to the connection, not to the message | choose another field
            services.a.x-sea.routes[0].request_headers.set.x_a: `x_a` is no name of a field: letters, digits and dashes | choose another field
            services.a.x-sea.routes[0].request_headers.set.X-B: `[1]` is no value of a field | write one line of visible ASCII, of at most 8 KiB, without spaces around it
            services.a.x-sea.routes[0].request_headers.set.X-C: `a\nb` is no value of a field | write one line of visible ASCII, of at most 8 KiB, without spaces around it
            services.a.x-sea.routes[0].request_headers.set.x-d: `x-d` is here twice | case does not count in names
            services.a.x-sea.routes[0].request_headers.set.x-forwarded-for: `x-forwarded-for` is written by the edge itself | choose another field
            services.a.x-sea.routes[0].request_headers.remove: `X-D` is removed and given a value | `set` replaces what is there; leave it out of `remove`
            services.a.x-sea.routes[0].request_headers.remove: `TE` belongs to the connection, not to the message | choose another field
            services.a.x-sea.routes[0].request_headers.more: there is no such key | the keys here are set, add, remove
            services.a.x-sea.routes[1].response_headers: `x-a` is set and added | one of the two is enough
            services.a.x-sea.routes[1].allow: `10.0.0.5/8` is no address and no range | did you mean `10.0.0.0/8`?
            services.a.x-sea.routes[1].allow: `::ffff:10.0.0.0/104` is no address and no range | write the IPv4 range itself: clients are known by it, however they came
            services.a.x-sea.routes[1].allow: `x` is no address and no range | write a list of addresses and ranges, as in `[10.0.0.0/8, 192.0.2.7, fd00::/8]`
            services.a.x-sea.routes[1].allow: `10.0.0.0/33` is no address and no range | write a list of addresses and ranges, as in `[10.0.0.0/8, 192.0.2.7, fd00::/8]`
            services.a.x-sea.routes[1].deny: this takes a list, not a mapping | write a list of addresses and ranges, as in `[10.0.0.0/8, 192.0.2.7, fd00::/8]`
            services.a.x-sea.routes[2].replace_prefix: `/a/../b` is no path | `.` and `..` lead to different places with different servers
            services.a.x-sea.routes[2].replace_prefix: the prefix is cut off by `strip_prefix` already | `replace_prefix: /` cuts it off too
            services.a.x-sea.routes[2].rewrite_host: `a b` is no host | write as in `shop.example` or `shop.example:8080`, without scheme
            services.a.x-sea.routes[3].hsts: `response_headers` sets `Strict-Transport-Security` already | leave one of the two out
        "#]],
    );
    told(
        "services:\n  a:\n    image: x\n    x-sea:\n      routes:\n        - {path: /a, port: 1, redirect: /b}\n        - {path: /b, redirect: /b/}\n        - {host: a.b, path: /c, redirect: https://a.b}\n        - {path: /d, redirect: ftp://a}\n        - {path: /e, redirect: a.b/x}\n        - {path: /f, redirect: {status: 303, to: '/x?y'}}\n        - {path: /g, redirect: {status: 303, to: /x, keep: 1}}\n        - {path: /h, redirect: {keep_path: 1}}\n        - {path: /i, redirect: [], strip_prefix: true}\n",
        expect![[r#"
            services.a.x-sea.routes[0].port: a route with `redirect` leads to no instance | leave one of the two out
            services.a.x-sea.routes[1].redirect: this leads to the same place again | name another host or path; for plain requests to HTTPS write `https: only`
            services.a.x-sea.routes[2].redirect: this leads to the same place again | name another host or path; for plain requests to HTTPS write `https: only`
            services.a.x-sea.routes[3].redirect: `ftp://a` is neither a URL nor a path | write a URL or a path, as in `https://www.shop.example` or `/new`, or `{to: /new, status: 308}`
            services.a.x-sea.routes[4].redirect: `a.b/x` is neither a URL nor a path | write a URL or a path, as in `https://www.shop.example` or `/new`, or `{to: /new, status: 308}`
            services.a.x-sea.routes[5].redirect: `/x?y` is no place to be sent to | it holds what a path cannot hold; write that as `%` and two hexadecimal digits
            services.a.x-sea.routes[6].redirect.status: `303` is not a value of this key | allowed are 302 and 307 for a time, 301 and 308 for good; 307 and 308 keep the method
            services.a.x-sea.routes[6].redirect.keep: there is no such key | the keys here are to, status, keep_path, keep_query
            services.a.x-sea.routes[7].redirect: `to` is missing | write a URL or a path, as in `https://www.shop.example` or `/new`, or `{to: /new, status: 308}`
            services.a.x-sea.routes[8].redirect: this cannot be a list | write a URL or a path, as in `https://www.shop.example` or `/new`, or `{to: /new, status: 308}`
            services.a.x-sea.routes[8].strip_prefix: a route with `redirect` leads to no instance | leave one of the two out
        "#]],
    );
}

/// A list with one user.
const USERS: &str = "ann:$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

#[test]
fn passwords_maintenance_pages_and_compression_are_asked_for() {
    let app = app("
services:
  a:
    image: x
    x-sea:
      route: {path: /, port: 1, basic_auth: list}
      edge: {maintenance: true, error_pages: {'404': page, 5xx: page}, replace_errors: [503, 404, 5xx, 404], compress: true}
  b:
    image: x
    x-sea:
      routes: [{path: /b, port: 1, basic_auth: {users: list, realm: The shop, keep_authorization: true}}]
      edge: {maintenance: {allow: 10.0.0.0/8, retry_after: 10m}, compress: false}
  c:
    image: x
    x-sea: {route: {path: /c, port: 1}, edge: {maintenance: false}}
secrets: {list: {file: ./users}, other: {file: ./s.txt}}
configs: {page: {content: <h1>}}
");
    let of =
        |service: &spec::Service| serde_json::to_string(&(&service.routes[0].rules, &service.edge)).unwrap();
    let lines: Vec<_> = app.services.values().map(of).collect();
    expect![[r#"
        [{"basic_auth":{"users":"list","realm":"restricted"}},{"maintenance":{"retry_after":{"secs":60,"nanos":0}},"error_pages":{"404":"page","5xx":"page"},"replace_errors":["404","503","5xx"],"between":[1],"compress":true}]
        [{"basic_auth":{"users":"list","realm":"The shop","keep_authorization":true}},{"maintenance":{"allow":["10.0.0.0/8"],"retry_after":{"secs":600,"nanos":0}},"between":[1]}]
        [{},{"between":[1]}]"#]].assert_eq(&lines.join("\n"));
    assert_eq!((app.secrets.len(), app.configs.len()), (1, 1), "what nobody uses is left out");
}

#[test]
fn a_route_may_have_another_service_asked_first() {
    let text = |asks: &str| {
        format!(
            "services:\n  a: {{image: x, x-sea: {{route: {{path: /, port: 1, forward_auth: {asks}}}}}}}\n  auth: {{image: x}}\n  far: {{image: x, expose: ['1'], x-sea: {{edge: {{protocol: h2}}}}}}\n"
        )
    };
    let of = |asks: &str| {
        let rules = &app(&text(asks)).services[0].routes[0].rules;
        serde_json::to_string(&rules.forward_auth).unwrap()
    };
    assert_eq!(of("far:1"), r#"{"service":"far","port":1,"path":"/"}"#);
    assert_eq!(of("auth:4180"), r#"{"service":"auth","port":4180,"path":"/"}"#);
    assert_eq!(
        of("{to: auth:4180/verify, copy: [X-User, x-email]}"),
        r#"{"service":"auth","port":4180,"path":"/verify","copy":["x-user","x-email"]}"#
    );
    let flaw = |asks: &str| match convert(&text(asks)) {
        Err(LoadError::Invalid(findings)) => {
            findings.iter().map(|f| f.message.clone()).collect::<Vec<_>>().join(", ")
        }
        other => panic!("{:?}", other.map(|it| it.warnings)),
    };
    let flaws: Vec<_> = [
        "auth",
        "auth:0",
        "5",
        "none:80",
        "auth:1/../x",
        "{copy: X}",
        "{to: 'auth:1', copy: [Host], more: 1}",
    ]
    .iter()
    .map(|asks| flaw(asks))
    .collect();
    expect![[r#"
        `auth` is no service with a port
        `auth:0` is no service with a port
        `` is no service with a port
        there is no service `none` here
        `/../x` is no path
        `` is no service with a port
        `Host` belongs to the connection, not to the message, there is no such key"#]]
    .assert_eq(&flaws.join("\n"));
}

#[test]
fn lists_and_pages_that_cannot_be_used_are_told() {
    told(
        "services:\n  a: {image: x, x-sea: {route: {path: /a, port: 1, basic_auth: none}, edge: {maintenance: 1, compress: gzip, error_pages: 5}}}\n  b: {image: x, x-sea: {route: {path: /b, port: 1, basic_auth: s}, edge: {maintenance: {retry: 1}, error_pages: {'200': c, 5xx: none, '404': {}}}}}\n  c: {image: x, x-sea: {route: {path: /c, port: 1, basic_auth: {users: out, realm: 'a\"b', keep_authorization: 1, more: 1}}}}\n  d: {image: x, x-sea: {route: {path: /d, port: 1, basic_auth: []}}}\n  e: {image: x, x-sea: {route: {path: /e, port: 1, basic_auth: {}}, edge: {replace_errors: true}}}\n  f: {image: x, x-sea: {route: {path: /f, port: 1}, edge: {replace_errors: [404, 5xx, 200, x], error_pages: {'503': c}}}}\nsecrets: {s: {file: ./s.txt}, out: {external: true}}\nconfigs: {c: {content: x}}\n",
        expect![[r#"
            services.a.x-sea.route.basic_auth: there is no secret `none` here | write the NAME of a secret of this file, or `{users: NAME, realm: The shop}`
            services.a.x-sea.edge.maintenance: `1` is not a value of this key | write `true`, `false` or `{allow: [10.0.0.0/8], retry_after: 10m}`
            services.a.x-sea.edge.compress: `gzip` is not a value of this key | write `true` or `false`, without quotes
            services.a.x-sea.edge.error_pages: `5` is not a value of this key | write as in `{'404': NAME, 5xx: NAME}`, with NAMEs of configs of this file
            services.b.x-sea.route.basic_auth: the secret `s` is no list of users | line 1: it is not `NAME:HASH`; `htpasswd -nB NAME` writes one
            services.b.x-sea.edge.maintenance.retry: there is no such key | the keys here are allow, retry_after
            services.b.x-sea.edge.error_pages.200: `200` is no status and no class of errors | write 400 to 599, `4xx` or `5xx`
            services.b.x-sea.edge.error_pages.5xx: there is no config `none` here | write as in `{'404': NAME, 5xx: NAME}`, with NAMEs of configs of this file
            services.b.x-sea.edge.error_pages.404: there is no config `map[]` here | write as in `{'404': NAME, 5xx: NAME}`, with NAMEs of configs of this file
            services.c.x-sea.route.basic_auth: `out` is external, so the edge cannot read it | write the NAME of a secret of this file, or `{users: NAME, realm: The shop}`
            services.c.x-sea.route.basic_auth.realm: `a\"b` is not a value of this key | write visible ASCII without quotes and backslashes
            services.c.x-sea.route.basic_auth.keep_authorization: this takes `true` or `false`, not an integer | write it without quotes
            services.c.x-sea.route.basic_auth.more: there is no such key | the keys here are users, realm, keep_authorization
            services.d.x-sea.route.basic_auth: this cannot be a list | write the NAME of a secret of this file, or `{users: NAME, realm: The shop}`
            services.e.x-sea.route.basic_auth: `users` is missing | write the NAME of a secret of this file, or `{users: NAME, realm: The shop}`
            services.e.x-sea.edge.replace_errors: there is no page for statuses from 500 up | add it, as in `error_pages: {5xx: NAME}`
            services.f.x-sea.edge.replace_errors: there is no page for `404` | add it, as in `error_pages: {5xx: NAME}`
            services.f.x-sea.edge.replace_errors: `200` is not a value of this key | write `true`, or statuses that have a page, as in `[5xx, 404]`
            services.f.x-sea.edge.replace_errors: `x` is not a value of this key | write `true`, or statuses that have a page, as in `[5xx, 404]`
        "#]],
    );
}

#[test]
fn x_sea_is_read_strictly() {
    told(
        "services:\n  a: {image: x, x-sea: {rute: a, writer: some}}\n  b: {image: x, x-sea: {route: a.b}}\n  c: {image: x, expose: [1, 2], x-sea: {route: a.b}}\n  d: {image: x, x-sea: {routes: ['http://a.b -> 1', {path: /x, prot: 1}, {host: a}]}}\n  e: {image: x, x-sea: 5}\nx-sea: {routes: []}\n",
        expect![[r#"
            services.a.x-sea.rute: there is no such key | did you mean `route`?
            services.a.x-sea.writer: `some` is not a value of this key | allowed are single and many
            services.b.x-sea.route: which port of the container? the service exposes and publishes none | add it, as in `shop.example -> 8080`
            services.c.x-sea.route: which port of the container? the service has several | add it, as in `shop.example -> 8080`
            services.d.x-sea.routes[0]: `http:` is no host name | write as in `shop.example` or `*.shop.example`, without scheme and port
            services.d.x-sea.routes[1]: which port of the container? the service exposes and publishes none | add it, as in `shop.example -> 8080`
            services.d.x-sea.routes[1].prot: there is no such key | the keys here are host, path, port, strip_prefix, https, hsts, request_headers, response_headers, redirect, replace_prefix, rewrite_host, allow, deny, basic_auth, forward_auth
            services.d.x-sea.routes[2]: which port of the container? the service exposes and publishes none | add it, as in `shop.example -> 8080`
            services.e.x-sea: this takes a mapping, not an integer | write `x-sea: {route: shop.example}`
            x-sea.routes: there is no such key | it has no keys yet at the top level; routes go under a service
        "#]],
    );
}

#[test]
fn secrets_and_configs_carry_their_bytes() {
    let app = app("
services:
  a: {image: x, secrets: [s, {source: s, target: other, mode: 0400, uid: '5'}], configs: [c]}
secrets: {s: {file: ./s.txt}}
configs: {c: {content: hello}}
");
    assert_eq!(app.secrets["s"].content.as_ref().unwrap().0, b"secret");
    assert_eq!(app.configs["c"].content.as_ref().unwrap().0, b"hello");
    let secrets: Vec<_> =
        app.services[0].secrets.iter().map(|f| format!("{} {:o} {}", f.target, f.mode, f.uid)).collect();
    assert_eq!(secrets, ["/run/secrets/s 444 0", "/run/secrets/other 400 5"]);
    assert_eq!(app.services[0].configs[0].target, "/c");
}

#[test]
fn a_build_is_carried_over_whole_and_its_secrets_are_its_own() {
    let app = app("
services:
  a:
    image: x
    secrets: [both]
    build:
      context: .
      additional_contexts: [more=./b, base=service:b, img=docker-image://i]
      cache_from: [c:1]
      extra_hosts: ['db:10.1.2.3']
      network: none
      pull: true
      shm_size: 32m
      ssh: [default, k=/run/agent]
      ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
      secrets: [s, {source: both, target: id}]
  b: {image: y, build: .}
secrets: {s: {file: ./s.txt}, both: {file: ./s.txt}}
");
    let build = app.services[0].build.as_ref().unwrap();
    let contexts: Vec<_> = build.contexts.iter().map(|(name, what)| format!("{name}={what}")).collect();
    let folder = contexts[0].clone();
    assert!(folder.starts_with("more=/") && folder.ends_with("/b"), "{contexts:?}");
    assert_eq!(contexts[1..], ["base=service:b", "img=docker-image://i"]);
    assert_eq!(build.cache_from, ["c:1"]);
    assert_eq!(build.hosts, [("db".to_owned(), "10.1.2.3".to_owned())]);
    assert_eq!(
        (build.network.as_deref(), build.pull, build.shm_size.unwrap().0),
        (Some("none"), true, 32 << 20)
    );
    let agents: Vec<_> = build.ssh.iter().map(|(id, path)| (id.as_str(), path.as_deref())).collect();
    assert_eq!(agents, [("default", None), ("k", Some("/run/agent"))]);
    let limits: Vec<_> = build.ulimits.iter().map(|(name, it)| (name.as_str(), it.soft, it.hard)).collect();
    assert_eq!(limits, [("nofile", 1, 2), ("nproc", 3, 3)]);
    let secrets: Vec<_> = build.secrets.iter().map(|(id, bytes)| (id.as_str(), &bytes.0[..])).collect();
    assert_eq!(secrets, [("s", &b"secret"[..]), ("id", b"secret")]);
    assert_eq!(
        app.secrets.keys().collect::<Vec<_>>(),
        ["both"],
        "what only builds need is no part of the app"
    );
    let written = serde_json::to_string(&app.services[0]).unwrap();
    assert!(!written.contains("secret\""), "{written}");
}

#[test]
fn the_whole_document_is_as_expected() {
    let app = app("
services:
  web:
    build: {context: ./src, args: {A: 1}}
    command: serve --now
    environment: {A: 1, NONE: }
    ports: ['127.0.0.1:8080:80', {target: 443, published: '443', app_protocol: http}]
    volumes: ['vol:/v:ro', './b:/b', '/anon', {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
    tmpfs: ['/run:size=2m,noexec']
    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 64m, pids: 10}, reservations: {memory: 32m}}}
    healthcheck: {test: curl x, interval: 5s}
    stop_grace_period: 1m
    ulimits: {nofile: 100}
    links: ['db:base']
  db: {image: pg, networks: {default: {aliases: [d]}}}
volumes: {vol: }
");
    let text = format!("{}\n", serde_json::to_string_pretty(&app).unwrap());
    expect_file!["whole.json"].assert_eq(&text);
}

#[test]
fn what_is_printed_is_not_always_run() {
    told(
        "services: {a: {image: x, ulimits: {nofiles: 1, 'no*': 2, nofile: 3}, hostname: !!binary /w==, environment: {!!binary /w==: 1}}}",
        expect![[r#"
            services.a.ulimits.nofiles: `nofiles` is not a limit | did you mean `nofile`?
            services.a.ulimits.no*: `no*` is not a limit | there are as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack
            services.a.hostname: these bytes are no text | write a text in UTF-8
            services.a.environment.�: this key is no text | write a text in UTF-8
        "#]],
    );
}

#[test]
fn certificates_come_from_files_or_an_authority() {
    let text = |certificate: &str, host: &str| {
        format!(
            "services:\n  a: {{image: x, expose: ['80'], x-sea: {{route: '{host}', certificate: {certificate}}}}}\nsecrets:\n  k: {{file: ./k}}\n"
        )
    };
    let read = app(&text("acme", "a.example"));
    assert_eq!(read.services[0].certificate, Some(spec::ServiceCertificate::By(spec::Issuer::Acme)));
    let json = serde_json::to_string(&read.services[0].certificate).expect("text keys");
    assert_eq!(json, r#""acme""#);
    told(
        &text("acme", "*.a.example"),
        expect![[r#"
            services.a.x-sea.certificate: nobody can prove over HTTP or TLS that all of `*.a.example` is theirs | give the certificate as files, or list the hosts one by one
        "#]],
    );
    told(
        &text("akme", "a.example"),
        expect![[r#"
            services.a.x-sea.certificate: this takes a mapping, not a text | write `certificate: acme`, or `{chain: NAME, key: NAME}` with NAMEs of secrets or configs of this file
        "#]],
    );
}
