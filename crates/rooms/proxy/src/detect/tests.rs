//! First bytes of many protocols, and what they are taken for.

use super::*;

#[test]
fn only_request_lines_of_http_1_are_taken_for_http() {
    for (bytes, want) in [
        (&b""[..], Verdict::Unsure),
        (b"G", Verdict::Unsure),
        (b"GET", Verdict::Unsure),
        (b"GET ", Verdict::Unsure),
        (b"GET /", Verdict::Unsure),
        (b"GET / HTTP/1.1\r\n", Verdict::Http),
        (b"GET / HTTP/1.0\n", Verdict::Http),
        (b"OPTIONS * HTTP/1.1\r\n", Verdict::Http),
        (b"GET http://a/ HTTP/1.1\r\n", Verdict::Http),
        (b"PRI * HTTP/2.0\r\n", Verdict::Other),
        (b"GET key\r\n", Verdict::Other),
        (b"GET /key\r\n", Verdict::Other),
        (b"*1\r\n$4\r\nPING\r\n", Verdict::Other),
        (b"PING\r\n", Verdict::Other),
        (b"EHLO me\r\n", Verdict::Other),
        (b"\x16\x03\x01\x02\x00", Verdict::Other),
        (b"SSH-2.0-OpenSSH\r\n", Verdict::Other),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Verdict::Other),
        (b"get / HTTP/1.1\r\n", Verdict::Other),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", Verdict::Other),
    ] {
        assert_eq!(judge(bytes, false), want, "{:?}", String::from_utf8_lossy(bytes));
    }
    let long = format!("GET /{}", "x".repeat(LINE_BYTES));
    assert_eq!(judge(long.as_bytes(), false), Verdict::Other);
}

#[test]
fn http_2_is_looked_for_where_instances_speak_it() {
    for (bytes, want) in [
        (&b"PRI"[..], Verdict::Unsure),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", Verdict::Unsure),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Verdict::Http),
        (b"PRI * HTTP/2.0\r\n\r\nXX", Verdict::Other),
        (b"GET / HTTP/1.1\r\n", Verdict::Http),
        (b"*1\r\n$4\r\nPING\r\n", Verdict::Other),
    ] {
        assert_eq!(judge(bytes, true), want, "{:?}", String::from_utf8_lossy(bytes));
    }
}
