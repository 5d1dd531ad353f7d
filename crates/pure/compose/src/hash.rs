//! A digest as hexadecimal text.

use sha2::{Digest, Sha256};

/// The SHA-256 of a text.
pub(crate) fn of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
