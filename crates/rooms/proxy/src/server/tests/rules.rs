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

/// The list with `ann`, whose password is `right`.
fn ann() -> spec::Blob {
    let hash = bcrypt::hash("right", 4).expect("a hash");
    spec::Blob(format!("ann:{hash}\n").into_bytes())
}

fn guarded(rule: &mut RouteRule, users: &spec::Blob) {
    rule.rules.basic_auth =
        Some(spec::BasicAuth { users: "list".into(), realm: "The shop".into(), keep_authorization: false });
    rule.users = Some(users.clone());
}

fn basic(text: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()))
}

#[tokio::test]
async fn who_names_himself_rightly_comes_in() {
    let (backend, users) = (mirror().await, ann());
    let edge = edge(&backend, |rule| guarded(rule, &users)).await;
    let mut stream = edge.connect().await;
    let mut asked = async |fields: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        stream.write_all(text.as_bytes()).await.expect("the edge reads");
        let answer = head(&mut stream).await;
        let end = if status(&answer) == "200" { "\r\n\r\n" } else { "password.\n" };
        let body = read_until(&mut stream, end).await;
        (answer, body)
    };
    let wrong = [
        String::new(),
        "Authorization: Bearer x\r\n".into(),
        "Authorization: Basic !\r\n".into(),
        format!("Authorization: {}\r\n", basic("ann")),
        format!("Authorization: {}\r\n", basic("ann:wrong")),
        format!("Authorization: {}\r\n", basic("bob:right")),
        format!("Authorization: {}\r\n", basic(":right")),
        format!("Authorization: {0}\r\nAuthorization: {0}\r\n", basic("ann:right")),
        format!("Authorization: {}\r\n", basic(&format!("ann:{}", "x".repeat(2000)))),
    ];
    for fields in wrong {
        let (answer, _) = asked(&fields).await;
        assert_eq!(status(&answer), "401", "{fields}");
        let challenge = "www-authenticate: Basic realm=\"The shop\", charset=\"UTF-8\"\r\n";
        assert_eq!(answer.matches(challenge).count(), 1, "{answer}");
    }
    for scheme in ["Basic", "basic", "Basic"] {
        let fields = format!("Authorization: {}\r\n", basic("ann:right").replace("Basic", scheme));
        let (answer, seen) = asked(&fields).await;
        assert_eq!(status(&answer), "200");
        assert!(!seen.to_lowercase().contains("authorization"), "the instance need not know: {seen}");
    }
    let mut talk = Talk::to(&edge).await;
    let (answer, _) = talk.get("/").await;
    assert_eq!(
        (answer.status(), answer.headers().contains_key("www-authenticate")),
        (http::StatusCode::UNAUTHORIZED, true)
    );
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("authorization", basic("ann:right").parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    assert_eq!(whole(answer).await.0.status(), 200);
}

#[tokio::test]
async fn a_list_that_changes_forgets_who_was_on_it() {
    let (backend, users) = (mirror().await, ann());
    let mut edge = edge(&backend, |rule| guarded(rule, &users)).await;
    let asked = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        basic("ann:right")
    );
    assert_eq!(status(&edge.ask(&asked).await), "200");
    edge.apply(ruled(&backend, |rule| {
        guarded(rule, &users);
        rule.rules.basic_auth.as_mut().expect("it asks").keep_authorization = true;
    }))
    .await;
    let answer = edge.ask(&asked).await;
    assert!(status(&answer) == "200" && answer.contains("\r\nAuthorization: Basic"), "{answer}");
    let other = spec::Blob(format!("ann:{}", bcrypt::hash("other", 4).expect("a hash")).into_bytes());
    edge.apply(ruled(&backend, |rule| guarded(rule, &other))).await;
    assert_eq!(status(&edge.ask(&asked).await), "401");
}

#[tokio::test]
async fn many_at_once_are_checked_once_and_others_go_on_meanwhile() {
    let backend = mirror().await;
    // Dear enough that requests come while it is checked.
    let users = spec::Blob(format!("ann:{}", bcrypt::hash("right", 9).expect("a hash")).into_bytes());
    let edge = edge(&backend, |rule| {
        if rule.path.0 == "/" {
            guarded(rule, &users);
        }
    })
    .await;
    let mut talk = Talk::to(&edge).await;
    let mut answers = Vec::new();
    for number in 0..100 {
        let mut asked = request("GET", "/");
        let password = if number < 50 { "ann:right".to_owned() } else { format!("ann:{number}") };
        asked.headers_mut().insert("authorization", basic(&password).parse().expect("a value"));
        answers.push(talk.begin(asked, true).await.0);
    }
    assert_eq!(talk.get("/old").await.0.status(), 200);
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(whole(answer).await.0.status().as_u16()).or_insert(0) += 1;
    }
    // Most of the first wait for one check; of the others, those beyond the bound are told to come again.
    assert_eq!(counts.values().sum::<i32>(), 100);
    assert!(counts[&200] == 50 && counts[&401] >= 7 && counts[&503] >= 1, "{counts:?}");
}

/// An edge to a service with this policy, and these pages.
async fn wishing(backend: &Backend, policy: spec::EdgePolicy, pages: &[(&str, &str)]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    let mut share = share(&[backend.address], &[]);
    share.pools.values_mut().for_each(|pool| {
        pool.policy = policy.clone();
        pool.pages = texts(pages);
    });
    edge.apply(share).await;
    edge
}

#[tokio::test]
async fn a_service_that_is_worked_on_says_so_and_lets_some_in() {
    let backend = Backend::plain("one").await;
    let closed = |allow: &[&str]| spec::EdgePolicy {
        maintenance: Some(spec::Maintenance {
            allow: allow.iter().map(|range| range.parse().expect("a range")).collect(),
            retry_after: Duration::from_secs(600),
        }),
        ..spec::EdgePolicy::default()
    };
    let pages = [("503", "<h1>Back soon</h1>")];
    let edge = wishing(&backend, closed(&["10.0.0.0/8"]), &pages).await;
    let answer = edge.ask(&get("/")).await;
    assert_eq!((status(&answer), body(&answer)), ("503", "The service is being worked on.\n"));
    assert!(answer.contains("x-sea-refused: maintenance\r\nretry-after: 600\r\n"), "{answer}");
    let asked = |method: &str| {
        format!("{method} / HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n")
    };
    let answer = edge.ask(&asked("GET")).await;
    assert_eq!((status(&answer), body(&answer)), ("503", pages[0].1));
    assert!(answer.contains("content-type: text/html; charset=utf-8\r\ncontent-length: 18\r\n"), "{answer}");
    assert!(answer.contains("x-sea-refused: maintenance\r\n"), "{answer}");
    let answer = edge.ask(&asked("HEAD")).await;
    assert!(answer.contains("content-length: 18\r\n") && body(&answer).is_empty(), "{answer}");
    let mut talk = Talk::to(&edge).await;
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("accept", "text/html".parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    assert_eq!(whole(answer).await.1, pages[0].1);
    assert_eq!(talk.get("/").await.1, "The service is being worked on.\n");
    assert_eq!(backend.connections(), 0);
    let edge = wishing(&backend, closed(&["127.0.0.1/32"]), &[]).await;
    assert_eq!(body(&edge.ask(&get("/")).await), "one / ");
}

#[tokio::test]
async fn pages_are_shown_where_the_edge_answers_for_the_service() {
    let cut = Backend::new(|mut stream, _| async move { drop(next_head(&mut stream).await) }).await;
    let policy = spec::EdgePolicy { max_body: Some(base::Bytes(1)), ..spec::EdgePolicy::default() };
    let edge = wishing(&cut, policy, &[("5xx", "<p>sorry</p>"), ("413", "<p>less</p>")]).await;
    let html = |text: &str| text.replace("Host: a\r\n", "Host: a\r\nAccept: text/html\r\n");
    assert_eq!(body(&edge.ask(&html(&get("/"))).await), "<p>sorry</p>");
    assert!(body(&edge.ask(&get("/")).await).starts_with("The instance closed"));
    let long = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(body(&edge.ask(&html(long)).await), "<p>less</p>");
}
