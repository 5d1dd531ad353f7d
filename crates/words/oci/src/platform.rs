//! Platforms: which machines an image runs on, and which of several is ours.

use std::fmt;
use std::str::FromStr;

use base::{Kind, Problem};
use serde::{Deserialize, Serialize};

use crate::Extra;

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// In Go's words, as in `amd64`.
    pub architecture: String,
    /// In Go's words, as in `linux`.
    pub os: String,
    /// As in `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What we do not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Platform {
    /// A platform without a variant.
    pub fn new(os: &str, architecture: &str) -> Self {
        Self { architecture: architecture.into(), os: os.into(), variant: None, extra: Extra::new() }
    }

    /// The machine that this program was built for.
    pub fn ours() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "x86" => ("386", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Self { variant: variant.map(str::to_owned), ..Self::new(std::env::consts::OS, architecture) }
    }

    /// How well an image of `this` platform runs here; none when it does not, and less is better.
    pub fn fit(&self, this: &Self) -> Option<u8> {
        if self.os != this.os || self.architecture != this.architecture {
            return None;
        }
        match (&self.variant, &this.variant) {
            (ours, theirs) if ours == theirs => Some(0),
            (Some(_), None) => Some(1),
            // `arm64` without a word means `v8`, and `amd64` means its first version.
            (None, Some(theirs)) => matches!(theirs.as_str(), "v1" | "v8").then_some(1),
            (Some(ours), Some(theirs)) => (theirs < ours).then_some(2),
            (None, None) => Some(0),
        }
    }
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform")]
pub struct InvalidPlatform(String);

impl Problem for InvalidPlatform {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("write system and processor, as in `linux/amd64` or `linux/arm/v7`".into())
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let invalid = || InvalidPlatform(text.chars().take(100).collect());
        if parts.iter().any(|part| part.is_empty()) {
            return Err(invalid());
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture)),
            [os, architecture, variant] => {
                Ok(Self { variant: Some(variant.into()), ..Self::new(os, architecture) })
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    //! Tests of which platform fits.
    use super::*;

    #[test]
    fn a_platform_is_read_as_it_is_written() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["linux", "linux/", "a/b/c/d", ""] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_machine_fits_best_and_another_not_at_all() {
        let arm = |variant: Option<&str>| Platform {
            variant: variant.map(str::to_owned),
            ..Platform::new("linux", "arm")
        };
        assert_eq!(arm(Some("v7")).fit(&arm(Some("v7"))), Some(0));
        assert_eq!(arm(Some("v7")).fit(&arm(None)), Some(1));
        assert_eq!(arm(Some("v7")).fit(&arm(Some("v6"))), Some(2));
        assert_eq!(arm(Some("v6")).fit(&arm(Some("v7"))), None);
        assert_eq!(Platform::new("linux", "amd64").fit(&Platform::new("windows", "amd64")), None);
        assert_eq!(Platform::ours().fit(&Platform::ours()), Some(0));
    }
}
