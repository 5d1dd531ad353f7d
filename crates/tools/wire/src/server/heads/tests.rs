//! Tests of what passes as it came, and what is written otherwise.

use super::*;

/// What comes out of what goes in, in pieces of this length.
fn through(input: &[u8], piece: usize) -> Vec<u8> {
    let mut heads = Heads::default();
    let (mut out, mut held) = (Vec::new(), Vec::new());
    for bytes in input.chunks(piece) {
        held.extend_from_slice(bytes);
        loop {
            let passed = heads.pass(&held);
            out.extend(held.drain(..passed));
            let Some(line) = line_of(&held).map(<[u8]>::to_vec) else { break };
            out.extend(heads.begin(&line));
            held.drain(..line.len());
        }
    }
    out.extend(held);
    out
}

#[track_caller]
fn check(input: &str, output: &str) {
    for piece in [1, 2, 3, 7, 64, input.len()] {
        assert_eq!(
            String::from_utf8_lossy(&through(input.as_bytes(), piece)),
            output,
            "in pieces of {piece}"
        );
    }
}

#[track_caller]
fn check_passes(input: &str) {
    check(input, input);
}

const ODD: &str = "GET /c?filters={\"a\":[\"b|^`<>\\#é\"]} HTTP/1.1\r\nhost: d\r\n\r\n";
const MENDED: &str =
    "GET /c?filters=%7B%22a%22:[%22b%7C%5E%60%3C%3E%5C%23%C3%A9%22]%7D HTTP/1.1\r\nhost: d\r\n\r\n";

#[test]
fn an_odd_target_is_written_otherwise_and_a_plain_one_passes() {
    check(ODD, MENDED);
    check_passes("GET /c?filters=%7B%7D&a=[b]$!'()*,;:@ HTTP/1.1\r\nhost: d\r\n\r\n");
    check(&format!("\r\n{ODD}{ODD}"), &format!("\r\n{MENDED}{MENDED}"));
    check("GET /a{ HTTP/1.0\n\n", "GET /a%7B HTTP/1.0\n\n");
}

#[test]
fn a_body_passes_and_the_request_behind_it_is_found() {
    let body = "POST /x{ HTTP/1.1\r\n\r\n";
    let length = body.len();
    let fixed = format!("POST /b HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
    check(&format!("{fixed}{ODD}"), &format!("{fixed}{MENDED}"));
    let chunked = format!(
        "POST /b HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n{length:x}\r\n{body}\r\n{length:X};a=b\r\n{body}\r\n0\r\nX: {body}\r\n"
    );
    check(&format!("{chunked}{ODD}"), &format!("{chunked}{MENDED}"));
    let none = "POST /b HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    check(&format!("{none}{ODD}"), &format!("{none}{MENDED}"));
}

#[test]
fn nothing_is_changed_where_a_connection_leaves_http_or_could_be_read_in_two_ways() {
    for headers in [
        "Connection: Upgrade\r\nUpgrade: tcp",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: +1",
        "Content-Length : 1",
        "Content-Length: ",
        "Transfer-Encoding: gzip, chunked",
        "no header",
        "a: b\r\n folded: c",
    ] {
        check_passes(&format!("POST /a HTTP/1.1\r\n{headers}\r\n\r\n{ODD}"));
    }
    check_passes(&format!("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{ODD}"));
    check_passes(&format!("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX{ODD}"));
    check_passes("PRI * HTTP/2.0\r\n\r\nSM{\r\n\r\n");
    check_passes("nonsense {\r\nmore {\r\n");
}
