//! HTTP/2 to the letter: frames as no library would send them, and what RFC 9113 has a server say to each.

use super::*;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of literal fields.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).expect("a short text"));
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/x")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/x")];

/// The request with further fields.
fn with(fields: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]) -> Vec<u8> {
    block(&[fields, more].concat())
}

pub(super) fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block)
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// What the server says first of all that ends something: an answer, a reset, a goodbye, or the end.
async fn verdict(edge: &TestEdge, bytes: &[u8]) -> String {
    let mut stream = edge.connect().await;
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    all.extend(frame(SETTINGS, 0, 0, &[]));
    all.extend(bytes);
    let (mut reader, mut writer) = stream.split();
    let write = async {
        // It may have heard enough before all is written.
        let _ = writer.write_all(&all).await;
        std::future::pending::<()>().await;
    };
    let read = async {
        loop {
            let mut head = [0; 9];
            if reader.read_exact(&mut head).await.is_err() {
                return "end".to_owned();
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if reader.read_exact(&mut payload).await.is_err() {
                return "cut".to_owned();
            }
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
            match head[3] {
                GOAWAY if number(4) != 0 => return format!("goodbye {}", number(4)),
                RST_STREAM => return format!("reset {stream} {}", number(0)),
                HEADERS => return format!("answer {stream}"),
                PING if head[4] & ACK != 0 => return format!("pong {}", payload[7]),
                _ => {}
            }
        }
    };
    let both = async {
        tokio::select! {
            text = read => text,
            () = write => unreachable!("it waits for ever"),
        }
    };
    tokio::time::timeout(LONG, both).await.unwrap_or_else(|_| "silence".to_owned())
}

/// An edge with an instance that answers.
async fn ready() -> (TestEdge, Backend) {
    let backend = Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            // The answer comes when the request is whole, so that what is wrong with its end comes first.
            let counted = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
            let mut body = vec![0; counted.and_then(|text| text.parse().ok()).unwrap_or(0)];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let mut tail = Vec::new();
            while head.contains("chunked") && !(tail.starts_with(b"0\r\n") && tail.ends_with(b"\r\n\r\n")) {
                let Ok(byte) = stream.read_u8().await else { return };
                tail.push(byte);
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.is_err() {
                return;
            }
        }
    })
    .await;
    (TestEdge::to(quick(), &[&backend]).await, backend)
}

async fn check(cases: &[(&str, Vec<u8>, &str)]) {
    let (edge, _backend) = ready().await;
    let mut wrong = Vec::new();
    for (name, bytes, want) in cases {
        let have = verdict(&edge, bytes).await;
        if !want.split('|').any(|want| want == have) {
            wrong.push(format!("{name}: {have} instead of {want}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn frames_of_streams_are_read_to_the_letter() {
    let get = block(&GET);
    let post = block(&POST);
    let open = |flags| headers(flags, 1, &get);
    let join = |parts: &[Vec<u8>]| parts.concat();
    let pad = |data: &[u8], length: u8| [&[length][..], data].concat();
    check(&[
        ("a request", open(END_STREAM), "answer 1"),
        ("an unknown frame is passed over", join(&[frame(99, 255, 0, b"x"), open(END_STREAM)]), "answer 1"),
        ("an unknown flag is passed over", headers(END_STREAM | 0x40, 1, &get), "answer 1"),
        ("the reserved bit is passed over", headers(END_STREAM, 1 << 31 | 1, &get), "answer 1"),
        ("data on stream 0", frame(DATA, 0, 0, b"x"), "goodbye 1"),
        ("data on a stream that is not open", frame(DATA, 0, 1, b"x"), "goodbye 1"),
        ("data after the end", join(&[open(END_STREAM), frame(DATA, 0, 1, b"x")]), "answer 1|reset 1 5"),
        (
            "more padding than data",
            join(&[headers(0, 1, &post), frame(DATA, PADDED, 1, &pad(b"x", 9))]),
            "goodbye 1",
        ),
        ("a frame that is too long", frame(DATA, 0, 1, &vec![0; 16_385]), "goodbye 6"),
        ("a reset of stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), "goodbye 1"),
        ("a reset of a stream that is not open", frame(RST_STREAM, 0, 1, &[0; 4]), "goodbye 1"),
        (
            "a reset of three bytes",
            join(&[headers(0, 1, &post), frame(RST_STREAM, 0, 1, &[0; 3])]),
            "goodbye 6",
        ),
    ])
    .await;
}

#[tokio::test]
async fn frames_about_the_connection_are_read_to_the_letter() {
    let get = block(&GET);
    let post = block(&POST);
    let open = |flags| headers(flags, 1, &get);
    let join = |parts: &[Vec<u8>]| parts.concat();
    check(&[
        (
            "an unknown setting is passed over",
            join(&[frame(SETTINGS, 0, 0, &setting(99, 1)), open(END_STREAM)]),
            "answer 1",
        ),
        ("a ping is answered", frame(PING, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 7]), "pong 7"),
        ("settings for a stream", frame(SETTINGS, 0, 1, &[]), "goodbye 1"),
        ("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5]), "goodbye 6"),
        ("an acknowledgement with settings", frame(SETTINGS, ACK, 0, &setting(1, 1)), "goodbye 6"),
        ("push neither on nor off", frame(SETTINGS, 0, 0, &setting(2, 2)), "goodbye 1"),
        ("a window beyond the largest", frame(SETTINGS, 0, 0, &setting(4, 1 << 31)), "goodbye 3"),
        ("frames below the smallest bound", frame(SETTINGS, 0, 0, &setting(5, 16_383)), "goodbye 1"),
        ("frames beyond the largest bound", frame(SETTINGS, 0, 0, &setting(5, 1 << 24)), "goodbye 1"),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7]), "goodbye 6"),
        ("a ping for a stream", frame(PING, 0, 1, &[0; 8]), "goodbye 1"),
        ("a goodbye for a stream", frame(GOAWAY, 0, 1, &[0; 8]), "goodbye 1"),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), "goodbye 1"),
        (
            "a stream's window that grows by nothing",
            join(&[headers(0, 1, &post), frame(WINDOW_UPDATE, 0, 1, &[0; 4])]),
            "reset 1 1",
        ),
        ("a window update of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), "goodbye 6"),
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), "goodbye 3"),
        (
            "a stream's window that overflows",
            join(&[headers(0, 1, &post), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255])]),
            "reset 1 3",
        ),
        ("a window of a stream that is not open", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), "goodbye 1"),
        ("a priority on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), "goodbye 1"),
        ("a priority of four bytes", frame(PRIORITY, 0, 1, &[0; 4]), "goodbye 6"),
    ])
    .await;
}

#[tokio::test]
async fn heads_are_read_to_the_letter() {
    let get = block(&GET);
    let post = block(&POST);
    let join = |parts: &[Vec<u8>]| parts.concat();
    let pad = |data: &[u8], length: u8| [&[length][..], data].concat();
    check(&[
        (
            "padding is no content",
            headers(END_STREAM | PADDED, 1, &[pad(&get, 3), vec![0; 3]].concat()),
            "answer 1",
        ),
        (
            "a head in two frames",
            join(&[frame(HEADERS, END_STREAM, 1, &get[..9]), frame(CONTINUATION, END_HEADERS, 1, &get[9..])]),
            "answer 1",
        ),
        ("a head on stream 0", headers(END_STREAM, 0, &get), "goodbye 1"),
        ("a head on an even stream", headers(END_STREAM, 2, &get), "goodbye 1"),
        (
            "a stream below the last",
            join(&[headers(END_STREAM, 5, &get), headers(END_STREAM, 3, &get)]),
            "answer 5|goodbye 5",
        ),
        ("more padding than head", headers(PADDED, 1, &pad(&get, 255)), "goodbye 1"),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &get), "goodbye 1"),
        (
            "a head that another frame cuts",
            join(&[frame(HEADERS, END_STREAM, 1, &get[..9]), frame(PING, 0, 0, &[0; 8])]),
            "goodbye 1",
        ),
        (
            "a head that goes on for another stream",
            join(&[frame(HEADERS, END_STREAM, 1, &get[..9]), frame(CONTINUATION, END_HEADERS, 3, &get[9..])]),
            "goodbye 1",
        ),
        (
            "a continuation after the end of a head",
            join(&[headers(0, 1, &post), frame(CONTINUATION, END_HEADERS, 1, &get)]),
            "goodbye 1",
        ),
        (
            "a promise of a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &get].concat()),
            "goodbye 1",
        ),
        ("a field that the table does not have", headers(END_STREAM, 1, &[0xff, 0xff, 0x03]), "goodbye 9"),
        ("field number 0", headers(END_STREAM, 1, &[0x80]), "goodbye 9"),
        (
            "a table beyond the bound",
            headers(END_STREAM, 1, &[&[0x3f, 0xe1, 0xff, 0x03][..], &get].concat()),
            "goodbye 9",
        ),
        ("a text that is cut", headers(END_STREAM, 1, &[0, 9, b'x']), "goodbye 9"),
        (
            "a Huffman code with bad padding",
            headers(END_STREAM, 1, &[0x00, 0x81, 0x00, 0x01, b'x']),
            "goodbye 9",
        ),
    ])
    .await;
}

#[tokio::test]
async fn malformed_requests_end_their_stream_and_no_other() {
    let end = |block: Vec<u8>| headers(END_STREAM, 1, &block);
    let without = |name: &str| {
        let fields: Vec<_> = GET.into_iter().filter(|field| field.0 != name).collect();
        end(block(&fields))
    };
    let body = |length: &'static str, data: &[u8]| {
        [headers(0, 1, &with(&POST, &[("content-length", length)])), frame(DATA, END_STREAM, 1, data)]
            .concat()
    };
    let trailers = |flags: u8, fields: &[(&str, &str)]| {
        [headers(0, 1, &block(&POST)), headers(flags, 1, &block(fields))].concat()
    };
    check(&[
        ("a name in capitals", end(with(&GET, &[("X-A", "b")])), "reset 1 1"),
        ("an unknown pseudo-field", end(with(&GET, &[(":x", "b")])), "reset 1 1"),
        ("a pseudo-field of answers", end(with(&GET, &[(":status", "200")])), "reset 1 1"),
        ("a pseudo-field behind fields", end(with(&[("x", "y")], &GET)), "reset 1 1"),
        ("no method", without(":method"), "reset 1 1"),
        ("no scheme", without(":scheme"), "reset 1 1"),
        ("no path", without(":path"), "reset 1 1"),
        ("no authority and no host", without(":authority"), "answer 1"),
        ("two methods", end(with(&GET, &[(":method", "GET")])), "reset 1 1"),
        ("two schemes", end(with(&GET, &[(":scheme", "http")])), "reset 1 1"),
        ("two paths", end(with(&GET, &[(":path", "/")])), "reset 1 1"),
        (
            "an empty path",
            end(block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")])),
            "reset 1 1",
        ),
        ("connection", end(with(&GET, &[("connection", "close")])), "reset 1 1"),
        ("keep-alive", end(with(&GET, &[("keep-alive", "x")])), "reset 1 1"),
        ("proxy-connection", end(with(&GET, &[("proxy-connection", "x")])), "reset 1 1"),
        ("transfer-encoding", end(with(&GET, &[("transfer-encoding", "chunked")])), "reset 1 1"),
        ("upgrade", end(with(&GET, &[("upgrade", "h2c")])), "reset 1 1"),
        ("te beyond trailers", end(with(&GET, &[("te", "gzip")])), "reset 1 1"),
        ("te for trailers", end(with(&GET, &[("te", "trailers")])), "answer 1"),
        ("a line feed in a value", end(with(&GET, &[("x", "a\nb")])), "reset 1 1"),
        ("a zero in a value", end(with(&GET, &[("x", "a\0b")])), "reset 1 1"),
        ("a return in a name", end(with(&GET, &[("x\r", "a")])), "reset 1 1"),
        ("a space in a name", end(with(&GET, &[("x y", "a")])), "reset 1 1"),
        (
            "a space in a path",
            end(block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a b")])),
            "answer 1",
        ),
        (
            "a method with a space",
            end(block(&[(":method", "GET /"), (":scheme", "http"), (":authority", "a"), (":path", "/")])),
            "reset 1 1",
        ),
        ("less than the length", body("3", b"ab"), "reset 1 1"),
        ("more than the length", body("1", b"ab"), "reset 1 1"),
        ("as much as the length", body("2", b"ab"), "answer 1"),
        ("a length without a body", end(with(&POST, &[("content-length", "1")])), "reset 1 1"),
        ("two lengths", end(with(&POST, &[("content-length", "0"), ("content-length", "1")])), "reset 1 1"),
        ("a length that is none", end(with(&POST, &[("content-length", "x")])), "answer 1"),
        ("trailers", trailers(END_STREAM, &[("x", "y")]), "answer 1"),
        ("trailers without an end", trailers(0, &[("x", "y")]), "reset 1 1"),
        ("trailers with a pseudo-field", trailers(END_STREAM, &[(":path", "/")]), "reset 1 1"),
    ])
    .await;
}

#[tokio::test]
async fn floods_end_their_connection() {
    let get = block(&GET);
    let many = |count: usize, frame: Vec<u8>| frame.repeat(count);
    let opened = headers(0, 1, &block(&POST));
    let endless =
        [frame(HEADERS, END_STREAM, 1, &get), many(5000, frame(CONTINUATION, 0, 1, &[0; 0]))].concat();
    let long = with(
        &[],
        &[("x", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")],
    );
    let growing =
        [frame(HEADERS, END_STREAM, 1, &get), many(5000, frame(CONTINUATION, 0, 1, &long))].concat();
    let resets: Vec<u8> = (0..500)
        .flat_map(|n| {
            [headers(END_STREAM, 2 * n + 1, &get), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
        })
        .collect();
    check(&[
        ("continuations without content", endless, "goodbye 11"),
        ("continuations without an end", growing, "goodbye 11"),
        ("data without content", [opened, many(20_000, frame(DATA, 0, 1, &[]))].concat(), "goodbye 11"),
        ("streams that are given up at once", resets, "goodbye 11"),
    ])
    .await;
}

#[tokio::test]
async fn a_client_that_asks_for_answers_and_reads_none_is_bounded() {
    let (edge, _backend) = ready().await;
    let mut stream = edge.connect().await;
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    all.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&all).await.expect("the edge reads");
    let ping = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    // Pongs fill the way back, and then the edge reads no more: the pings do not pile up in it.
    let flood = async {
        let mut sent = 0;
        while sent < 100_000_000 && stream.write_all(&ping).await.is_ok() {
            sent += ping.len();
        }
        sent
    };
    let sent = tokio::time::timeout(Duration::from_secs(3), flood).await;
    assert!(!matches!(sent, Ok(100_000_000..)), "it took {sent:?}");
}
