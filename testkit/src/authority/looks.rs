//! Looking for proofs, and reading requests for certificates.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};

use super::Manners;

/// The digest of a public key (RFC 7638).
pub(super) fn thumbprint(key: &Value) -> String {
    let text = json!({"crv": key["crv"], "kty": key["kty"], "x": key["x"], "y": key["y"]}).to_string();
    BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref())
}

/// Connects, and looks whether this answer is there.
pub(super) fn look(
    manners: &Manners,
    way: &str,
    (host, token): (&str, &str),
    answer: &str,
) -> Result<(), String> {
    let address = if way == "http-01" { manners.http } else { manners.https };
    let address = address.ok_or_else(|| format!("{host} has no address"))?;
    let connected = TcpStream::connect_timeout(&address, Duration::from_secs(5));
    let mut stream = connected.map_err(|error| format!("{host}: {error}"))?;
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    if way != "http-01" {
        return look_at_certificate(stream, host, answer);
    }
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    let mut text = String::new();
    let exchanged = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
    exchanged.map_err(|error| format!("{host}: {error}"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let right = text.starts_with("HTTP/1.1 200 ") && body.trim_end() == answer;
    if right { Ok(()) } else { Err(format!("{host} answers: {}", text.lines().next().unwrap_or_default())) }
}

fn look_at_certificate(stream: TcpStream, host: &str, answer: &str) -> Result<(), String> {
    let algorithms = Arc::new(provider::default_provider());
    let mut config = ClientConfig::builder_with_provider(algorithms.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(algorithms)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut stream = stream;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| format!("{host}: {error}"))?;
    }
    if session.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(format!("{host} does not speak acme-tls/1"));
    }
    let shown = session.peer_certificates().and_then(|all| all.first()).ok_or("no certificate")?;
    // The critical extension 1.3.6.1.5.5.7.1.31 with the digest, and the host as the only name.
    let digest = digest(&SHA256, answer.as_bytes());
    let extension =
        [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 4, 0x22, 4, 0x20][..], digest.as_ref()].concat();
    let name = [&[0x82, u8::try_from(host.len()).map_err(|_| "a long host")?][..], host.as_bytes()].concat();
    let holds = |part: &[u8]| shown.windows(part.len()).any(|window| window == part);
    if holds(&extension) && holds(&name) { Ok(()) } else { Err(format!("{host} shows another certificate")) }
}

/// Believes whatever it is shown, which it looks at itself.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    /// The usual check does not read a certificate with an extension that it must not pass over.
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What a request for a certificate says (RFC 2986).
pub(super) struct Request {
    pub(super) names: Vec<String>,
    /// The public key, as bits.
    pub(super) key: Vec<u8>,
}

/// Reads a request, and checks that it is signed with its own key.
pub(super) fn read_request(der: &[u8]) -> Option<Request> {
    let (_, mut outer, rest) = value(der)?;
    if !rest.is_empty() {
        return None;
    }
    let whole = outer;
    let (_, mut inner, after) = value(outer)?;
    let signed = &whole[..whole.len() - after.len()];
    outer = value(after)?.2;
    let signature = value(outer)?.1.get(1..)?;
    for _ in 0..2 {
        inner = value(inner)?.2;
    }
    let (_, spki, attributes) = value(inner)?;
    let key = value(value(spki)?.2)?.1.get(1..)?.to_vec();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key).verify(signed, signature).ok()?;
    let oid = [6, 3, 0x55, 0x1d, 0x11];
    let at = attributes.windows(oid.len()).position(|window| window == oid)? + oid.len();
    let (tag, mut list, rest) = value(attributes.get(at..)?)?;
    if tag == 1 {
        // It must be understood, as there is no other name.
        list = value(rest)?.1;
    }
    let (_, mut list, _) = value(list)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let (tag, name, rest) = value(list)?;
        if tag != 0x82 {
            return None;
        }
        names.push(String::from_utf8(name.to_vec()).ok()?);
        list = rest;
    }
    Some(Request { names, key })
}

/// The tag and content of the first value, and what follows it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
