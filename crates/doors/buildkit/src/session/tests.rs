//! Tests of sessions: how they come and go.

use std::time::Duration;

use hyper::header::HeaderValue;

use super::*;
use crate::grpc::{Answer, Call, serve};

fn headers(id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ID, HeaderValue::from_str(id).expect("plain text"));
    headers.append(METHOD, HeaderValue::from_static("/a.B/C"));
    headers
}

/// A client that answers every call with nothing; it lives as long as the task.
fn client(sessions: &Sessions, id: &str) -> tokio::task::JoinHandle<()> {
    let (near, far) = tokio::io::duplex(4096);
    let (sessions, headers) = (sessions.clone(), headers(id));
    tokio::spawn(async move { sessions.run(far, &headers).await });
    tokio::spawn(async move {
        let _ = serve(near, |_: Call| async { Answer::one(&Empty {}) }).await;
    })
}

#[tokio::test]
async fn a_build_waits_for_its_session() {
    let sessions = Sessions::new();
    let waiting = {
        let sessions = sessions.clone();
        tokio::spawn(async move { sessions.get("s").await.map(|session| session.offers("/A.b/c")) })
    };
    let _client = client(&sessions, "s");
    assert!(waiting.await.expect("no panic").expect("it came"), "methods are compared without case");
}

#[tokio::test]
async fn a_session_ends_with_its_connection() {
    let sessions = Sessions::new();
    let client = client(&sessions, "s");
    sessions.get("s").await.expect("it came");
    client.abort();
    tokio::time::timeout(Duration::from_secs(10), sessions.ended("s")).await.expect("it ended");
    assert!(sessions.admits(&headers("s")).is_ok(), "its name is free again");
}

#[tokio::test]
async fn a_session_needs_a_name_of_its_own() {
    let sessions = Sessions::new();
    let error = sessions.admits(&HeaderMap::new()).expect_err("it has no name");
    assert!(matches!(error, SessionError::NoId));
    let _client = client(&sessions, "s");
    sessions.get("s").await.expect("it came");
    let error = sessions.admits(&headers("s")).expect_err("its name is taken");
    assert_eq!(error.to_string(), "session s already exists");
}
