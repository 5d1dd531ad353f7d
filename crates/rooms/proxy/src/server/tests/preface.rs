//! The PROXY protocol in front of connections: from proxies that are known for it, and to instances that want it.

use spec::ProxyProtocol;

use super::secure::mirror;
use super::*;

/// An edge whose clients all come by a proxy that says who they are.
async fn behind_a_proxy(settings: Settings, backend: &Backend, port: SocketAddr) -> TestEdge {
    let mut edge = TestEdge::start(settings).await;
    edge.prefaced = vec!["127.0.0.0/8".parse().expect("a range")];
    edge.apply(share(&[backend.address], &[(port, Protocol::Auto)])).await;
    edge
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

/// Gives back what it hears.
async fn echo() -> Backend {
    Backend::new(|mut stream, _| async move {
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

#[tokio::test]
async fn clients_behind_a_proxy_are_known_by_what_it_says() {
    let backend = mirror().await;
    let edge = behind_a_proxy(quick(), &backend, free_port()).await;
    let asked = edge.ask(&format!("{LINE}{}", get("/"))).await;
    assert!(asked.contains("x-forwarded-for: 192.0.2.1\r\n"), "{asked}");
    let local = edge.ask(&format!("PROXY UNKNOWN\r\n{}", get("/"))).await;
    assert!(local.contains("x-forwarded-for: 127.0.0.1\r\n"), "{local}");
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte_and_with_the_request_in_one_piece() {
    let backend = mirror().await;
    let edge = behind_a_proxy(quick(), &backend, free_port()).await;
    let mut stream = edge.connect().await;
    stream.set_nodelay(true).expect("an option");
    for byte in LINE.as_bytes() {
        stream.write_all(&[*byte]).await.expect("the edge reads");
        tokio::task::yield_now().await;
    }
    stream.write_all(get("/").as_bytes()).await.expect("the edge reads");
    let asked = rest(&mut stream).await;
    assert!(asked.contains("x-forwarded-for: 192.0.2.1\r\n"), "{asked}");
}

#[tokio::test]
async fn a_connection_without_its_header_is_closed_unheard() {
    let backend = mirror().await;
    let edge = behind_a_proxy(quick(), &backend, free_port()).await;
    for opening in [get("/"), format!("{}{}", LINE.replace("TCP4", "TCP5"), get("/"))] {
        let answer = edge.ask(&opening).await;
        assert!(answer.is_empty() || answer.starts_with('<'), "{answer}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn who_is_no_such_proxy_cannot_say_who_he_is() {
    let backend = mirror().await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let answer = edge.ask(&format!("{LINE}{}", get("/"))).await;
    assert_eq!(status(&answer), "400", "{answer}");
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_not_waited_for_long() {
    let backend = mirror().await;
    let settings = Settings { preface: Duration::from_millis(50), ..quick() };
    let edge = behind_a_proxy(settings, &backend, free_port()).await;
    for opening in ["", "PROXY TCP4 192"] {
        let mut stream = edge.connect().await;
        stream.write_all(opening.as_bytes()).await.expect("the edge reads");
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn published_ports_are_behind_the_proxy_too_and_instances_are_told() {
    let backend = echo().await;
    let port = free_port();
    let mut edge = behind_a_proxy(quick(), &backend, port).await;
    for (version, want) in [
        (None, String::new()),
        (Some(ProxyProtocol::V1), format!("PROXY TCP4 192.0.2.1 127.0.0.1 56324 {}\r\n", port.port())),
    ] {
        let mut share = share(&[backend.address], &[(port, Protocol::Auto)]);
        share.pools.get_mut("web").expect("the pool").policy.proxy_protocol = version;
        edge.apply(share).await;
        let mut stream = TcpStream::connect(port).await.expect("the edge accepts");
        stream.write_all(format!("{LINE}PING\r\n").as_bytes()).await.expect("the edge reads");
        stream.shutdown().await.expect("a half-close");
        assert_eq!(rest(&mut stream).await, format!("{want}PING\r\n"));
    }
}

#[tokio::test]
async fn each_client_has_a_connection_of_its_own_to_an_instance_that_is_told() {
    // Takes off the line, and answers with it.
    let backend = Backend::new(|mut stream, _| async move {
        let line = read_until(&mut stream, "\r\n").await;
        while next_head(&mut stream).await.is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
            stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        }
    })
    .await;
    let mut edge = TestEdge::start(quick()).await;
    let mut share = share(&[backend.address], &[]);
    share.pools.get_mut("web").expect("the pool").policy.proxy_protocol = Some(ProxyProtocol::V1);
    edge.apply(share).await;
    let mut stream = edge.connect().await;
    let own = stream.local_addr().expect("an address").port();
    for asked in 1..=2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
        head(&mut stream).await;
        let line = read_until(&mut stream, "\r\n").await;
        assert_eq!(line, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {}\r\n", edge.http.port()));
        assert_eq!(backend.connections(), asked);
    }
}
