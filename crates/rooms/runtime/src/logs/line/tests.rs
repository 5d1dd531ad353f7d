//! Lines of a log, written and read again.

use proptest::prelude::*;

use super::*;

#[test]
fn lines_read_as_they_are_written() {
    let mut out = Vec::new();
    push(&mut out, "2026-01-31T12:00:00.000000001Z", Stream::Stderr, false, b"a  b ");
    assert_eq!(out, b"2026-01-31T12:00:00.000000001Z stderr P a  b \n");
    let line = Line::parse(&out[..out.len() - 1]).unwrap();
    assert_eq!((line.stream, line.whole, &line.text[..]), (Stream::Stderr, false, &b"a  b "[..]));
    assert_eq!(line.time.to_string(), "2026-01-31T12:00:00.000000001Z");
}

#[test]
fn what_is_no_line_is_none() {
    for bad in
        ["", "x", "2026-01-31T12:00:00Z stdout F", "2026-01-31T12:00:00Z stdin F x", "yesterday stdout F x"]
    {
        assert_eq!(Line::parse(bad.as_bytes()), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(bytes: Vec<u8>) {
        let _ = Line::parse(&bytes);
    }
}
