//! A client's certificate as the instance is told of it: its fingerprint and whom it names.
//!
//! The field is `x-forwarded-client-cert` as other proxies write it: `Hash=…;Subject="…"`. The certificate was verified
//! before, so this reads only what it must, and leaves out what it cannot read.

use rustls::pki_types::CertificateDer;

/// The longest subject that is passed on.
const SUBJECT_BYTES: usize = 1024;

/// The whole line, or nothing without a certificate.
pub(crate) fn line(chain: Option<&[CertificateDer<'static>]>) -> Vec<u8> {
    let Some(certificate) = chain.and_then(<[_]>::first) else { return Vec::new() };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut line = b"x-forwarded-client-cert: Hash=".to_vec();
    for byte in digest.as_ref() {
        line.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        line.push(b"0123456789abcdef"[usize::from(byte & 15)]);
    }
    if let Some(subject) = subject(certificate) {
        line.extend_from_slice(b";Subject=\"");
        line.extend_from_slice(subject.as_bytes());
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// One element of DER: its tag and content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0usize, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Whom the certificate names, as in `CN=anna,O=Shop`: in the order of the certificate, with what means something in
/// this notation, and in the field's quotes, left out.
fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // A version if it is tagged so, then serial number, algorithm, issuer and validity come before the subject.
    if element(fields)?.0 == 0xa0 {
        fields = element(fields)?.2;
    }
    for _ in 0..4 {
        fields = element(fields)?.2;
    }
    let (_, mut names, _) = element(fields)?;
    let mut text = String::new();
    while !names.is_empty() {
        let (_, set, rest) = element(names)?;
        let (_, pair, _) = element(set)?;
        names = rest;
        let (_, kind, value) = element(pair)?;
        let (tag, value, _) = element(value)?;
        let (Some(kind), Some(value)) = (short_name(kind), words(tag, value)) else { continue };
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(kind);
        text.push('=');
        text.extend(
            value.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\' | ',' | ';' | '=' | '+')),
        );
    }
    let fits = !text.is_empty() && text.len() <= SUBJECT_BYTES;
    fits.then_some(text)
}

/// The usual letters for a kind of name, by the last part of its number 2.5.4.x.
fn short_name(oid: &[u8]) -> Option<&'static str> {
    match oid {
        [0x55, 4, 3] => Some("CN"),
        [0x55, 4, 5] => Some("serialNumber"),
        [0x55, 4, 6] => Some("C"),
        [0x55, 4, 7] => Some("L"),
        [0x55, 4, 8] => Some("ST"),
        [0x55, 4, 10] => Some("O"),
        [0x55, 4, 11] => Some("OU"),
        _ => None,
    }
}

/// The text of a string, if it is of a kind that is ASCII or UTF-8.
fn words(tag: u8, value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    // UTF8String, NumericString, PrintableString, IA5String.
    matches!(tag, 12 | 18 | 19 | 22).then_some(text)
}

#[cfg(test)]
mod tests;
