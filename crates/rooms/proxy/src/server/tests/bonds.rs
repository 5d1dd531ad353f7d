//! Clients that stay with their instance by a cookie, over real sockets.

use spec::{EdgePolicy, Hedge, HedgeAfter, Stick};

use super::*;
use crate::status::StickStatus;

fn policy() -> EdgePolicy {
    EdgePolicy { stick: Some(Stick::default()), ..EdgePolicy::default() }
}

async fn apply(edge: &mut TestEdge, policy: EdgePolicy, backends: &[&Backend]) {
    let addresses: Vec<_> = backends.iter().map(|b| b.address).collect();
    let mut share = share(&addresses, &[]);
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    edge.apply(share).await;
}

async fn edge(backends: &[&Backend]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    apply(&mut edge, policy(), backends).await;
    edge
}

/// The cookie that an answer gives.
fn given(answer: &str) -> Option<String> {
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "))?;
    Some(line.split(';').next().expect("a pair").to_owned())
}

fn with(cookie: &str) -> String {
    get("/").replace("Host", &format!("Cookie: {cookie}\r\nHost"))
}

/// A cookie for the instance of this name.
async fn bound_to(edge: &TestEdge, name: &str) -> String {
    for _ in 0..200 {
        let answer = edge.ask(&get("/")).await;
        if body(&answer).starts_with(name) {
            return given(&answer).expect("a cookie for whoever has none");
        }
    }
    panic!("`{name}` is never asked");
}

fn bonds(edge: &TestEdge) -> StickStatus {
    edge.server.status().pools[0].sticky.expect("the service wants it")
}

#[tokio::test]
async fn a_client_stays_with_its_instance_on_every_thread_and_over_every_version() {
    let (one, two, three) =
        (Backend::plain("one").await, Backend::plain("two").await, Backend::plain("three").await);
    let edge = edge(&[&one, &two, &three]).await;
    for name in ["one", "two", "three"] {
        let cookie = bound_to(&edge, name).await;
        assert!(!cookie.contains("127.0") && cookie.starts_with("sea-at-web="), "{cookie}");
        // Each of them may come to another thread.
        for _ in 0..20 {
            let answer = edge.ask(&with(&cookie)).await;
            assert_eq!((body(&answer), given(&answer)), (&*format!("{name} / "), None));
        }
        let (mut client, connection) =
            h2::client::handshake(edge.connect().await).await.expect("the edge speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let request = http::Request::get("http://a/").header("cookie", &cookie).body(()).expect("a request");
        let (answer, _) = client.send_request(request, true).expect("it is sent");
        let (head, mut answer) = answer.await.expect("an answer").into_parts();
        assert!(head.headers.get("set-cookie").is_none());
        assert_eq!(answer.data().await.expect("a body").expect("a piece"), format!("{name} / "));
        connection.abort();
    }
    let bonds = bonds(&edge);
    assert_eq!((bonds.stayed, bonds.moved, bonds.detours), (63, 0, 0));
    assert!(bonds.bound >= 3);
}

#[tokio::test]
async fn another_edge_of_the_same_folder_knows_the_cookie() {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let mut first = edge(&[&one, &two]).await;
    let (one_has, two_has) = (bound_to(&first, "one").await, bound_to(&first, "two").await);
    // The next edge of this folder, as after an upgrade or a crash.
    let folder = std::mem::replace(&mut first._folder, tempfile::tempdir().expect("a folder"));
    drop(first);
    let any = Addresses { http: vec![([127, 0, 0, 1], 0).into()], https: HttpsFront::Never };
    let mut server =
        Server::start(folder.path().into(), &any, 2, quick(), Handover::default()).await.expect("an edge");
    server.open_doors(Vec::new()).await.expect("its threads");
    server.resume().await;
    for (cookie, name) in [(one_has, "one / "), (two_has, "two / ")] {
        for _ in 0..10 {
            let answer = ask(server.http()[0], &with(&cookie)).await;
            assert_eq!((body(&answer), given(&answer)), (name, None));
        }
    }
}

#[tokio::test]
async fn whose_instance_is_gone_gets_another_and_its_cookie() {
    let (one, two) = (Backend::plain("one").await, Backend::plain("two").await);
    let mut edge = edge(&[&one, &two]).await;
    let cookie = bound_to(&edge, "one").await;
    apply(&mut edge, policy(), &[&two]).await;
    let answer = edge.ask(&with(&cookie)).await;
    assert_eq!(body(&answer), "two / ");
    let moved = given(&answer).expect("another cookie");
    assert_ne!(moved, cookie);
    // It stays there, also when the first is back, and nonsense is answered with a cookie.
    apply(&mut edge, policy(), &[&one, &two]).await;
    for _ in 0..10 {
        let answer = edge.ask(&with(&moved)).await;
        assert_eq!((body(&answer), given(&answer)), ("two / ", None));
    }
    for nonsense in ["sea-at-web=", "sea-at-web=0123456789ABCDEF", "sea-at-web=00000000000000000000"] {
        assert!(given(&edge.ask(&with(nonsense)).await).is_some(), "{nonsense}");
    }
    assert_eq!(bonds(&edge).moved, 1);
}

#[tokio::test]
async fn an_instance_that_takes_no_connections_is_left() {
    // It keeps no connection, and nobody listens when it is dropped.
    let one = Backend::new(|mut stream, _| async move {
        if next_head(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\none";
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    let two = Backend::plain("two").await;
    let edge = edge(&[&one, &two]).await;
    let cookie = bound_to(&edge, "one").await;
    drop(one);
    let answer = edge.ask(&with(&cookie)).await;
    assert_eq!(body(&answer), "two / ");
    assert_ne!(given(&answer).expect("another cookie"), cookie);
}

#[tokio::test]
async fn an_instance_that_fails_is_left_when_it_is_ejected() {
    let one = Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let bad = head.contains("cookie") || head.contains("Cookie");
            let answer = if bad {
                "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let (two, three) = (Backend::plain("two").await, Backend::plain("three").await);
    let edge = edge(&[&one, &two, &three]).await;
    let cookie = bound_to(&edge, "one").await;
    let mut failures = 0;
    let moved = loop {
        let answer = edge.ask(&with(&cookie)).await;
        if status(&answer) == "200" {
            break given(&answer);
        }
        failures += 1;
        assert!(failures <= 20, "each thread ejects it after a few");
    };
    assert!(moved.is_some_and(|moved| moved != cookie));
}

#[tokio::test]
async fn a_short_pause_of_an_instance_is_a_detour_and_the_end_of_it_a_move() {
    let pausing = |answer: &'static str| {
        Backend::new(move |mut stream, _| async move {
            while let Some(head) = next_head(&mut stream).await {
                let asked = head.to_lowercase().contains("x-pause");
                let answer = if asked { answer } else { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none" };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    };
    let pause = with("COOKIE").replace("Host", "X-Pause: 1\r\nHost");
    let two = Backend::plain("two").await;
    let one = pausing("HTTP/1.1 503 Busy\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n").await;
    let edge = edge(&[&one, &two]).await;
    let cookie = bound_to(&edge, "one").await;
    let answer = edge.ask(&pause.replace("COOKIE", &cookie)).await;
    assert_eq!((body(&answer), given(&answer)), ("two / ", None), "it comes back");
    assert_eq!(bonds(&edge).detours, 1);
    // It says that it takes nothing more.
    let last = pausing("HTTP/1.1 200 OK\r\nX-Sea-Not-Now: 20\r\nContent-Length: 3\r\n\r\none").await;
    let edge = self::edge(&[&last, &two]).await;
    let cookie = bound_to(&edge, "one").await;
    let moved = loop {
        let answer = edge.ask(&pause.replace("COOKIE", &cookie)).await;
        if body(&answer) != "one" {
            break given(&answer);
        }
    };
    assert!(moved.is_some_and(|moved| moved != cookie));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_moves_nobody() {
    // It closes each connection when the second request comes over it.
    let one = Backend::new(|mut stream, _| async move {
        if next_head(&mut stream).await.is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
            drop(next_head(&mut stream).await);
        }
    })
    .await;
    let two = Backend::plain("two").await;
    let edge = edge(&[&one, &two]).await;
    let cookie = bound_to(&edge, "one").await;
    for _ in 0..10 {
        let answer = edge.ask(&with(&cookie)).await;
        assert_eq!((body(&answer), given(&answer)), ("one", None));
    }
}

#[tokio::test]
async fn a_websocket_is_bound_like_any_request() {
    let tunnel = |name: &'static str| {
        Backend::new(move |mut stream, _| async move {
            while let Some(head) = next_head(&mut stream).await {
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n{name}"
                );
                assert!(head.contains("upgrade: websocket"), "{head}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    };
    let (one, two) = (tunnel("one").await, tunnel("two").await);
    let edge = edge(&[&one, &two]).await;
    let open = |cookie: Option<String>| {
        let http = edge.http;
        async move {
            let mut stream = TcpStream::connect(http).await.expect("the edge accepts");
            let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
            let request = format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{cookie}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.expect("the edge reads");
            let head = head(&mut stream).await;
            assert_eq!(status(&head), "101");
            let mut name = [0; 3];
            stream.read_exact(&mut name).await.expect("a name");
            (given(&head), name)
        }
    };
    let (cookie, name) = open(None).await;
    let cookie = cookie.expect("a cookie");
    for _ in 0..10 {
        assert_eq!(open(Some(cookie.clone())).await, (None, name));
    }
}

#[tokio::test]
async fn who_is_bound_is_asked_of_his_instance_alone() {
    let (slow, quick_one) = (
        Backend::new(|mut stream, _| async move {
            while next_head(&mut stream).await.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await.is_err() {
                    return;
                }
            }
        })
        .await,
        Backend::plain("quick").await,
    );
    let mut edge = edge(&[&slow, &quick_one]).await;
    let cookie = bound_to(&edge, "slow").await;
    let hedge = Some(Hedge { after: HedgeAfter::Time(Duration::from_millis(1)), share: 10_000 });
    apply(&mut edge, EdgePolicy { hedge, ..policy() }, &[&slow, &quick_one]).await;
    for _ in 0..5 {
        assert_eq!(body(&edge.ask(&with(&cookie)).await), "slow");
    }
}
