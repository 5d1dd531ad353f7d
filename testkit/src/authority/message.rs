//! Requests, their signatures, and answers.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::Shared;

/// A request.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    pub(super) fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut asked = Self { method, path, headers, body: Vec::new() };
        let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        asked.body.resize(length, 0);
        reader.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is == name).map(|(_, value)| &value[..])
    }
}

/// A request that is signed rightly.
pub(super) struct Signed {
    pub(super) url: String,
    /// The key, where that signs for itself.
    pub(super) jwk: Option<Value>,
    /// The key of who signed.
    pub(super) key: Value,
    /// None for one that only reads.
    pub(super) payload: Option<Value>,
}

fn decoded(text: &Value) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_str()?.as_bytes()).ok()
}

impl Shared {
    /// Checks who signed what (RFC 8555, section 6).
    pub(super) fn signed(&self, asked: &Asked) -> Result<Signed, Answer> {
        let malformed = |what: &str| self.complain("malformed", what);
        if asked.header("content-type") != Some("application/jose+json") {
            return Err(malformed("a POST of another type"));
        }
        let body: Value =
            serde_json::from_slice(&asked.body).map_err(|_| malformed("a body that is no JSON"))?;
        let parts = [&body["protected"], &body["payload"], &body["signature"]].map(decoded);
        let [Some(protected), Some(payload), Some(signature)] = parts else {
            return Err(malformed("a signature in another form"));
        };
        let head: Value =
            serde_json::from_slice(&protected).map_err(|_| malformed("a head that is no JSON"))?;
        let url = format!("{}{}", self.base(), asked.path);
        if head["alg"] != "ES256" || head["url"] != url.as_str() {
            return Err(malformed("another algorithm, or another URL than that which is asked"));
        }
        self.take_nonce(&head)?;
        let jwk = head.get("jwk").cloned();
        let key = match (&jwk, head.get("kid").and_then(Value::as_str)) {
            (Some(jwk), None) if asked.path == "/new-account" => jwk.clone(),
            (None, Some(kid)) if asked.path != "/new-account" => {
                let known = self.state().accounts.get(kid).cloned();
                known.ok_or_else(|| Answer::problem(400, "accountDoesNotExist", "no such account"))?
            }
            _ => return Err(malformed("signed by a key where an account is to sign, or the other way")),
        };
        let (Some(x), Some(y)) = (decoded(&key["x"]), decoded(&key["y"])) else {
            return Err(malformed("a key without its numbers"));
        };
        let point = [&[4][..], &x, &y].concat();
        let text = format!(
            "{}.{}",
            body["protected"].as_str().unwrap_or(""),
            body["payload"].as_str().unwrap_or("")
        );
        let good =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text.as_bytes(), &signature);
        good.map_err(|_| self.complain("unauthorized", "a signature that is wrong"))?;
        let payload = match &payload[..] {
            [] => None,
            bytes => Some(serde_json::from_slice(bytes).map_err(|_| malformed("a payload that is no JSON"))?),
        };
        Ok(Signed { url, jwk, key, payload })
    }

    fn take_nonce(&self, head: &Value) -> Result<(), Answer> {
        let mut state = self.state();
        let known = state.nonces.remove(head["nonce"].as_str().unwrap_or_default());
        let forgotten = state.manners.forgotten_nonces > 0;
        if known && !forgotten {
            return Ok(());
        }
        state.manners.forgotten_nonces = state.manners.forgotten_nonces.saturating_sub(1);
        if !known {
            state.complaints.push("a nonce that was not given, or used before".into());
        }
        Err(Answer::problem(400, "badNonce", "no such nonce"))
    }
}

/// Whether a key belongs to an account elsewhere (RFC 8555, section 7.3.4).
pub(super) fn is_bound(jws: &Value, (kid, key): (&str, &[u8]), (jwk, url): (&Value, &str)) -> bool {
    let parts = [&jws["protected"], &jws["payload"], &jws["signature"]].map(decoded);
    let [Some(protected), Some(payload), Some(signature)] = parts else { return false };
    let head: Value = serde_json::from_slice(&protected).unwrap_or_default();
    let text =
        format!("{}.{}", jws["protected"].as_str().unwrap_or(""), jws["payload"].as_str().unwrap_or(""));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    head == json!({"alg": "HS256", "kid": kid, "url": url})
        && serde_json::from_slice::<Value>(&payload).is_ok_and(|payload| payload == *jwk)
        && hmac::verify(&key, text.as_bytes(), &signature).is_ok()
}

/// The text form of a certificate.
pub(super) fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// An answer.
pub(super) struct Answer {
    status: u16,
    pub(super) headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { body: body.to_string(), ..Self::of(status, "application/json") }
    }

    pub(super) fn text(kind: &str, body: &str) -> Self {
        Self { body: body.into(), ..Self::of(200, kind) }
    }

    pub(super) fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let text = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail});
        Self { body: text.to_string(), ..Self::of(status, "application/problem+json") }
    }

    fn of(status: u16, kind: &str) -> Self {
        Self { status, headers: vec![("Content-Type".into(), kind.into())], body: String::new() }
    }

    pub(super) fn bytes(&self, head_only: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        if !head_only {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}
