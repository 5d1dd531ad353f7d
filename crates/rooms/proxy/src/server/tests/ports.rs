//! Published ports: HTTP found out, other protocols passed through, and datagrams.

use tokio::net::UdpSocket;

use super::*;

/// A port that is free at this moment, on which the edge then listens.
pub(super) fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

/// An edge that publishes the backend.
async fn published(backend: &Backend, protocol: Protocol) -> (TestEdge, SocketAddr) {
    let mut edge = TestEdge::start(quick()).await;
    let port = free_port();
    edge.apply(share(&[backend.address], &[(port, protocol)])).await;
    (edge, port)
}

#[tokio::test]
async fn http_is_found_out_and_served_request_by_request() {
    let backend = Backend::plain("one").await;
    let (edge, port) = published(&backend, Protocol::Auto).await;
    assert!(ask(port, &get("/a")).await.ends_with("one /a "));
    let refused = ask(port, "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n").await;
    assert!(refused.contains("x-sea-refused: length-syntax"), "{refused}");
    assert_eq!(edge.server.look().answered[&id(backend.address)].good, 1);
}

#[tokio::test]
async fn a_client_of_http_that_takes_its_time_is_served_too() {
    let backend = Backend::plain("one").await;
    let (edge, port) = published(&backend, Protocol::Auto).await;
    let mut stream = TcpStream::connect(port).await.expect("the edge accepts");
    until(|| edge.in_flight(&backend) == 1).await;
    for piece in ["GET", " /slow", " HTTP/1.1\r", "\nHost: a\r\nConnection: close\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.expect("the edge reads");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(rest(&mut stream).await.ends_with("one /slow "));
    assert_eq!(backend.connections(), 1, "the connection that was made ahead is used");
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    for protocol in [Protocol::Auto, Protocol::Tcp] {
        let backend = Backend::new(|mut stream, _| async move {
            stream.write_all(b"220 ready\r\n").await.expect("the edge reads");
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.write_all(b"221 bye\r\n").await;
        })
        .await;
        let (edge, port) = published(&backend, protocol).await;
        let mut stream = TcpStream::connect(port).await.expect("the edge accepts");
        assert_eq!(read_until(&mut stream, "\n").await, "220 ready\r\n");
        stream.write_all(b"GET / HTTP/1.1\r\n").await.expect("the edge reads");
        stream.shutdown().await.expect("a half-close");
        assert_eq!(rest(&mut stream).await, "GET / HTTP/1.1\r\n221 bye\r\n", "{protocol:?}");
        edge.at_rest(&backend).await;
    }
}

#[tokio::test]
async fn a_client_that_speaks_something_else_first_is_passed_through() {
    let backend = Backend::new(|mut stream, _| async move {
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let (_edge, port) = published(&backend, Protocol::Auto).await;
    for bytes in
        ["PING\r\n", "\u{16}\u{3}\u{1}\0\u{5}hello", "GET key\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(port).await.expect("the edge accepts");
        stream.write_all(bytes.as_bytes()).await.expect("the edge reads");
        stream.shutdown().await.expect("a half-close");
        assert_eq!(rest(&mut stream).await, bytes);
    }
}

#[tokio::test]
async fn tcp_to_a_dead_instance_goes_to_another() {
    let good = Backend::plain("good").await;
    let gone = Backend::plain("gone").await;
    gone.accepting.abort();
    until(|| gone.accepting.is_finished()).await;
    let mut edge = TestEdge::start(quick()).await;
    let port = free_port();
    edge.apply(share(&[gone.address, good.address], &[(port, Protocol::Tcp)])).await;
    for _ in 0..6 {
        let mut stream = TcpStream::connect(port).await.expect("the edge accepts");
        stream.write_all(b"GET /tcp HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        assert!(read_until(&mut stream, "/tcp ").await.ends_with("good /tcp "));
    }
}

#[tokio::test]
async fn a_port_that_leaves_the_table_is_closed_and_can_come_back() {
    let backend = Backend::plain("one").await;
    let (mut edge, port) = published(&backend, Protocol::Http).await;
    assert!(ask(port, &get("/a")).await.ends_with("one /a "));
    edge.apply(share(&[backend.address], &[])).await;
    let closed = async {
        while TcpStream::connect(port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, closed).await.expect("the port is closed");
    edge.apply(share(&[backend.address], &[(port, Protocol::Tcp)])).await;
    assert!(TcpStream::connect(port).await.is_ok());
}

#[tokio::test]
async fn datagrams_go_to_one_instance_and_its_answers_come_back() {
    let instance = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
    let address = instance.local_addr().expect("an address");
    let echo = instance.clone();
    let task = tokio::spawn(async move {
        let mut buf = [0; 2048];
        while let Ok((count, from)) = echo.recv_from(&mut buf).await {
            let _ = echo.send_to(&buf[..count], from).await;
        }
    });
    let mut edge = TestEdge::start(Settings { udp_idle: Duration::from_millis(100), ..quick() }).await;
    let port = free_port();
    edge.apply(share(&[address], &[(port, Protocol::Udp)])).await;
    for n in 0..3 {
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        client.connect(port).await.expect("an address");
        for part in 0..3 {
            let text = format!("client {n} part {part}");
            client.send(text.as_bytes()).await.expect("it is sent");
            let mut buf = [0; 2048];
            let count =
                tokio::time::timeout(LONG, client.recv(&mut buf)).await.expect("in time").expect("an answer");
            assert_eq!(&buf[..count], text.as_bytes());
        }
    }
    until(|| edge.server.look().in_flight.is_empty()).await;
    task.abort();
}
