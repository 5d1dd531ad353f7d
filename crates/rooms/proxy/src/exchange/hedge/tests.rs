//! What may be sent twice, and how that is said.

use super::*;
use crate::head::request;

#[track_caller]
fn check(request: &str, wanted: bool) {
    let text = format!("{}\r\nHost: a\r\n\r\n", request.replace('\n', "\r\n"));
    let mut fields = Vec::new();
    let head = request::parse(text.as_bytes(), &mut fields).expect("a good head");
    assert_eq!(may_hedge(&head, &fields, text.as_bytes()), wanted, "{request}");
}

#[test]
fn only_what_looks_and_has_no_body_is_sent_twice() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        check(&format!("{method} / HTTP/1.1"), true);
    }
    for method in ["PUT", "DELETE", "POST", "PATCH", "PURGE", "get"] {
        check(&format!("{method} / HTTP/1.1"), false);
    }
    check("GET / HTTP/1.1\nContent-Length: 0", true);
    check("GET / HTTP/1.1\nContent-Length: 1", false);
    check("GET / HTTP/1.1\nTransfer-Encoding: chunked", false);
    check("GET / HTTP/1.1\nExpect: 100-continue\nContent-Length: 0", false);
    check("GET / HTTP/1.1\nConnection: Upgrade\nUpgrade: websocket", false);
}

#[test]
fn streams_of_events_and_what_was_sent_twice_already_are_not() {
    check("GET / HTTP/1.1\nAccept: text/html, */*", true);
    check("GET / HTTP/1.1\nAccept: Text/Event-Stream;q=0.9", false);
    check("GET / HTTP/1.1\nAccept: */*\nAccept: text/html,text/event-stream", false);
    check("GET / HTTP/1.1\nX-Sea-Again: 1", false);
}

#[test]
fn the_mark_stands_behind_the_first_line() {
    let mut head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    mark_again(&mut head);
    assert_eq!(String::from_utf8_lossy(&head), "GET / HTTP/1.1\r\nx-sea-again: 1\r\nhost: a\r\n\r\n");
}
