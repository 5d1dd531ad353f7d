//! How a server might read a path other than letter by letter.
//!
//! Routes are found by the letters of a path, and instances get it as it came. Many servers decode what is written as
//! `%` and two digits, take repeated slashes for one, and leave out what follows a `;` in a segment, so that `/%61dmin`,
//! `//admin`, `/admin%2Fx` and `/admin;a=b/x` reach what the rules for `/admin` were to guard. RFC 3986, section 6.2.2.2,
//! even calls the first one the same path.

/// Whether it can be read otherwise at all. Nearly no path can.
pub(super) fn is_open(path: &[u8]) -> bool {
    memchr::memchr2(b'%', b';', path).is_some() || memchr::memmem::find(path, b"//").is_some()
}

/// The other readings: parameters are left out before or after the path is decoded.
pub(super) fn others(path: &[u8]) -> [Vec<u8>; 2] {
    [join_slashes(&decode(&without_parameters(path))), plain(path)]
}

/// The second of these, which a route's own prefix is compared in as well.
pub(super) fn plain(path: &[u8]) -> Vec<u8> {
    join_slashes(&without_parameters(&decode(path)))
}

/// Without what follows a `;`, up to the end of its segment.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments: Vec<_> = path.split(|c| *c == b'/').collect();
    let names = segments.iter().map(|segment| segment.split(|c| *c == b';').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(&b'/')
}

/// With the characters that are written as `%` and two digits; a backslash is a slash to some.
fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |c: &u8| char::from(*c).to_digit(16).map(|digit| digit as u8);
    let (mut out, mut rest) = (Vec::with_capacity(path.len()), path);
    while let [first, behind @ ..] = rest {
        let written = match rest {
            [b'%', high, low, ..] => digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(match written.unwrap_or(*first) {
            b'\\' => b'/',
            other => other,
        });
        rest = if written.is_some() { &rest[3..] } else { behind };
    }
    out
}

/// With one slash in the place of many.
fn join_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for c in path {
        if *c != b'/' || out.last() != Some(&b'/') {
            out.push(*c);
        }
    }
    out
}
