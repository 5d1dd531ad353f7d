//! WebSockets by their frames: an instance that reads each and sends it back, and a client that looks at what returns,
//! in clear text, in TLS, and as a stream of HTTP/2 (RFC 8441).

mod ends;

use std::pin::Pin;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::streams::{Talk, pour};
use super::*;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A handshake as browsers send it.
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Protocol: chat, superchat\r\n\
                         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: superchat\r\n\
                        Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";

/// What that says beyond what HTTP/2 says in another way.
const OFFERS: [(&str, &str); 3] = [
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat, superchat"),
    ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
];

/// A frame: whether it is a message's last, whether an extension has marked it, what it is, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    last: bool,
    marked: bool,
    opcode: u8,
    payload: Vec<u8>,
}

fn of(opcode: u8, payload: &[u8]) -> Frame {
    Frame { last: true, marked: false, opcode, payload: payload.to_vec() }
}

/// As it goes over the wire; clients mask.
fn wire(frame: &Frame, key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 128 } else { 0 };
    let length = frame.payload.len();
    let mut out = vec![u8::from(frame.last) << 7 | u8::from(frame.marked) << 6 | frame.opcode];
    match length {
        0..126 => out.push(mask | length as u8),
        126..0x1_0000 => {
            out.push(mask | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
    let key = key.unwrap_or_default();
    out.extend(frame.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    out
}

/// The next frame; nothing at an end.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let first = stream.read_u8().await.ok()?;
    let second = stream.read_u8().await.ok()?;
    let length = match second & 127 {
        126 => u64::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()?,
        short => u64::from(short),
    };
    let mut key = [0; 4];
    if second & 128 != 0 {
        stream.read_exact(&mut key).await.ok()?;
    }
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= key[at % 4]);
    Some(Frame { last: first & 128 != 0, marked: first & 64 != 0, opcode: first & 15, payload })
}

/// Greets in the packet of the 101, answers pings with pongs and a close with a close, and sends all else back.
async fn echo() -> Backend {
    Backend::new(|mut stream, _| async move {
        let Some(head) = next_head(&mut stream).await else { return };
        let head = head.to_ascii_lowercase();
        for (name, value) in OFFERS {
            assert!(head.contains(&format!("{name}: {value}\r\n")), "{head}");
        }
        let greeting = [SWITCHED.as_bytes(), &wire(&of(TEXT, b"hello"), None)].concat();
        stream.write_all(&greeting).await.expect("the edge reads");
        let (reader, mut writer) = stream.split();
        let mut reader = tokio::io::BufReader::new(reader);
        while let Some(mut frame) = next(&mut reader).await {
            if frame.opcode == PING {
                frame.opcode = PONG;
            }
            if writer.write_all(&wire(&frame, None)).await.is_err() || frame.opcode == CLOSE {
                return;
            }
        }
    })
    .await
}

/// Frames in their order, with a mask each, and what has to come back; a close is the last.
fn exchange() -> Vec<Frame> {
    let long = |length: usize| (0..length).map(|at| (at * 7 + at / 251) as u8).collect::<Vec<_>>();
    let mut all = vec![of(TEXT, b""), of(BINARY, b""), of(TEXT, "gr\u{fc}n".as_bytes())];
    for length in [1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20, 16 << 20] {
        all.push(of(BINARY, &long(length)));
    }
    // A message in pieces, with a ping among them, as pieces may be as long as they like.
    all.push(Frame { last: false, ..of(TEXT, b"in ") });
    all.push(of(PING, b"still there?"));
    all.push(Frame { last: false, ..of(CONTINUATION, b"") });
    all.push(Frame { last: false, ..of(CONTINUATION, &long(100_000)) });
    all.push(of(PING, &[9; 125]));
    all.push(of(CONTINUATION, b"pieces"));
    // A compressed one, which is nobody's business but that of both ends.
    all.push(Frame { marked: true, ..of(TEXT, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 7, 0]) });
    all.push(of(CLOSE, &[&1001_u16.to_be_bytes()[..], b"going away"].concat()));
    all
}

/// A mask, another for each frame.
fn key(number: usize) -> Option<[u8; 4]> {
    Some((number as u32 * 0x0101_a0f7).to_be_bytes())
}

/// Sends the handshake with the first frame in one packet, then all others, and looks at what comes back.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let frames = exchange();
    let early = [HANDSHAKE.as_bytes(), &wire(&frames[0], key(0))].concat();
    stream.write_all(&early).await.expect("the edge reads");
    switched(&mut stream).await;
    trade(stream, &frames, 1).await;
}

/// Reads the answer to the handshake.
async fn switched(stream: &mut (impl AsyncRead + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in SWITCHED.lines().filter(|line| line.starts_with("Sec-")) {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
}

/// Sends the frames, of which so many are on their way, and looks at what comes back.
async fn trade(stream: impl AsyncRead + AsyncWrite + Unpin, frames: &[Frame], early: usize) {
    let mut wanted = vec![of(TEXT, b"hello")];
    wanted.extend(frames.iter().map(|frame| match frame.opcode {
        PING => Frame { opcode: PONG, ..frame.clone() },
        _ => frame.clone(),
    }));
    let (mut reader, mut writer) = tokio::io::split(stream);
    let send = async {
        for (number, frame) in frames.iter().enumerate().skip(early) {
            writer.write_all(&wire(frame, key(number))).await.expect("the edge reads");
        }
        writer.flush().await.expect("the edge reads");
    };
    let hear = async {
        for want in &wanted {
            let have = next(&mut reader).await;
            let same = have.as_ref() == Some(want);
            assert!(same, "not a frame of kind {} with {} bytes", want.opcode, want.payload.len());
        }
        assert_eq!(next(&mut reader).await, None, "the instance has ended");
    };
    tokio::time::timeout(LONG, async { tokio::join!(send, hear) }).await.expect("all in time");
}

/// A WebSocket in a stream of HTTP/2, with these bytes sent before its answer. Bytes go on while this lives; a stream that
/// is reset ends without an end of its own.
async fn in_http2(talk: &mut Talk, early: Vec<u8>) -> DuplexStream {
    let (answer, mut send) = talk.websocket("/chat", &OFFERS).await;
    pour(&mut send, early.into(), false).await;
    let answer = tokio::time::timeout(LONG, answer).await.expect("an answer in time").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "superchat");
    let chosen = "permessage-deflate; server_no_context_takeover";
    assert_eq!(answer.headers()["sec-websocket-extensions"], chosen);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(theirs);
    tokio::spawn(async move {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut piece).await {
            pour(&mut send, Bytes::copy_from_slice(&piece[..count]), false).await;
        }
        let _ = send.send_data(Bytes::new(), true);
    });
    let mut body = answer.into_body();
    tokio::spawn(async move {
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            if writer.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    });
    ours
}

/// Anything that bytes go through.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A socket that is open and has been greeted, over HTTP/1.1 or HTTP/2. What carries it has to be kept.
async fn open(edge: &TestEdge, http2: bool) -> (Pin<Box<dyn Socket>>, Option<Talk>) {
    let (mut socket, talk): (Pin<Box<dyn Socket>>, _) = if http2 {
        let mut talk = Talk::to(edge).await;
        (Box::pin(in_http2(&mut talk, Vec::new()).await), Some(talk))
    } else {
        let mut stream = edge.connect().await;
        stream.write_all(HANDSHAKE.as_bytes()).await.expect("the edge reads");
        switched(&mut stream).await;
        (Box::pin(stream), None)
    };
    assert_eq!(next(&mut socket).await, Some(of(TEXT, b"hello")));
    (socket, talk)
}

#[tokio::test]
async fn frames_of_all_kinds_and_lengths_come_back() {
    let backend = echo().await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    converse(edge.connect().await).await;
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn frames_of_all_kinds_and_lengths_come_back_in_tls() {
    let backend = echo().await;
    let (edge, client) = secure::example(quick(), &backend).await;
    converse(secure::connect(edge.https, "a.example", &client).await.expect("a handshake")).await;
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn frames_of_all_kinds_and_lengths_come_back_in_a_stream_of_http_2() {
    let backend = echo().await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let frames = exchange();
    let mut talk = Talk::to(&edge).await;
    let socket = in_http2(&mut talk, wire(&frames[0], key(0))).await;
    trade(socket, &frames, 1).await;
    edge.at_rest(&backend).await;
    // The connection goes on, with another socket.
    let socket = in_http2(&mut talk, Vec::new()).await;
    trade(socket, &frames[frames.len() - 3..], 0).await;
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn an_upgrade_that_is_denied_is_an_answer_and_the_connection_goes_on() {
    let backend = Backend::new(|mut stream, _| async move {
        for answer in [
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Content-Length: 3\r\n\r\nold",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ] {
            next_head(&mut stream).await.expect("the connection is kept");
            stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let mut stream = edge.connect().await;
    for (want, body) in [("403", "no"), ("426", "old"), ("200", "fine")] {
        stream.write_all(HANDSHAKE.as_bytes()).await.expect("the edge reads");
        let answer = read_until(&mut stream, &format!("\r\n\r\n{body}")).await;
        assert_eq!(status(&answer), want, "{answer}");
        assert_eq!(answer.contains("Sec-WebSocket-Version: 13\r\n"), want == "426", "{answer}");
    }
    assert_eq!(backend.connections(), 1);
}

/// Ends within a frame, in order or hard.
async fn break_off(mut stream: TcpStream, hard: bool) {
    let _ = stream.write_all(&[0x82, 126, 1]).await;
    if hard {
        // It goes once the client has it, as a hard end overtakes what is on its way.
        let _ = stream.read_u8().await;
        stream.set_zero_linger().expect("a socket");
    }
}

#[tokio::test]
async fn an_end_within_a_frame_is_seen_by_the_other_side_as_what_it_was() {
    for hard in [false, true] {
        let (told, mut heard) = tokio::sync::mpsc::channel(1);
        let backend = Backend::new(move |mut stream, number| {
            let told = told.clone();
            async move {
                next_head(&mut stream).await.expect("a request");
                stream.write_all(SWITCHED.as_bytes()).await.expect("the edge reads");
                if number == 1 {
                    return break_off(stream, hard).await;
                }
                let _ = told.send(rest(&mut stream).await).await;
            }
        })
        .await;
        let edge = TestEdge::to(quick(), &[&backend]).await;
        // The client ends first.
        let mut stream = edge.connect().await;
        stream.write_all(HANDSHAKE.as_bytes()).await.expect("the edge reads");
        head(&mut stream).await;
        if hard {
            stream.set_zero_linger().expect("a socket");
        } else {
            stream.write_all(b"half a frame").await.expect("the edge reads");
        }
        drop(stream);
        let words = tokio::time::timeout(LONG, heard.recv()).await.expect("the instance hears of it");
        assert_eq!(words.as_deref(), Some(if hard { "<connection reset>" } else { "half a frame" }));
        // The instance ends first.
        let mut stream = edge.connect().await;
        stream.write_all(HANDSHAKE.as_bytes()).await.expect("the edge reads");
        head(&mut stream).await;
        let mut part = [0; 3];
        stream.read_exact(&mut part).await.expect("half a frame");
        if hard {
            let _ = stream.write_all(b"x").await;
        }
        assert_eq!(rest(&mut stream).await, if hard { "<connection reset>" } else { "" });
        drop(stream);
        edge.at_rest(&backend).await;
    }
}

#[tokio::test]
async fn a_socket_that_is_silent_for_long_is_ended() {
    let backend = echo().await;
    let settings = Settings { tunnel_idle: Duration::from_millis(200), ..quick() };
    let edge = TestEdge::to(settings, &[&backend]).await;
    let mut stream = edge.connect().await;
    stream.write_all(HANDSHAKE.as_bytes()).await.expect("the edge reads");
    head(&mut stream).await;
    assert_eq!(next(&mut stream).await, Some(of(TEXT, b"hello")));
    assert_eq!(rest(&mut stream).await, "<connection reset>");
    edge.at_rest(&backend).await;
}
