//! The tag of a root folder, from which every name is derived that the whole machine sees.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Eight hexadecimal digits that tell one root's links and tables from another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// The text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a root's tag: 8 hexadecimal digits")]
pub struct InvalidTag(String);

/// How many letters set links of one root apart; with the longest prefix, the kernel's limit of 15 is reached.
const SUFFIX: usize = 4;

impl Tag {
    /// The tag of a root; pass its canonical path, so that one root has one tag.
    pub fn of_root(root: &Path) -> Self {
        let digest = Sha256::digest(root.as_os_str().as_bytes());
        Self(digest[..4].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The name of a bridge of this root: `sea`, the tag, and four letters by `chance`.
    pub fn bridge(&self, chance: u64) -> String {
        format!("sea{}{}", self.0, suffix(chance))
    }

    /// The name of a container's link on the host: `sev`, the tag, and four letters by `chance`.
    pub fn veth(&self, chance: u64) -> String {
        format!("sev{}{}", self.0, suffix(chance))
    }

    /// Whether a link's name says that it belongs to this root.
    pub fn owns_link(&self, name: &str) -> bool {
        ["sea", "sev"].iter().any(|kind| {
            name.strip_prefix(kind)
                .is_some_and(|rest| rest.len() == self.0.len() + SUFFIX && rest.starts_with(&self.0))
        })
    }

    /// The name of this root's nf_tables table.
    pub fn table(&self) -> String {
        format!("sea_{}", self.0)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Four of 36 letters and digits.
fn suffix(mut chance: u64) -> String {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..SUFFIX)
        .map(|_| {
            let letter = LETTERS[(chance % 36) as usize];
            chance /= 36;
            char::from(letter)
        })
        .collect()
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 8 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTag(text.to_owned()))
        }
    }
}
