//! Client and server over a real socket.

use super::*;

use axum::Json;
use axum::routing::{get, post};
use base::Report;

use crate::{CallError, Client, status_of};

async fn serving() -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().expect("a folder");
    // Longer than a socket's address can hold.
    let deep = folder.path().join("d".repeat(120));
    std::fs::create_dir(&deep).expect("a deep folder");
    let path = deep.join("sea.sock");
    let router = Router::new()
        .route("/double", post(|Json(number): Json<u32>| async move { Json(number * 2) }))
        .route("/lines", post(|| async { "1\n2\n\n3" }))
        .route(
            "/refused",
            get(|| async {
                (status_of(Kind::Conflict), Json(Report::new(Kind::Conflict, "no").hint("wait")))
            }),
        );
    let server = Server::bind(&path).expect("the socket is free");
    tokio::spawn(server.run(router, std::future::pending()));
    (folder, Client::new(&path))
}

#[tokio::test]
async fn documents_and_lines_cross_a_socket_with_a_long_path() {
    let (_folder, client) = serving().await;
    let doubled: u32 = client.call(hyper::Method::POST, "/double", &21).await.expect("an answer");
    assert_eq!(doubled, 42);
    let mut lines = client.follow(hyper::Method::POST, "/lines", &()).await.expect("lines");
    let mut seen = Vec::new();
    while let Some(number) = lines.next::<u32>().await.expect("a line") {
        seen.push(number);
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[tokio::test]
async fn a_refusal_arrives_with_its_kind_and_hint() {
    let (_folder, client) = serving().await;
    let error = client.get::<()>("/refused").await.expect_err("it is refused");
    assert_eq!((error.kind(), error.hint()), (Kind::Conflict, Some("wait".into())));
    let error = client.get::<()>("/nowhere").await.expect_err("it is not there");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_socket_in_use_is_refused_and_a_stale_one_replaced() {
    let (_folder, client) = serving().await;
    assert!(matches!(Server::bind(client.path()), Err(ServeError::Taken { .. })));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let gone = Client::new(&path).get::<()>("/").await.expect_err("nobody listens");
    assert!(matches!(gone, CallError::Unreachable { .. }));
    assert!(Server::bind(&path).is_ok());
}

#[tokio::test]
async fn an_odd_target_is_taken_in_every_request_of_a_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sea.sock");
    let query = |uri: axum::http::Uri, body: String| async move {
        format!("{}\n{body}\n", uri.query().unwrap_or(""))
    };
    let router = Router::new().route("/said", post(query));
    let server = Server::bind(&path).expect("the socket is free");
    tokio::spawn(server.run(router, std::future::pending()));
    let mut stream = crate::connect(&path).await.expect("it listens");
    let pipelined = "POST /said?a={\"b\"} HTTP/1.1\r\nhost: d\r\ncontent-length: 5\r\n\r\n{\"c\"}";
    let last = "POST /said?<#> HTTP/1.1\r\nhost: d\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{pipelined}{pipelined}{last}").as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let bodies: Vec<&str> = answer.lines().filter(|line| line.contains(['%', '{'])).collect();
    assert_eq!(bodies, ["a=%7B%22b%22%7D", "{\"c\"}", "a=%7B%22b%22%7D", "{\"c\"}", "%3C%23%3E"], "{answer}");
}
