//! Bodies, interim answers, upgrades and connections: what HTTP/1.1 asks of a middle man.

use super::*;

/// A backend that reads a head and answers each connection with these bytes, then ends.
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

/// What the client gets when an instance answers `answer` to `request`.
async fn relayed(request: &str, answer: &'static str) -> String {
    let backend = canned(answer).await;
    TestEdge::to(quick(), &[&backend]).await.ask(request).await
}

#[tokio::test]
async fn answers_keep_their_meaning_whatever_their_framing() {
    let old = "GET / HTTP/1.0\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let new = get("/");
    let close = "connection: close\r\n";
    for (request, answer, want) in [
        (
            &*new,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{close}\r\nhi"),
        ),
        (
            &new,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{close}\r\n2\r\nhi\r\n0\r\n\r\n"),
        ),
        (
            &new,
            "HTTP/1.1 200 OK\r\n\r\nhi",
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{close}\r\n2\r\nhi\r\n0\r\n\r\n"),
        ),
        (
            &new,
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            format!("HTTP/1.1 204 No Content\r\n{close}\r\n"),
        ),
        (
            &new,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n{close}\r\n"),
        ),
        (
            &new,
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            format!(
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n{close}\r\n"
            ),
        ),
        (
            &new,
            "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: y\r\nKeep-Alive: z\r\nContent-Length: 0\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{close}\r\n"),
        ),
        (
            head,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n{close}\r\n"),
        ),
        (
            old,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\n{close}\r\nhi"),
        ),
        (old, "HTTP/1.1 200 OK\r\n\r\nhi", format!("HTTP/1.1 200 OK\r\n{close}\r\nhi")),
        (
            old,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{close}\r\n"),
        ),
    ] {
        assert_eq!(relayed(request, answer).await, want, "{request:?} answered by {answer:?}");
    }
}

#[tokio::test]
async fn a_malformed_answer_becomes_a_502_that_says_so() {
    for answer in [
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        let have = relayed(&get("/"), answer).await;
        assert!(have.starts_with("HTTP/1.1 502 ") && have.contains("x-sea-refused: bad-answer"), "{have}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_does_not_look_whole() {
    let cut = relayed(&get("/"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi").await;
    assert!(!cut.contains("hihi") && (cut.ends_with("hi") || cut.contains('<')), "{cut}");
    let cut = relayed(&get("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    assert!(!cut.contains("0\r\n\r\n"), "{cut}");
}

#[tokio::test]
async fn requests_are_written_anew_without_what_concerns_one_hop() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.unwrap_or_default();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let have = edge
        .ask(
            "GET http://a:80/x?y HTTP/1.1\r\nHost:  A:80 \r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 2\r\n\
             X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\nTE: trailers\r\n\
             Proxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept:yes\r\n\r\n",
        )
        .await;
    let want = "GET /x?y HTTP/1.1\r\nHost: A:80\r\nX-Kept: yes\r\nte: trailers\r\nx-forwarded-for: 127.0.0.1\r\n\
                x-forwarded-proto: http\r\nx-forwarded-host: A:80\r\nconnection: te\r\n\r\n";
    assert_eq!(body(&have), want);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_over_kept_connections() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    let mut text = String::new();
    for n in 0..50 {
        text += &format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nb{}", n % 10);
    }
    text += &get("/last");
    stream.write_all(text.as_bytes()).await.expect("the edge reads");
    let have = rest(&mut stream).await;
    let mut at = 0;
    for n in 0..50 {
        let want = format!("one /{n} b{}", n % 10);
        at += have[at..].find(&want).unwrap_or_else(|| panic!("no `{want}` after byte {at} of {have}"));
    }
    assert!(have.ends_with("one /last "), "{have}");
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_old_client_keeps_its_connection_when_it_asks_to() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.expect("the edge reads");
        let answer = read_until(&mut stream, "one / ").await;
        assert!(answer.contains("connection: keep-alive\r\n"), "{answer}");
    }
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("the edge reads");
    assert!(rest(&mut stream).await.contains("connection: close\r\n"));
}

#[tokio::test]
async fn the_invitation_to_send_the_body_is_passed_on() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.expect("a request");
        assert!(head.contains("Expect: 100-continue"), "{head}");
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("the edge reads");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.expect("the body");
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.expect("the edge reads");
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    let request =
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    assert_eq!(head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.expect("the edge reads");
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 201 Created"));
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    // Too long to be read away before the answer is seen.
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let (mut reader, mut writer) = stream.split();
    let send = async {
        // Ends with an error when the edge has had enough, which is fine.
        while writer.write_all(&[b'x'; 10_000]).await.is_ok() {}
    };
    let read = async {
        let mut text = vec![0; 200];
        let count = reader.read(&mut text).await.expect("an answer");
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    let both = async {
        tokio::select! {
            answer = read => answer,
            () = async { send.await; std::future::pending().await } => String::new(),
        }
    };
    let answer = tokio::time::timeout(LONG, both).await.expect("an answer in time");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_client_that_has_closed_its_half_gets_its_answer() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    stream.write_all(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    stream.shutdown().await.expect("a half-close");
    assert!(rest(&mut stream).await.ends_with("one /half "));
}

#[tokio::test]
async fn trailers_pass_when_they_were_asked_for() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: no\r\n\r\n";
    let asked =
        relayed("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n", answer).await;
    assert!(asked.ends_with("\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"), "{asked}");
    let not = relayed(&get("/"), answer).await;
    assert!(not.ends_with("\r\n2\r\nhi\r\n0\r\n\r\n"), "{not}");
}

#[tokio::test]
async fn chunked_requests_are_written_anew_with_their_trailers() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.unwrap_or_default();
        let body = read_until(&mut stream, "X-Sum: 1\r\n\r\n").await;
        let text = format!("{}|{body}", head.contains("transfer-encoding: chunked"));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let have = edge
        .ask(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             0005;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
        )
        .await;
    assert_eq!(body(&have), "true|5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
}

#[tokio::test]
async fn websockets_carry_bytes_both_ways_until_each_side_ends() {
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.expect("a request");
        assert!(head.contains("connection: Upgrade\r\nupgrade: websocket\r\n"), "{head}");
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("an echo");
        writer.write_all(b"last").await.expect("after the client's end");
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("upgrade: websocket\r\n"), "{answer}");
    assert_eq!(read_until(&mut stream, "early").await, "firstearly");
    assert_eq!(edge.in_flight(&backend), 1);
    stream.write_all(b"more").await.expect("the edge reads");
    stream.shutdown().await.expect("a half-close");
    assert_eq!(rest(&mut stream).await, "morelast");
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn an_instance_switches_only_to_what_was_offered() {
    for (taken, status) in [("WebSocket", "101"), ("ircd", "502"), ("websocket, ircd", "502"), ("h2c", "502")]
    {
        let backend = Backend::new(move |mut stream, _| async move {
            next_head(&mut stream).await.expect("a request");
            let answer = format!("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: {taken}\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let edge = TestEdge::to(quick(), &[&backend]).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let mut stream = edge.connect().await;
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        let answer = head(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{taken}: {answer}");
    }
}

#[tokio::test]
async fn interim_answers_come_to_an_end() {
    for (count, status) in [(10_000, "200"), (10_001, "502")] {
        let backend = Backend::new(move |mut stream, _| async move {
            next_head(&mut stream).await.expect("a request");
            let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(count);
            let answer = interim + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let answer = TestEdge::to(quick(), &[&backend]).await.ask(&get("/")).await;
        let last = answer.rsplit("HTTP/1.1 ").next().unwrap_or_default();
        assert!(last.starts_with(status), "{count}: {last}");
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    const SIZE: usize = 30_000_000;
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.expect("a request");
        assert!(head.contains(&format!("Content-Length: {SIZE}")), "{head}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        let (mut reader, mut writer) = stream.split();
        let mut body = (&mut reader).take(SIZE as u64);
        tokio::io::copy(&mut body, &mut writer).await.expect("an echo");
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let (mut reader, mut writer) = stream.into_split();
    let sum =
        |bytes: &[u8], from: usize| bytes.iter().zip(from..).all(|(byte, at)| *byte == (at * 7 % 251) as u8);
    let sending = tokio::spawn(async move {
        for at in (0..SIZE).step_by(100_000) {
            let piece: Vec<u8> = (at..at + 100_000).map(|at| (at * 7 % 251) as u8).collect();
            writer.write_all(&piece).await.expect("the edge reads");
        }
        writer
    });
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(reader.read_u8().await.expect("a head"));
    }
    let (mut seen, mut piece) = (0, vec![0; 65_536]);
    while seen < SIZE {
        let count = reader.read(&mut piece).await.expect("the body");
        assert!(count > 0, "the body ends after {seen} bytes");
        assert!(sum(&piece[..count], seen), "the body differs within {count} bytes from {seen}");
        seen += count;
    }
    sending.await.expect("all is sent");
}
