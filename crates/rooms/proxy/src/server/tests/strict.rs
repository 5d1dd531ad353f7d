//! Forms of requests and answers with the wanted verdict on each, over real sockets: `strict/*.txt` hold the tables,
//! this file reads and plays them.
//!
//! A line is `form => verdict`. A line that begins with `@` is the frame of the forms after it, one that begins with
//! `@>` the frame of what arrives; `<>` in a frame is where the form stands, and an empty one takes the CRLF before it
//! along. A form ends with a second request on the same connection, so that one that was read in another way shows,
//! unless it has `{end}`: then the client's side is closed instead.

mod answers;
mod requests;

use std::sync::Mutex;

use super::*;

/// One line of a table.
struct Row {
    /// The line as it stands there, for messages.
    shown: String,
    form: Vec<u8>,
    /// The client's, or the instance's, side ends behind the form.
    ends: bool,
    /// The parts of the verdict, escaped.
    want: Vec<String>,
}

/// Reads a table; `local` is the address that `{local}` stands for.
fn rows(table: &str, local: SocketAddr) -> Vec<Row> {
    let (mut frame, mut arrival) = ("<>", "<>");
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(text) = line.strip_prefix("@> ") {
            arrival = text;
        } else if let Some(text) = line.strip_prefix("@ ") {
            (frame, arrival) = (text, "<>");
        } else {
            let (form, verdict) = line.split_once("=>").unwrap_or_else(|| panic!("no verdict in {line:?}"));
            let form = form.trim();
            let framed = fill(frame, form);
            let want = verdict.trim().split(" & ").map(|part| match part {
                "same" => escaped(&plain(&fill(arrival, form), local)),
                _ => match part.strip_prefix('>') {
                    Some(text) => escaped(&plain(&fill(arrival, text.trim()), local)),
                    None => part.to_string(),
                },
            });
            rows.push(Row {
                shown: line.to_string(),
                want: want.collect(),
                ends: framed.ends_with("{end}"),
                form: plain(framed.trim_end_matches("{end}"), local),
            });
        }
    }
    rows
}

fn fill(frame: &str, text: &str) -> String {
    if text.is_empty() { frame.replace("\\r\\n<>", "").replace("<>", "") } else { frame.replace("<>", text) }
}

/// The bytes that a text of the tables stands for.
fn plain(text: &str, local: SocketAddr) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '\\' => unescape(rest, &mut out),
            '{' => expand(rest, local, &mut out),
            _ => None,
        };
        let used = used.unwrap_or_else(|| {
            out.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            first.len_utf8()
        });
        rest = &rest[used..];
    }
    out
}

/// `\r`, `\n`, `\t`, `\\` or `\xNN` at the front; how long it is.
fn unescape(text: &str, out: &mut Vec<u8>) -> Option<usize> {
    let (byte, used) = match text.as_bytes().get(1)? {
        b'r' => (b'\r', 2),
        b'n' => (b'\n', 2),
        b't' => (b'\t', 2),
        b'\\' => (b'\\', 2),
        b'x' => (u8::from_str_radix(text.get(2..4)?, 16).ok()?, 4),
        _ => return None,
    };
    out.push(byte);
    Some(used)
}

/// `{text*3}`, `{f}`, `{f host}`, `{f0}` or `{local}` at the front; how long it is. `f` are the lines that the edge adds.
fn expand(text: &str, local: SocketAddr, out: &mut Vec<u8>) -> Option<usize> {
    let inner = text[1..].split_once('}')?.0;
    let forwarded = |host: &str| {
        let host = if host.is_empty() { String::new() } else { format!("x-forwarded-host: {host}\r\n") };
        format!("x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n{host}").into_bytes()
    };
    let bytes = match inner {
        "f" => forwarded("a"),
        "f0" => forwarded(""),
        "local" => local.to_string().into_bytes(),
        _ => match inner.strip_prefix("f ") {
            Some(host) => forwarded(host),
            None => {
                let (text, count) = inner.rsplit_once('*')?;
                plain(text, local).repeat(count.parse().ok()?)
            }
        },
    };
    out.extend_from_slice(&bytes);
    Some(inner.len() + 2)
}

/// Bytes as the tables write them.
fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Everything that the client gets, and how the connection ends.
async fn all(stream: &mut TcpStream) -> (Vec<u8>, &'static str) {
    let mut text = Vec::new();
    let end = match tokio::time::timeout(LONG / 4, stream.read_to_end(&mut text)).await {
        Ok(Ok(_)) => "closes",
        Ok(Err(_)) => "breaks",
        Err(_) => "hangs",
    };
    (undated(&text), end)
}

/// Fails with all lines whose verdict is another than they say.
#[track_caller]
fn compare(rows: &[Row], have: &[Vec<String>]) {
    let other = rows.iter().zip(have).filter(|(row, have)| row.want != **have);
    let told: Vec<_> =
        other.map(|(row, have)| format!("{}\n   had {}", row.shown, have.join(" & "))).collect();
    assert!(told.is_empty(), "{} of {} forms:\n{}", told.len(), rows.len(), told.join("\n"));
}

/// A request of which the second on each connection consists.
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Whether it is that one, as it arrives.
fn is_second(arrived: &[u8]) -> bool {
    arrived.starts_with(b"GET /second HTTP/1.1\r\nHost: a\r\nx-forwarded-for: ")
}

/// A whole request as an instance reads it that takes nothing but what the edge should write; its chunks are joined.
async fn whole_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut text = read_line(stream).await?;
    let (mut length, mut chunked) = (0u64, false);
    loop {
        let line = read_line(stream).await?;
        text.extend_from_slice(&line);
        if line == b"\r\n" {
            break;
        }
        let lower = String::from_utf8_lossy(&line).to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.trim_end().parse().expect("a length");
        }
        chunked |= lower == "transfer-encoding: chunked\r\n";
    }
    if !chunked {
        // Not more memory than what comes, whatever is said.
        let read = stream.take(length).read_to_end(&mut text).await.ok()?;
        return (read as u64 == length).then_some(text);
    }
    let mut body = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let digits = std::str::from_utf8(&line).ok()?.strip_suffix("\r\n")?;
        let size = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("the chunk line {digits:?}"));
        assert_eq!(format!("{size:x}"), digits, "a chunk's size is written in one way only");
        if size == 0 {
            break;
        }
        let begin = body.len();
        body.resize(begin + size + 2, 0);
        stream.read_exact(&mut body[begin..]).await.ok()?;
        assert_eq!(body.split_off(begin + size), b"\r\n", "what follows a chunk");
    }
    if !body.is_empty() {
        text.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        text.extend_from_slice(&body);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n");
    loop {
        let line = read_line(stream).await?;
        text.extend_from_slice(&line);
        if line == b"\r\n" {
            return Some(text);
        }
    }
}

/// A line with its CRLF; nothing at the end.
async fn read_line(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    assert!(line.ends_with(b"\r\n"), "the edge wrote a bare LF: {:?}", escaped(&line));
    Some(line)
}
