//! Headers of every form, and what they are taken for.

use proptest::prelude::*;

use super::*;

/// What these bytes come to when they arrive one after the other, with something behind them.
fn read(bytes: &[u8]) -> String {
    let mut buf = Vec::new();
    let mut rest = bytes;
    loop {
        let take = match step(&buf) {
            Ok(Step::Done(origin)) => {
                let origin = origin.map_or("the proxy".into(), |from| from.to_string());
                return if rest.is_empty() { origin } else { format!("{origin}, then {} bytes", rest.len()) };
            }
            Err(flaw) => return format!("{flaw:?}"),
            Ok(Step::Need(count)) => {
                assert!(count > 0, "it wants nothing and is not done");
                count.min(rest.len())
            }
            Ok(Step::Line(most)) => {
                assert!(most > 0, "it wants nothing and is not done");
                let window = &rest[..most.min(rest.len())];
                memchr::memchr(b'\n', window).map_or(window.len(), |end| end + 1)
            }
        };
        if take == 0 {
            return "more".into();
        }
        buf.extend_from_slice(&rest[..take]);
        rest = &rest[take..];
    }
}

#[test]
fn lines_are_read_as_the_specification_writes_them() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    let longest = &long[..14].to_owned();
    let longest = format!("{longest}{}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for (text, want) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1:56324"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\nGET /", "192.0.2.1:0, then 5 bytes"),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1"),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1"),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ),
        ("PROXY UNKNOWN\r\n", "the proxy"),
        ("PROXY UNKNOWN ffff::1 ::1 1 2\r\n", "the proxy"),
        ("PROXY UNKNOWN\r\n\r\n", "the proxy, then 2 bytes"),
        (&longest, "the proxy"),
        (&too_long, "Long"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", "Line"),
        ("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n", "Line"),
        ("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", "Line"),
        ("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "Line"),
        ("PROXY TCP6 [::1] [::1] 1 2\r\n", "Line"),
        ("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY UNKNOWNS\r\n", "Line"),
        ("PROXY  UNKNOWN\r\n", "Line"),
        ("PROXY \r\n       ", "Line"),
        ("PROXY TCP4\t192.0.2.1 198.51.100.2 1 2\r\n", "Line"),
        ("PROXY UNKNOWN \u{e9}\r\n", "the proxy"),
        ("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "Absent"),
        (" PROXY UNKNOWN\r\n", "Absent"),
        ("PROXY_UNKNOWN\r\n", "Absent"),
        ("GET / HTTP/1.1\r\n", "Absent"),
        ("\u{16}\u{3}\u{1}", "Absent"),
        ("", "more"),
        ("P", "more"),
        ("PROXY", "more"),
        ("PROXY UNKNOWN", "more"),
        ("PROXY UNKNOWN\r", "more"),
        ("PROX ", "Absent"),
    ] {
        assert_eq!(read(text.as_bytes()), want, "{text:?}");
    }
    assert_eq!(read(b"PROXY UNKNOWN \xff\r\n"), "Line");
    assert_eq!(read(&b"PROXY TCP4 1".repeat(20)), "Long");
}

/// A header of version 2 with this command, family and rest.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a short rest").to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 187];

/// Addresses and these extensions.
fn extended(extensions: &[u8]) -> Vec<u8> {
    header(0x21, 0x11, &[&IPV4[..], extensions].concat())
}

/// The same with a checksum at the place of the four bytes `SUM!`.
fn summed(extensions: &[u8]) -> Vec<u8> {
    let mut bytes = extended(extensions);
    let at = bytes.windows(4).position(|four| four == b"SUM!").expect("a place for the sum");
    bytes[at..at + 4].fill(0);
    let sum = crc32c([&bytes, &[], &[]]);
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn headers_of_bytes_are_read_as_the_specification_writes_them() {
    let ipv6 =
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16], &[0, 7, 0, 8]].concat();
    let mapped =
        [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 9][..], &[0; 16], &[0, 7, 0, 8]].concat();
    let behind = [extended(&[]), b"GET /".to_vec()].concat();
    let mut damaged = summed(b"\x03\0\x04SUM!");
    damaged[19] ^= 1;
    let mut cut = extended(&[]);
    cut.pop();
    let mut long = extended(&[]);
    long[14..16].copy_from_slice(&4097u16.to_be_bytes());
    let most = extended(&[&[0xe0, 0xf, 0xf1][..], &[0; 4081]].concat());
    assert_eq!(most.len(), 16 + 4096);
    let mut other = extended(&[]);
    other[11] = b'\r';
    for (what, bytes, want) in [
        ("IPv4", extended(&[]), "192.0.2.1:56324"),
        ("IPv4 of a datagram", header(0x21, 0x12, &IPV4), "192.0.2.1:56324"),
        ("something behind", behind, "192.0.2.1:56324, then 5 bytes"),
        ("IPv6", header(0x21, 0x21, &ipv6), "[2001:db8::1]:7"),
        ("IPv4 in IPv6", header(0x21, 0x22, &mapped), "10.0.0.9:7"),
        ("unix sockets", header(0x21, 0x31, &[b'/'; 216]), "the proxy"),
        ("unix sockets, too short", header(0x21, 0x31, &[b'/'; 215]), "Length"),
        ("no family", header(0x21, 0, &[]), "the proxy"),
        ("no family, but bytes", header(0x21, 0, b"anything"), "the proxy"),
        ("local", header(0x20, 0, &[]), "the proxy"),
        ("local with addresses", header(0x20, 0x11, &IPV4), "the proxy"),
        ("local with half of them", header(0x20, 0x11, &IPV4[..5]), "the proxy"),
        ("version 1", header(0x11, 0x11, &IPV4), "Unknown"),
        ("version 3", header(0x31, 0x11, &IPV4), "Unknown"),
        ("a third command", header(0x22, 0x11, &IPV4), "Unknown"),
        ("no transport", header(0x21, 0x10, &IPV4), "Unknown"),
        ("transport without family", header(0x21, 0x01, &[]), "Unknown"),
        ("a fourth family", header(0x21, 0x41, &IPV4), "Unknown"),
        ("a third transport", header(0x21, 0x13, &IPV4), "Unknown"),
        ("IPv4, too short", header(0x21, 0x11, &IPV4[..11]), "Length"),
        ("IPv6, too short", header(0x21, 0x21, &ipv6[..35]), "Length"),
        ("nothing at all", header(0x21, 0x11, &[]), "Length"),
        ("the longest", most, "192.0.2.1:56324"),
        ("longer", long, "Length"),
        ("cut", cut, "more"),
        ("another signature", other, "Absent"),
        ("a name", extended(b"\x02\0\x04shop"), "192.0.2.1:56324"),
        ("padding of nothing", extended(b"\x04\0\0"), "192.0.2.1:56324"),
        ("two extensions", extended(b"\x01\0\x02h2\x05\0\x01x"), "192.0.2.1:56324"),
        ("an extension that sticks out", extended(b"\x02\0\x05shop"), "Extensions"),
        ("half an extension", extended(b"\x02\0"), "Extensions"),
        ("a byte too many", extended(b"\x02\0\x04shop!"), "Extensions"),
        ("a checksum", summed(b"\x03\0\x04SUM!"), "192.0.2.1:56324"),
        ("a checksum between others", summed(b"\x02\0\x04shop\x03\0\x04SUM!\x01\0\x02h2"), "192.0.2.1:56324"),
        ("damage", damaged, "Checksum"),
        ("a wrong checksum", extended(b"\x03\0\x04\0\0\0\0"), "Checksum"),
        ("a short checksum", extended(b"\x03\0\x03\0\0\0"), "Extensions"),
        ("a checksum, and another", summed(b"\x03\0\x04SUM!\x03\0\x04\0\0\0\0"), "Extensions"),
    ] {
        assert_eq!(read(&bytes), want, "{what}");
    }
}

#[test]
fn the_checksum_is_that_of_castagnoli() {
    assert_eq!(crc32c([b"1234", b"", b"56789"]), 0xe306_9283);
    assert_eq!(crc32c([&[0; 32], b"", b""]), 0x8a91_36aa);
}

#[test]
fn what_instances_are_told_is_what_the_specification_shows() {
    let ends = |from: &str, to: &str| Some((from.parse().expect("an end"), to.parse().expect("an end")));
    let text = |ends| String::from_utf8(write(ProxyProtocol::V1, ends)).expect("text");
    assert_eq!(
        text(ends("192.0.2.1:56324", "198.51.100.2:443")),
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
    );
    assert_eq!(text(ends("[::1]:1", "198.51.100.2:443")), "PROXY TCP6 ::1 ::ffff:198.51.100.2 1 443\r\n");
    assert_eq!(text(None), "PROXY UNKNOWN\r\n");
    assert_eq!(write(ProxyProtocol::V2, ends("192.0.2.1:56324", "198.51.100.2:443")), extended(&[]));
    assert_eq!(write(ProxyProtocol::V2, None), header(0x20, 0, &[]));
}

fn any_end() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

proptest! {
    /// Whatever is written is read as the same, and what follows is left.
    #[test]
    fn what_is_written_is_read(from in any_end(), to in any_end(), v2: bool, rest in 0usize..9) {
        let version = if v2 { ProxyProtocol::V2 } else { ProxyProtocol::V1 };
        let mut bytes = write(version, Some((from, to)));
        bytes.resize(bytes.len() + rest, b'\n');
        let want = if rest == 0 { from.to_string() } else { format!("{from}, then {rest} bytes") };
        prop_assert_eq!(read(&bytes), want);
    }

    /// Bytes of any kind come to an end.
    #[test]
    fn no_bytes_are_too_odd(opening in 0usize..4, tail: Vec<u8>) {
        let opening: &[u8] = [&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE][opening];
        read(&[opening, &tail].concat());
    }

    /// A header that was changed in one bit does not pass when it has a checksum.
    #[test]
    fn a_checksum_finds_every_bit(at in 16usize..28, bit in 0u8..8) {
        let mut bytes = summed(b"\x03\0\x04SUM!");
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(read(&bytes), "Checksum");
    }
}
