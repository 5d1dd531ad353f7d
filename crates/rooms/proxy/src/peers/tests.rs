//! Whole messages of all shapes, bent out of shape in places where it matters: what we take, the others read alike or
//! refuse, and what we write they read as we do.
//!
//! The shapes come from a seed, which `SEED` sets.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::alike::{Takers, answer_is_read_alike, request_is_read_alike};

/// What a place in a message is bent to.
#[derive(Debug, Clone)]
enum Bend {
    Put(Index, &'static [u8]),
    Replace(Index, u8),
    Drop(Index),
    Double(Index, Index),
}

fn bends() -> impl Strategy<Value = Vec<Bend>> {
    let odd: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\r",
        b"\r\r\n",
        b"\r\n ",
        b"\r\n\t",
        b" ",
        b"\t",
        b"\x0b",
        b"\0",
        b"\x7f",
        b"\xa0",
        b":",
        b";",
        b",",
        b"=",
        b"\"",
        b"0",
        b"5",
        b"+",
        b"-",
        b"0x",
        b"_",
        b"\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"\r\nTransfer-Encoding: chunked",
        b"\r\nContent-Length: 3",
        b"\r\nTransfer-Encoding: x",
    ];
    let byte = select(b"\r\n\t \0\x0b:;,=\"0159afgx+-_.%/\\\x7f\x80\xff".to_vec());
    let bend = prop_oneof![
        4 => (any::<Index>(), select(odd.to_vec())).prop_map(|(at, text)| Bend::Put(at, text)),
        3 => (any::<Index>(), byte).prop_map(|(at, byte)| Bend::Replace(at, byte)),
        2 => any::<Index>().prop_map(Bend::Drop),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Bend::Double(from, to)),
    ];
    prop_oneof![2 => Just(Vec::new()), 5 => prop::collection::vec(bend, 1..4)]
}

fn bend(mut text: Vec<u8>, bends: &[Bend]) -> Vec<u8> {
    for bend in bends {
        let length = text.len();
        match bend {
            Bend::Put(at, odd) => {
                let at = at.index(length + 1);
                text.splice(at..at, odd.iter().copied());
            }
            Bend::Replace(at, byte) if length > 0 => text[at.index(length)] = *byte,
            Bend::Drop(at) if length > 0 => drop(text.remove(at.index(length))),
            Bend::Double(from, to) => {
                let (from, to) = (from.index(length + 1), to.index(length + 1));
                let piece = text[from.min(to)..from.max(to)].to_vec();
                text.splice(to..to, piece);
            }
            Bend::Replace(..) | Bend::Drop(_) => {}
        }
    }
    text
}

/// One of a few texts.
fn one(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(of)
}

/// Field lines with their ends; some frame, some look as if they did.
fn fields() -> impl Strategy<Value = String> {
    let name = one(&[
        "X",
        "x-y_z",
        "Content-Type",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Cookie",
        "Keep-Alive",
        "X-Forwarded-For",
        "X-Content-Length",
        "Content-Lengths",
        "X-Transfer-Encoding",
        "Content-Encoding",
        "Transfer-Encodings",
        "Content_Length",
        "Proxy-Connection",
    ]);
    let value = one(&[
        "",
        "y",
        "a, b",
        "chunked",
        "5",
        "close",
        "keep-alive",
        "upgrade",
        "trailers",
        "100-continue",
        "x-y_z, X",
        "websocket",
        "a\tb",
        "\u{e4}",
        "\"a\\\"b\"",
        "a:b",
    ]);
    let line = (name, one(&[": ", ":", ":  ", ":\t", ": \t"]), value, one(&["", " ", "\t"]));
    let line = line.prop_map(|(name, colon, value, blank)| format!("{name}{colon}{value}{blank}\r\n"));
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
}

/// The line that frames a body, and the body.
fn bodies() -> impl Strategy<Value = (String, Vec<u8>)> {
    let blank = one(&[": ", ": ", ":", ":  ", ":\t"]);
    let name = one(&["Content-Length", "content-length", "CONTENT-LENGTH"]);
    let plain = (
        name,
        blank,
        one(&["", "hello", "0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"]),
        one(&["", "", "", " ", "\t"]),
    )
        .prop_map(|(name, colon, body, blank)| {
            (format!("{name}{colon}{}{blank}\r\n", body.len()), body.as_bytes().to_vec())
        });
    let chunk =
        (one(&["", "0", "000"]), one(&["", "", ";a", ";a=b", "; a = \"b;c\"", ";"]), "[ -~\r\n]{1,20}")
            .prop_map(|(zeros, extension, data)| format!("{zeros}{:x}{extension}\r\n{data}\r\n", data.len()));
    let trailers = one(&["", "", "X: y\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: x\r\nHost: b\r\n"]);
    let chunks = (prop::collection::vec(chunk, 0..4), one(&["0", "0;a", "00"]), trailers).prop_map(
        |(chunks, last, trailers)| format!("{}{last}\r\n{trailers}\r\n", chunks.concat()).into_bytes(),
    );
    let coding = one(&[
        "chunked",
        "Chunked",
        "chunked",
        "CHUNKED",
        "chunked ",
        "chunked",
        "chunked\t",
        "gzip, chunked",
        "identity",
    ]);
    let chunked = (
        one(&["Transfer-Encoding: ", "transfer-encoding:", "Transfer-Encoding:  ", "Transfer-Encoding:\t"]),
        coding,
        chunks,
    )
        .prop_map(|(name, coding, body)| (format!("{name}{coding}\r\n"), body));
    prop_oneof![1 => Just((String::new(), Vec::new())), 3 => plain, 4 => chunked]
}

/// A head in order, its body, and what may follow, before anything is bent.
fn message(opening: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let behind = one(&["", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n"]);
    (opening, fields(), bodies(), fields(), behind, bends()).prop_map(
        |(opening, before, (framing, body), after, behind, bends)| {
            let mut text = format!("{opening}{before}{framing}{after}\r\n").into_bytes();
            text.extend_from_slice(&body);
            text.extend_from_slice(behind.as_bytes());
            bend(text, &bends)
        },
    )
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = one(&["GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get", "ODD"]);
    let target = one(&["/", "/a?b", "/a/b;c", "//x", "http://a/x?y", "/%41", "/?a=\\", "*"]);
    let version = one(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    message((method, target, version).prop_map(|(m, t, v)| format!("{m} {t} {v}\r\nHost: a\r\n")))
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let status = one(&["200 OK", "404 Not Found", "500 ", "200", "299 Odd \u{e4}"]);
    message((one(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]), status).prop_map(|(v, s)| format!("{v} {s}\r\n")))
}

/// Runs a property over so many messages.
fn run(
    shapes: impl Strategy<Value = Vec<u8>>,
    cases: u32,
    property: impl Fn(Vec<u8>) -> Result<(), TestCaseError>,
) {
    let seed: u64 = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("SEED is a number"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let shown = shapes.prop_map(Shown);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(&shown, |text| property(text.0)) {
        panic!("SEED={seed}: {error}");
    }
}

/// Shown as text.
#[derive(Clone)]
struct Shown(Vec<u8>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[test]
fn requests_that_we_take_are_read_alike_by_others_and_so_is_what_we_write() {
    alike(requests(), 8000, request_is_read_alike, 700);
}

#[test]
fn answers_that_we_take_are_read_alike_by_others_and_so_is_what_we_write() {
    alike(answers(), 6000, answer_is_read_alike, 150);
}

/// Runs a property over so many messages, of which at least so many have to be taken, by us and by the others.
fn alike(
    shapes: impl Strategy<Value = Vec<u8>>,
    cases: u32,
    property: fn(&[u8]) -> Result<Option<Takers>, String>,
    least: u32,
) {
    let (taken, strict, old) = (Cell::new(0), Cell::new(0), Cell::new(0));
    run(shapes, cases, |text| {
        let Some(takers) = property(&text).map_err(TestCaseError::fail)? else { return Ok(()) };
        taken.set(taken.get() + 1);
        strict.set(strict.get() + u32::from(takers.strict));
        old.set(old.get() + u32::from(takers.old));
        Ok(())
    });
    // Enough is taken for this to say something.
    let counts = [taken.get(), strict.get(), old.get()];
    assert!(counts.iter().all(|count| *count > least), "{counts:?} of {cases}");
}
