//! Heads of HTTP/2 as HTTP/1.1: what is written, what is refused, and that it can be read in one way only.

use h2::ext::Protocol;
use http::{Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::head::request::parse;

/// A head from `METHOD authority target` and `name: value` lines; `-` stands for no authority.
fn head(text: &str) -> Parts {
    let mut lines = text.lines();
    let mut words = lines.next().expect("a first line").splitn(3, ' ');
    let mut next = || words.next().expect("three words");
    let (method, authority, target) = (next(), next(), next());
    let mut uri = Uri::builder();
    if authority != "-" {
        uri = uri.scheme("https").authority(authority);
    }
    let uri = uri.path_and_query(target).build().expect("a URI");
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a field");
        request = request.header(name, value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn written(text: &str, ended: bool) -> Result<(String, Framing), &'static str> {
    let mut out = Vec::new();
    let framing = write(&mut out, &head(text), ended).map_err(|refusal| refusal.code)?;
    Ok((String::from_utf8(out).expect("text"), framing))
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
        ("GET a /\nhost: a:80", "host-mismatch"),
        ("CONNECT a:1 /", "connect"),
    ] {
        assert_eq!(written(text, true).map(|_| ()), Err(want), "{text}");
    }
    let mut absolute = head("GET a /");
    absolute.uri = "http://b/".parse().expect("a URI");
    // As a library would give it whose path is a whole URL.
    let mut out = Vec::new();
    assert!(write(&mut out, &absolute, true).is_ok(), "its path is `/`, and its authority `b`");
    assert!(out.starts_with(b"GET / HTTP/1.1\r\nhost: b\r\n"));
    let mut ftp = head("GET a /");
    ftp.uri = "ftp://a/".parse().expect("a URI");
    assert_eq!(write(&mut Vec::new(), &ftp, true), Err(Refusal::TARGET_FORM));
}

#[test]
fn the_parser_has_the_last_word() {
    for (text, want) in [
        ("GET - /", "host-missing"),
        ("GET a /a/../b", "dot-segments"),
        ("GET a /\ncontent_length: 3", "underscore"),
        ("GET a /\ncontent-length: 3\ncontent-length: 3", "length-twice"),
        ("GET a /\ncontent-length: +3", "length-syntax"),
        ("GET a /\nexpect: x", "expectation"),
        ("GET u@a /", "host-syntax"),
    ] {
        let (text, _) = written(text, true).expect("it is written");
        let refusal = parse(text.as_bytes(), &mut Vec::new()).expect_err("a refusal");
        assert_eq!(refusal.code, want, "{text}");
    }
}

#[test]
fn a_websocket_is_opened_as_http_1_opens_it() {
    let mut head = head("CONNECT a /chat\nsec-websocket-version: 13\nsec-websocket-key: forged");
    head.extensions.insert(Protocol::from_static("websocket"));
    let mut out = Vec::new();
    assert_eq!(write(&mut out, &head, false), Ok(Framing::Tunnel));
    let text = String::from_utf8(out).expect("text");
    assert!(text.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\n"), "{text}");
    assert!(text.contains("connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "), "{text}");
    assert!(!text.contains("forged"), "{text}");
    let parsed = parse(text.as_bytes(), &mut Vec::new()).expect("a request");
    assert!(parsed.upgrade.is_some());
    head.extensions.insert(Protocol::from_static("connect-udp"));
    assert_eq!(write(&mut Vec::new(), &head, false), Err(Refusal::CONNECT));
}

proptest! {
    /// Whatever the library lets through, two parsers read what we write alike, and as it was meant.
    #[test]
    fn what_is_written_is_read_in_one_way(
        path in "/[!-~]{0,20}",
        fields in proptest::collection::vec(("[a-z!#$%&'*+.^_`|~0-9-]{1,12}", "[\t -~\u{80}-\u{ff}]{0,16}"), 0..8),
        ended: bool,
    ) {
        let Ok(target) = http::uri::PathAndQuery::try_from(path.as_str()) else { return Ok(()) };
        let uri = Uri::builder().scheme("http").authority("a.example").path_and_query(target.clone());
        let mut request = Request::builder().uri(uri.build().expect("a URI"));
        for (name, value) in &fields {
            request = request.header(name.as_str(), HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let head = request.body(()).expect("a request").into_parts().0;
        let mut out = Vec::new();
        let Ok(framing) = write(&mut out, &head, ended) else { return Ok(()) };
        let mut ours = Vec::new();
        let Ok(read) = parse(&out, &mut ours) else { return Ok(()) };
        prop_assert_eq!(read.bytes, out.len(), "nothing is left over");
        prop_assert_eq!(read.target.of(&out), target.as_str().as_bytes());
        prop_assert_eq!(read.framing.chunked, framing == Framing::Chunks);
        let mut theirs = [httparse::EMPTY_HEADER; 64];
        let mut other = httparse::Request::new(&mut theirs);
        prop_assert_eq!(other.parse(&out), Ok(httparse::Status::Complete(out.len())));
        prop_assert_eq!(other.path, Some(target.as_str()));
        prop_assert_eq!(other.headers.len(), ours.len());
        for (one, two) in ours.iter().zip(&*other.headers) {
            prop_assert_eq!(one.name.of(&out), two.name.as_bytes());
            prop_assert_eq!(one.value.of(&out), two.value.trim_ascii());
        }
        let meant = head.headers.iter().filter(|(name, _)| **name != COOKIE).count();
        let cookies = usize::from(head.headers.contains_key(COOKIE));
        let added = 1 + usize::from(framing == Framing::Chunks);
        prop_assert_eq!(ours.len(), meant + cookies + added);
    }
}
