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
