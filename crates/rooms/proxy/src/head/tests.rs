//! Forms of heads with the verdict on each, and comparisons with another parser.

use proptest::prelude::*;

use super::*;

/// The one place that knows how a request is parsed: `ok`, `more`, or the code of the refusal.
fn verdict(text: &[u8]) -> &'static str {
    let mut fields = Vec::new();
    match head_end(text, &mut 0) {
        None => "more",
        Some(_) => request::parse(text, &mut fields).map_or_else(|refusal| refusal.code, |_| "ok"),
    }
}

#[track_caller]
fn check(forms: &[(&str, &str)]) {
    for (form, want) in forms {
        assert_eq!(&verdict(form.as_bytes()), want, "form {form:?}");
    }
}

/// A request with these fields beside Host.
#[track_caller]
fn check_fields(forms: &[(&str, &str)]) {
    for (fields, want) in forms {
        let form = format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(&verdict(form.as_bytes()), want, "fields {fields:?}");
    }
}

/// A request for this host.
#[track_caller]
fn check_hosts(forms: &[(&str, &str)]) {
    for (host, want) in forms {
        let form = format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n");
        assert_eq!(&verdict(form.as_bytes()), want, "host {host:?}");
    }
}

/// A request for this target at host `a`.
#[track_caller]
fn check_targets(forms: &[(&str, &str)]) {
    for (target, want) in forms {
        let form = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(&verdict(form.as_bytes()), want, "target {target:?}");
    }
}

#[test]
fn request_lines_are_read_in_one_way_only() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
        ("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "request-line"),
        ("GET /\r\nHost: a\r\n\r\n", "request-line"),
        ("GET HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare-lf"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "bare-lf"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "bare-lf"),
        ("GET / HTTP/1.1\n\n", "bare-lf"),
        ("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "bare-cr"),
        ("GET / HTTP/1.1\r\nHost: a", "more"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "more"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
    ]);
}

#[test]
fn versions_other_than_1_1_and_1_0_are_refused() {
    check(&[
        ("GET / HTTP/1.0\r\n\r\n", "ok"),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "ok"),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "version"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", "version"),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / HTTP/1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / HTTP 1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", "request-line"),
        ("GET / ICY/1.1\r\nHost: a\r\n\r\n", "request-line"),
    ]);
}

#[test]
fn hosts_are_one_and_well_formed() {
    check_hosts(&[
        (" a", "ok"),
        ("a", "ok"),
        (" a:80", "ok"),
        (" shop.example", "ok"),
        (" shop.example.", "ok"),
        (" SHOP.example:8080", "ok"),
        (" my_service", "ok"),
        (" 127.0.0.1:1", "ok"),
        (" [::1]", "ok"),
        (" [::1]:80", "ok"),
        ("\ta\t ", "ok"),
        ("", "host-syntax"),
        (" ", "host-syntax"),
        (" a b", "host-syntax"),
        (" a,b", "host-syntax"),
        (" a/b", "host-syntax"),
        (" a@b", "host-syntax"),
        (" a:", "host-syntax"),
        (" a:x", "host-syntax"),
        (" a:99999", "host-syntax"),
        (" a:80:80", "host-syntax"),
        (" :80", "host-syntax"),
        (" [::1", "host-syntax"),
        (" [x]", "host-syntax"),
        (" [::1]x", "host-syntax"),
        (" a%00b", "host-syntax"),
        (" a?b", "host-syntax"),
        (" a#b", "host-syntax"),
        (" a\\b", "host-syntax"),
        (" ä", "host-syntax"),
    ]);
    check(&[
        ("GET / HTTP/1.1\r\n\r\n", "host-missing"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "host-twice"),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "host-twice"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "host-twice"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "field-name"),
    ]);
}

#[test]
fn targets_are_paths_of_this_host() {
    check_targets(&[
        ("/", "ok"),
        ("/a/b?c=d&e", "ok"),
        ("/a//b", "ok"),
        ("/%20", "ok"),
        ("/a?b?c", "ok"),
        ("/a{b}|c", "ok"),
        ("/..a", "ok"),
        ("/a..b", "ok"),
        ("/...", "ok"),
        ("/.well-known/x", "ok"),
        ("/a?x=/../y", "ok"),
        ("http://a/", "ok"),
        ("HTTP://A/x", "ok"),
        ("http://a/x?y", "ok"),
        ("http://b/", "host-mismatch"),
        ("http://a:80/", "host-mismatch"),
        ("http://u@a/", "host-mismatch"),
        ("http:///", "host-mismatch"),
        ("http://a", "ok"),
        ("http://b", "host-mismatch"),
        ("http://a?x", "target-form"),
        ("https://a/", "ok"),
        ("https://", "target-form"),
        ("ftp://a/", "target-form"),
        ("a", "target-form"),
        ("a:80", "target-form"),
        ("?x", "target-form"),
        ("*", "target-form"),
        ("/a#b", "target"),
        ("/ä", "target"),
        ("/\u{7f}", "target"),
        ("/\u{1}", "target"),
        ("/.", "dot-segments"),
        ("/..", "dot-segments"),
        ("/a/../b", "dot-segments"),
        ("/a/./b", "dot-segments"),
        ("/%2e%2E/b", "dot-segments"),
        ("/.%2e/b", "dot-segments"),
        ("/%2e/b", "dot-segments"),
        ("/a/..?x", "dot-segments"),
        ("http://a/../b", "dot-segments"),
    ]);
    check(&[
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "ok"),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "connect"),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "connect"),
    ]);
}

#[test]
fn framing_that_two_servers_could_read_in_two_ways_is_refused() {
    check_fields(&[
        ("Content-Length: 0", "ok"),
        ("Content-Length: 5", "ok"),
        ("content-length:5", "ok"),
        ("Content-Length:   5 ", "ok"),
        ("Content-Length:   5\t", "length-syntax"),
        ("Content-Length: 007", "ok"),
        ("Content-Length: 999999999999999999", "ok"),
        ("Content-Length: 1000000000000000000000", "length-syntax"),
        ("Content-Length:", "length-syntax"),
        ("Content-Length: +5", "length-syntax"),
        ("Content-Length: -5", "length-syntax"),
        ("Content-Length: 0x5", "length-syntax"),
        ("Content-Length: 5 5", "length-syntax"),
        ("Content-Length: 5,5", "length-syntax"),
        ("Content-Length: 5, 5", "length-syntax"),
        ("Content-Length: 5.0", "length-syntax"),
        ("Content-Length: five", "length-syntax"),
        ("Content-Length: \"5\"", "length-syntax"),
        ("Content-Length: 5\r\nContent-Length: 5", "length-twice"),
        ("Content-Length: 5\r\nContent-Length: 6", "length-twice"),
        ("Content-Length: 5\r\nX: y\r\ncontent-length: 0", "length-twice"),
        ("Content-Length : 5", "field-name"),
        ("Content_Length: 5", "underscore"),
        ("Content-Length\t: 5", "field-name"),
        ("Transfer-Encoding: chunked", "ok"),
        ("transfer-encoding: CHUNKED", "ok"),
        ("Transfer-Encoding:  chunked ", "ok"),
        ("Transfer-Encoding:\tchunked", "coding"),
        ("Transfer-Encoding: chunked\t", "coding"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "length-and-chunked"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "length-and-chunked"),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", "length-and-chunked"),
        ("Transfer-Encoding: identity", "coding"),
        ("Transfer-Encoding: gzip, chunked", "coding"),
        ("Transfer-Encoding: chunked, chunked", "coding"),
        ("Transfer-Encoding: chunked, identity", "coding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "coding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "coding"),
        ("Transfer-Encoding: xchunked", "coding"),
        ("Transfer-Encoding: \"chunked\"", "coding"),
        ("Transfer-Encoding: chunked;a=b", "coding"),
        ("Transfer-Encoding:", "coding"),
        ("Transfer-Encoding: ,chunked", "coding"),
        ("Transfer-Encoding: \u{b}chunked", "field-value"),
        ("Transfer-Encoding : chunked", "field-name"),
        ("Transfer_Encoding: chunked", "underscore"),
        ("Transfer-Encoding:\r\n chunked", "folded"),
        ("X: y\r\n Transfer-Encoding: chunked", "folded"),
    ]);
    check(&[
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "coding-old"),
        ("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", "ok"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "ok"),
    ]);
}

#[test]
fn fields_are_names_and_values_and_nothing_else() {
    check_fields(&[
        ("X: y", "ok"),
        ("X:", "ok"),
        ("X:y", "ok"),
        ("X: a:b", "ok"),
        ("X: \u{e4}", "ok"),
        ("!#$%&'*+-.^_`|~: y", "ok"),
        ("X-Under_score: y", "ok"),
        (": y", "field-name"),
        ("X y: z", "field-name"),
        ("X", "field-name"),
        ("X y", "field-name"),
        ("X\u{0}: y", "field-name"),
        ("(X): y", "field-name"),
        ("\u{e4}: y", "field-name"),
        (" X: y", "folded"),
        ("\tX: y", "folded"),
        ("X: a\r\n b", "folded"),
        ("X: a\r\n\tb: c", "folded"),
        ("X: a\u{0}b", "field-value"),
        ("X: a\u{7f}", "field-value"),
        ("X: a\u{1b}[0m", "field-value"),
        ("X_Forwarded_For: 1.2.3.4", "underscore"),
        ("x-forwarded_proto: https", "underscore"),
        ("X-Forwarded-For: 1.2.3.4", "ok"),
        ("Connection: close, X", "ok"),
        ("Connection: host", "connection-names"),
        ("Connection: close, Content-Length", "connection-names"),
        ("Connection: Transfer-Encoding", "connection-names"),
        ("Connection: a b", "field-value"),
        ("Connection: ,", "ok"),
        ("Expect: 100-continue", "ok"),
        ("Expect: 100-Continue", "ok"),
        ("Expect: 200-ok", "expectation"),
        ("Expect: 100-continue, x", "expectation"),
        ("TE: trailers, deflate", "ok"),
        ("Upgrade: websocket", "ok"),
        ("Upgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: Upgrade, HTTP2-Settings", "ok"),
    ]);
}

#[test]
fn a_head_has_at_most_128_fields() {
    let with = |count: usize| {
        let fields = "X: y\r\n".repeat(count - 1);
        verdict(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
    };
    assert_eq!((with(128), with(129)), ("ok", "head-size"));
}

#[test]
fn an_upgrade_is_passed_on_only_where_it_is_safe() {
    let upgrade = |text: &str| {
        let mut fields = Vec::new();
        let head = request::parse(text.as_bytes(), &mut fields).expect("these forms are well-formed");
        head.upgrade.map(|span| String::from_utf8_lossy(span.of(text.as_bytes())).into_owned())
    };
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (form, want) in [
        (format!("{get}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), Some("websocket")),
        (format!("{get}Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n\r\n"), Some("WebSocket")),
        (format!("{get}Upgrade: websocket\r\n\r\n"), None),
        (format!("{get}Connection: Upgrade\r\n\r\n"), None),
        (format!("{get}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), None),
        (format!("{get}Connection: Upgrade\r\nUpgrade: a, b\r\n\r\n"), None),
        (format!("{get}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n"), None),
        ("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".into(), None),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".into(), None),
    ] {
        assert_eq!(upgrade(&form).as_deref(), want, "form {form:?}");
    }
}

#[test]
fn answers_are_read_as_strictly() {
    for (form, want) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "ok"),
        ("HTTP/1.1 200 \r\n\r\n", "ok"),
        ("HTTP/1.1 200\r\n\r\n", "ok"),
        ("HTTP/1.0 200 OK\r\n\r\n", "ok"),
        ("HTTP/1.1 999 Odd\r\n\r\n", "ok"),
        ("HTTP/1.1 200 Sch\u{f6}n\r\n\r\n", "ok"),
        ("HTTP/1.1 20 OK\r\n\r\n", "request-line"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "request-line"),
        ("HTTP/1.1 099 OK\r\n\r\n", "request-line"),
        ("HTTP/1.1  200 OK\r\n\r\n", "request-line"),
        ("HTTP/2.0 200 OK\r\n\r\n", "version"),
        ("ICY 200 OK\r\n\r\n", "version"),
        ("HTTP/1.1 200 O\rK\r\n\r\n", "field-value"),
        ("HTTP/1.1 200 OK\n\n", "bare-lf"),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "field-name"),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "folded"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "length-twice"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "length-and-chunked"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "coding"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "coding-old"),
    ] {
        let mut fields = Vec::new();
        let have = response::read(form.as_bytes(), &mut fields).map_or_else(|refusal| refusal.code, |_| "ok");
        assert_eq!(have, want, "form {form:?}");
    }
}

#[test]
fn the_end_of_a_head_is_found_however_it_is_cut() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nbody\r\n\r\n";
    let mut scanned = 0;
    let ends: Vec<_> = (0..=text.len()).filter_map(|cut| head_end(&text[..cut], &mut scanned)).collect();
    assert_eq!(ends.first(), Some(&33));
}

/// Well-formed requests of many shapes.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec(("[A-Za-z0-9-]{1,12}", "[ -~]{0,30}"), 0..12);
    ("[A-Z]{1,8}", "/[a-z0-9/%?=&._-]{0,30}", fields).prop_map(|(method, target, fields)| {
        let fields: String = fields.iter().map(|(name, value)| format!("X-{name}: {value}\r\n")).collect();
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
    })
}

proptest! {
    #[test]
    fn no_input_brings_the_parsers_down(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut fields = Vec::new();
        if head_end(&text, &mut 0).is_some() {
            let _ = request::parse(&text, &mut fields);
            let _ = response::read(&text, &mut fields);
        }
    }

    #[test]
    fn what_we_take_httparse_reads_alike(text in requests(), flip in any::<(prop::sample::Index, u8, bool)>()) {
        let mut text = text;
        if flip.2 {
            let at = flip.0.index(text.len());
            text[at] = flip.1;
        }
        let mut fields = Vec::new();
        if head_end(&text, &mut 0).is_none() {
            return Ok(());
        }
        let Ok(head) = request::parse(&text, &mut fields) else { return Ok(()) };
        let mut theirs = [httparse::EMPTY_HEADER; FIELDS];
        let mut other = httparse::Request::new(&mut theirs);
        let status = other.parse(&text).expect("what we take, httparse takes");
        prop_assert_eq!(status, httparse::Status::Complete(head.bytes));
        prop_assert_eq!(other.method.map(str::as_bytes), Some(head.method.of(&text)));
        if text.starts_with(b"\r\n") || !other.path.is_some_and(|path| path.starts_with("http")) {
            prop_assert_eq!(other.path.map(str::as_bytes), Some(head.target.of(&text)));
        }
        prop_assert_eq!(other.headers.len(), fields.len());
        for (theirs, ours) in other.headers.iter().zip(&fields) {
            prop_assert_eq!(theirs.name.as_bytes(), ours.name.of(&text));
            prop_assert_eq!(theirs.value, ours.value.of(&text));
        }
    }

    #[test]
    fn plain_requests_are_taken(text in requests()) {
        let have = verdict(&text);
        prop_assert!(matches!(have, "ok" | "dot-segments" | "target" | "connect"), "{} for {:?}", have, text);
    }
}

#[test]
fn the_shortest_time_that_the_client_says_counts() {
    for (fields, want_ms) in [
        ("x-timeout-ms: 250\r\n", Some(250)),
        ("grpc-timeout: 3S\r\nX-Timeout-Ms: 4000\r\n", Some(3000)),
        ("x-timeout-ms: soon\r\n", None),
        ("", None),
    ] {
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        let head = request::parse(text.as_bytes(), &mut Vec::new()).expect("a good head");
        assert_eq!(head.patience, want_ms.map(std::time::Duration::from_millis), "{fields:?}");
    }
}
