//! HTTP/2 from clients: requests as streams, bodies under flow control, and every way in which one side ends.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};

use super::secure::{connect, example, mirror};
use super::*;

/// A client's connection.
pub(super) struct Talk {
    send: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Talk {
    pub(super) async fn over<T>(stream: T) -> Self
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = h2::client::handshake(stream).await.expect("a preface");
        let driver = tokio::spawn(connection);
        Self { send, driver }
    }

    pub(super) async fn to(edge: &TestEdge) -> Self {
        Self::over(edge.connect().await).await
    }

    /// Begins a request.
    pub(super) async fn begin(
        &mut self,
        request: Request<()>,
        ended: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = self.send.clone().ready();
        let mut send =
            tokio::time::timeout(LONG, ready).await.expect("room in time").expect("room for a stream");
        send.send_request(request, ended).expect("a request")
    }

    /// One request without a body, and the answer with its body.
    pub(super) async fn get(&mut self, path: &str) -> (Response<()>, String) {
        let (answer, _) = self.begin(request("GET", path), true).await;
        whole(answer).await
    }

    /// Asks for a WebSocket (RFC 8441), with these fields.
    pub(super) async fn websocket(
        &mut self,
        path: &str,
        fields: &[(&'static str, &'static str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        // The settings must have come, as they say that it may be asked for.
        self.send = self.send.clone().ready().await.expect("a connection");
        until(|| self.send.is_extended_connect_protocol_enabled()).await;
        let mut asked = request("CONNECT", path);
        asked.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        for (name, value) in fields {
            asked.headers_mut().append(*name, http::HeaderValue::from_static(value));
        }
        self.begin(asked, false).await
    }

    /// How the connection ends.
    async fn end(self) -> Result<(), h2::Error> {
        drop(self.send);
        tokio::time::timeout(LONG, self.driver).await.expect("an end in time").expect("no panic")
    }
}

pub(super) fn request(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://a.example{path}");
    Request::builder().method(method).uri(uri).body(()).expect("a request")
}

/// The answer with its body.
pub(super) async fn whole(answer: ResponseFuture) -> (Response<()>, String) {
    let answer = tokio::time::timeout(LONG, answer).await.expect("an answer in time").expect("an answer");
    let (head, mut body) = answer.into_parts();
    let text = drain(&mut body).await.expect("a whole body");
    (Response::from_parts(head, ()), String::from_utf8_lossy(&text).into_owned())
}

/// A body up to its end.
pub(super) async fn drain(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = tokio::time::timeout(LONG, body.data()).await.expect("more in time") {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).expect("it was taken");
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Sends all of it as the window allows.
pub(super) async fn pour(send: &mut SendStream<Bytes>, mut data: Bytes, end: bool) {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx));
        let room = tokio::time::timeout(LONG, room).await.expect("room in time");
        let room = room.expect("the stream is open").expect("room");
        let piece = data.split_to(room.min(data.len()));
        send.send_data(piece, end && data.is_empty()).expect("it is sent");
    }
}

/// An instance that answers each connection with these bytes, then ends.
async fn canned(answer: &'static str) -> Backend {
    Backend::new(move |mut stream, _| async move {
        if next_head(&mut stream).await.is_some() {
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_u8().await;
        }
    })
    .await
}

/// What the client gets for a GET, or another method, when an instance answers so.
async fn relayed(method: &str, answer: &'static str) -> (Response<()>, String, Option<HeaderMap>) {
    let backend = canned(answer).await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, _) = talk.begin(request(method, "/"), true).await;
    let (head, mut body) = answer.await.expect("an answer").into_parts();
    let text = drain(&mut body).await.expect("a whole body");
    let trailers = body.trailers().await.expect("an end");
    (Response::from_parts(head, ()), String::from_utf8_lossy(&text).into_owned(), trailers)
}

#[tokio::test]
async fn a_stream_is_a_request_like_any_other() {
    let backend = mirror().await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let asked = Request::builder()
        .uri("http://a.example/x?y=1")
        .header("x-kept", "yes")
        .header("x-forwarded-for", "6.6.6.6")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (answer, _) = talk.begin(asked, true).await;
    let (head, text) = whole(answer).await;
    assert_eq!(head.status(), 200);
    let want = "GET /x?y=1 HTTP/1.1\r\nhost: a.example\r\nx-kept: yes\r\ncookie: a=1; b=2\r\nte: trailers\r\n\
                x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a.example\r\n\
                connection: te\r\n\r\n";
    assert_eq!(text, want);
    assert_eq!(edge.server.look().answered[&id(backend.address)].good, 1);
}

#[tokio::test]
async fn tls_agrees_on_http_2_and_says_so_to_the_instance() {
    let backend = mirror().await;
    let (edge, config) = example(quick(), &backend).await;
    let mut config = rustls::ClientConfig::clone(&config);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = connect(edge.https, "a.example", &Arc::new(config)).await.expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut talk = Talk::over(stream).await;
    for _ in 0..3 {
        let (head, text) = talk.get("/over-tls").await;
        assert_eq!(head.status(), 200);
        assert!(text.contains("x-forwarded-proto: https\r\n"), "{text}");
    }
}

#[tokio::test]
async fn many_streams_of_one_connection_are_answered_at_once() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let backend = Backend::new(move |mut stream, _| {
        let mut gate = gate.clone();
        async move {
            let Some(head) = next_head(&mut stream).await else { return };
            gate.wait_for(|open| *open).await.expect("the gate opens");
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let mut answers = Vec::new();
    for n in 0..100 {
        answers.push(talk.begin(request("GET", &format!("/{n}")), true).await.0);
    }
    until(|| edge.in_flight(&backend) == 100).await;
    go.send(true).expect("the instance waits");
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(whole(answer).await.1, format!("/{n}"));
    }
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn answers_keep_their_meaning_whatever_their_framing() {
    for (method, answer, status, text, length) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", Some("2")),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", None),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nhi", 200, "hi", None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", Some("0")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", Some("9")),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, "", Some("9")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", None),
        (
            "GET",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            502,
            "The instance's answer is malformed.\n",
            Some("36"),
        ),
        ("GET", "SSH-2.0-OpenSSH\r\n\r\n", 502, "The instance's answer is malformed.\n", Some("36")),
    ] {
        let (head, have, trailers) = relayed(method, answer).await;
        assert_eq!((head.status().as_u16(), &*have), (status, text), "{method} {answer:?}");
        let told = head.headers().get("content-length").map(|value| value.to_str().expect("text"));
        assert_eq!(told, length, "{method} {answer:?}");
        assert!(!head.headers().contains_key("connection"), "{method} {answer:?}");
        assert!(!head.headers().contains_key("transfer-encoding"), "{method} {answer:?}");
        assert_eq!(trailers, None, "{method} {answer:?}");
    }
}

#[tokio::test]
async fn fields_of_one_hop_end_here_and_repeated_ones_stay_apart() {
    let (head, ..) = relayed(
        "GET",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: y\r\nKeep-Alive: z\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let cookies: Vec<_> = head.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a", "b"]);
    assert!(!head.headers().contains_key("x-hop") && !head.headers().contains_key("keep-alive"));
}

#[tokio::test]
async fn bodies_flow_both_ways_as_each_side_has_room() {
    const SIZE: usize = 5_000_000;
    for counted in [true, false] {
        let backend = Backend::new(move |mut stream, _| async move {
            let head = next_head(&mut stream).await.expect("a request");
            if counted {
                assert!(head.contains(&format!("content-length: {SIZE}\r\n")), "{head}");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("the edge reads");
            } else {
                assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
                let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.expect("the edge reads");
            }
            // Chunks go back as they came.
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        })
        .await;
        let edge = TestEdge::to(quick(), &[&backend]).await;
        let mut talk = Talk::to(&edge).await;
        let mut asked = Request::builder().method(Method::POST).uri("http://a.example/");
        if counted {
            asked = asked.header("content-length", SIZE);
        }
        let (answer, mut send) = talk.begin(asked.body(()).expect("a request"), false).await;
        let data: Bytes = (0..SIZE).map(|at| (at * 7 % 251) as u8).collect();
        let sent = data.clone();
        let sending = tokio::spawn(async move { pour(&mut send, sent, true).await });
        let mut body = answer.await.expect("an answer").into_body();
        let have = drain(&mut body).await.expect("a whole body");
        assert!(have == data, "the body differs");
        sending.await.expect("all is sent");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_a_bounded_part_of_an_answer() {
    let (told, mut sent) = tokio::sync::watch::channel(0usize);
    let backend = Backend::new(move |mut stream, _| {
        let told = told.clone();
        async move {
            next_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n").await;
            while stream.write_all(&[b'x'; 10_000]).await.is_ok() {
                told.send_modify(|sent| *sent += 10_000);
            }
        }
    })
    .await;
    let settings = Settings { body_idle: Duration::from_millis(500), ..quick() };
    let edge = TestEdge::to(settings, &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, _) = talk.begin(request("GET", "/"), true).await;
    let mut body = answer.await.expect("an answer").into_body();
    sent.wait_for(|sent| *sent > 0).await.expect("it sends");
    // Nothing is read, so the stream is late, and both sides hear of it.
    edge.at_rest(&backend).await;
    assert!(*sent.borrow() < 20_000_000, "{} bytes were taken in", *sent.borrow());
    let error = drain(&mut body).await.expect_err("it is cut");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.unwrap_or_default();
        assert!(head.contains("te: trailers\r\n"), "{head}");
        read_until(&mut stream, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n").await;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 2\r\nSet-Cookie: no\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let asked = Request::builder().method("POST").uri("http://a.example/").header("te", "trailers");
    let (answer, mut send) = talk.begin(asked.body(()).expect("a request"), false).await;
    send.send_data("hello".into(), false).expect("it is sent");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().expect("a value"));
    send.send_trailers(trailers).expect("they are sent");
    let mut body = answer.await.expect("an answer").into_body();
    assert_eq!(drain(&mut body).await.expect("a whole body"), b"hi");
    let trailers = body.trailers().await.expect("an end").expect("trailers");
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "2");
}

#[tokio::test]
async fn interim_answers_pass_before_the_final_one() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.expect("a request");
        assert!(head.contains("expect: 100-continue\r\n"), "{head}");
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        stream.write_all(interim.as_bytes()).await.expect("the edge reads");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.expect("the body");
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.expect("the edge reads");
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let asked = Request::builder().method("PUT").uri("http://a.example/").header("content-length", 5);
    let asked = asked.header("expect", "100-continue").body(()).expect("a request");
    let (mut answer, mut send) = talk.begin(asked, false).await;
    for (status, link) in [(100, None), (103, Some("x"))] {
        let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        let interim = interim.expect("an interim answer").expect("no error");
        assert_eq!(interim.status(), status);
        assert_eq!(interim.headers().get("link").map(|value| value.as_bytes()), link.map(str::as_bytes));
    }
    send.send_data("hello".into(), true).expect("it is sent");
    assert_eq!(whole(answer).await.0.status(), 201);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_whole_and_the_rest_is_not_wanted() {
    let backend = canned("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.begin(request("POST", "/"), false).await;
    send.send_data("some".into(), false).expect("it is sent");
    let (head, text) = whole(answer).await;
    assert_eq!((head.status().as_u16(), &*text), (413, "big"));
    let reset = std::future::poll_fn(|cx| send.poll_reset(cx));
    let reset = tokio::time::timeout(LONG, reset).await.expect("a reset in time");
    assert_eq!(reset.expect("a reset"), Reason::NO_ERROR);
    assert_eq!(talk.get("/next").await.0.status(), 413, "the connection goes on");
}

#[tokio::test]
async fn a_stream_that_the_client_gives_up_is_given_up_at_the_instance() {
    for body in [false, true] {
        let (ended, mut ends) = tokio::sync::mpsc::channel(1);
        let backend = Backend::new(move |mut stream, _| {
            let ended = ended.clone();
            async move {
                next_head(&mut stream).await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                let _ = ended.send(()).await;
            }
        })
        .await;
        let edge = TestEdge::to(quick(), &[&backend]).await;
        let mut talk = Talk::to(&edge).await;
        let (_answer, mut send) = talk.begin(request("POST", "/"), !body).await;
        until(|| edge.in_flight(&backend) == 1).await;
        send.send_reset(Reason::CANCEL);
        tokio::time::timeout(LONG, ends.recv()).await.expect("the instance is told");
        edge.at_rest(&backend).await;
    }
}

#[tokio::test]
async fn a_client_that_is_gone_takes_its_streams_along() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let _ = stream.read_u8().await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (_answer, _send) = talk.begin(request("GET", "/"), true).await;
    until(|| edge.in_flight(&backend) == 1).await;
    talk.driver.abort();
    edge.at_rest(&backend).await;
    until(|| edge.server.status().connections == 0).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_off_ends_with_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\n",
    ] {
        let backend = canned(answer).await;
        let edge = TestEdge::to(quick(), &[&backend]).await;
        let mut talk = Talk::to(&edge).await;
        let (answering, _) = talk.begin(request("GET", "/"), true).await;
        let error = match answering.await {
            Ok(answer) => drain(&mut answer.into_body()).await.expect_err("it is cut"),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{answer:?}");
        assert!(error.is_remote());
    }
}

#[tokio::test]
async fn refusals_are_answers_and_leave_the_connection_open() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let with = |name: &str, value: &str| {
        Request::builder().uri("http://a.example/").header(name, value).body(()).expect("a request")
    };
    let connect = Request::builder().method("CONNECT").uri("a.example:80").body(()).expect("a request");
    for (asked, status, code) in [
        (request("GET", "/a/../b"), 400, "dot-segments"),
        (with("host", "b.example"), 400, "host-mismatch"),
        (with("content_length", "3"), 400, "underscore"),
        (with("expect", "x"), 417, "expectation"),
        (connect, 501, "connect"),
    ] {
        let (answer, _) = talk.begin(asked, true).await;
        let (head, _) = whole(answer).await;
        assert_eq!(head.status(), status, "{code}");
        assert_eq!(head.headers()["x-sea-refused"], code);
    }
    assert_eq!(talk.get("/still").await.1, "one /still ");
    let empty = TestEdge::start(quick()).await;
    let (head, _) = Talk::to(&empty).await.get("/").await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["x-sea-refused"]),
        (404, &"no-route".parse().expect("text"))
    );
}

#[tokio::test]
async fn a_stream_waits_for_an_instance_as_every_request_does() {
    let mut edge = TestEdge::to(quick(), &[]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, _) = talk.begin(request("GET", "/held"), true).await;
    until(|| edge.server.status().held == 1).await;
    let backend = Backend::plain("one").await;
    edge.send_to(&[&backend]).await;
    assert_eq!(whole(answer).await.1, "one /held ");
}

#[tokio::test]
async fn a_request_that_an_instance_cut_goes_to_another_connection() {
    let backend = Backend::new(|mut stream, number| async move {
        if number == 0 {
            next_head(&mut stream).await;
            return;
        }
        answer_all(stream, "second").await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    assert_eq!(Talk::to(&edge).await.get("/again").await.1, "second /again ");
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused_by_stream() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    // Until the settings have come, the client does not know the bound.
    let asked = Request::builder().uri("http://a.example/").header("x", "y".repeat(40_000));
    let (answer, _) = talk.begin(asked.body(()).expect("a request"), true).await;
    let answer = tokio::time::timeout(LONG, answer).await.expect("an answer in time").expect("an answer");
    assert_eq!(answer.status(), 431);
    assert_eq!(talk.get("/still").await.1, "one /still ");
}

#[tokio::test]
async fn a_websocket_is_opened_by_connect_and_carries_bytes_both_ways() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.expect("a request");
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("connection: Upgrade\r\nupgrade: websocket\r\n"), "{head}");
        assert!(head.contains("sec-websocket-key: "), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("an echo");
        writer.write_all(b"last").await.expect("after the client's end");
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.websocket("/chat", &[]).await;
    // What is sent too early waits, and is no request.
    send.send_data("GET / HTTP/1.1\r\n\r\n".into(), false).expect("it is sent");
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    let mut body = answer.into_body();
    send.send_data("more".into(), true).expect("it is sent");
    let have = drain(&mut body).await.expect("an orderly end");
    assert_eq!(String::from_utf8_lossy(&have), "firstGET / HTTP/1.1\r\n\r\nmorelast");
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn an_instance_that_ends_its_half_of_a_tunnel_still_hears_the_client() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |mut stream, _| {
        let told = told.clone();
        async move {
            next_head(&mut stream).await.expect("a request");
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbye";
            stream.write_all(answer.as_bytes()).await.expect("the edge reads");
            stream.shutdown().await.expect("a half-close");
            let _ = told.send(rest(&mut stream).await).await;
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.websocket("/", &[]).await;
    let mut body = answer.await.expect("an answer").into_body();
    assert_eq!(drain(&mut body).await.expect("an orderly end"), b"bye");
    // The connection and its one stream, as of the last tick.
    until(|| edge.server.status().connections == 2).await;
    send.send_data("last words".into(), true).expect("it is sent");
    let words = tokio::time::timeout(LONG, heard.recv()).await.expect("the instance hears");
    assert_eq!(words.as_deref(), Some("last words"));
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn a_websocket_that_the_instance_refuses_is_an_answer() {
    let backend = canned("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    let (answer, mut send) = talk.websocket("/", &[]).await;
    send.send_data("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".into(), false).expect("it is sent");
    let (head, text) = whole(answer).await;
    assert_eq!((head.status().as_u16(), &*text), (403, "no"));
    assert_eq!(backend.connections(), 1);
    edge.at_rest(&backend).await;
    assert_eq!(edge.server.look().answered[&id(backend.address)].good, 1);
}

#[tokio::test]
async fn an_ending_edge_says_goodbye_and_finishes_its_streams() {
    let (go, backend) = Backend::gated().await;
    let mut edge = TestEdge::to(quick(), &[&backend]).await;
    let resting = Talk::to(&edge).await;
    let mut busy = Talk::to(&edge).await;
    let (answer, _) = busy.begin(request("GET", "/"), true).await;
    until(|| edge.in_flight(&backend) == 1).await;
    edge.server.leave(Manner::Told).await;
    let workers = edge.server.threads();
    resting.end().await.expect("an orderly end");
    go.send(true).expect("the instance waits");
    assert_eq!(whole(answer).await.1, "done");
    busy.end().await.expect("an orderly end");
    tokio::task::spawn_blocking(|| workers.into_iter().for_each(|w| w.join().expect("no panic")))
        .await
        .expect("all threads end");
}

#[tokio::test]
async fn a_connection_without_streams_is_closed_in_order_after_a_while() {
    let backend = Backend::plain("one").await;
    let settings = Settings { keep_alive: Duration::from_millis(200), ..quick() };
    let edge = TestEdge::to(settings, &[&backend]).await;
    let mut talk = Talk::to(&edge).await;
    assert_eq!(talk.get("/once").await.1, "one /once ");
    let mut silent = edge.connect().await;
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("the edge reads");
    tokio::time::timeout(LONG, talk.driver)
        .await
        .expect("an end in time")
        .expect("no panic")
        .expect("in order");
    rest(&mut silent).await;
    until(|| edge.server.status().connections == 0).await;
}

#[tokio::test]
async fn a_client_that_opens_streams_only_to_give_them_up_is_sent_away() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let _ = stream.read_u8().await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let talk = Talk::to(&edge).await;
    let mut opened = 0;
    let mut gone = false;
    while opened < 2000 && !gone {
        let Ok(mut send) = talk.send.clone().ready().await else { break };
        match send.send_request(request("GET", "/"), true) {
            Ok((answer, mut stream)) => {
                opened += 1;
                // Each has begun before it is given up, so that it costs something.
                tokio::task::yield_now().await;
                stream.send_reset(Reason::CANCEL);
                gone = matches!(answer.await, Err(error) if error.is_go_away());
            }
            Err(_) => gone = true,
        }
    }
    talk.end().await.expect_err("it is sent away");
    assert!(opened < 2000, "all were taken");
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn the_log_tells_what_was_spoken() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    Talk::to(&edge).await.get("/two").await;
    edge.ask(&get("/one")).await;
    let path = edge._folder.path().join("access.log");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    until(|| read().lines().count() == 2).await;
    let text = read();
    assert!(text.contains("\"protocol\":\"HTTP/2\",\"method\":\"GET\",\"host\":\"a.example\",\"target\":\"/two\",\"status\":200"), "{text}");
    assert!(
        text.contains("\"protocol\":\"HTTP/1.1\",\"method\":\"GET\",\"host\":\"a\",\"target\":\"/one\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_preface_in_pieces_is_one_and_what_only_begins_like_it_is_none() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        stream.write_all(&[*byte]).await.expect("the edge reads");
        tokio::task::yield_now().await;
    }
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("the edge reads");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.expect("settings");
    assert_eq!(frame[3], 4);
    for (text, want) in [
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "version"),
        ("PRI * HTTP/2.0\r\nHost: a\r\n\r\n", "version"),
        ("PRI /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ""),
        ("PUT /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ""),
    ] {
        let answer = edge.ask(text).await;
        let refused =
            answer.split("x-sea-refused: ").nth(1).map_or("", |rest| rest.split('\r').next().unwrap_or(""));
        assert_eq!(refused, want, "{text:?}: {answer}");
    }
    let mut second = edge.connect().await;
    second
        .write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("it reads");
    let answer = rest(&mut second).await;
    assert!(answer.contains("one /a ") && answer.contains("x-sea-refused: version"), "{answer}");
}
