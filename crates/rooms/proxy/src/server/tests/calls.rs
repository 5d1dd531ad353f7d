//! HTTP/2 to instances, and calls of gRPC through the edge.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use plan::traffic::PoolProtocol;
use spec::{BalanceBy, Protocol};
use tokio::net::TcpStream;

use super::frames::{self, DATA, END_STREAM, HEADERS, SETTINGS};
use super::ports::free_port;
use super::streams::{Talk, drain, pour, whole};
use super::*;

/// An instance that speaks HTTP/2 and runs `serve` for each stream.
pub(super) async fn far<F, D>(serve: F) -> Backend
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> D + Clone + Send + Sync + 'static,
    D: Future<Output = ()> + Send + 'static,
{
    Backend::new(move |stream, _| {
        let serve = serve.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(serve(request, respond));
            }
        }
    })
    .await
}

/// Answers each call with what it was sent and how it went.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let fields = ["te", "grpc-timeout", "x-forwarded-for", "content-type"]
        .map(|name| head.headers.get(name).map_or("-", |value| value.to_str().expect("text")).to_owned());
    let answer = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-path", head.uri.path())
        .header("x-host", head.uri.authority().map_or("-", |host| host.as_str()))
        .header("x-fields", fields.join(","));
    let mut send = respond.send_response(answer.body(()).expect("an answer"), false).expect("it is sent");
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).expect("it was taken");
        pour(&mut send, piece, false).await;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    if let Ok(Some(theirs)) = body.trailers().await {
        trailers.extend(theirs);
    }
    // The caller may have gone.
    let _ = send.send_trailers(trailers);
}

/// An edge whose pool speaks HTTP/2 to these.
async fn edge_to(settings: Settings, backends: &[&Backend]) -> TestEdge {
    let mut edge = TestEdge::start(settings).await;
    edge.call(backends).await;
    edge
}

impl TestEdge {
    async fn call(&mut self, backends: &[&Backend]) {
        let addresses: Vec<_> = backends.iter().map(|b| b.address).collect();
        let mut share = share(&addresses, &[]);
        share.pools.get_mut("web").expect("the pool").protocol = PoolProtocol::H2;
        self.apply(share).await;
    }
}

fn call(more: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method("POST").uri("http://a.example/shop.Cart/Add");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(more) {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// How a call went, from the trailers, or from the head where that is all.
async fn outcome(talk: &mut Talk, request: Request<()>) -> (String, String) {
    let (answer, mut send) = talk.begin(request, false).await;
    // An answer may come before it is sent.
    let _ = send.send_data("hello".into(), true);
    let answer = tokio::time::timeout(LONG, answer).await.expect("an answer in time").expect("an answer");
    let (head, mut body) = answer.into_parts();
    let text = drain(&mut body).await.expect("a whole body");
    let trailers = body.trailers().await.expect("an end").unwrap_or_default();
    let status = trailers.get("grpc-status").or(head.headers.get("grpc-status"));
    let status = status.map_or("none", |value| value.to_str().expect("text")).to_owned();
    (status, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_call_passes_with_its_trailers() {
    let backend = far(echo).await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.begin(call(&[("grpc-timeout", "10S")]), false).await;
    send.send_data("hello".into(), false).expect("it is sent");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().expect("a value"));
    send.send_trailers(trailers).expect("they are sent");
    let (head, mut body) = answer.await.expect("an answer").into_parts();
    assert_eq!(head.headers["x-path"], "/shop.Cart/Add");
    assert_eq!(head.headers["x-host"], "a.example");
    assert_eq!(head.headers["x-fields"], "trailers,9995000u,127.0.0.1,application/grpc");
    assert_eq!(drain(&mut body).await.expect("a whole body"), b"hello");
    let trailers = body.trailers().await.expect("an end").expect("trailers");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-sum"]),
        (&"0".parse().expect("text"), &"1".parse().expect("text"))
    );
    edge.at_rest(&backend).await;
    assert_eq!(edge.server.look().answered[&id(backend.address)].good, 1);
}

#[tokio::test]
async fn calls_at_a_port_go_to_all_instances_over_one_connection() {
    let backends = [far(echo).await, far(echo).await];
    let mut edge = TestEdge::start(quick()).await;
    let port = free_port();
    let mut share = share(&backends.each_ref().map(|b| b.address), &[(port, Protocol::Auto)]);
    let pool = share.pools.get_mut("web").expect("the pool");
    pool.protocol = PoolProtocol::H2;
    pool.policy.balance = BalanceBy::RoundRobin;
    edge.apply(share).await;
    let mut talk = Talk::over(TcpStream::connect(port).await.expect("a connection")).await;
    for _ in 0..6 {
        assert_eq!(outcome(&mut talk, call(&[])).await, ("0".into(), "hello".into()));
    }
    let answered = backends.each_ref().map(|b| edge.server.look().answered[&id(b.address)].good);
    assert_eq!(answered, [3, 3]);
}

#[tokio::test]
async fn calls_share_a_few_connections() {
    let backend = far(echo).await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    assert_eq!(outcome(&mut talk, call(&[])).await, ("0".into(), "hello".into()));
    let mut open = Vec::new();
    for _ in 0..90 {
        open.push(talk.begin(call(&[]), false).await);
    }
    until(|| edge.in_flight(&backend) == 90).await;
    assert_eq!(backend.connections(), 1);
    for (answer, mut send) in open {
        send.send_data("x".into(), true).expect("it is sent");
        assert_eq!(whole(answer).await.1, "x");
    }
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn messages_go_to_and_fro_while_both_sides_are_open() {
    let backend = far(echo).await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.begin(call(&[]), false).await;
    let mut body = answer.await.expect("an answer before the end of the request").into_body();
    for n in 0..20 {
        let message = format!("message {n}");
        send.send_data(message.clone().into(), false).expect("it is sent");
        let mut have = Vec::new();
        while have.len() < message.len() {
            have.extend(body.data().await.expect("more").expect("a piece"));
        }
        assert_eq!(have, message.as_bytes());
        body.flow_control().release_capacity(have.len()).expect("it was taken");
    }
    send.send_data(Bytes::new(), true).expect("it is sent");
    assert!(drain(&mut body).await.expect("an end").is_empty());
    assert_eq!(body.trailers().await.expect("an end").expect("trailers")["grpc-status"], "0");
}

#[tokio::test]
async fn large_messages_flow_both_ways() {
    const SIZE: usize = 3_000_000;
    let backend = far(echo).await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.begin(call(&[]), false).await;
    let data: Bytes = (0..SIZE).map(|at| (at * 7 % 251) as u8).collect();
    let sent = data.clone();
    let sending = tokio::spawn(async move { pour(&mut send, sent, true).await });
    let mut body = answer.await.expect("an answer").into_body();
    assert!(drain(&mut body).await.expect("a whole body") == data, "the body differs");
    sending.await.expect("all is sent");
}

#[tokio::test]
async fn clients_of_http_1_reach_instances_that_speak_http_2() {
    let backend = far(|request, mut respond| async move {
        let method = request.method().clone();
        let mut body = request.into_body();
        let text = drain(&mut body).await.expect("a whole body");
        let answer = match method.as_str() {
            "GET" => Response::builder().header("content-length", 2),
            "PUT" => Response::builder().status(204),
            _ => Response::builder().header("x-method", method.as_str()),
        };
        let ended = matches!(method.as_str(), "PUT" | "HEAD");
        let mut send = respond.send_response(answer.body(()).expect("an answer"), ended).expect("it is sent");
        if !ended {
            let data = if method == "GET" { "hi".into() } else { Bytes::from(text) };
            send.send_data(data, true).expect("it is sent");
        }
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let answer = edge.ask(&get("/")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhi"), "{answer}");
    let text = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    let answer = edge.ask(text).await;
    assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    let text = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    assert!(edge.ask(text).await.ends_with("\r\n\r\n2\r\nab\r\n0\r\n\r\n"));
    let answer =
        edge.ask("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
    let answer = edge.ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("x-method: HEAD\r\n") && body(&answer).is_empty(), "{answer}");
}

#[tokio::test]
async fn a_call_that_the_edge_refuses_hears_so_in_the_words_of_grpc() {
    let mut edge = edge_to(Settings { hold: Duration::from_millis(50), ..quick() }, &[]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, _send) = talk.begin(call(&[]), true).await;
    let (head, text) = whole(answer).await;
    assert_eq!((head.status().as_u16(), &*text), (200, ""));
    let field = |name: &str| head.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(field("grpc-status"), "14");
    assert_eq!(field("grpc-message"), "No instance of the service is ready.");
    assert_eq!(field("content-type"), "application/grpc");
    assert_eq!(field("x-sea-refused"), "no-instance");
    edge.apply(RouteShare::default()).await;
    assert_eq!(outcome(&mut talk, call(&[])).await.0, "12", "nobody answers there");
    let plain = Request::builder().uri("http://a.example/").body(()).expect("a request");
    let (answer, _) = talk.begin(plain, true).await;
    assert_eq!(whole(answer).await.0.status(), 404, "others hear it in the words of HTTP");
}

#[tokio::test]
async fn a_call_ends_with_its_deadline() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let backend = far(move |_request, mut respond| {
        let told = told.clone();
        async move {
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            let _ = told.send(reset.expect("a reset")).await;
        }
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let began = tokio::time::Instant::now();
    assert_eq!(outcome(&mut talk, call(&[("grpc-timeout", "200m")])).await.0, "4");
    assert!(began.elapsed() >= Duration::from_millis(190) && began.elapsed() < Duration::from_secs(10));
    let reset = tokio::time::timeout(LONG, heard.recv()).await.expect("the instance is told");
    assert_eq!(reset, Some(Reason::CANCEL));
    let empty = edge_to(quick(), &[]).await;
    let began = tokio::time::Instant::now();
    let mut talk = Talk::to(&empty).await;
    assert_eq!(outcome(&mut talk, call(&[("grpc-timeout", "100m")])).await.0, "4");
    assert!(began.elapsed() < Duration::from_secs(8), "a hold is no longer than the deadline");
}

#[tokio::test]
async fn an_answer_that_is_all_in_its_head_passes() {
    let backend = far(|_request, mut respond| async move {
        let answer =
            Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        respond.send_response(answer.body(()).expect("an answer"), true).expect("it is sent");
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    assert_eq!(outcome(&mut talk, call(&[])).await, ("5".into(), String::new()));
}

#[tokio::test]
async fn a_call_that_the_client_gives_up_is_given_up_at_the_instance() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let backend = far(move |request, mut respond| {
        let told = told.clone();
        async move {
            let answer = Response::new(());
            let mut send = respond.send_response(answer, false).expect("it is sent");
            let reset = std::future::poll_fn(|cx| send.poll_reset(cx)).await;
            let _ = told.send(reset.expect("a reset")).await;
            drop(request);
        }
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.begin(call(&[]), false).await;
    let _body = answer.await.expect("an answer");
    send.send_reset(Reason::CANCEL);
    let reset = tokio::time::timeout(LONG, heard.recv()).await.expect("the instance is told");
    assert_eq!(reset, Some(Reason::CANCEL));
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn a_connection_that_the_instance_ends_is_replaced() {
    let (told, mut ended) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |stream, _| {
        let told = told.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.expect("a preface");
            // One stream a connection, then a goodbye.
            if let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(echo(request, respond));
            }
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
            let _ = told.send(()).await;
        }
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    for n in 1..=3 {
        assert_eq!(outcome(&mut talk, call(&[])).await.0, "0", "call {n}");
        tokio::time::timeout(LONG, ended.recv()).await.expect("both have said goodbye");
    }
    assert_eq!(backend.connections(), 3);
}

#[tokio::test]
async fn a_call_that_the_instance_has_not_looked_at_is_made_again() {
    let backend = Backend::new(|stream, number| async move {
        let mut connection = h2::server::handshake(stream).await.expect("a preface");
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if number == 0 {
                respond.send_reset(Reason::REFUSED_STREAM);
                connection.graceful_shutdown();
            } else {
                tokio::spawn(echo(request, respond));
            }
        }
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    assert_eq!(outcome(&mut talk, call(&[])).await, ("0".into(), "hello".into()));
}

#[tokio::test]
async fn a_call_on_a_connection_that_breaks_is_unavailable() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let backend = Backend::new(move |stream, _| {
        let mut gate = gate.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.expect("a preface");
            let _stream = connection.accept().await;
            let cut = gate.wait_for(|open| *open);
            tokio::select! {
                _ = cut => {}
                _ = connection.accept() => {}
            }
        }
    })
    .await;
    let edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, _send) = talk.begin(call(&[]), true).await;
    until(|| edge.in_flight(&backend) == 1).await;
    until(|| backend.connections() == 1).await;
    go.send(true).expect("the instance waits");
    let (head, _) = whole(answer).await;
    assert_eq!(head.headers()["grpc-status"], "14");
    assert_eq!(head.headers()["x-sea-refused"], "gone");
}

#[tokio::test]
async fn an_instance_that_leaves_the_table_finishes_its_calls_and_loses_its_connection() {
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |stream, _| {
        let ended = ended.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.expect("a preface");
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(echo(request, respond));
            }
            let _ = ended.send(()).await;
        }
    })
    .await;
    let other = far(echo).await;
    let mut edge = edge_to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.begin(call(&[]), false).await;
    let mut body = answer.await.expect("an answer").into_body();
    edge.call(&[&other]).await;
    send.send_data("late".into(), true).expect("it is sent");
    assert_eq!(drain(&mut body).await.expect("a whole body"), b"late");
    assert_eq!(body.trailers().await.expect("an end").expect("trailers")["grpc-status"], "0");
    tokio::time::timeout(LONG, ends.recv()).await.expect("the connection is closed");
}

/// An instance that answers each stream with these fields, whatever they are, and counts them.
async fn answering(fields: &'static [(&'static str, &'static str)], asked: Arc<AtomicUsize>) -> Backend {
    Backend::new(move |mut stream, _| {
        let asked = asked.clone();
        async move {
            let mut preface = [0; 24];
            if stream.read_exact(&mut preface).await.is_err() {
                return;
            }
            let hello = frames::frame(SETTINGS, 0, 0, &[]);
            stream.write_all(&hello).await.expect("the edge reads");
            let mut head = [0; 9];
            while stream.read_exact(&mut head).await.is_ok() {
                let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
                stream.read_exact(&mut payload).await.expect("frames are whole");
                if head[3] != HEADERS {
                    continue;
                }
                asked.fetch_add(1, Ordering::SeqCst);
                let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let mut answer = frames::headers(0, id, &frames::block(fields));
                answer.extend(frames::frame(DATA, END_STREAM, id, b"ok"));
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_malformed_answer_is_told_as_one_and_not_asked_for_again() {
    const MALFORMED: &[&[(&str, &str)]] = &[
        &[(":status", "200"), ("transfer-encoding", "chunked")],
        &[(":status", "200"), ("connection", "close")],
        &[(":status", "200"), ("content-length", "+2")],
        &[("x", "a")],
    ];
    for fields in MALFORMED {
        let asked = Arc::new(AtomicUsize::new(0));
        let backend = answering(fields, asked.clone()).await;
        let edge = edge_to(quick(), &[&backend]).await;
        let answer = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains("x-sea-refused: bad-answer\r\n"), "{fields:?}: {answer}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{fields:?}");
    }
}
