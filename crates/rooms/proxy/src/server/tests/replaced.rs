//! Instances' own errors, with a page of the service in the place of their body.

use super::streams::{Talk, request, whole};
use super::*;

const PAGE: &str = "<h1>Sorry</h1>";

/// Answers each request by what its path says, over and over: the last part is the answer's name.
async fn erring() -> Backend {
    Backend::new(|mut stream, number| async move {
        while let Some(head) = next_head(&mut stream).await {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let fields = "Retry-After: 7\r\nSet-Cookie: a=b\r\nETag: \"x\"\r\nContent-Type: application/json\r\nX-Connection: ";
            let fields = format!("{fields}{number}\r\n");
            let answer = match path {
                "/length" => format!("HTTP/1.1 503 Busy\r\n{fields}Content-Length: 5\r\n\r\nwrong"),
                "/chunks" => format!(
                    "HTTP/1.1 500 Oh\r\n{fields}Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n3\r\nwro\r\n2\r\nng\r\n0\r\nX-Sum: 1\r\n\r\n"
                ),
                "/close" => format!("HTTP/1.1 502 Bad\r\n{fields}\r\nwrong"),
                "/long" => format!("HTTP/1.1 500 Long\r\n{fields}Content-Length: 1000000\r\n\r\nwrong"),
                "/stuck" => format!("HTTP/1.1 500 Stuck\r\n{fields}Content-Length: 6\r\n\r\nwrong"),
                "/missing" => format!("HTTP/1.1 404 No\r\n{fields}Content-Length: 5\r\n\r\nwrong"),
                _ => format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\ngood"),
            };
            let answer = if head.starts_with("HEAD ") {
                answer.split_once("\r\n\r\n").map(|(head, _)| format!("{head}\r\n\r\n")).unwrap_or_default()
            } else {
                answer
            };
            if stream.write_all(answer.as_bytes()).await.is_err() || path == "/close" {
                return;
            }
        }
    })
    .await
}

async fn edge(backend: &Backend, replaced: &[&str]) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    let mut share = share(&[backend.address], &[]);
    share.pools.values_mut().for_each(|pool| {
        pool.policy.replace_errors = replaced.iter().map(|key| (*key).to_owned()).collect();
        pool.pages =
            [("5xx".to_owned(), PAGE.to_owned()), ("404".to_owned(), "<p>none</p>".to_owned())].into();
    });
    edge.apply(share).await;
    edge
}

/// One request of a browser over a connection that stays, and its whole answer.
async fn browse(stream: &mut TcpStream, method: &str, path: &str) -> (String, String) {
    let asked = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*;q=0.8\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("the edge reads");
    let head = head(stream).await.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; if method == "HEAD" { 0 } else { length.expect("a length") }];
    tokio::time::timeout(LONG, stream.read_exact(&mut body)).await.expect("in time").expect("a whole body");
    (head, String::from_utf8(body).expect("text"))
}

#[tokio::test]
async fn a_page_goes_out_in_the_place_of_the_body_with_the_status_and_what_is_not_of_the_body() {
    let backend = erring().await;
    let edge = edge(&backend, &["5xx"]).await;
    let mut stream = edge.connect().await;
    for (path, status) in [("/length", "503 busy"), ("/chunks", "500 oh"), ("/length", "503 busy")] {
        let (head, body) = browse(&mut stream, "GET", path).await;
        assert!(head.starts_with(&format!("http/1.1 {status}\r\n")) && body == PAGE, "{head}{body}");
        assert!(head.contains("retry-after: 7\r\n") && head.contains("set-cookie: a=b\r\n"), "{head}");
        assert!(head.contains("content-type: text/html; charset=utf-8\r\ncontent-length: 14\r\n"), "{head}");
        for gone in ["etag", "json", "gzip", "chunked", "x-sum", "connection: close"] {
            assert!(!head.contains(gone), "{gone}: {head}");
        }
        // Its body is read to the end, and the connection to the instance kept.
        assert!(head.contains("x-connection: 0\r\n"), "{head}");
    }
    let (head, body) = browse(&mut stream, "HEAD", "/length").await;
    assert!(head.contains("content-length: 14\r\n") && body.is_empty(), "{head}");
    let (_, body) = browse(&mut stream, "GET", "/good").await;
    assert_eq!(body, "good");
    let (_, body) = browse(&mut stream, "GET", "/missing").await;
    assert_eq!(body, "wrong", "that status is the instance's own");
    assert_eq!(edge.server.status().pools[0].replaced, 4);
}

#[tokio::test]
async fn programs_get_the_answer_as_it_is() {
    let backend = erring().await;
    let edge = edge(&backend, &["5xx", "404"]).await;
    assert_eq!(body(&edge.ask(&get("/length")).await), "wrong");
    let json = get("/length").replace("Host: a", "Host: a\r\nAccept: application/json, */*");
    assert_eq!(body(&edge.ask(&json).await), "wrong");
    let mut stream = edge.connect().await;
    assert_eq!(browse(&mut stream, "GET", "/missing").await.1, "<p>none</p>");
}

#[tokio::test]
async fn what_is_long_or_does_not_end_costs_the_instance_its_connection_and_the_client_nothing() {
    let backend = erring().await;
    let edge = edge(&backend, &["5xx"]).await;
    let mut stream = edge.connect().await;
    for (number, path) in ["/long", "/stuck", "/close", "/length"].iter().enumerate() {
        let (head, body) = browse(&mut stream, "GET", path).await;
        assert!(body == PAGE && head.contains(&format!("x-connection: {number}\r\n")), "{head}{body}");
    }
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn streams_of_http_2_get_the_page_too_and_calls_of_grpc_do_not() {
    let backend = erring().await;
    let edge = edge(&backend, &["5xx"]).await;
    let mut talk = Talk::to(&edge).await;
    for path in ["/length", "/chunks", "/long", "/close"] {
        let mut asked = request("GET", path);
        asked.headers_mut().insert("accept", "text/html".parse().expect("a value"));
        let (answer, _) = talk.begin(asked, true).await;
        let (head, body) = whole(answer).await;
        assert_eq!((head.headers()["retry-after"].to_str().expect("text"), body.as_str()), ("7", PAGE));
        assert_eq!(head.headers()["content-type"], "text/html; charset=utf-8");
    }
    let mut asked = request("POST", "/length");
    asked.headers_mut().insert("accept", "text/html".parse().expect("a value"));
    asked.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
    let (answer, _) = talk.begin(asked, true).await;
    assert_eq!(whole(answer).await.1, "wrong");
}
