//! Digests: content named by its hash, and readers that hold it to that name.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use base::{Kind, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// The hash function of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: what everybody uses.
    Sha256,
    /// SHA-512: allowed by the specification.
    Sha512,
}

impl Algorithm {
    /// As written in front of the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// Content by its hash, as in `sha256:e3b0…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest")]
pub struct InvalidDigest(String);

impl Problem for InvalidDigest {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("write `sha256:` and 64 digits of 0-9 and a-f, or `sha512:` and 128".into())
    }
}

impl Digest {
    /// The SHA-256 of these bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::from_hash(Algorithm::Sha256, &Sha256::digest(bytes))
    }

    /// A SHA-256 digest by its 64 hexadecimal digits.
    pub fn from_sha256_hex(hex: &str) -> Result<Self, InvalidDigest> {
        format!("sha256:{hex}").parse()
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash, in hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first 12 digits, enough for people.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        Self { algorithm, hex: hash.iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest(text.chars().take(160).collect());
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid()),
        };
        let lower_hex = hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if hex.len() == algorithm.hex_len() && lower_hex {
            Ok(Self { algorithm, hex: hex.to_owned() })
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Hashes with SHA-256 and counts what passes through, to a writer or from a reader.
#[derive(Debug)]
pub struct Sha256Hasher<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Sha256Hasher<T> {
    /// Around this reader or writer.
    pub fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// What passed so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The reader or writer, the digest of what passed, and its length.
    pub fn finish(self) -> (T, Digest, u64) {
        (self.inner, Digest::from_hash(Algorithm::Sha256, &self.hash.finalize()), self.bytes)
    }
}

impl<R: Read> Read for Sha256Hasher<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<W: Write> Write for Sha256Hasher<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Content that is not what its digest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content is {got}, not {want}")]
pub struct Mismatch {
    /// The name that it bears.
    pub want: Digest,
    /// What it is.
    pub got: Digest,
}

impl Problem for Mismatch {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// Reads or writes content and tells at the end whether it is what its digest says.
#[derive(Debug)]
pub struct Verifier<T> {
    inner: T,
    want: Digest,
    hash: Hash,
}

#[derive(Debug)]
enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl<T> Verifier<T> {
    /// Holds what passes through `inner` to this digest.
    pub fn new(inner: T, want: Digest) -> Self {
        let hash = match want.algorithm {
            Algorithm::Sha256 => Hash::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hash::Sha512(Sha512::new()),
        };
        Self { inner, want, hash }
    }

    /// The reader or writer, if what passed is what the digest says.
    pub fn finish(self) -> Result<T, Mismatch> {
        let got = match self.hash {
            Hash::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            Hash::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        };
        if got == self.want { Ok(self.inner) } else { Err(Mismatch { want: self.want, got }) }
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
        }
    }
}

impl<R: Read> Read for Verifier<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.update(&buf[..n]);
        Ok(n)
    }
}

impl<W: Write> Write for Verifier<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The chain ids of layers given by their diff ids, from the lowest up: each names its layer with all below it.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        let next = match chain.last() {
            None => diff.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests;
