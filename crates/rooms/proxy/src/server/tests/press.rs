//! Answers that are compressed for those who take it.

use std::io::Read;

use spec::EdgePolicy;

use super::streams::{Talk, drain, request};
use super::*;

/// An edge whose service has its answers compressed.
async fn pressing(backend: &Backend) -> TestEdge {
    pressing_with(quick(), backend).await
}

async fn pressing_with(settings: Settings, backend: &Backend) -> TestEdge {
    let mut edge = TestEdge::start(settings).await;
    let mut share = share(&[backend.address], &[]);
    let policy = EdgePolicy { compress: true, ..EdgePolicy::default() };
    share.pools.values_mut().for_each(|pool| pool.policy = policy.clone());
    edge.apply(share).await;
    edge
}

/// Text that is neither all alike nor all different.
fn text(bytes: usize) -> String {
    let mut rng = base::Rng::seeded(7);
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&format!("{{\"number\": {}, \"name\": \"a name\"}}\n", rng.below(1000)));
    }
    text.truncate(bytes);
    text
}

/// Answers with these lines and this body, framed as the path says.
async fn backend(lines: &'static str, body: String) -> Backend {
    let body: Arc<str> = body.into();
    Backend::new(move |mut stream, _| {
        let body = body.clone();
        async move {
            while let Some(head) = next_head(&mut stream).await {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut answer = format!("HTTP/1.1 200 OK\r\n{lines}");
                match &path[..] {
                    "/chunked" => {
                        answer.push_str("Transfer-Encoding: chunked\r\n\r\n");
                        for piece in body.as_bytes().chunks(5000) {
                            answer.push_str(&format!(
                                "{:x}\r\n{}\r\n",
                                piece.len(),
                                String::from_utf8_lossy(piece)
                            ));
                        }
                        answer.push_str("0\r\nX-Sum: 1\r\n\r\n");
                    }
                    "/close" => answer.push_str(&format!("\r\n{body}")),
                    _ if head.starts_with("HEAD") => {
                        answer.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()))
                    }
                    _ => answer.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
                }
                if stream.write_all(answer.as_bytes()).await.is_err() || path == "/close" {
                    return;
                }
            }
        }
    })
    .await
}

/// The head of an answer, and its body out of its chunks.
async fn asked(edge: &TestEdge, method: &str, path: &str, accept: &str) -> (String, Vec<u8>) {
    let mut stream = edge.connect().await;
    let accept = if accept.is_empty() { String::new() } else { format!("Accept-Encoding: {accept}\r\n") };
    let asked = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n{accept}\r\n"
    );
    stream.write_all(asked.as_bytes()).await.expect("the edge reads");
    let head = head(&mut stream).await;
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    tokio::time::timeout(LONG, read).await.expect("an end in time").expect("a whole answer");
    if !head.contains("transfer-encoding: chunked\r\n") || rest.is_empty() {
        return (head, rest);
    }
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = rest[at..].iter().position(|c| *c == b'\n').expect("a line") + at;
        let digits = std::str::from_utf8(&rest[at..line - 1]).expect("digits");
        let length = usize::from_str_radix(digits, 16).expect("a length");
        if length == 0 {
            assert_eq!(&rest[line + 1..], b"\r\n", "nothing comes behind it");
            return (head, body);
        }
        body.extend_from_slice(&rest[line + 1..line + 1 + length]);
        at = line + 3 + length;
    }
}

fn opened(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut text).expect("gzip"),
        "zstd" => zstd::stream::read::Decoder::new(body)
            .and_then(|mut it| it.read_to_string(&mut text))
            .expect("zstd"),
        "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut text).expect("brotli"),
        _ => panic!("no coding {coding}"),
    };
    text
}

const JSON: &str = "Content-Type: application/json\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n";

#[tokio::test]
async fn a_body_comes_out_as_it_went_in_however_it_is_framed() {
    for bytes in [1024, 100_000, 3_000_000] {
        let body = text(bytes);
        let backend = backend(JSON, body.clone()).await;
        let edge = pressing(&backend).await;
        for path in ["/", "/chunked", "/close"] {
            for coding in ["gzip", "zstd", "br"] {
                let (head, pressed) = asked(&edge, "GET", path, coding).await;
                assert!(head.contains(&format!("\r\ncontent-encoding: {coding}\r\n")), "{head}");
                assert!(
                    head.contains("\r\nvary: accept-encoding\r\n") && head.contains("\r\netag: W/\"v1\"\r\n"),
                    "{head}"
                );
                let lower = head.to_lowercase();
                assert!(!lower.contains("content-length") && !lower.contains("accept-ranges"), "{head}");
                assert!(pressed.len() < bytes / 3, "{} of {bytes}", pressed.len());
                assert!(opened(coding, &pressed) == body, "{bytes} {path} {coding}");
            }
        }
        edge.at_rest(&backend).await;
    }
}

#[tokio::test]
async fn an_answer_is_whole_however_often_deadlines_are_looked_at() {
    let body = text(5_000_000);
    let backend = backend(JSON, body.clone()).await;
    // One of these looks comes just when the client is first waited for.
    for tick in (1..=14).cycle().take(42) {
        let settings = Settings { tick: Duration::from_millis(tick), ..quick() };
        let edge = pressing_with(settings, &backend).await;
        // At once, so that the request is there when the connection is taken in, and nobody waits for it.
        let mut stream = std::net::TcpStream::connect(edge.http).expect("the edge accepts");
        let asked = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: zstd\r\n\r\n";
        std::io::Write::write_all(&mut stream, asked.as_bytes()).expect("it reads");
        stream.set_nonblocking(true).expect("a socket");
        let answer = rest(&mut TcpStream::from_std(stream).expect("a socket")).await;
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "{tick} ms: {} bytes of it", answer.len());
    }
}

#[tokio::test]
async fn who_takes_no_coding_gets_the_answer_as_it_is() {
    let body = text(5000);
    let backend = backend(JSON, body.clone()).await;
    let edge = pressing(&backend).await;
    for accept in ["", "identity", "deflate", "gzip;q=0"] {
        let (head, plain) = asked(&edge, "GET", "/", accept).await;
        assert!(head.contains("ETag: \"v1\"\r\n") && head.contains("Content-Length: 5000\r\n"), "{head}");
        assert!(head.contains("vary: accept-encoding\r\n") && !head.contains("content-encoding"), "{head}");
        assert!(plain == body.as_bytes());
    }
    let old = edge.ask("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").await;
    assert!(!old.contains("content-encoding") && old.ends_with(&body[4900..]), "{old}");
    let (head, _) = asked(&edge, "HEAD", "/", "gzip").await;
    assert!(head.contains("content-encoding: gzip\r\n") && head.contains("W/\"v1\""), "{head}");
    assert!(!head.contains("Content-Length"), "it is not known before: {head}");
}

#[tokio::test]
async fn what_is_short_or_encoded_or_must_stay_goes_as_it_is() {
    let page = "Content-Type: text/html\r\n";
    for (lines, bytes) in [
        (page, 1023),
        ("Content-Type: image/png\r\n", 5000),
        ("Content-Type: text/html\r\nContent-Encoding: br\r\n", 5000),
        ("Content-Type: text/html\r\nCache-Control: no-transform\r\n", 5000),
    ] {
        let body = text(bytes);
        let backend = backend(lines, body.clone()).await;
        let edge = pressing(&backend).await;
        let (head, plain) = asked(&edge, "GET", "/", "gzip").await;
        assert!(plain == body.as_bytes() && !head.contains("content-encoding: gzip"), "{head}");
    }
    let backend =
        backend("Content-Type: text/html\r\nVary: Cookie, Accept-Encoding\r\nETag: W/\"v1\"\r\n", text(5000))
            .await;
    let edge = pressing(&backend).await;
    let (head, _) = asked(&edge, "GET", "/", "gzip").await;
    assert!(!head.contains("vary: accept-encoding") && head.contains("etag: W/\"v1\"\r\n"), "{head}");
}

#[tokio::test]
async fn streams_of_http_2_are_compressed_too() {
    let body = text(300_000);
    let backend = backend(JSON, body.clone()).await;
    let edge = pressing(&backend).await;
    let mut talk = Talk::to(&edge).await;
    for (path, coding) in [("/", "gzip"), ("/chunked", "zstd"), ("/close", "gzip")] {
        let mut asked = request("GET", path);
        asked.headers_mut().insert("accept-encoding", coding.parse().expect("a value"));
        let (answer, _) = talk.begin(asked, true).await;
        let (head, mut stream) = answer.await.expect("an answer").into_parts();
        assert_eq!(
            (&head.headers["content-encoding"], &head.headers["vary"]),
            (&coding.parse().expect("a value"), &"accept-encoding".parse().expect("a value"))
        );
        let pressed = drain(&mut stream).await.expect("a whole body");
        assert!(opened(coding, &pressed) == body, "{path}");
    }
}

#[tokio::test]
async fn events_are_not_held_back() {
    let (send, events) = tokio::sync::watch::channel(0);
    let backend = Backend::new(move |mut stream, _| {
        let mut events = events.clone();
        async move {
            next_head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("the edge reads");
            while events.changed().await.is_ok() {
                let event = format!("data: {}\n\n", *events.borrow_and_update());
                stream.write_all(event.as_bytes()).await.expect("the edge reads");
            }
        }
    })
    .await;
    let edge = pressing(&backend).await;
    let mut stream = edge.connect().await;
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.expect("the edge reads");
    assert!(head(&mut stream).await.contains("content-encoding: gzip\r\n"));
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for number in 1..5 {
        send.send(number).expect("the instance listens");
        // Each event can be read before the next is sent.
        while !decoder.get_ref().ends_with(format!("data: {number}\n\n").as_bytes()) {
            let size = read_until(&mut stream, "\r\n").await;
            let length = usize::from_str_radix(size.trim_end(), 16).expect("a length");
            let mut piece = vec![0; length + 2];
            let read = stream.read_exact(&mut piece);
            tokio::time::timeout(LONG, read).await.expect("it comes").expect("it is whole");
            std::io::Write::write_all(&mut decoder, &piece[..length]).expect("gzip");
            std::io::Write::flush(&mut decoder).expect("gzip");
        }
    }
    drop(send);
    read_until(&mut stream, "\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_that_is_cut_is_not_taken_for_a_whole_one() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n";
        let _ = stream.write_all(format!("{head}{}", text(2000)).as_bytes()).await;
    })
    .await;
    let edge = pressing(&backend).await;
    let answer = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}
