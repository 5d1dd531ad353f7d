//! What routes do with requests and answers: fields, redirects, rewriting, and who may come.

use plan::traffic::RouteRule;
use spec::{HeaderRules, Redirect, RouteRules};

use super::secure::mirror;
use super::streams::{Talk, request, whole};
use super::*;

/// An edge with a route for `/` and one for `/old`, which have these rules.
async fn edge(backend: &Backend, change: impl Fn(&mut RouteRule)) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    edge.apply(ruled(backend, change)).await;
    edge
}

fn ruled(backend: &Backend, change: impl Fn(&mut RouteRule)) -> RouteShare {
    let mut share = share(&[backend.address], &[]);
    let old = RouteRule { path: PathPrefix("/old".into()), ..share.rules[0].clone() };
    share.rules.push(old);
    share.rules.iter_mut().for_each(change);
    share
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// Answers every request with its head, and with fields of its own.
async fn talkative() -> Backend {
    Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let own = "Server: x/1\r\nX_Debug: 1\r\nX-Debug: 2\r\nVary: Cookie\r\nX-Frame-Options: ALLOW\r\n";
            let length = head.len();
            let answer = format!("HTTP/1.1 200 OK\r\n{own}Content-Length: {length}\r\n\r\n{head}");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

fn edits(rule: &mut RouteRule) {
    rule.rules.request_headers = HeaderRules {
        set: texts(&[("x-env", "prod"), ("x-forwarded-port", "443")]),
        add: texts(&[("x-tag", "b")]),
        remove: vec!["x-debug".into()],
    };
    rule.rules.response_headers = HeaderRules {
        set: texts(&[("x-frame-options", "DENY"), ("content-type", "text/x")]),
        add: texts(&[("vary", "Origin")]),
        remove: vec!["x-debug".into(), "server".into()],
    };
}

const FIELDS: &str =
    "X-Env: mine\r\nX_Env: mine\r\nx-debug: 1\r\nX_DEBUG: 1\r\nX-Tag: a\r\nX-Forwarded-Port: 1\r\n";

#[tokio::test]
async fn fields_are_set_added_and_removed_both_ways() {
    let backend = talkative().await;
    let edge = edge(&backend, edits).await;
    let mut stream = edge.connect().await;
    // Twice, since the second request finds all kept from the first.
    for _ in 0..2 {
        let asked = format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: x-env\r\n{FIELDS}\r\n");
        stream.write_all(asked.as_bytes()).await.expect("the edge reads");
        let answer = head(&mut stream).await;
        let want = "HTTP/1.1 200 OK\r\nVary: Cookie\r\nContent-Length: 158\r\ncontent-type: text/x\r\n\
                    x-frame-options: DENY\r\nvary: Origin\r\n\r\n";
        assert_eq!(answer, want);
        let seen = head(&mut stream).await;
        let want = "GET /x HTTP/1.1\r\nHost: a\r\nX-Tag: a\r\nx-env: prod\r\nx-forwarded-port: 443\r\nx-tag: b\r\n\
                    x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\r\n\r\n";
        assert_eq!(seen, want);
    }
}

#[tokio::test]
async fn fields_are_edited_in_streams_too() {
    let backend = talkative().await;
    let edge = edge(&backend, edits).await;
    let mut talk = Talk::to(&edge).await;
    let mut asked = request("GET", "/x");
    asked.headers_mut().insert("x-env", "mine".parse().expect("a value"));
    asked.headers_mut().insert("x-debug", "1".parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    let (head, seen) = whole(answer).await;
    assert!(
        seen.contains("\r\nx-env: prod\r\n") && !seen.contains("mine") && !seen.contains("debug"),
        "{seen}"
    );
    let all = |name: &str| {
        head.headers().get_all(name).iter().map(|v| v.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (all("vary"), all("x-frame-options")),
        (vec!["Cookie".into(), "Origin".into()], vec!["DENY".to_string()])
    );
    assert!(all("server").is_empty() && all("x-debug").is_empty());
}

#[tokio::test]
async fn what_is_removed_does_not_come_behind_the_body() {
    let backend = Backend::new(|mut stream, _| async move {
        let text = read_until(&mut stream, "\r\n0\r\n").await;
        let trailers = head(&mut stream).await;
        let body = format!("{}|{}", text.contains("x-debug"), trailers.replace("\r\n", ","));
        let (length, end) = (format!("{:x}", body.len()), "0\r\nX-Debug: 2\r\nX-Sum: 3\r\n\r\n");
        let answer =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length}\r\n{body}\r\n{end}");
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let edge = edge(&backend, edits).await;
    let body = "1\r\na\r\n0\r\nX-Debug: 1\r\nX-Env: mine\r\nX-Sum: 1\r\n\r\n";
    let asked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
    );
    let answer = edge.ask(&asked).await;
    assert!(answer.contains("false|X-Sum: 1,,\r\n0\r\nX-Sum: 3\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn answers_of_the_edge_have_the_fields_of_the_route_and_say_their_own() {
    let backend = Backend::plain("one").await;
    let mut edge = TestEdge::start(quick()).await;
    let mut share = ruled(&backend, edits);
    share.pools.values_mut().for_each(|pool| pool.policy.max_body = Some(base::Bytes(1)));
    edge.apply(share).await;
    let answer = edge.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab").await;
    assert_eq!(status(&answer), "413");
    assert!(
        answer.contains("x-frame-options: DENY\r\n") && answer.contains("content-type: text/plain"),
        "{answer}"
    );
    assert!(!answer.contains("text/x") && !answer.contains("vary"), "{answer}");
    // A request that no route was found for has no route's fields, also on a connection that had them.
    let mut stream = edge.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    assert!(head(&mut stream).await.contains("x-frame-options: DENY\r\n"));
    stream.write_all(b"GET /.. HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    assert!(!rest(&mut stream).await.contains("x-frame-options"));
}

#[tokio::test]
async fn redirects_need_no_instance_and_keep_the_connection() {
    let backend = Backend::plain("one").await;
    let path = Some(PathPrefix("/new".into()));
    let redirect =
        Redirect { status: 308, scheme: None, host: None, path, keep_path: true, keep_query: true };
    let edge = edge(&backend, |rule| {
        if rule.path.0 == "/old" {
            rule.rules = RouteRules { redirect: Some(redirect.clone()), ..RouteRules::default() };
            edits(rule);
            rule.rules.request_headers = HeaderRules::default();
            rule.pool = String::new();
        }
    })
    .await;
    let mut stream = edge.connect().await;
    for method in ["GET", "DELETE", "HEAD"] {
        let asked = format!("{method} /old/a%2e/x?q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.expect("the edge reads");
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{answer}");
        assert!(answer.contains("\r\nlocation: /new/a%2e/x?q=1\r\n"), "{answer}");
        assert!(answer.contains("\r\nx-sea-refused: redirect\r\n") && answer.contains("DENY"), "{answer}");
        if method != "HEAD" {
            read_until(&mut stream, "place.\n").await;
        }
    }
    stream.write_all(get("/x").as_bytes()).await.expect("the edge reads");
    assert_eq!(body(&rest(&mut stream).await), "one /x ");
    let mut talk = Talk::to(&edge).await;
    let (answer, _) = talk.get("/old?q").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (308, &"/new?q".parse().expect("a value"))
    );
    assert_eq!(talk.get("/x").await.1, "one /x ");
    let refused = edge.ask(&get("/old/../x")).await;
    assert_eq!(status(&refused), "400", "what is strict stays strict");
}

#[tokio::test]
async fn a_prefix_is_replaced_and_a_host_is_rewritten() {
    let backend = mirror().await;
    let edge = edge(&backend, |rule| {
        if rule.path.0 == "/old" {
            rule.rules.replace_prefix = Some(PathPrefix("/v2/".into()));
            rule.rules.rewrite_host = Some("inside.example:81".into());
        }
    })
    .await;
    for (target, want) in [
        ("/old", "/v2"),
        ("/old/", "/v2/"),
        ("/old?q", "/v2?q"),
        ("/old/a%20b;c?q=/..", "/v2/a%20b;c?q=/.."),
        ("/old//x", "/v2//x"),
        ("/older", "/older"),
    ] {
        let answer = edge.ask(&get(target)).await;
        assert!(body(&answer).starts_with(&format!("GET {want} HTTP/1.1\r\n")), "{target}: {answer}");
    }
    let answer = edge.ask(&get("/old")).await;
    assert_eq!(answer.to_lowercase().matches("\r\nhost: ").count(), 1, "{answer}");
    assert!(
        answer.contains("\r\nhost: inside.example:81\r\n") && answer.contains("x-forwarded-host: a\r\n"),
        "{answer}"
    );
    let answer = edge.ask("GET /old HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.to_lowercase().matches("\r\nhost: ").count(), 1, "{answer}");
    for target in ["/old/..", "/old/%2e%2e/x", "/old/..;x", "/old/%00", "/old\\x"] {
        assert_eq!(status(&edge.ask(&get(target)).await), "400", "{target}");
    }
    let mut talk = Talk::to(&edge).await;
    let (_, seen) = talk.get("/old/x").await;
    assert!(
        seen.starts_with("GET /v2/x HTTP/1.1\r\n") && seen.contains("host: inside.example:81\r\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn what_is_left_of_a_path_names_no_host() {
    let backend = mirror().await;
    let edge = edge(&backend, |rule| rule.strip_prefix = true).await;
    for (target, want) in
        [("/old//evil.example/x", "/evil.example/x"), ("/old///x", "/x"), ("/old", "/"), ("//x", "//x")]
    {
        let answer = edge.ask(&get(target)).await;
        assert!(body(&answer).starts_with(&format!("GET {want} HTTP/1.1\r\n")), "{target}: {answer}");
    }
}

#[tokio::test]
async fn who_may_not_come_is_refused_by_the_address_that_a_trusted_proxy_tells() {
    let backend = mirror().await;
    let ranges = |list: &[&str]| list.iter().map(|range| range.parse().expect("a range")).collect::<Vec<_>>();
    let mut edge = edge(&backend, |rule| rule.rules.allow = ranges(&["192.0.2.0/24"])).await;
    let from = |list: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {list}\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
        )
    };
    let answer = edge.ask(&from("192.0.2.7")).await;
    assert!(
        status(&answer) == "403" && answer.contains("x-sea-refused: address"),
        "anybody can say so: {answer}"
    );
    edge.trusted = ranges(&["127.0.0.0/8", "10.0.0.0/8"]);
    edge.apply(ruled(&backend, |rule| rule.rules.allow = ranges(&["192.0.2.0/24"]))).await;
    let answer = edge.ask(&from("6.6.6.6, 192.0.2.7, 10.0.0.9")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.contains("x-forwarded-for: 6.6.6.6, 192.0.2.7, 10.0.0.9, 127.0.0.1\r\n"), "{answer}");
    assert!(
        answer.contains("X-Forwarded-Proto: https\r\n") && !answer.contains("x-forwarded-proto: http\r\n"),
        "{answer}"
    );
    assert_eq!(
        status(&edge.ask(&from("192.0.2.7, 6.6.6.6")).await),
        "403",
        "what stands left of the client counts not"
    );
    assert_eq!(status(&edge.ask(&get("/")).await), "403");
    let mut talk = Talk::to(&edge).await;
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("x-forwarded-for", "192.0.2.7".parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    assert_eq!(whole(answer).await.0.status(), 200);
    assert_eq!(talk.get("/").await.0.status(), 403);
}

#[tokio::test]
async fn requests_of_a_client_are_counted_by_the_address_that_a_trusted_proxy_tells() {
    let backend = mirror().await;
    let mut edge = TestEdge::start(quick()).await;
    edge.trusted = vec!["127.0.0.0/8".parse().expect("a range")];
    let mut share = share(&[backend.address], &[]);
    let rate =
        spec::Rate { requests: 1, per: Duration::from_secs(3600), burst: 1, by: spec::RateKey::Client };
    share.pools.values_mut().for_each(|pool| pool.policy.rate = Some(rate.clone()));
    edge.apply(share).await;
    let from = |list: &str| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {list}\r\nConnection: close\r\n\r\n")
    };
    for (list, want) in [
        ("192.0.2.7", "200"),
        ("192.0.2.8", "200"),
        ("6.6.6.6, 192.0.2.7", "429"),
        ("::ffff:192.0.2.8", "429"),
    ] {
        assert_eq!(status(&edge.ask(&from(list)).await), want, "{list}");
    }
}
