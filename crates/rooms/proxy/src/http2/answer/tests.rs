//! Heads of answers: what goes on, and what ends here.

use super::*;
use crate::http2::hpack::Decoder;

/// The fields of a packed head, and what it says.
fn packed(text: &str) -> Result<(String, Told), NoHead> {
    let mut block = Vec::new();
    let told = pack(text.as_bytes(), &mut block)?;
    let mut lines = Vec::new();
    let read = Decoder::new().decode(&block, |line| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lines.push(format!("{}: {}", text(line.name), text(line.value)));
    });
    read.expect("a block");
    Ok((lines.join("\n"), told))
}

#[test]
fn fields_go_on_without_capitals_and_without_those_of_one_connection() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A:b \r\nSet-Cookie: a\r\nSet-Cookie: b\r\nx-empty:\r\n\
                Connection: close\r\nKeep-Alive: x\r\nX-Sea-Not-Now: 1\r\nUpgrade: h2c\r\n\r\nabc";
    let (fields, told) = packed(text).expect("a head");
    let want = ":status: 200\ncontent-length: 3\nx-a: b\nset-cookie: a\nset-cookie: b\nx-empty: ";
    assert_eq!(fields, want);
    assert_eq!(told, Told { status: 200, bytes: text.len() - 3, length: Some(3), chunked: false });
    assert!(!told.interim());
}

#[test]
fn framing_of_http_1_is_told_and_not_sent() {
    let (fields, told) =
        packed("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\nLink: x\r\n\r\n").expect("a head");
    assert_eq!(fields, ":status: 103\nlink: x");
    assert!(told.chunked && told.interim());
    let long = "x".repeat(200);
    let (fields, _) = packed(&format!("HTTP/1.1 404 \r\n{long}: {long}\r\n\r\n")).expect("a head");
    assert_eq!(fields, format!(":status: 404\n{long}: {long}"));
}

#[test]
fn a_tunnel_opens_as_any_answer_begins() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    let (fields, told) = packed(text).expect("a head");
    assert_eq!((&*fields, told.status), (":status: 200\nsec-websocket-protocol: chat", 101));
}

#[test]
fn what_is_no_whole_head_is_none() {
    for text in [
        "",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\na: b\n\r\n",
        "HTTP/1.1 200 OK\r\na\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    ] {
        assert_eq!(packed(text).map(|_| ()), Err(NoHead), "{text:?}");
    }
}
