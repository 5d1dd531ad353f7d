//! How sockets end: by a close that the instance begins, after its instance has left, and with the edge.

use tokio::sync::watch;

use super::*;

/// Greets, waits for the word, closes with this payload, and tells what the client says then.
async fn closing(
    payload: Vec<u8>,
    go: watch::Receiver<bool>,
) -> (Backend, tokio::sync::mpsc::Receiver<Frame>) {
    let (told, heard) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |mut stream, _| {
        let (payload, told, mut go) = (payload.clone(), told.clone(), go.clone());
        async move {
            next_head(&mut stream).await.expect("a request");
            let greeting = [SWITCHED.as_bytes(), &wire(&of(TEXT, b"hello"), None)].concat();
            stream.write_all(&greeting).await.expect("the edge reads");
            go.wait_for(|go| *go).await.expect("the word comes");
            stream.write_all(&wire(&of(CLOSE, &payload), None)).await.expect("the edge reads");
            if let Some(answer) = next(&mut stream).await {
                let _ = told.send(answer).await;
            }
        }
    })
    .await;
    (backend, heard)
}

#[tokio::test]
async fn a_close_that_the_instance_begins_comes_with_its_code_and_is_answered() {
    let payload = |code: u16, reason: &str| [&code.to_be_bytes()[..], reason.as_bytes()].concat();
    for http2 in [false, true] {
        for payload in [
            Vec::new(),
            payload(1000, ""),
            payload(1001, "going away"),
            payload(1012, "service restart"),
            payload(4999, &"x".repeat(123)),
        ] {
            let (go, word) = watch::channel(false);
            let (backend, mut heard) = closing(payload.clone(), word).await;
            let edge = TestEdge::to(quick(), &[&backend]).await;
            let (mut socket, _talk) = open(&edge, http2).await;
            go.send(true).expect("the instance waits");
            let close = of(CLOSE, &payload);
            assert_eq!(next(&mut socket).await, Some(close.clone()), "http2 {http2}");
            socket.write_all(&wire(&close, key(1))).await.expect("the edge reads");
            let answer = tokio::time::timeout(LONG, heard.recv()).await.expect("an answer in time");
            assert_eq!(answer, Some(close), "http2 {http2}");
            assert_eq!(next(&mut socket).await, None, "the instance has ended");
            drop(socket);
            edge.at_rest(&backend).await;
        }
    }
}

#[tokio::test]
async fn a_socket_goes_on_with_an_instance_that_leaves_and_new_ones_go_to_others() {
    for http2 in [false, true] {
        let (go, word) = watch::channel(false);
        let (old, mut heard) = closing(1001_u16.to_be_bytes().to_vec(), word).await;
        let new = echo().await;
        let mut edge = TestEdge::to(quick(), &[&old]).await;
        let (mut socket, _talk) = open(&edge, http2).await;
        edge.send_to(&[&new]).await;
        // It counts as long as its socket is open, which is what a drain waits for.
        assert_eq!(edge.in_flight(&old), 1);
        let (mut other, other_talk) = open(&edge, http2).await;
        let ping = of(PING, b"are you new?");
        other.write_all(&wire(&ping, key(1))).await.expect("the edge reads");
        assert_eq!(next(&mut other).await, Some(Frame { opcode: PONG, ..ping }));
        assert_eq!((old.connections(), new.connections()), (1, 1));
        // The instance hears that it is to end, and says so to its clients.
        assert_eq!(edge.in_flight(&old), 1, "nobody has ended it");
        go.send(true).expect("the instance waits");
        let close = of(CLOSE, &1001_u16.to_be_bytes());
        assert_eq!(next(&mut socket).await, Some(close.clone()));
        socket.write_all(&wire(&close, key(2))).await.expect("the edge reads");
        assert_eq!(tokio::time::timeout(LONG, heard.recv()).await.expect("in time"), Some(close));
        assert_eq!(next(&mut socket).await, None);
        drop(socket);
        edge.at_rest(&old).await;
        assert_eq!(edge.in_flight(&new), 1, "the other goes on");
        drop((other, other_talk));
        edge.at_rest(&new).await;
    }
}

#[tokio::test]
async fn a_socket_on_an_ending_edge_goes_on_for_the_grace_and_no_longer() {
    for http2 in [false, true] {
        let backend = echo().await;
        let settings = Settings { grace: Duration::from_secs(1), ..quick() };
        let mut edge = TestEdge::to(settings, &[&backend]).await;
        let (mut socket, _talk) = open(&edge, http2).await;
        edge.server.leave(Manner::Told).await;
        let ping = of(PING, b"still there?");
        socket.write_all(&wire(&ping, key(1))).await.expect("the edge reads");
        assert_eq!(next(&mut socket).await, Some(Frame { opcode: PONG, ..ping }), "http2 {http2}");
        let end = tokio::time::timeout(LONG, next(&mut socket)).await.expect("its time is over");
        assert_eq!(end, None, "http2 {http2}");
        edge.at_rest(&backend).await;
    }
}
