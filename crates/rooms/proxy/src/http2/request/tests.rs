//! Heads of HTTP/2 as HTTP/1.1: what is written, what is refused, and that it can be read in one way only.

use proptest::prelude::*;

use super::*;
use crate::head::request::parse;
use crate::http2::hpack::Decoder;

/// A block of these fields.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a short text");
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

fn write(fields: &[(&str, &str)], ended: bool) -> Result<(String, Head), Malformed> {
    let (mut out, mut scratch) = (Vec::new(), Scratch::default());
    let mut writer = Writer::new(&mut out, &mut scratch);
    Decoder::new().decode(&block(fields), |line| writer.field(line)).expect("a block");
    let head = writer.finish(ended)?;
    Ok((String::from_utf8(out).expect("text"), head))
}

/// The fields of `METHOD authority target` and `name: value` lines; `-` stands for no authority.
fn fields(text: &str) -> Vec<(&str, &str)> {
    let mut lines = text.lines();
    let mut words = lines.next().expect("a first line").splitn(3, ' ');
    let mut next = || words.next().expect("three words");
    let (method, authority, target) = (next(), next(), next());
    let mut fields = vec![(":method", method), (":scheme", "https"), (":path", target)];
    if authority != "-" {
        fields.push((":authority", authority));
    }
    fields.extend(lines.map(|line| line.split_once(": ").expect("a field")));
    fields
}

/// What is written, or why nothing is.
fn written(text: &str, ended: bool) -> Result<(String, Framing), &'static str> {
    let (text, head) = write(&fields(text), ended).map_err(|Malformed| "malformed")?;
    match head.refusal {
        Some(refusal) => {
            assert_eq!(text, "", "nothing is written of what is refused");
            Err(refusal.code)
        }
        None => Ok((text, head.framing)),
    }
}

#[test]
fn heads_are_written_as_http_1_would_say_them() {
    for (text, ended, want, framing) in [
        ("GET a /x?y", true, "GET /x?y HTTP/1.1\r\nhost: a\r\n\r\n", Framing::Nothing),
        ("GET - /\nhost: a:80", true, "GET / HTTP/1.1\r\nhost: a:80\r\n\r\n", Framing::Nothing),
        ("GET a /\nhost: A", true, "GET / HTTP/1.1\r\nhost: a\r\n\r\n", Framing::Nothing),
        ("OPTIONS a *", true, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", Framing::Nothing),
        (
            "GET a /\ncookie: a=1\nx: y\ncookie: b=2",
            true,
            "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n",
            Framing::Nothing,
        ),
        (
            "POST a /\ncontent-length: 3",
            false,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
            Framing::Length,
        ),
        (
            "POST a /\nte: trailers",
            false,
            "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n",
            Framing::Chunks,
        ),
        (
            "POST a /\ncontent-length: 0",
            true,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            Framing::Nothing,
        ),
    ] {
        assert_eq!(written(text, ended), Ok((want.to_owned(), framing)), "{text}");
    }
}

#[test]
fn what_only_http_2_can_say_is_refused() {
    for (text, want) in [
        ("GET a /\nhost: b", "host-mismatch"),
        ("GET a /\nhost: a\nhost: a", "host-twice"),
        ("GET - /\nhost: a\nhost: a", "host-twice"),
        ("GET a /\nhost: a:80", "host-mismatch"),
        ("GET a http://b/", "target-form"),
        ("GET a x", "target-form"),
        ("CONNECT a:1 /", "malformed"),
        ("GET a ", "malformed"),
        ("G<T a /", "malformed"),
        ("GET a /\nconnection: close", "malformed"),
        ("GET a /\nte: gzip", "malformed"),
        ("GET a /\nX: y", "malformed"),
        ("GET a /\nx:  y", "malformed"),
        ("GET a /\n:path: /", "malformed"),
        ("GET a /\ncontent-length: 1", "malformed"),
    ] {
        assert_eq!(written(text, true).map(|_| ()), Err(want), "{text}");
    }
    assert_eq!(written("POST a /\ncontent-length: 1\ncontent-length: 2", false), Err("malformed"));
    let alone = write(&[(":method", "CONNECT"), (":authority", "a:1")], false).expect("a request");
    assert_eq!(alone.1.refusal, Some(Refusal::CONNECT));
    let ftp = write(&[(":method", "GET"), (":scheme", "ftp"), (":path", "/")], true).expect("a request");
    assert_eq!(ftp.1.refusal, Some(Refusal::TARGET_FORM));
}

#[test]
fn heads_beyond_the_bound_are_refused_and_read_to_their_end() {
    let long = "x".repeat(100);
    let mut all = fields("HEAD a /");
    all.extend(std::iter::repeat_n(("x", &long[..]), 300));
    let (text, head) = write(&all, true).expect("a request");
    assert_eq!((text.as_str(), head.refusal, head.head_only), ("", Some(Refusal::HEAD_SIZE), true));
}

#[test]
fn the_parser_has_the_last_word() {
    for (text, want) in [
        ("GET - /", "host-missing"),
        ("GET a /a/../b", "dot-segments"),
        ("GET a /a b", "request-line"),
        ("GET a /\ncontent_length: 3", "underscore"),
        ("GET a /\ncontent-length: +3", "length-syntax"),
        ("GET a /\nexpect: x", "expectation"),
        ("GET u@a /", "host-syntax"),
        ("GET a /\nx: \u{1}", "field-value"),
    ] {
        let (text, _) = written(text, true).expect("it is written");
        let refusal = parse(text.as_bytes(), &mut Vec::new()).expect_err("a refusal");
        assert_eq!(refusal.code, want, "{text}");
    }
    let (text, _) = written("POST a /\ncontent-length: 3\ncontent-length: 3", false).expect("it is written");
    assert_eq!(parse(text.as_bytes(), &mut Vec::new()).expect_err("a refusal").code, "length-twice");
}

#[test]
fn a_websocket_is_opened_as_http_1_opens_it() {
    let mut all = fields("CONNECT a /chat\nsec-websocket-version: 13\nsec-websocket-key: forged");
    all.insert(0, (":protocol", "websocket"));
    let (text, head) = write(&all, false).expect("a request");
    assert_eq!((head.framing, head.refusal), (Framing::Tunnel, None));
    assert!(text.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\n"), "{text}");
    assert!(text.contains("connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "), "{text}");
    assert!(!text.contains("forged"), "{text}");
    let parsed = parse(text.as_bytes(), &mut Vec::new()).expect("a request");
    assert!(parsed.upgrade.is_some());
    all[0].1 = "connect-udp";
    assert_eq!(write(&all, false).expect("a request").1.refusal, Some(Refusal::CONNECT));
    all[1].1 = "GET";
    assert_eq!(write(&all, false), Err(Malformed));
}

proptest! {
    /// Whatever we write, two parsers read alike, and as it was meant.
    #[test]
    fn what_is_written_is_read_in_one_way(
        path in "/[!-~]{0,20}",
        host in "[a-z.]{1,9}",
        given in proptest::collection::vec(("[a-zA-Z!#$%&'*+.^_`|~0-9:\r\n -]{1,12}", "[\t\r\n\0 -~\u{80}-\u{ff}]{0,16}"), 0..8),
        ended: bool,
    ) {
        let mut all = vec![(":method", "GET"), (":scheme", "http"), (":authority", &*host), (":path", &*path)];
        all.extend(given.iter().map(|(name, value)| (&**name, &**value)));
        let Ok((text, head)) = write(&all, ended) else { return Ok(()) };
        if head.refusal.is_some() {
            return Ok(());
        }
        let out = text.as_bytes();
        let mut ours = Vec::new();
        let Ok(read) = parse(out, &mut ours) else { return Ok(()) };
        prop_assert_eq!(read.bytes, out.len(), "nothing is left over");
        prop_assert_eq!(read.target.of(out), path.as_bytes());
        prop_assert_eq!(read.host.map(|span| span.of(out)), Some(host.as_bytes()));
        prop_assert_eq!(read.framing.chunked, head.framing == Framing::Chunks);
        let mut theirs = [httparse::EMPTY_HEADER; 64];
        let mut other = httparse::Request::new(&mut theirs);
        prop_assert_eq!(other.parse(out), Ok(httparse::Status::Complete(out.len())));
        prop_assert_eq!(other.path, Some(&*path));
        prop_assert_eq!(other.headers.len(), ours.len());
        for (one, two) in ours.iter().zip(&*other.headers) {
            prop_assert_eq!(one.name.of(out), two.name.as_bytes());
            prop_assert_eq!(one.value.of(out), two.value.trim_ascii());
        }
        let meant = given.iter().filter(|(name, _)| name != "cookie" && name != "host").count();
        let cookies = usize::from(given.iter().any(|(name, _)| name == "cookie"));
        let added = 1 + usize::from(head.framing == Framing::Chunks);
        prop_assert_eq!(ours.len(), meant + cookies + added);
    }
}
