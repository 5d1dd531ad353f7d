//! A health service of gRPC over a real socket, and answers that are none.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a server does with a call about a service.
type Reply = fn(service: &str) -> Served;

enum Served {
    /// These bytes, then a status in the trailers.
    Message(&'static [u8], &'static str),
    /// A status in the head, with words.
    Status(&'static str, &'static str),
    Http(u16),
}

/// A server that answers one connection.
async fn server(reply: Reply) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        serve(stream, reply).await;
    });
    address
}

async fn serve(stream: TcpStream, reply: Reply) {
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let path = request.uri().path().to_owned();
            let is_call =
                request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
            let mut body = request.into_body();
            let mut bytes = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                bytes.extend_from_slice(&piece);
            }
            assert!(!is_call || path == "/grpc.health.v1.Health/Check", "{path}");
            // Five bytes of frame, then the tag and the length of the name.
            let service = String::from_utf8_lossy(bytes.get(7..).unwrap_or_default()).into_owned();
            let head = Response::builder();
            match reply(&service) {
                Served::Http(status) => {
                    let head = head.status(status).body(()).expect("a head");
                    respond.send_response(head, true).expect("sent");
                }
                Served::Status(status, words) => {
                    let head = head.header("grpc-status", status).header("grpc-message", words);
                    respond.send_response(head.body(()).expect("a head"), true).expect("sent");
                }
                Served::Message(bytes, status) => {
                    let mut out = respond.send_response(head.body(()).expect("a head"), false).expect("sent");
                    out.send_data(Bytes::from_static(bytes), false).expect("sent");
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", status.parse().expect("a value"));
                    out.send_trailers(trailers).expect("sent");
                }
            }
        });
    }
}

/// The exit code, and what is said after the address.
async fn check(reply: Reply, service: &str, want: (i32, &str)) {
    let (code, said) = serves(server(reply).await, service).await;
    let said = said.split_once(": ").map_or(said.as_str(), |(_, said)| said);
    assert_eq!((code, said), want);
}

#[tokio::test]
async fn only_one_that_serves_is_well() {
    const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
    check(|_| Served::Message(SERVING, "0"), "", (0, "the server is SERVING")).await;
    let cart: Reply = |service| match service {
        "shop.Cart" => Served::Message(SERVING, "0"),
        _ => Served::Status("5", "unknown service"),
    };
    check(cart, "shop.Cart", (0, "`shop.Cart` is SERVING")).await;
    check(cart, "shop.Card", (1, "the server knows of no such service: unknown service")).await;
    check(|_| Served::Message(&[0, 0, 0, 0, 2, 8, 2], "0"), "", (1, "the server is NOT_SERVING")).await;
    check(|_| Served::Message(&[0, 0, 0, 0, 2, 8, 3], "0"), "x", (1, "`x` is SERVICE_UNKNOWN")).await;
    check(|_| Served::Message(&[0, 0, 0, 0, 0], "0"), "", (1, "the server is UNKNOWN")).await;
}

#[tokio::test]
async fn what_is_no_answer_of_a_health_service_is_a_failure() {
    let message: (i32, &str) = (1, "the answer is none of a health service");
    check(|_| Served::Message(&[0, 0, 0, 0, 9, 8, 1], "0"), "", message).await;
    check(|_| Served::Message(&[1, 0, 0, 0, 2, 8, 1], "0"), "", message).await;
    let none = "the server has no health service (grpc.health.v1)";
    check(|_| Served::Status("12", ""), "", (1, none)).await;
    // The message alone does not count: the call failed.
    check(|_| Served::Message(&[0, 0, 0, 0, 2, 8, 1], "13"), "", (1, "the call failed with status 13")).await;
    check(|_| Served::Http(404), "", (1, "the server answered 404, and speaks no gRPC here")).await;
}

#[tokio::test]
async fn a_server_of_something_else_is_told_from_one_that_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let other = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .expect("sent");
        let mut all = Vec::new();
        // It may hear a reset; what counts is what the other side says.
        let _ = stream.read_to_end(&mut all).await;
    });
    let (code, said) = serves(address, "").await;
    assert!(code == 1 && said.contains("no HTTP/2 in clear text"), "{said}");
    other.await.expect("it ends");
    let (code, said) = serves(address, "").await;
    assert!(code == 1 && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn a_path_is_asked_for_over_http_2_too() {
    let probe = |path: &str| HttpProbe {
        port: 1,
        path: path.into(),
        host: Some("shop.example".into()),
        headers: [("x-check".to_owned(), "edge".to_owned())].into(),
        statuses: Vec::new(),
        http2: true,
    };
    let said = get(server(|_| Served::Http(204)).await, &probe("/healthz")).await;
    assert_eq!(said.expect("an answer").0, 204);
    let said = get(server(|_| Served::Http(503)).await, &probe("/healthz")).await;
    let (status, words) = said.expect("an answer");
    assert!(status == 503 && words.ends_with("/healthz answered 503"), "{words}");
}

#[test]
fn long_names_and_unknown_fields_are_framed_right() {
    let name = "x".repeat(200);
    let message = message(&name);
    assert_eq!(&message[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    assert_eq!(message.len(), 208);
    // A text, a number of eight bytes and one of four stand around the status.
    let fields = [0x12, 1, b'x', 8, 1, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0];
    let mut framed = vec![0, 0, 0, 0, fields.len() as u8];
    framed.extend(fields);
    assert_eq!(status_of(&framed), Some(1));
    assert_eq!(status_of(&[0, 0, 0, 0, 1, 8]), None, "a number without its bytes");
    assert_eq!(status_of(&[]), None);
}
