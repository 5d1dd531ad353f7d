//! Keys of P-256, and what is signed with them: JSON Web Signatures (RFC 7515) with ES256.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::error::AcmeError;
use crate::settings::Binding;

/// The key of an account.
pub(crate) struct AccountKey(EcdsaKeyPair);

/// Who signs.
pub(crate) enum Signer<'a> {
    /// The key itself, for an account that is not there yet.
    Key,
    /// The account, by its URL.
    Account(&'a str),
}

impl AccountKey {
    /// A new one, and its form for the disk (PKCS#8).
    pub(crate) fn generate() -> Result<(Self, Vec<u8>), AcmeError> {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let der = der.map_err(|_| AcmeError::NoKey)?;
        let key = Self::read(der.as_ref()).ok_or(AcmeError::NoKey)?;
        Ok((key, der.as_ref().to_vec()))
    }

    /// Out of its form for the disk.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok().map(Self)
    }

    /// The public key (RFC 7517), with its members in the order that the thumbprint wants.
    fn jwk(&self) -> Value {
        // An uncompressed point: a byte, and two numbers of 32 bytes.
        let point = self.0.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
        json!({"crv": "P-256", "kty": "EC", "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)})
    }

    /// The digest of the public key (RFC 7638) that proofs hold.
    pub(crate) fn thumbprint(&self) -> String {
        BASE64URL_NOPAD.encode(sha256(self.jwk().to_string().as_bytes()).as_ref())
    }

    /// A request in the form that authorities take; no payload for one that only reads.
    pub(crate) fn sign(
        &self,
        signer: &Signer<'_>,
        (url, nonce): (&str, &str),
        payload: Option<&Value>,
    ) -> Result<String, AcmeError> {
        let mut protected = json!({"alg": "ES256", "nonce": nonce, "url": url});
        match signer {
            Signer::Key => protected["jwk"] = self.jwk(),
            Signer::Account(kid) => protected["kid"] = (*kid).into(),
        }
        let sign = |text: &[u8]| {
            let signature = self.0.sign(&SystemRandom::new(), text).map_err(|_| AcmeError::NoKey)?;
            Ok(signature.as_ref().to_vec())
        };
        Ok(jws(&protected, &payload.map(Value::to_string).unwrap_or_default(), sign)?.to_string())
    }

    /// That this key belongs to an account elsewhere, signed with the key of that.
    pub(crate) fn bind(&self, binding: &Binding, url: &str) -> Result<Value, AcmeError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &binding.key);
        let protected = json!({"alg": "HS256", "kid": binding.kid, "url": url});
        jws(&protected, &self.jwk().to_string(), |text| Ok(hmac::sign(&key, text).as_ref().to_vec()))
    }
}

/// Head, payload and signature, as a document.
fn jws(
    protected: &Value,
    payload: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, AcmeError>,
) -> Result<Value, AcmeError> {
    let protected = BASE64URL_NOPAD.encode(protected.to_string().as_bytes());
    let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    let signature = BASE64URL_NOPAD.encode(&signature);
    Ok(json!({"protected": protected, "payload": payload, "signature": signature}))
}

pub(crate) fn sha256(bytes: &[u8]) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
}

/// The text form of DER.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
