//! Second requests in every form, and what is said of those that make no sense.

use super::*;

fn edge(text: &str) -> String {
    let app = app(&format!("services:\n  a: {{image: x, x-sea: {{edge: {{{text}}}}}}}\n"));
    serde_json::to_string(&app.services[0].edge).expect("text keys")
}

#[test]
fn second_requests_are_read_in_every_form() {
    let hedge = |after: &str, share: u32| format!(r#"{{"hedge":{{"after":{after},"share":{share}}}}}"#);
    assert_eq!(edge("hedge: false"), "{}");
    assert_eq!(edge("hedge: true"), hedge(r#"{"quantile":9500}"#, 500));
    assert_eq!(edge("hedge: p99.9"), hedge(r#"{"quantile":9990}"#, 500));
    assert_eq!(edge("hedge: 50ms"), hedge(r#"{"time":{"secs":0,"nanos":50000000}}"#, 500));
    assert_eq!(edge("hedge: {}"), hedge(r#"{"quantile":9500}"#, 500));
    assert_eq!(edge("hedge: {after: p50, share: 2.5%}"), hedge(r#"{"quantile":5000}"#, 250));
    assert_eq!(edge("hedge: {after: 2s, share: 50 %}"), hedge(r#"{"time":{"secs":2,"nanos":0}}"#, 5000));
}

#[test]
fn second_requests_that_make_no_sense_are_told() {
    told(
        "services:\n  a: {image: x, x-sea: {edge: {hedge: p100}}}\n  b: {image: x, x-sea: {edge: {hedge: {after: 5, share: 60%, late: 1}}}}\n  c: {image: x, x-sea: {edge: {hedge: [1]}}}\n",
        expect![[r#"
            services.a.x-sea.edge.hedge: `p100` is not a value of this key | write `true`, a percentile from `p50` to `p99.9`, a time as in `50ms`, or `{after: p95, share: 5%}`
            services.b.x-sea.edge.hedge.after: `5` is not a value of this key | write a percentile from `p50` to `p99.9`, or a time as in `50ms`
            services.b.x-sea.edge.hedge.share: `60%` is not a value of this key | write a share of the requests from `0.01%` to `50%`
            services.b.x-sea.edge.hedge.late: there is no such key | the keys here are after, share
            services.c.x-sea.edge.hedge: `[1]` is not a value of this key | write `true`, a percentile from `p50` to `p99.9`, a time as in `50ms`, or `{after: p95, share: 5%}`
        "#]],
    );
}

#[test]
fn priorities_are_read_in_every_form() {
    let limit = r#""limit":{"requests":null,"queue":100,"wait":{"secs":1,"nanos":0}}"#;
    let priority = |text: &str| edge(&format!("limit: auto, priority: {text}"));
    assert_eq!(priority("false"), format!("{{{limit}}}"));
    assert_eq!(priority("true"), format!(r#"{{{limit},"priority":{{"matches":[]}}}}"#));
    assert_eq!(
        priority(
            "[{path: /pay, class: critical}, {method: [GET, HEAD], header: X-Batch, value: 1, class: sheddable}, {method: POST, class: default}]"
        ),
        format!(
            r#"{{{limit},"priority":{{"matches":[{{"path":"/pay","class":"critical"}},{{"methods":["GET","HEAD"],"header":"x-batch","value":"1","class":"sheddable"}},{{"methods":["POST"],"class":"default"}}]}}}}"#
        )
    );
}

#[test]
fn priorities_that_make_no_sense_are_told() {
    told(
        "services:\n  a: {image: x, x-sea: {edge: {priority: true}}}\n  b: {image: x, x-sea: {edge: {limit: 5, priority: high}}}\n  c: {image: x, x-sea: {edge: {limit: 5, priority: [{path: pay, class: critical}, {class: urgent}, {path: /a}, 5, {value: 1, class: default}, {method: get, header: 'a b', class: default, paths: 1}]}}}\n",
        expect![[r#"
            services.a.x-sea.edge.priority: this says who is refused first when the limit is reached, and there is no limit | write one beside it, as in `limit: auto`
            services.b.x-sea.edge.priority: `high` is not a value of this key | write `true`, or a list as in `[{path: /pay, class: critical}, {class: sheddable}]`
            services.c.x-sea.edge.priority[0].path: `pay` is not a value of this key | write a path, as in `/pay`
            services.c.x-sea.edge.priority[1].class: `urgent` is not a value of this key | allowed are critical, default and sheddable
            services.c.x-sea.edge.priority[2]: this says nothing of how urgent such requests are | write `class: critical`, `default` or `sheddable`
            services.c.x-sea.edge.priority[3]: this takes a mapping, not an integer | write as in `{path: /pay, class: critical}`
            services.c.x-sea.edge.priority[4].value: `1` is not a value of this key | it is of a field: write `header: NAME` beside it
            services.c.x-sea.edge.priority[5].method: `get` is not a value of this key | write methods in capitals, as in `[GET, HEAD]`
            services.c.x-sea.edge.priority[5].header: `a b` is not a value of this key | write the name of a field, as in `X-Batch`
            services.c.x-sea.edge.priority[5].paths: there is no such key | did you mean `path`?
        "#]],
    );
}

#[test]
fn clients_that_stay_with_their_instance_are_read_in_every_form() {
    assert_eq!(edge("sticky: false"), "{}");
    assert_eq!(edge("sticky: true"), r#"{"stick":{}}"#);
    assert_eq!(
        edge("sticky: {cookie: At_1, max_age: 8h}"),
        r#"{"stick":{"cookie":"At_1","max_age":{"secs":28800,"nanos":0}}}"#
    );
    told(
        "services:\n  a: {image: x, x-sea: {edge: {sticky: at}}}\n  b: {image: x, x-sea: {edge: {sticky: {cookie: 'a=b', max_age: 1500ms, name: x}}}}\n  c: {image: x, x-sea: {edge: {sticky: {cookie: sea-side}}}}\n",
        expect![[r#"
            services.a.x-sea.edge.sticky: `at` is not a value of this key | write `true`, or `{cookie: NAME, max_age: 8h}`
            services.b.x-sea.edge.sticky.cookie: `a=b` is not a value of this key | write the name of a cookie, as in `at`
            services.b.x-sea.edge.sticky.max_age: `1500ms` is not a value of this key | cookies know whole seconds: write as in `90s` or `8h`
            services.b.x-sea.edge.sticky.name: there is no such key | the keys here are cookie, max_age
            services.c.x-sea.edge.sticky.cookie: `sea-side` is not a value of this key | that one is of splits: choose another
        "#]],
    );
}
