//! A connection is of use again though a handler did not read a body to its end.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Reads only the beginning of its body.
async fn begin(body: Body) -> &'static str {
    let mut body = body.into_data_stream();
    // What comes is of no account.
    let _ = body.next().await;
    "begun"
}

#[tokio::test]
async fn a_connection_is_kept_when_the_rest_of_a_body_comes_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let router =
        Router::new().route("/", post(begin)).layer(axum::middleware::map_request(super::to_the_end));
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let mut client = tokio::net::UnixStream::connect(&path).await.expect("connected");
    for _ in 0..3 {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        client.write_all(head.as_bytes()).await.expect("written");
        let mut seen = Vec::new();
        while !seen.ends_with(b"begun") {
            assert_ne!(client.read_buf(&mut seen).await.expect("read"), 0, "it is closed");
        }
        client.write_all(b"4\r\nrest\r\n0\r\n\r\n").await.expect("written");
    }
    server.abort();
}
