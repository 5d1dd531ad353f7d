//! Bodies, well and badly announced.

use super::{Silent, read_body};

#[test]
fn a_body_is_read_as_it_was_announced() {
    check(&[("content-length", "3")], "abcdef", "abc");
    check(&[("transfer-encoding", "chunked")], "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde");
    check(&[], "abc", "");
}

#[test]
fn a_body_that_is_announced_twice_or_wrongly_is_refused() {
    check(&[("content-length", "3"), ("content-length", "3")], "abc", "a body has two lengths");
    check(
        &[("content-length", "3"), ("transfer-encoding", "chunked")],
        "",
        "a body has both a length and an encoding",
    );
    check(&[("content-length", "+3")], "abc", "a length is no number");
    check(&[("content-length", "9999999")], "abc", "the body is larger than 1 MiB");
    check(&[("transfer-encoding", "gzip")], "", "the transfer encoding is not `chunked`");
    check(&[("transfer-encoding", "chunked")], "3\r\nabcd\r\n", "a line breaks off or is too long");
}

#[track_caller]
fn check(headers: &[(&str, &str)], wire: &str, read: &str) {
    let headers: Vec<_> = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let shown = match read_body(&mut wire.as_bytes(), &headers, Silent::Empty) {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, read);
}
