//! The PROXY protocol: the bytes in front of a connection in which a proxy says who its client is.
//!
//! Both versions of HAProxy's specification, read as strictly as they are written down there. Whether a connection opens
//! with one is configured and never guessed, as anybody could send one. Reading takes no byte of what follows, so the
//! rest goes on as if nothing had been there.

#[cfg(fuzzing)]
mod fuzzed;
mod receive;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use spec::ProxyProtocol;

#[cfg(fuzzing)]
pub(crate) use fuzzed::fuzzed;
pub(crate) use receive::{admit, introduce};

/// What opens version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What opens version 1.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LINE_BYTES: usize = 107;
/// The fixed part of version 2.
const FIXED_BYTES: usize = 16;
/// The most that may follow it: more than addresses, names and certificates' names need.
const VARIABLE_BYTES: usize = 4096;
/// The length of two addresses of unix sockets.
const UNIX_BYTES: usize = 216;
/// An extension with a checksum of all of the header.
const CRC32C: u8 = 3;

/// What is wrong with the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("it does not open with the PROXY protocol")]
    Absent,
    #[error("its line of the PROXY protocol is malformed")]
    Line,
    #[error("its line of the PROXY protocol is longer than {LINE_BYTES} bytes")]
    Long,
    #[error("it has a version, a command or a family of the PROXY protocol that there is not")]
    Unknown,
    #[error(
        "its header of the PROXY protocol is shorter than its addresses, or longer than {VARIABLE_BYTES} bytes"
    )]
    Length,
    #[error("its extensions of the PROXY protocol do not fill their place")]
    Extensions,
    #[error("its header of the PROXY protocol was damaged on the way")]
    Checksum,
    #[error("its header of the PROXY protocol did not come in time")]
    Late,
    #[error("it ended within its header of the PROXY protocol")]
    Cut,
}

/// Who is at the other end of the proxy: an address, or the proxy itself, which asks for its own sake or does not know.
pub(crate) type Origin = Option<SocketAddr>;

/// What to do with the bytes that have come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// So many more belong to the header for sure.
    Need(usize),
    /// All up to the end of the line belong to it, of so many at most.
    Line(usize),
    Done(Origin),
}

/// Reads as far as the bytes go.
fn step(buf: &[u8]) -> Result<Step, Flaw> {
    let opens = |word: &[u8]| buf.iter().zip(word).all(|(is, want)| is == want);
    match (opens(&SIGNATURE), opens(WORD)) {
        (false, false) => Err(Flaw::Absent),
        // Either has more than these.
        _ if buf.len() < SIGNATURE.len() => Ok(Step::Need(SIGNATURE.len() - buf.len())),
        (true, _) => binary(buf),
        (false, true) => match memchr::memchr(b'\n', buf) {
            Some(end) => line(&buf[..=end]).map(Step::Done),
            None if buf.len() >= LINE_BYTES => Err(Flaw::Long),
            None => Ok(Step::Line(LINE_BYTES - buf.len())),
        },
    }
}

/// Version 1: a line of text.
fn line(bytes: &[u8]) -> Result<Origin, Flaw> {
    let text =
        std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix("\r\n")).ok_or(Flaw::Line)?;
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // What follows is not to be looked at.
        return Ok(None);
    }
    let [Some(from), Some(to), Some(from_port), Some(to_port), None] = [(); 5].map(|()| words.next()) else {
        return Err(Flaw::Line);
    };
    let address = |text: &str| match family {
        Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        Some(_) | None => None,
    };
    let port = |text: &str| {
        let plain = text == "0" || (text.starts_with(|c: char| c.is_ascii_digit()) && !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain)
    };
    let ends = (address(from), address(to), port(from_port), port(to_port));
    let (Some(from), Some(_), Some(port), Some(_)) = ends else { return Err(Flaw::Line) };
    Ok(Some(SocketAddr::new(from.to_canonical(), port)))
}

/// Version 2: a fixed part, addresses, extensions.
fn binary(buf: &[u8]) -> Result<Step, Flaw> {
    let Some(fixed) = buf.first_chunk::<FIXED_BYTES>() else {
        return Ok(Step::Need(FIXED_BYTES - buf.len()));
    };
    let addresses = match fixed[13] {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => UNIX_BYTES,
        _ => return Err(Flaw::Unknown),
    };
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Flaw::Unknown),
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > VARIABLE_BYTES || (length < addresses && !is_local) {
        return Err(Flaw::Length);
    }
    let whole = FIXED_BYTES + length;
    if buf.len() < whole {
        return Ok(Step::Need(whole - buf.len()));
    }
    // What it says of its own connection is not to be looked at.
    if is_local {
        return Ok(Step::Done(None));
    }
    let (told, extensions) = buf[FIXED_BYTES..whole].split_at(addresses);
    if addresses > 0 {
        check(&buf[..whole], extensions)?;
    }
    let port = |at: usize| u16::from_be_bytes([told[at], told[at + 1]]);
    let from = match addresses {
        12 => told.first_chunk::<4>().map(|ip| SocketAddr::new(IpAddr::from(*ip), port(8))),
        36 => told.first_chunk::<16>().map(|ip| SocketAddr::new(IpAddr::from(*ip).to_canonical(), port(32))),
        // Nothing, or unix sockets, whose names say nothing here.
        _ => None,
    };
    Ok(Step::Done(from))
}

/// Whether the extensions fill their place, and the checksum is right if there is one. The others say nothing to us.
fn check(whole: &[u8], mut extensions: &[u8]) -> Result<(), Flaw> {
    let mut summed = false;
    while let [kind, high, low, rest @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Flaw::Extensions)?;
        if *kind == CRC32C {
            let wanted = value.try_into().map(u32::from_be_bytes).map_err(|_| Flaw::Extensions)?;
            if std::mem::replace(&mut summed, true) {
                return Err(Flaw::Extensions);
            }
            let after = rest.len();
            let (before, behind) = (&whole[..whole.len() - after - 4], &whole[whole.len() - after..]);
            if crc32c([before, &[0; 4], behind]) != wanted {
                return Err(Flaw::Checksum);
            }
        }
        extensions = rest;
    }
    if extensions.is_empty() { Ok(()) } else { Err(Flaw::Extensions) }
}

/// The checksum of Castagnoli (RFC 3720, appendix B.4) of all parts. Headers that have one are rare and short, so no table is kept.
fn crc32c(parts: [&[u8]; 3]) -> u32 {
    let bit = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| bit(sum));
    !parts.into_iter().flatten().fold(u32::MAX, byte)
}

/// Writes the header of a connection that is made for a client, or for the edge's own sake.
fn write(version: ProxyProtocol, ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let ends = ends.map(|(from, to)| (from, to, from.ip().to_canonical(), to.ip().to_canonical()));
    match (version, ends) {
        (ProxyProtocol::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyProtocol::V1, Some((from, to, IpAddr::V4(a), IpAddr::V4(b)))) => {
            format!("PROXY TCP4 {a} {b} {} {}\r\n", from.port(), to.port()).into_bytes()
        }
        (ProxyProtocol::V1, Some((from, to, a, b))) => {
            format!("PROXY TCP6 {} {} {} {}\r\n", wide(a), wide(b), from.port(), to.port()).into_bytes()
        }
        (ProxyProtocol::V2, None) => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
        (ProxyProtocol::V2, Some((from, to, a, b))) => {
            let addresses = match (a, b) {
                (IpAddr::V4(a), IpAddr::V4(b)) => [a.octets(), b.octets()].concat(),
                (a, b) => [wide(a).octets(), wide(b).octets()].concat(),
            };
            let (family, length) = if addresses.len() == 8 { (0x11, 12) } else { (0x21, 36) };
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
            [&SIGNATURE[..], &[0x21, family, 0, length], &addresses, &ports].concat()
        }
    }
}

/// In the form that IPv6 has for it.
fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests;
