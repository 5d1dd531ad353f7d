//! What instances are told of a client's certificate.

use rcgen::{CertificateParams, DnType, KeyPair};

use super::line;

fn told(names: &[(DnType, &str)]) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in names {
        params.distinguished_name.push(kind.clone(), *value);
    }
    let certificate = params.self_signed(&key).expect("a certificate");
    let text = String::from_utf8(line(Some(&[certificate.der().clone()]))).expect("text");
    let rest = text.strip_prefix("x-forwarded-client-cert: Hash=").expect("the field");
    let (hash, rest) = rest.split_at(64);
    assert!(hash.bytes().all(|c| c.is_ascii_hexdigit()), "{text}");
    rest.strip_suffix("\r\n").expect("a whole line").to_owned()
}

#[test]
fn the_subject_is_told_and_cannot_write_fields_of_its_own() {
    for (names, want) in [
        (&[(DnType::CommonName, "anna")][..], ";Subject=\"CN=anna\""),
        (&[(DnType::OrganizationName, "Shop"), (DnType::CommonName, "anna")], ";Subject=\"O=Shop,CN=anna\""),
        (&[(DnType::CommonName, "a\",O=\"Root\r\nx: y\\")], ";Subject=\"CN=aORootx: y\""),
        (&[], ""),
    ] {
        assert_eq!(told(names), want);
    }
    assert!(line(None).is_empty());
}

#[test]
fn what_is_no_certificate_gives_a_fingerprint_alone() {
    for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x30", &[0x30; 64]] {
        let text = line(Some(&[bytes.to_vec().into()]));
        assert!(!text.windows(7).any(|part| part == b"Subject"), "{bytes:?}");
    }
}
