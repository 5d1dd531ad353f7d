//! Amounts of bytes, as people write them: `64m`, `1.5 GiB`, `1024`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Kind, Problem};

/// A number of bytes.
///
/// ```
/// # use base::Bytes;
/// assert_eq!("1.5 GiB".parse::<Bytes>()?.to_string(), "1.5 GiB");
/// assert_eq!("64m".parse::<Bytes>()?, Bytes(64 << 20));
/// # Ok::<(), base::InvalidSize>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size")]
pub struct InvalidSize(String);

impl Problem for InvalidSize {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("write a number and a unit: b, k, m, g, t or p, as in `64m`; units count in 1024".into())
    }
}

const UNITS: &[u8] = b"kmgtp";

impl FromStr for Bytes {
    type Err = InvalidSize;

    /// Units count in 1024, in either case, with or without `b` and `ib`, as docker reads them.
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.to_owned());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim_start().to_ascii_lowercase();
        let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
            "" => 0,
            one if one.len() == 1 => {
                1 + UNITS.iter().position(|u| *u == one.as_bytes()[0]).ok_or_else(invalid)? as i32
            }
            _ => return Err(invalid()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(1 << (10 * power)).map(Self).ok_or_else(invalid);
        }
        let size = number.parse::<f64>().map_err(|_| invalid())? * 1024f64.powi(power);
        if size < u64::MAX as f64 { Ok(Self(size as u64)) } else { Err(invalid()) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0 as f64;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
            if size < 1024.0 {
                break;
            }
            size /= 1024.0;
            unit = next;
        }
        let text = if unit == "B" || size >= 100.0 {
            format!("{size:.0} {unit}")
        } else {
            format!("{size:.1} {unit}")
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests;
