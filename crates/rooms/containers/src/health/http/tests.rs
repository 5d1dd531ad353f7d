//! Answers over a real socket, good and bad, and what is told of them.

use tokio::net::TcpListener;

use super::*;

/// What is said of this answer, without the address; and what was asked.
async fn asked(answer: &'static [u8], probe: &HttpProbe) -> (i32, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.expect("bytes") > 0, "a whole request");
        }
        stream.write_all(answer).await.expect("sent");
        String::from_utf8(request).expect("text")
    });
    let (code, said) = ask(address, probe).await;
    let request = server.await.expect("it ends");
    (code, said.replace(&address.to_string(), "IT"), request.replace(&address.to_string(), "IT"))
}

fn probe() -> HttpProbe {
    HttpProbe {
        port: 1,
        path: "/healthz".into(),
        host: None,
        headers: Default::default(),
        statuses: Vec::new(),
        http2: false,
    }
}

async fn said(answer: &'static [u8]) -> (i32, String) {
    let (code, said, _) = asked(answer, &probe()).await;
    (code, said)
}

#[tokio::test]
async fn a_status_from_200_to_399_is_well() {
    assert_eq!(said(b"HTTP/1.1 200 OK\r\n\r\n").await, (0, "HTTP/1.1 200 OK".into()));
    assert_eq!(said(b"HTTP/1.0 399 x\r\n\r\n").await, (0, "HTTP/1.0 399 x".into()));
    assert_eq!(said(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n").await.0, 0);
    assert_eq!(
        said(b"HTTP/1.1 404 Not Found\r\n\r\n").await,
        (1, "http://IT/healthz answered 404 Not Found".into())
    );
    let off = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 13\r\n\r\n the disk is\n ";
    assert_eq!(
        said(off).await,
        (1, "http://IT/healthz answered 503 Service Unavailable: the disk is".into())
    );
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure() {
    assert_eq!(said(b"").await, (1, "http://IT/healthz: the connection was closed without an answer".into()));
    assert_eq!(
        said(b"HTTP/1.1 200").await,
        (1, "http://IT/healthz: the answer was cut off within its head".into())
    );
    assert_eq!(
        said(b"SSH-2.0\r\n\r\n").await,
        (1, r#"http://IT/healthz: no answer of HTTP/1: "SSH-2.0""#.into())
    );
}

#[tokio::test]
async fn the_file_says_what_is_asked_and_what_is_well() {
    let want = HttpProbe {
        host: Some("shop.example".into()),
        headers: [("x-check".to_owned(), "edge".to_owned())].into(),
        statuses: vec![spec::StatusRange { from: 404, to: 404 }],
        ..probe()
    };
    let (code, _, request) = asked(b"HTTP/1.1 404 Not Found\r\n\r\n", &want).await;
    assert_eq!(code, 0);
    assert_eq!(
        request,
        "GET /healthz HTTP/1.1\r\nhost: shop.example\r\nuser-agent: sea-health\r\nx-check: edge\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(asked(b"HTTP/1.1 200 OK\r\n\r\n", &want).await.0, 1);
    let (_, _, request) = asked(b"HTTP/1.1 200 OK\r\n\r\n", &probe()).await;
    assert!(request.contains("\r\nhost: IT\r\n"), "{request}");
}
