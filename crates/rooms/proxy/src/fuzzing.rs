//! What the fuzzer runs, one function a target: each takes whatever comes, and panics when something that must hold does
//! not. `cargo xtask fuzz` builds and runs them.

mod streams;

pub use streams::streams;

use crate::chunk::{self, Decoder, Step};
use crate::head::{self, Field};
use crate::peers::alike;
use crate::{fork, preface};

/// A request: what is taken is read alike by others, and so is what goes on of it.
pub fn request(bytes: &[u8]) {
    assert_eq!(alike::request_is_read_alike(bytes).err(), None, "of {}", bytes.escape_ascii());
}

/// An answer of an instance, likewise.
pub fn answer(bytes: &[u8]) {
    assert_eq!(alike::answer_is_read_alike(bytes).err(), None, "of {}", bytes.escape_ascii());
}

/// A chunked body: what it holds, and where it ends, does not hang on how it came in pieces; and written anew it holds the
/// same. The first byte says how long the pieces are.
pub fn chunks(bytes: &[u8]) {
    let Some((seed, body)) = bytes.split_first() else { return };
    let whole = taken(body, usize::MAX);
    let pieces = taken(body, usize::from(*seed % 32) + 1);
    assert_eq!(whole, pieces, "of {}", body.escape_ascii());
    let Taken::Whole { content, .. } = whole else { return };
    let mut again = Vec::new();
    for piece in content.chunks(usize::from(*seed) + 1) {
        chunk::write_chunk(&mut again, piece);
    }
    again.extend_from_slice(b"0\r\n\r\n");
    let wanted = Taken::Whole { content, trailers: Vec::new(), used: again.len() };
    assert_eq!(taken(&again, usize::MAX), wanted);
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Whole { content: Vec<u8>, trailers: Vec<Vec<u8>>, used: usize },
    Cut,
    Refused(&'static str),
}

/// Reads a body that comes in pieces of this length.
fn taken(body: &[u8], piece: usize) -> Taken {
    let (mut decoder, mut at, mut seen) = (Decoder::new(), 0, 0);
    let (mut content, mut trailers) = (Vec::new(), Vec::new());
    loop {
        let step = match decoder.step(&body[at..seen]) {
            Ok(step) => step,
            Err(refusal) => return Taken::Refused(refusal.code),
        };
        match step {
            Step::More if seen == body.len() => return Taken::Cut,
            Step::More => seen = seen.saturating_add(piece).min(body.len()),
            Step::Done => return Taken::Whole { content, trailers, used: at },
            Step::Framing(count) => at += count,
            Step::Data(count) => {
                content.extend_from_slice(&body[at..at + count]);
                at += count;
            }
            Step::Trailer(field, count) => {
                let line = &body[at..at + count];
                assert!(head::is_token(field.name.of(line)) && head::is_value(field.value.of(line)));
                trailers.push(line.to_vec());
                at += count;
            }
        }
        assert!(at <= seen, "it takes what has not come yet");
    }
}

/// The PROXY protocol in front of a connection: nothing behind it is taken, and what we would write of it is read alike.
pub fn preface(bytes: &[u8]) {
    preface::fuzzed(bytes);
}

/// Cookies: the one that is found does not hang on whether they came in one field or in several, as in HTTP/2. A line is a
/// field.
pub fn cookie(bytes: &[u8]) {
    let values: Vec<&[u8]> =
        bytes.split(|c| *c == b'\n').filter(|value| head::is_value(value)).take(20).collect();
    let find = |values: &[Vec<u8>]| {
        let (buf, fields) = head_of(values);
        ["a", "side", "__Host-x"].map(|name| {
            let value = fork::cookie(&fields, &buf, name).map(<[u8]>::to_vec);
            assert!(value.as_ref().is_none_or(|value| !value.contains(&b';') && head::is_value(value)));
            value
        })
    };
    let apart: Vec<Vec<u8>> = values.iter().map(|value| value.to_vec()).collect();
    let joined = vec![values.join(&b"; "[..])];
    assert_eq!(find(&apart), find(&joined), "of {}", bytes.escape_ascii());
}

fn head_of(values: &[Vec<u8>]) -> (Vec<u8>, Vec<Field>) {
    let lines = values.iter().flat_map(|value| [&b"cookie: "[..], value, b"\r\n"].concat());
    let buf: Vec<u8> = lines.chain(*b"\r\n").collect();
    let mut fields = Vec::new();
    let read = head::fields(&buf, 0, &mut fields);
    assert_eq!(read, Ok(buf.len()), "values without control characters are fields");
    (buf, fields)
}
