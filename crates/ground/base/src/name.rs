//! Names and ids, each a type of its own, so that one cannot stand where another is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Kind, Problem};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct InvalidName {
    text: String,
    what: &'static str,
    rule: &'static str,
}

impl Problem for InvalidName {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// Declares a name: a checked text with the traits that names need.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Takes the text if it is a name of this kind.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(InvalidName { text, what: $what, rule: $rule }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// An app: what one compose file describes; compose calls it the project.
    AppName,
    "an app's name",
    "up to 200 of a-z, 0-9, `_` and `-`, beginning with a letter or digit",
    |t| t.len() <= 200 && starts_with(t, |c| lower(c) || c.is_ascii_digit()) && t.chars().all(|c| lower(c) || c.is_ascii_digit() || "_-".contains(c))
);
name!(
    /// A service of an app.
    ServiceName,
    "a service's name",
    "up to 200 of a-z, A-Z, 0-9, `_`, `.` and `-`",
    |t| t.len() <= 200 && !t.is_empty() && t.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
);
name!(
    /// A container's name, unique on its daemon.
    ContainerName,
    "a container's name",
    "2 to 250 of a-z, A-Z, 0-9, `_`, `.` and `-`, beginning with a letter or digit",
    docker_name
);
name!(
    /// A volume's name, unique on its daemon.
    VolumeName,
    "a volume's name",
    "2 to 250 of a-z, A-Z, 0-9, `_`, `.` and `-`, beginning with a letter or digit",
    docker_name
);
name!(
    /// A network's name, unique on its daemon.
    NetworkName,
    "a network's name",
    "1 to 250 bytes without `/` and control characters, with no blank at either end",
    |t| (1..=250).contains(&t.len()) && t.trim() == t && !t.contains('/') && !t.contains(char::is_control)
);
name!(
    /// A container's id: 64 hexadecimal digits.
    ContainerId,
    "a container's id",
    "64 hexadecimal digits",
    |t| t.len() == 64 && hex(t)
);
name!(
    /// What an instance of a service was made from, as a digest: equal revisions run alike.
    Revision,
    "a revision",
    "1 to 64 hexadecimal digits",
    |t| (1..=64).contains(&t.len()) && hex(t)
);

impl ContainerId {
    /// How many digits of an id people are shown.
    pub const SHORT: usize = 12;

    /// The first digits, enough for people.
    pub fn short(&self) -> &str {
        &self.0[..Self::SHORT]
    }

    /// An id from 32 bytes, which the caller drew at random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }
}

/// The number of a release within its app, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseNumber(pub u32);

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

fn starts_with(text: &str, first: impl Fn(char) -> bool) -> bool {
    text.chars().next().is_some_and(first)
}

fn hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn docker_name(text: &str) -> bool {
    (2..=250).contains(&text.len())
        && starts_with(text, |c| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests;
