//! Forms of chunked bodies with the verdict on each, whole and cut at every place.

use proptest::prelude::*;

use super::*;

/// The content, or the code of the refusal, or `more`; the input comes in pieces of `size`.
fn decode(text: &[u8], size: usize) -> Result<Vec<u8>, &'static str> {
    let (mut decoder, mut buf, mut content) = (Decoder::new(), Vec::new(), Vec::new());
    for piece in text.chunks(size.max(1)) {
        buf.extend_from_slice(piece);
        loop {
            let used = match decoder.step(&buf).map_err(|refusal| refusal.code)? {
                Step::More => break,
                Step::Done => return Ok(content),
                Step::Framing(count) | Step::Trailer(_, count) => count,
                Step::Data(count) => {
                    content.extend_from_slice(&buf[..count]);
                    count
                }
            };
            buf.drain(..used);
        }
    }
    if decoder.done() { Ok(content) } else { Err("more") }
}

#[test]
fn chunked_bodies_are_read_in_one_way_only() {
    for (form, want) in [
        ("0\r\n\r\n", Ok("")),
        ("000\r\n\r\n", Ok("")),
        ("5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", Ok("hello world")),
        ("a\r\n0123456789\r\n0\r\n\r\n", Ok("0123456789")),
        ("A;x=y\r\n0123456789\r\n0;z\r\n\r\n", Ok("0123456789")),
        ("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", Ok("hello")),
        ("5\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\n", Ok("hello")),
        ("5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1", Ok("hello")),
        ("5\r\nhell", Err("more")),
        ("5\r\nhello\r\n0\r\n", Err("more")),
        ("\r\n", Err("chunk")),
        (" 5\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("5 \r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("5 ;x\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("+5\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("0x5\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("-1\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("5\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("5\rhello\r\n0\r\n\r\n", Err("chunk")),
        ("5\r\nhello0\r\n\r\n", Err("chunk")),
        ("5\r\nhello\n0\r\n\r\n", Err("chunk")),
        ("4\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("6\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("5;\u{1}\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n", Err("chunk")),
        ("ffffffffffffffff\r\n", Err("chunk")),
        ("10000000000000000\r\n", Err("chunk")),
        ("0\r\nX: y\n\r\n", Err("trailer")),
        ("0\r\n X: y\r\n\r\n", Err("trailer")),
        ("0\r\nX : y\r\n\r\n", Err("trailer")),
        ("0\r\nX\r\n\r\n", Err("trailer")),
        ("0\r\n\n", Err("trailer")),
    ] {
        for size in [1, 2, 3, 1000] {
            let have = decode(form.as_bytes(), size);
            let want = want.map(|text| text.as_bytes().to_vec());
            assert_eq!(have, want, "form {form:?} in pieces of {size}");
        }
    }
}

#[test]
fn lines_and_trailers_have_bounds() {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(CHUNK_LINE_BYTES));
    assert_eq!(decode(long.as_bytes(), 7), Err("chunk"));
    let endless = "5;".to_string() + &"x".repeat(CHUNK_LINE_BYTES);
    assert_eq!(decode(endless.as_bytes(), 7), Err("chunk"));
    let trailers = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(decode(trailers(TRAILERS).as_bytes(), 7), Ok(Vec::new()));
    assert_eq!(decode(trailers(TRAILERS + 1).as_bytes(), 7), Err("trailer"));
    let wide = format!("0\r\nX: {}", "y".repeat(TRAILER_LINE_BYTES));
    assert_eq!(decode(wide.as_bytes(), 700), Err("trailer"));
}

#[test]
fn trailers_that_frame_or_route_do_not_pass() {
    for (line, want) in [
        ("X-Checksum: abc", true),
        ("Server-Timing: x", true),
        ("Content-Length: 5", false),
        ("Transfer-Encoding: chunked", false),
        ("Host: b", false),
        ("Authorization: x", false),
        ("set-cookie: x", false),
        ("X-Forwarded-For: 1.2.3.4", false),
        ("Trailer: x", false),
    ] {
        let field = head::field(line.as_bytes(), Span::new(0, line.len())).expect("a field");
        assert_eq!(may_pass(&field, line.as_bytes()), want, "{line}");
    }
}

proptest! {
    #[test]
    fn what_is_written_in_chunks_is_read_back(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
        size in 1usize..50,
    ) {
        let mut text = Vec::new();
        pieces.iter().for_each(|piece| write_chunk(&mut text, piece));
        text.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(decode(&text, size), Ok(pieces.concat()));
    }

    #[test]
    fn a_verdict_does_not_depend_on_the_cuts(
        text in "[0-9a-f;\r\nX: ]{0,40}",
        size in 1usize..10,
    ) {
        let (whole, cut) = (decode(text.as_bytes(), 1000), decode(text.as_bytes(), size));
        // A piece may be refused sooner than its line is whole, never otherwise.
        prop_assert!(whole == cut || (whole == Err("more") && cut == Err("chunk")), "{:?} {:?}", whole, cut);
    }
}
