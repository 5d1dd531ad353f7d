//! What must hold of everything that opens a connection.

use super::{FIXED_BYTES, Flaw, LINE_BYTES, Origin, Step, VARIABLE_BYTES, step, write};
use spec::ProxyProtocol;

/// A header is taken to its last byte and no further, whatever follows; what we write of what it says is read alike.
pub(crate) fn fuzzed(bytes: &[u8]) {
    let whole = taken(bytes);
    let Ok((used, origin)) = whole else { return };
    assert!(used <= FIXED_BYTES + VARIABLE_BYTES);
    if !bytes.starts_with(&super::SIGNATURE) {
        assert!(used <= LINE_BYTES && bytes[..used].ends_with(b"\r\n"), "a line is taken to its end");
    }
    for behind in [&b""[..], b"\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        assert_eq!(taken(&[&bytes[..used], behind].concat()), Ok((used, origin)));
    }
    let Some(from) = origin else { return };
    assert_eq!(from.ip(), from.ip().to_canonical(), "an address has one form");
    for to in [([192, 0, 2, 1], 80).into(), "[2001:db8::1]:443".parse().expect("an address")] {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let again = write(version, Some((from, to)));
            assert_eq!(taken(&again), Ok((again.len(), Some(from))), "{}", again.escape_ascii());
        }
    }
}

/// How much is taken, byte by byte where it may be, and who it names.
fn taken(bytes: &[u8]) -> Result<(usize, Origin), Flaw> {
    let mut used = 0;
    loop {
        let more = match step(&bytes[..used])? {
            Step::Done(origin) => return Ok((used, origin)),
            Step::Need(count) => count,
            // Of a line only what is there to its end.
            Step::Line(most) => {
                assert!(most > 0, "a line of full length has an end or is refused");
                1
            }
        };
        if bytes.len() - used < more {
            return Err(Flaw::Cut);
        }
        used += more;
    }
}
