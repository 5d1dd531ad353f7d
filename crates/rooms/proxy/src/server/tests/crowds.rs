//! An edge with all the connections that it can have: whoever holds too many of them makes room.

use tokio::net::TcpSocket;

use super::*;

/// Of them together the edge's two threads have.
const MOST: usize = 32;

/// Connections of one client, far more than there may be, each with these bytes.
async fn crowd(at: SocketAddr, said: &str) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..MOST * 3 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 2], 0).into()).expect("an address of the loopback");
        let mut stream = socket.connect(at).await.expect("the kernel accepts");
        stream.write_all(said.as_bytes()).await.expect("the kernel takes it");
        all.push(stream);
    }
    all
}

/// Answers all but those that ask for `/hang`; reads two bytes of a POST first.
async fn backend() -> Backend {
    Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            if head.contains(" /hang ") {
                return std::future::pending().await;
            }
            if head.starts_with("POST") && stream.read_exact(&mut [0; 2]).await.is_err() {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await
}

fn crowded_out(edge: &TestEdge) -> u64 {
    let status = edge.server.status();
    status.refused.iter().filter(|refused| refused.reason == "crowded").map(|refused| refused.count).sum()
}

#[tokio::test]
async fn a_client_that_holds_too_much_keeps_nobody_out() {
    for (secure, said) in [
        (false, ""),
        (false, "GET / HTTP/1.1\r\nHost: a"),
        (false, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"),
        (true, ""),
        (true, "\x16\x03\x01"),
    ] {
        let backend = backend().await;
        let edge = TestEdge::to(Settings { connections: MOST, ..quick() }, &[&backend]).await;
        let crowd = crowd(if secure { edge.https } else { edge.http }, said).await;
        until(|| crowded_out(&edge) > 0).await;
        for _ in 0..20 {
            assert_eq!(body(&edge.ask(&get("/")).await), "ok", "{said:?}");
        }
        let status = edge.server.status();
        assert!(!status.pools[0].endpoints[0].avoided, "it is not the instance's fault");
        drop(crowd);
    }
}

#[tokio::test]
async fn who_is_at_work_is_not_disturbed_by_a_crowd() {
    let backend = backend().await;
    let edge = TestEdge::to(Settings { connections: MOST, ..quick() }, &[&backend]).await;
    let mut working = edge.connect().await;
    working.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n").await.expect("it reads");
    until(|| edge.in_flight(&backend) == 1).await;
    let mut crowd = crowd(edge.http, "GET / HTTP/1.1\r\nHost: a").await;
    until(|| crowded_out(&edge) > 0).await;
    assert_eq!(body(&edge.ask(&get("/")).await), "ok");
    working.write_all(b"xx").await.expect("it is open");
    assert!(read_until(&mut working, "ok").await.starts_with("HTTP/1.1 200 "));
    // Those that had begun to ask are told why.
    let answer = rest(&mut crowd[0]).await;
    assert!(status(&answer) == "503" && answer.contains("x-sea-refused: crowded"), "{answer}");
}
