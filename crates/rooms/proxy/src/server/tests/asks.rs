//! Another service that is asked first: what it hears, and what becomes of the request by what it says.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use plan::traffic::PoolProtocol;
use spec::ForwardAuth;

use super::calls::far;
use super::secure::mirror;
use super::streams::Talk;
use super::*;

/// An edge that asks `auth` before it sends anything to `backend`.
async fn asking(settings: Settings, backend: &Backend, auth: &Backend) -> TestEdge {
    let mut edge = TestEdge::start(settings).await;
    edge.apply(asked_first(backend, auth)).await;
    edge
}

fn asked_first(backend: &Backend, auth: &Backend) -> RouteShare {
    let mut share = share(&[backend.address], &[]);
    let endpoints = vec![Endpoint { instance: id(auth.address), address: auth.address }];
    let pool = Pool { service: "shop/auth".into(), endpoints, ..Pool::default() };
    share.pools.insert("auth".into(), pool);
    share.rules[0].asks = "auth".into();
    share.rules[0].rules.forward_auth = Some(ForwardAuth {
        service: "auth".parse().expect("a name"),
        port: auth.address.port(),
        path: PathPrefix("/verify".into()),
        copy: vec!["x-user".into(), "x-seen".into()],
    });
    share
}

/// Answers each question with this.
async fn saying(answer: &'static str) -> Backend {
    Backend::new(move |mut stream, _| async move {
        while next_head(&mut stream).await.is_some() {
            if stream.write_all(answer.as_bytes()).await.is_err() || answer.contains("Connection: close") {
                return;
            }
        }
    })
    .await
}

/// Lets everybody through, and tells in `X-Seen` what it was asked.
async fn telling() -> Backend {
    Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let seen = head.trim_end().replace("\r\n", " | ");
            let own = "X-User: ann\r\nX-Other: 1\r\nContent-Length: 0";
            let answer =
                format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-Seen: {seen}\r\n{own}\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn who_is_let_through_goes_on_with_what_the_service_says_of_him() {
    let (backend, auth) = (mirror().await, telling().await);
    let edge = asking(quick(), &backend, &auth).await;
    let mut stream = edge.connect().await;
    for _ in 0..3 {
        let asked = "DELETE /a/b?c=d HTTP/1.1\r\nHost: a\r\nCookie: e=f\r\nX-User: eve\r\nX_User: eve\r\nX-Forwarded-Uri: /g\r\n\r\n";
        stream.write_all(asked.as_bytes()).await.expect("the edge reads");
        head(&mut stream).await;
        let seen = "GET /verify HTTP/1.1 | x-forwarded-method: DELETE | x-forwarded-uri: /a/b?c=d | Host: a | \
                    Cookie: e=f | X-User: eve | X_User: eve | x-forwarded-for: 127.0.0.1 | x-forwarded-proto: http | \
                    x-forwarded-host: a";
        let want = format!(
            "DELETE /a/b?c=d HTTP/1.1\r\nHost: a\r\nCookie: e=f\r\nx-forwarded-for: 127.0.0.1\r\n\
             x-forwarded-proto: http\r\nx-forwarded-host: a\r\nX-Seen: {seen}\r\nX-User: ann\r\n\r\n"
        );
        assert_eq!(head(&mut stream).await, want);
    }
    assert_eq!((auth.connections(), backend.connections()), (1, 1), "connections are kept");
    edge.at_rest(&auth).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, seen) = talk.get("/x").await;
    assert!(
        answer.status() == 200 && seen.contains("x-forwarded-uri: /x") && seen.contains("X-User: ann\r\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn what_a_client_of_a_proxy_of_ours_says_of_its_request_is_not_what_is_asked_about() {
    let (backend, auth) = (mirror().await, telling().await);
    let mut edge = TestEdge::start(quick()).await;
    edge.trusted = vec!["127.0.0.0/8".parse().expect("a range")];
    edge.apply(asked_first(&backend, &auth)).await;
    let mut stream = edge.connect().await;
    let asked =
        "GET /closed HTTP/1.1\r\nHost: a\r\nX-Forwarded-Uri: /open\r\nX-Forwarded-Method: OPTIONS\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.expect("the edge reads");
    head(&mut stream).await;
    let seen = head(&mut stream).await;
    let want = "X-Seen: GET /verify HTTP/1.1 | x-forwarded-method: GET | x-forwarded-uri: /closed | Host: a | \
                x-forwarded-for: 127.0.0.1 | x-forwarded-proto: http | x-forwarded-host: a\r\n";
    assert!(seen.contains(want), "{seen}");
}

/// Speaks HTTP/2: lets nobody in without a cookie, and tells who it is.
async fn telling_in_http2(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let value = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().expect("text"));
    let seen = format!("{} {} {}", request.method(), request.uri().path(), value("x-forwarded-uri"));
    let known = value("cookie") == "known=1";
    let answer = Response::builder().status(if known { 200 } else { 401 }).header("x-user", seen);
    let mut send = respond.send_response(answer.body(()).expect("an answer"), known).expect("it is sent");
    if !known {
        send.send_data("who are you?".into(), true).expect("it is sent");
    }
}

#[tokio::test]
async fn a_service_that_speaks_http_2_is_asked_in_http_2() {
    let (backend, auth) = (mirror().await, far(telling_in_http2).await);
    let mut edge = TestEdge::start(quick()).await;
    let mut share = asked_first(&backend, &auth);
    share.pools.get_mut("auth").expect("the pool").protocol = PoolProtocol::H2;
    edge.apply(share).await;
    let mut stream = edge.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"PUT /a?b HTTP/1.1\r\nHost: a\r\nCookie: known=1\r\n\r\n")
            .await
            .expect("the edge reads");
        head(&mut stream).await;
        let seen = head(&mut stream).await;
        assert!(seen.starts_with("PUT /a?b ") && seen.contains("\r\nx-user: GET /verify /a?b\r\n"), "{seen}");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        let answer = read_until(&mut stream, "who are you?").await;
        assert!(status(&answer) == "401" && answer.contains("x-sea-refused: forward-auth\r\n"), "{answer}");
    }
    assert_eq!(
        (auth.connections(), backend.connections()),
        (1, 1),
        "questions are streams of one connection"
    );
    edge.at_rest(&auth).await;
}

#[tokio::test]
async fn a_body_goes_to_the_service_that_it_is_for() {
    let (backend, auth) = (Backend::plain("one").await, telling().await);
    let edge = asking(quick(), &backend, &auth).await;
    for framing in
        ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        let asked =
            format!("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n{framing}");
        let answer = edge.ask(&asked).await;
        assert!(answer.contains("one /x "), "{answer}");
        if framing.starts_with("Content") {
            assert!(answer.ends_with("one /x hello"), "{answer}");
        }
    }
}

#[tokio::test]
async fn who_is_not_let_through_hears_it_from_the_service() {
    let backend = Backend::plain("one").await;
    for said in [
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=b\r\nX-Hop: 1\r\nConnection: X-Hop\r\nContent-Length: 5\r\n\r\nsorry",
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nso\r\n3\r\nrry\r\n0\r\nX-A: b\r\n\r\n",
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\nsorry",
    ] {
        let auth = saying(said).await;
        let edge = asking(quick(), &backend, &auth).await;
        let mut stream = edge.connect().await;
        for method in ["GET", "HEAD", "GET"] {
            let asked = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(asked.as_bytes()).await.expect("the edge reads");
            let want = "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=b\r\ncontent-length: 5\r\n\
                        x-sea-refused: forward-auth\r\n\r\n";
            assert_eq!(head(&mut stream).await, want);
            if method == "GET" {
                read_until(&mut stream, "sorry").await;
            }
        }
        let mut talk = Talk::to(&edge).await;
        let (answer, text) = talk.get("/").await;
        assert_eq!((answer.status().as_u16(), &text[..]), (401, "sorry"));
    }
    let auth =
        saying("HTTP/1.1 302 Found\r\nLocation: https://login.example/?back=1\r\nContent-Length: 0\r\n\r\n")
            .await;
    let edge = asking(quick(), &backend, &auth).await;
    let answer = edge.ask(&get("/")).await;
    assert!(
        status(&answer) == "302" && answer.contains("Location: https://login.example/?back=1\r\n"),
        "{answer}"
    );
    assert_eq!(backend.connections(), 0, "nothing went on");
}

#[tokio::test]
async fn nobody_is_let_through_by_what_goes_wrong() {
    let backend = Backend::plain("one").await;
    let long = format!("HTTP/1.1 403 No\r\nContent-Length: 70000\r\n\r\n{}", "a".repeat(70_000));
    for said in [
        "",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nab",
        &long,
    ] {
        let said = said.to_owned();
        let auth = Backend::new(move |mut stream, _| {
            let said = said.clone();
            async move {
                next_head(&mut stream).await;
                let _ = stream.write_all(said.as_bytes()).await;
            }
        })
        .await;
        let edge = asking(quick(), &backend, &auth).await;
        let answer = edge.ask(&get("/")).await;
        assert!(status(&answer) == "503" && answer.contains("x-sea-refused: auth-down"), "{answer}");
    }
    let gone = Backend::plain("auth").await;
    let address = gone.address;
    drop(gone);
    let hold = Duration::from_millis(100);
    let gone = Backend { address, connections: Arc::default(), accepting: tokio::spawn(async {}) };
    let edge = asking(Settings { hold, connect: hold, ..quick() }, &backend, &gone).await;
    assert!(edge.ask(&get("/")).await.contains("x-sea-refused: auth-down"));
    assert_eq!(backend.connections(), 0, "nothing went on");
}
