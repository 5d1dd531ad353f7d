//! Clients and instances that do not read, do not wait, speak too early or in single bytes.

use std::sync::atomic::AtomicU64;

use super::*;

/// Much more than all buffers on the way hold: those of the kernel grow to some 20 MB.
const GIGABYTE: u64 = 1 << 30;
const BUFFERS: u64 = 40 << 20;

/// Gives up soon on whoever does not move.
fn impatient() -> Settings {
    let short = Duration::from_millis(200);
    Settings { answer: short, body_idle: short, ..quick() }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_instance_and_is_dropped() {
    let written = Arc::new(AtomicU64::new(0));
    let counter = written.clone();
    let backend = Backend::new(move |mut stream, _| {
        let counter = counter.clone();
        async move {
            next_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("the edge reads");
            while let Ok(count) = stream.write(&[b'x'; 65_536]).await {
                counter.fetch_add(count as u64, Ordering::SeqCst);
            }
        }
    })
    .await;
    let edge = TestEdge::to(impatient(), &[&backend]).await;
    let mut stream = edge.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    until(|| written.load(Ordering::SeqCst) > 0).await;
    edge.at_rest(&backend).await;
    let written = written.load(Ordering::SeqCst);
    assert!(written < BUFFERS, "the instance wrote {written} bytes");
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text).await;
    assert!(read.is_err() || (text.len() as u64) < GIGABYTE, "a cut answer does not look whole");
}

#[tokio::test]
async fn an_instance_that_does_not_read_stops_the_client() {
    let backend = Backend::new(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let edge = TestEdge::to(impatient(), &[&backend]).await;
    let (mut reader, mut writer) = edge.connect().await.into_split();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIGABYTE}\r\n\r\n");
    writer.write_all(head.as_bytes()).await.expect("the edge reads");
    let written = AtomicU64::new(0);
    let write = async {
        while let Ok(count) = writer.write(&[b'x'; 65_536]).await {
            written.fetch_add(count as u64, Ordering::SeqCst);
        }
        std::future::pending::<()>().await;
    };
    let mut text = vec![0; 1000];
    let read = tokio::time::timeout(LONG, reader.read(&mut text));
    let count = tokio::select! {
        biased;
        read = read => read.expect("an answer in time").expect("an answer"),
        () = write => 0,
    };
    let answer = String::from_utf8_lossy(&text[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("x-sea-refused: slow-answer"), "{answer}");
    let written = written.load(Ordering::SeqCst);
    assert!(written < BUFFERS, "the client wrote {written} bytes");
}

/// A request that another one hides in, should its body not be taken for one.
fn hiding(expect: &str) -> (String, String) {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n".to_string();
    (format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{expect}\r\n", hidden.len()), hidden)
}

#[tokio::test]
async fn an_early_answer_to_an_expectation_ends_the_connection_whatever_follows() {
    for answer in ["401 Unauthorized", "413 Content Too Large", "417 Expectation Failed", "200 OK"] {
        for sends in [false, true] {
            let backend = Backend::new(move |mut stream, number| async move {
                if number > 0 {
                    return answer_all(stream, "fresh").await;
                }
                next_head(&mut stream).await;
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\n\r\nno");
                stream.write_all(answer.as_bytes()).await.expect("the edge reads");
                // What comes now is a body, of which only the edge knows how long it is.
                while stream.read_u8().await.is_ok() {}
            })
            .await;
            let edge = TestEdge::to(quick(), &[&backend]).await;
            let mut stream = edge.connect().await;
            let (head, hidden) = hiding("Expect: 100-continue\r\n");
            stream.write_all(head.as_bytes()).await.expect("the edge reads");
            let want = format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\nconnection: close\r\n\r\nno");
            assert_eq!(read_until(&mut stream, "\r\n\r\nno").await, want);
            if sends {
                let _ = stream.write_all(hidden.as_bytes()).await;
            }
            assert_eq!(rest(&mut stream).await, "", "nothing else is answered");
            edge.at_rest(&backend).await;
            assert_eq!(
                body(&edge.ask(&get("/next")).await),
                "fresh /next ",
                "the connection is not used again"
            );
            assert_eq!(backend.connections(), 2);
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_wait_to_be_invited_is_served_all_the_same() {
    for invites in [0, 1, 2] {
        let backend = Backend::new(move |mut stream, _| async move {
            while let Some(head) = next_head(&mut stream).await {
                if head.starts_with("GET ") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast").await;
                    return;
                }
                for _ in 0..invites {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("the edge reads");
                }
                let mut body = [0; 33];
                stream.read_exact(&mut body).await.expect("the body");
                let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await.expect("the edge reads");
            }
        })
        .await;
        let edge = TestEdge::to(quick(), &[&backend]).await;
        let mut stream = edge.connect().await;
        let (head, hidden) = hiding("Expect: 100-continue\r\n");
        assert_eq!(hidden.len(), 33);
        let all = format!("{head}{hidden}{}", get("/last"));
        stream.write_all(all.as_bytes()).await.expect("the edge reads");
        let want = "HTTP/1.1 100 Continue\r\n\r\n".repeat(invites)
            + "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
            + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nconnection: close\r\n\r\nlast";
        assert_eq!(rest(&mut stream).await, want, "with {invites} invitations");
        assert_eq!(backend.connections(), 1, "both requests were whole");
    }
}

#[tokio::test]
async fn a_client_that_gives_up_its_body_reads_an_early_answer_to_its_end() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let (cut, mut cuts) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |mut stream, _| {
        let (mut gate, cut) = (gate.clone(), cut.clone());
        async move {
            next_head(&mut stream).await;
            let head = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 1000000\r\n\r\n";
            stream.write_all(head).await.expect("the edge reads");
            let mut body = Vec::new();
            stream.read_to_end(&mut body).await.expect("the end of a request without one");
            cut.send(body).await.expect("the test waits");
            gate.wait_for(|open| *open).await.expect("the gate opens");
            stream.write_all(&[b'x'; 1_000_000]).await.expect("the edge reads");
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart";
    stream.write_all(request).await.expect("the edge reads");
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"), "{answer}");
    stream.shutdown().await.expect("a half-close");
    let seen = tokio::time::timeout(LONG, cuts.recv()).await.expect("the instance sees it in time");
    assert_eq!(seen.as_deref(), Some(&b"part"[..]));
    go.send(true).expect("the instance waits");
    let answer = rest(&mut stream).await;
    assert!(answer.len() == 1_000_000 && answer.bytes().all(|byte| byte == b'x'), "{} bytes", answer.len());
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn a_request_in_single_bytes_and_an_answer_in_single_bytes_are_the_same_as_whole_ones() {
    async fn drip(stream: &mut TcpStream, text: &str) {
        stream.set_nodelay(true).expect("a socket");
        for byte in text.bytes() {
            stream.write_all(&[byte]).await.expect("the other side reads");
            tokio::task::yield_now().await;
        }
    }
    let backend = Backend::new(|mut stream, _| async move {
        let head = next_head(&mut stream).await.expect("a request");
        let body = read_until(&mut stream, "X-Sum: 1\r\n\r\n").await;
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        let content: String = body.split("\r\n").skip(1).step_by(2).collect();
        assert!(content.starts_with("hello"), "{body}");
        drip(&mut stream, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
        drip(&mut stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        drip(&mut stream, "2\r\nhi\r\n4;a=b\r\n you\r\n0\r\nX-Sum: 2\r\n\r\n").await;
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    drip(
        &mut stream,
        "\r\nPOST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         05;ext=\"1\"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    )
    .await;
    let answer = rest(&mut stream).await;
    let want = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\
                connection: close\r\n\r\n";
    let chunks = answer.strip_prefix(want).unwrap_or_else(|| panic!("{answer}"));
    let content: String =
        chunks.split("\r\n").skip(1).step_by(2).take_while(|line| !line.contains(':')).collect();
    assert_eq!(content, "hi you");
    assert!(chunks.ends_with("\r\n0\r\nX-Sum: 2\r\n\r\n"), "{chunks}");
}

#[tokio::test]
async fn thousands_of_answers_before_the_answer_pass_in_order() {
    let hints: String = (0..2000).map(|n| format!("HTTP/1.1 103 Early Hints\r\nX: {n}\r\n\r\n")).collect();
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok";
    let want = format!("{hints}{last}");
    let all = want.replace("connection: close\r\n", "");
    let backend = Backend::new(move |mut stream, _| {
        let all = all.clone();
        async move {
            next_head(&mut stream).await;
            let _ = stream.write_all(all.as_bytes()).await;
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    assert!(edge.ask(&get("/")).await == want, "all of them, and nothing else");
}

#[tokio::test]
async fn refusals_of_head_have_no_body() {
    let edge = TestEdge::start(quick()).await;
    for (request, code) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "no-route"),
        ("HEAD / HTTP/1.1\r\n\r\n", "host-missing"),
        ("\r\nHEAD / HTTP/1.1\r\nHost: a\n\n", "bare-lf"),
        ("GET / HTTP/1.1\r\n\r\n", "host-missing"),
    ] {
        let answer = edge.ask(request).await;
        assert!(answer.contains(&format!("x-sea-refused: {code}\r\n")), "{answer}");
        assert_eq!(body(&answer).is_empty(), request.contains("HEAD"), "{answer}");
    }
}
